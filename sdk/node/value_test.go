package node

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

func parse(t testing.TB, doc string) Value {
	t.Helper()
	v, err := Parse([]byte(doc))
	if err != nil {
		t.Fatalf("Parse(%s): %v", doc, err)
	}
	return v
}

func TestParseRefuses(t *testing.T) {
	for doc, want := range map[string]string{
		"":                      "ends too early, after 0 bytes",
		" ":                     "ends too early",
		"{":                     "ends too early",
		`{"a"`:                  "ends too early",
		`{"a":}`:                "not JSON at byte 5",
		`{"a":1,}`:              "not JSON at byte 7",
		`{a:1}`:                 "not JSON at byte 1",
		`[1,]`:                  "not JSON at byte 3",
		`[1 2]`:                 "not JSON at byte 3",
		`1 2`:                   "unexpected data after the document at byte 2",
		`01`:                    "leading zero",
		`-`:                     "ends too early",
		`1.`:                    "ends too early",
		`1e`:                    "ends too early",
		`.5`:                    "not JSON at byte 0",
		`+1`:                    "not JSON at byte 0",
		`tru`:                   "not JSON at byte 0",
		`nul`:                   "not JSON",
		`"a`:                    "ends too early",
		"\"\n\"":                "control character in a string at byte 1",
		`"\x"`:                  "bad escape at byte 2",
		`"\u12g4"`:              "bad escape",
		`"\`:                    "ends too early",
		"\"\xff\"":              "not valid UTF-8",
		strings.Repeat("[", 65): "nested deeper than 64 at byte 64",
	} {
		_, err := Parse([]byte(doc))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want an invalid fault with %q", doc, err, want)
		}
	}
	parse(t, strings.Repeat("[", 64)+strings.Repeat("]", 64))
}

func TestLookup(t *testing.T) {
	v := parse(t, ` { "a" : [ 1 , { "b" : "x\ty" } , [ ] , "]" ] , "\u0061b" : true , "a" : 2 , "e" : { } , "n":null } `)
	if n := v.Len(); n != 5 {
		t.Errorf("Len = %d, want 5", n)
	}
	for path, want := range map[string]string{
		"a.1.b": `"x\ty"`, "a.0": "1", "a.2": "[ ]", "a.3": `"]"`, "ab": "true", "e": "{ }", "n": "null",
		"a.4": "", "a.-1": "", "a.x": "", "zz": "", "a.1.b.c": "", "n.x": "", ".": string(v.Raw()), "": string(v.Raw()),
	} {
		if got := string(v.Path(path).Raw()); got != want {
			t.Errorf("Path(%q) = %s, want %s", path, got, want)
		}
	}
	if v.Get("a").Len() != 4 || v.Get("n").Len() != 0 || v.Get("zz").Kind() != Missing || v.Get("n").Kind() != Null {
		t.Error("lengths or kinds are wrong")
	}
	if got := v.Path("a.1.b").Str(); got != "x\ty" {
		t.Errorf("Str = %q", got)
	}
	for range v.Fields() {
		break // must not go on
	}
	var zero Value
	if zero.Get("x").At(1).Path("a.b").Str() != "" || zero.Text() != nil {
		t.Error("the zero Value must be missing all the way")
	}
}

func TestNumbers(t *testing.T) {
	for doc, want := range map[string]struct {
		n  int64
		ok bool
	}{
		"0": {0, true}, "-12": {-12, true}, "3.0": {3, true}, "3e2": {300, true}, "3.5": {0, false}, "1e400": {0, false},
		"9223372036854775807": {math.MaxInt64, true}, "9223372036854775808": {0, false}, "-9223372036854775808": {math.MinInt64, true},
		`"1"`: {0, false}, "null": {0, false},
	} {
		if n, ok := parse(t, doc).Int(); n != want.n || ok != want.ok {
			t.Errorf("Int of %s = %d, %v, want %d, %v", doc, n, ok, want.n, want.ok)
		}
	}
	if f, ok := parse(t, "-0").Float(); !ok || !math.Signbit(f) {
		t.Error("-0 has a sign")
	}
	if _, ok := parse(t, "1e400").Float(); ok {
		t.Error("1e400 is no float64")
	}
}

func TestWriter(t *testing.T) {
	var w Writer
	for range 2 { // the second round in used memory
		w.Reset()
		w.Object()
		w.Key("a").Array()
		w.Int(-1)
		w.Float(0.1)
		w.Float(1e-9)
		w.Float(1e21)
		w.Float(math.NaN())
		w.Bool(true)
		w.Null()
		w.Array()
		w.End()
		w.Object()
		w.End()
		w.End()
		w.Key("q\"\\\n").String("\x00\x1f\t\r\u2028ä\xffz")
		w.KeyText([]byte("k")).Text([]byte("v"))
		w.Key("raw").Raw([]byte("[1]"))
		w.Key("none").Value(Value{})
		w.Key("val").Value(Value{[]byte("7")})
		w.Member(Value{[]byte(`"m\\"`)}, Value{[]byte("{}")})
		w.End()
	}
	want := `{"a":[-1,0.1,1e-09,1e+21,null,true,null,[],{}],"q\"\\\n":"\u0000\u001f\t\r` + "\u2028ä\uFFFDz" +
		`","k":"v","raw":[1],"none":null,"val":7,"m\\":{}}`
	if got := string(w.Bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !w.closed() || w.Len() != len(want) {
		t.Error("writer must be closed")
	}
}

func TestFixed(t *testing.T) {
	for _, x := range []struct {
		f    float64
		n    int
		want string
	}{
		{0, 4, "0"}, {1, 4, "1"}, {-1.5, 4, "-1.5"}, {0.00004, 4, "0"}, {0.00005, 4, "0.0001"}, {12.345678, 4, "12.3457"},
		{-0.0125, 3, "-0.013"}, {0.05, 2, "0.05"}, {3.999999, 2, "4"}, {1e18, 2, "1000000000000000000"}, {math.Inf(1), 2, "null"},
		{math.NaN(), 2, "null"}, {2.5, 0, "3"}, {1.000000001, 9, "1.000000001"}, {-0.00001, 4, "0"},
	} {
		var w Writer
		w.Fixed(x.f, x.n)
		if got := string(w.Bytes()); got != x.want {
			t.Errorf("Fixed(%v, %d) = %s, want %s", x.f, x.n, got, x.want)
		}
	}
}

// TestFloat: what short reads is what strconv reads, bit by bit.
func TestFloat(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 50_000 {
		doc := strconv.FormatFloat((r.Float64()-0.5)*math.Pow(10, float64(r.IntN(20)-4)), 'f', r.IntN(12)-1, 64)
		want, err := strconv.ParseFloat(doc, 64)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := short([]byte(doc)); ok {
			read++
		}
		if got, ok := parse(t, doc).Float(); !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("Float of %s = %v, want %v", doc, got, want)
		}
	}
	if read < 10_000 {
		t.Errorf("only %d were short", read)
	}
}

// FuzzParse compares with encoding/json: the same documents are taken, and what
// Values read, written again, is the same document.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00\n",null,true,{"b":{}}]}`, ` [ ] `, `"\ud800x"`, `1e5`, `{"a":1,"a":2}`,
		`{"\u0061":1}`, "[[[[]]]]", `-0`, `"\\\""`, `{"k":"` + strings.Repeat("x", 100) + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := Parse(doc)
		var want any
		std := json.Unmarshal(doc, &want)
		if err == nil && std != nil && !strings.Contains(std.Error(), "cannot unmarshal number") {
			t.Fatalf("Parse takes %q, encoding/json says %v", doc, std)
		}
		if err != nil {
			if std == nil && utf8.Valid(doc) && !strings.Contains(err.Error(), "deeper") {
				t.Fatalf("Parse refuses %q: %v", doc, err)
			}
			return
		}
		var w Writer
		rewrite(&w, v)
		var got any
		if err := json.Unmarshal(w.Bytes(), &got); err != nil && std == nil {
			t.Fatalf("%q written again is %q: %v", doc, w.Bytes(), err)
		}
		if std == nil && !repeats(v) {
			a, _ := json.Marshal(want)
			b, _ := json.Marshal(got)
			if !bytes.Equal(a, b) {
				t.Fatalf("%s became %s", a, b)
			}
		}
	})
}

