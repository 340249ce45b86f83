package plugin

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

type inner struct {
	A int `json:"a"`
}

type document struct {
	inner
	Name  string           `json:"name"`
	List  []inner          `json:"list"`
	ByKey map[string]inner `json:"by_key"`
	Free  json.RawMessage  `json:"free"`
	Any   any              `json:"any"`
	Opt   *inner           `json:"opt"`
	Plain int
	skip  int // never decoded, though a key of its name is
}

var _ = document{}.skip

func TestDecodeAcceptsWhatFits(t *testing.T) {
	var got document
	err := Decode("config", []byte(` {"a":1,"name":"n","list":[{"a":2},{}],"by_key":{"k":{"a":3},"K":{"a":4}},
		"free":{"x":[1,{"y":null}]},"any":{"z":true},"opt":null,"Plain":7} `), &got)
	want := document{inner: inner{1}, Name: "n", List: []inner{{2}, {}}, ByKey: map[string]inner{"k": {3}, "K": {4}},
		Free: json.RawMessage(`{"x":[1,{"y":null}]}`), Any: map[string]any{"z": true}, Plain: 7}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := Decode("config", nil, &got); err != nil {
		t.Errorf("empty data: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct{ in, path, text string }{
		{`{"nmae":1}`, "config.nmae", "unknown key"},
		{`{"Name":"n"}`, "config.Name", "unknown key"},
		{`{"skip":1}`, "config.skip", "unknown key"},
		{`{"name":"a","name":"b"}`, "config.name", "twice"},
		{`{"list":[{},{"b":1}]}`, "config.list.1.b", "unknown key"},
		{`{"by_key":{"k":{"A":1}}}`, "config.by_key.k.A", "unknown key"},
		{`{"any":{"x":1,"x":2}}`, "config.any.x", "twice"},
		{`{"opt":{"b":1}}`, "config.opt.b", "unknown key"},
		{`{"name":7}`, "config.name", "a JSON number where a string belongs"},
		{`[]`, "config", "a JSON array"},
		{`{} {}`, "config", "after the end"},
		{`{"name":`, "config.name", "unexpected EOF"},
		{`{"name" 1}`, "config.name", "not JSON at byte"},
		{"{\"name\":\"\xff\"}", "config", "UTF-8"},
		{`{"any":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, "", "64 levels"},
	} {
		var v document
		err := Decode("config", []byte(tt.in), &v)
		f, ok := err.(*fault.Error)
		if !ok || f.Kind != fault.Invalid || tt.path != "" && f.Path != tt.path || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%.60s: %v; want %s: %s", tt.in, err, tt.path, tt.text)
		}
		if tt.text == "unknown key" && fault.HintOf(err) == "" {
			t.Errorf("%s: no hint", tt.in)
		}
	}
}

// FuzzDecode checks that what Decode accepts is plain JSON of the same value, and
// that encoding it gives a document that it accepts again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":1,"name":"n","list":[{"a":2}],"by_key":{"k":{"a":3}},"free":{"x":1},"any":[1],"Plain":2}`))
	f.Add([]byte(`{"name":"a","name":"b"}`))
	f.Add([]byte(`{"opt":{"a":1e2}} `))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v document
		if Decode("config", data, &v) != nil {
			return
		}
		if !utf8.Valid(data) {
			t.Fatal("accepted invalid UTF-8")
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var again document
		if err := Decode("config", text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if text2, _ := json.Marshal(again); string(text2) != string(text) {
			t.Fatalf("%s became %s", text, text2)
		}
	})
}
