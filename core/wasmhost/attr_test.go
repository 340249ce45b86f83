package wasmhost

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sparkrsi/spark/core/run"
)

func TestReadAttrs(t *testing.T) {
	long := strings.Repeat("x", maxText+5)
	for _, c := range []struct {
		doc  string
		want []run.Attr
		lost int
	}{
		{``, nil, 0},
		{` {} `, nil, 0},
		{`{"s":"a","i":-7,"f":1.5,"e":1e3,"t":true,"n":null,"x":false}`,
			[]run.Attr{run.String("s", "a"), run.Int("i", -7), run.Float("f", 1.5), run.Float("e", 1000), run.Bool("t", true), run.Bool("x", false)}, 1},
		{`{"a\u0062":"\n\ud83d\ude00","c":[1,{"d":2}],"e":{"f":"}"},"g":9223372036854775808}`,
			[]run.Attr{run.String("ab", "\n😀"), run.Float("g", 1<<63)}, 2},
		{`{"a":1e999,"b":2}`, []run.Attr{run.Int("b", 2)}, 1},
		{`{"a":1,"b":-}`, []run.Attr{run.Int("a", 1)}, 1},
		{`{"a":1,}`, []run.Attr{run.Int("a", 1)}, 1},
		{`{"a":1} x`, []run.Attr{run.Int("a", 1)}, 1},
		{`{"a":1,"b`, []run.Attr{run.Int("a", 1)}, 1},
		{`{"a" 1}`, nil, 1},
		{`{"a":"\q"}`, nil, 1},
		{"{\"a\":\"\x01\"}", nil, 1},
		{`[1]`, nil, 1},
		{`{"a":"` + long + `"}`, []run.Attr{run.String("a", long[:maxText])}, 0},
	} {
		got, lost := readAttrs([]byte(c.doc))
		if !slices.Equal(got, c.want) || lost != c.lost {
			t.Errorf("%.80s: %+v, %d lost; want %+v, %d", c.doc, got, lost, c.want, c.lost)
		}
	}
	if got, lost := readAttrs([]byte(`{"a":"` + strings.Repeat("x", maxEventDoc) + `"}`)); got != nil || lost != 1 {
		t.Errorf("%d attributes of a document too large, %d lost", len(got), lost)
	}
	many := strings.Repeat(`"k":1,`, maxEventAttrs+3)
	if got, lost := readAttrs([]byte("{" + many[:len(many)-1] + "}")); len(got) != maxEventAttrs || lost != 3 {
		t.Errorf("%d attributes, %d lost", len(got), lost)
	}
	for doc, want := range map[string]bool{`1`: true, ` "a" `: true, `true`: true, `null`: false, ``: false, `1 2`: false, `-`: false, `[1]`: false,
		`tru`: false, "1\x00": false} {
		if _, ok := attr("k", []byte(doc)); ok != want {
			t.Errorf("%q is an attribute: %v", doc, ok)
		}
	}
}

// FuzzReadAttrs compares the scanner with encoding/json: both take the same
// documents and find the same attributes in them.
func FuzzReadAttrs(f *testing.F) {
	for _, doc := range []string{`{"a":1,"b":"x\ty","c":null,"d":[1,2],"e":1.5e-3,"f":true}`, `{"a":-0}`, `{`, `{"a":1}x`, `"a"`, `{"":""}`, `-1.`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if !utf8.Valid(doc) {
			readAttrs(doc) // must not crash
			attr("k", doc)
			return
		}
		var object map[string]json.RawMessage
		valid := json.Unmarshal(doc, &object) == nil && object != nil
		attrs, lost := readAttrs(doc)
		if valid {
			for _, a := range attrs {
				if len(a.Key) >= maxName {
					continue
				}
				if _, ok := object[a.Key]; !ok {
					t.Fatalf("%q is no key", a.Key)
				}
			}
			if len(attrs)+lost < len(object) {
				t.Fatalf("%d attributes and %d lost of %d", len(attrs), lost, len(object))
			}
		} else if lost == 0 && len(bytes.TrimSpace(doc)) > 0 {
			t.Fatal("malformed, and nothing counted as lost")
		}
		var v any
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.UseNumber()
		want, ok := run.Attr{}, json.Valid(doc) && dec.Decode(&v) == nil
		switch v := v.(type) {
		case string:
			want = run.String("k", clip([]byte(v), maxText))
		case bool:
			want = run.Bool("k", v)
		case json.Number:
			n, err := v.Int64()
			want = run.Int("k", n)
			if err != nil {
				var f float64
				f, err = v.Float64()
				want = run.Float("k", f)
			}
			ok = ok && err == nil
		default:
			ok = false
		}
		if got, found := attr("k", doc); found != ok || ok && got != want {
			t.Fatalf("attribute %+v, %v; want %+v, %v", got, found, want, ok)
		}
	})
}
