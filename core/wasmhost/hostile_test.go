package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// answered are the kinds of fault that a node may give for an input that it does
// not take. Any other one is a defect, a trap above all.
var answered = []fault.Kind{fault.Invalid, fault.Rejected, fault.Limit, fault.Denied, fault.Transient}

// hostileDocuments are inputs that no node type was made for.
func hostileDocuments() map[string]string {
	const mib = 1 << 20
	docs := map[string]string{
		"empty": "", "space": " \n", "null": "null", "true": "true", "zero": "0", "minus zero": "-0", "huge number": "1e400", "tiny number": "1e-400",
		"NaN": "NaN", "Infinity": "-Infinity", "NaN inside": `{"text":NaN}`, "text": `"text"`, "array": "[]", "object": "{}", "two": "{} {}", "mark": "\ufeff{}",
		"zero byte": "\x00", "zero byte inside": "{\"text\":\"a\x00\"}", "bad UTF-8": "{\"text\":\"\xff\xfe\"}", "cut rune": "\"\xe6\x97", "half pair": `{"text":"\ud800"}`,
		"64 deep": strings.Repeat("[", 64) + strings.Repeat("]", 64), "65 deep": strings.Repeat("[", 65) + strings.Repeat("]", 65),
		"100,000 deep": strings.Repeat(`{"text":`, 100_000), "64 objects deep": strings.Repeat(`{"a":`, 63) + "{}" + strings.Repeat("}", 63),
		"same keys":   `{"text":1,"text":"a","items":[],"items":[1],"question":2,"question":"q","hits":1,"hits":[],"expected":1,"expected":2,"output":3,"output":4}`,
		"long number": strings.Repeat("9", mib), "long fraction": "0." + strings.Repeat("0", mib) + "1", "long exponent": "1e" + strings.Repeat("9", 1000),
		"escapes": `{"text":"` + strings.Repeat(`\u0000\n\"\\`, 50_000) + `"}`, "empty keys": `{"":{"":{"":1}}}`,
		"many keys": "{" + list(20_000, `"k%d":{"k":%d}`) + "}", "many items": `{"items":[` + list(20_000, `{"id":%d,"score":%d}`) + `]}`,
	}
	// 5 MiB of text, of items, and of what each scorer and retriever reads.
	text := strings.Repeat(prose, 5*mib/len(prose))
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	q := string(quoted)
	docs["5 MiB text"] = `{"text":` + q + `,"question":` + q[:2*mib] + `"}`
	docs["5 MiB scored"] = `{"expected":"quick","output":` + q + `}`
	docs["5 MiB question"] = `{"question":` + q + `,"hits":[]}`
	docs["5 MiB numbers"] = `{"items":[` + strings.Repeat("1,", 5*mib/2) + `1]}`
	docs["5 MiB items"] = `{"items":[` + list(9000, `{"id":"%d","score":%d,"title":"`+prose[:500]+`"}`) + `]}`
	docs["5 MiB hits"] = `{"question":"q","hits":[` + list(9000, `{"id":"%d","score":%d,"summary":"`+prose[:500]+`"}`) + `]}`
	return docs
}

// hostileValues stand in the place of every value of an input that a node takes.
var hostileValues = []string{`null`, `true`, `-1`, `1e308`, `1e999`, `0.1e-320`, `""`, `"\u0000"`, `"日本語 ÄÖÜ 🙂 \ud800"`, `"("`, `"a"`, `[]`, `{}`, `[null]`, `[[[[]]]]`,
	`{"id":1,"score":"x","t":1,"w":2}`, `[1,"a",{},null,[]]`}

// replaced yields the document with each of its values in turn replaced by other.
func replaced(doc []byte, other json.RawMessage) (docs [][]byte) {
	var walk func(v any, put func(any) []byte)
	walk = func(v any, put func(any) []byte) {
		docs = append(docs, put(other))
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(v[k], func(x any) []byte {
					c := maps.Clone(v)
					c[k] = x
					return put(c)
				})
			}
		case []any:
			for i := range v[:min(len(v), 2)] {
				walk(v[i], func(x any) []byte {
					c := slices.Clone(v)
					c[i] = x
					return put(c)
				})
			}
		}
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	walk(v, func(x any) []byte {
		b, err := json.Marshal(x)
		if err != nil {
			panic(err)
		}
		return b
	})
	return docs
}

// TestStockHostile gives every stock node type documents that are none, that are
// huge, deep or of the wrong kinds at every place, and its own input cut and
// changed at random. Each is answered with a document or a fault that says what is
// wrong, and the instance goes on as before.
func TestStockHostile(t *testing.T) {
	h := openStock(t)
	docs := hostileDocuments()
	tried := map[string]int{}
	for _, x := range stockRuns() {
		t.Run(x.kind+x.config, func(t *testing.T) {
			n, in := h.node(t, x)
			first := tried[x.kind] == 0
			call := func(doc []byte) ([]byte, error) {
				tried[x.kind]++
				out, err := n.RunNode(context.Background(), &run.Step{Input: doc, Trail: &run.Trail{}})
				return bytes.Clone(out), err
			}
			want, err := call(in)
			if err != nil {
				t.Fatal(err)
			}
			check := func(name string, doc []byte) {
				out, err := call(doc)
				switch {
				case err == nil && !json.Valid(out) && !(x.kind == "echo" && bytes.Equal(out, doc)):
					t.Errorf("%s: the output %.80q is no JSON, the input %.80q", name, out, doc)
				case err != nil && (!slices.Contains(answered, fault.KindOf(err)) || len(err.Error()) > 1000):
					t.Errorf("%s: %.200s: %.300v (%s)", name, doc, err, fault.KindOf(err))
				}
			}
			if first {
				for name, doc := range docs {
					check(name, []byte(doc))
				}
			}
			for i, v := range hostileValues {
				for _, doc := range replaced(in, json.RawMessage(v)) {
					check(fmt.Sprint("value ", i), doc)
				}
			}
			r := rand.New(rand.NewPCG(1, uint64(len(x.config))))
			for range 200 {
				doc := bytes.Clone(in)
				switch at := r.IntN(len(doc)); r.IntN(3) {
				case 0:
					doc = doc[:at]
				case 1:
					doc[at] = byte(r.IntN(256))
				default:
					doc = slices.Concat(doc[:at], doc[r.IntN(len(doc)):])
				}
				check("changed", doc)
			}
			if out, err := call(in); err != nil || !bytes.Equal(out, want) {
				t.Errorf("afterwards: %s, %v, want %s", out, err, want)
			}
		})
	}
	for _, kind := range h.m.manifest.Nodes {
		if tried[kind.Type] < 250 {
			t.Errorf("%s: only %d documents", kind.Type, tried[kind.Type])
		}
	}
	if s := h.Stats(); s.Traps != 0 || s.Timeouts != 0 {
		t.Errorf("%d traps and %d timeouts", s.Traps, s.Timeouts)
	}
}