// rewrite writes v by what its methods read.
func rewrite(w *Writer, v Value) {
	switch v.Kind() {
	case Object:
		w.Object()
		for k, x := range v.Fields() {
			rewrite(w.Key(k.Str()), x)
		}
		w.End()
	case Array:
		w.Array()
		for x := range v.Items() {
			rewrite(w, x)
		}
		w.End()
	case String:
		w.Text(v.Text())
	case Number:
		if f, ok := v.Float(); ok {
			w.Float(f)
		} else {
			w.Raw(v.Raw())
		}
	case Bool:
		b, _ := v.Bool()
		w.Bool(b)
	default:
		w.Null()
	}
}

// repeats reports whether a key stands twice anywhere in v: the first counts
// here, the last one in encoding/json.
func repeats(v Value) bool {
	seen := map[string]bool{}
	for k, x := range v.Fields() {
		if seen[k.Str()] || repeats(x) {
			return true
		}
		seen[k.Str()] = true
	}
	for x := range v.Items() {
		if repeats(x) {
			return true
		}
	}
	return false
}

func BenchmarkChange1KB(b *testing.B) {
	in := []byte(`{"id":7,"tags":["a","b"],"text":"` + strings.Repeat("lorem ipsum ", 70) + `","nested":{"x":1.5,"y":[1,2,3]}}`)
	var w Writer
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		v, err := Parse(in)
		if err != nil {
			b.Fatal(err)
		}
		n, _ := v.Get("id").Int()
		w.Reset()
		w.Object()
		for k, x := range v.Fields() {
			if k.is("id") {
				w.Key("id").Int(n + 1)
			} else {
				w.Member(k, x)
			}
		}
		w.End()
	}
	if !bytes.Contains(w.Bytes(), []byte(`"id":8`)) {
		b.Fatal(strconv.Quote(string(w.Bytes())))
	}
}
