package batchjson_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/batchjson"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func batch(id int, traces ...*backend.Trace) *backend.Batch {
	return &backend.Batch{ID: backendtest.ID(id), Traces: traces}
}

func encode(t testing.TB, b *backend.Batch) []byte {
	t.Helper()
	out, err := batchjson.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestComesBack(t *testing.T) {
	want := batch(1, backendtest.Samples(0, 60)...)
	want.Sketches = []backend.Sketch{{Epoch: backendtest.ID(3), Graph: "g", Version: "1", VersionID: "v", Hour: -5, Node: "n", Seq: math.MaxUint64, Data: []byte{0, 255}},
		{Epoch: backendtest.ID(4)}}
	x := want.Traces[7]
	x.Attrs = append(x.Attrs, backend.Attr{Key: "whole", Kind: backend.KindFloat, Num: math.Float64bits(3)},
		backend.Attr{Key: "huge", Kind: backend.KindFloat, Num: math.Float64bits(1e300)}, backend.Attr{Key: "least", Kind: backend.KindInt, Num: 1 << 63},
		backend.Attr{Key: "inf", Kind: backend.KindFloat, Num: math.Float64bits(math.Inf(-1))}, backend.Attr{Key: "yes", Kind: backend.KindBool, Num: 1},
		backend.Attr{Key: "", Str: "größe\x00天气 <&>"})
	x.Metrics[0].Value, x.Spans[0].Cost, x.Dropped = math.Inf(1), 1e-9, 3
	x.Spans[1].Kind, x.Spans[1].Seq, x.Spans[1].Tokens = 3, -1, 1<<60
	got, err := batchjson.Decode(encode(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		for i := range got.Traces {
			if !reflect.DeepEqual(got.Traces[i], want.Traces[i]) {
				t.Fatalf("trace %d\n got %+v\nwant %+v", i, got.Traces[i], want.Traces[i])
			}
		}
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func TestOddValues(t *testing.T) {
	odd := backendtest.Odd()
	odd.Attrs = append(odd.Attrs, backend.Attr{Key: "nan", Str: "again"})
	got, err := batchjson.Decode(encode(t, batch(1, odd)))
	if err != nil {
		t.Fatal(err)
	}
	x := got.Traces[0]
	if x.Check() != nil || x.Start != odd.Start || x.End != odd.End || x.Graph != odd.Graph || !math.IsNaN(x.Spans[0].Cost) || !math.IsNaN(x.Metrics[0].Value) ||
		x.Metrics[0].Time != -1 || x.Probability != odd.Probability || len(x.Attrs) != len(odd.Attrs)-1 || x.Spans[0].After != math.MaxInt32 {
		t.Errorf("%+v", x)
	}
	if !strings.Contains(x.Error, "\uFFFD") || !strings.Contains(x.Error, "\x00") {
		t.Errorf("%q", x.Error)
	}
}

// The document that the package describes.
func TestDocument(t *testing.T) {
	x := &backend.Trace{TraceID: backend.ID{1}, RunID: backend.ID{2}, Graph: "g", Start: 1772366400000000001, End: 1772366400000000011, Status: backend.OK,
		Probability: .5, Derive: backend.DeriveEvents, Attrs: []backend.Attr{{Key: "b", Str: "x"}, {Key: "a", Kind: backend.KindFloat, Num: math.Float64bits(2)}},
		Spans: []backend.Span{{ID: backend.SpanID{3}, Node: "n", Start: 1772366400000000001, End: 1772366400000000002, Status: backend.OK, After: -1}}}
	want := `{"batch":"` + "73616d706c652e2e0000000000000002" + `","traces":[{"trace_id":"01000000000000000000000000000000","run_id":"02000000000000000000000000000000",` +
		`"graph_id":"g","start_unix_nano":"1772366400000000001","duration_nano":10,"status":"ok","probability":0.5,"derive":["events"],` +
		`"attributes":{"b":"x","a":2.0},"spans":[{"span_id":"0300000000000000","node_name":"n","start_unix_nano":"1772366400000000001",` +
		`"duration_nano":1,"status":"ok","seq":0,"after":-1}]}]}`
	if got := string(encode(t, batch(1, x))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(encode(t, &backend.Batch{})); got != `{"traces":[]}` {
		t.Errorf("empty: %s", got)
	}
	for _, s := range []string{`{}`, `{"traces":null}`, `{"traces":[],"sketches":[]}`} {
		if b, err := batchjson.Decode([]byte(s)); err != nil || len(b.Traces) != 0 || b.ID != (backend.ID{}) {
			t.Errorf("%s: %+v, %v", s, b, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	good := `"trace_id":"01000000000000000000000000000000","run_id":"01000000000000000000000000000000"`
	for _, c := range []struct{ doc, says string }{
		{`[]`, "array"}, {`{"traces":[`, "not JSON"}, {`{"traces":[]} x`, "after the end"}, {`{"Traces":[]}`, "unknown key"},
		{`{"traces":[{` + good + `,"colour":1}]}`, "traces.0.colour"}, {`{"traces":[{` + good + `,"error":"a","error":"b"}]}`, "twice"},
		{`{"traces":[{` + good + `,"attributes":{"a":1,"a":2}}]}`, "traces.0.attributes.a"},
		{`{"traces":[{}]}`, "traces.0.trace_id"}, {`{"traces":[{"trace_id":"01000000000000000000000000000000"}]}`, "traces.0.run_id"},
		{`{"traces":[{"trace_id":"01"}]}`, "32 hex"}, {`{"traces":[{` + good + `,"root_span":"zz00000000000000"}]}`, "16 hex"},
		{`{"traces":[{` + good + `,"start_unix_nano":5}]}`, "start_unix_nano"}, {`{"traces":[{` + good + `,"start_unix_nano":"soon"}]}`, "soon"},
		{`{"traces":[{` + good + `,"duration_nano":1.5}]}`, "duration_nano"}, {`{"traces":[{` + good + `,"status":"fine"}]}`, "fine"},
		{`{"traces":[{` + good + `,"probability":"half"}]}`, "half"}, {`{"traces":[{` + good + `,"derive":["spans"]}]}`, "spans"},
		{`{"traces":[{` + good + `,"attributes":{"a":null}}]}`, `"a"`}, {`{"traces":[{` + good + `,"attributes":{"a":[1]}}]}`, `"a"`},
		{`{"traces":[{` + good + `,"attributes":{"a":{"float":"x"}}}]}`, `"x"`}, {`{"traces":[{` + good + `,"attributes":{"a":9223372036854775808}}]}`, `"a"`},
		{`{"traces":[{` + good + `,"attributes":{"a":1e999}}]}`, `"a"`}, {`{"traces":[{` + good + `,"attributes":[]}]}`, "object"},
		{`{"sketches":[{"seq":"-1"}]}`, "-1"}, {`{"batch":"xyz"}`, "xyz"}, {"{\"batch\":\"\xff\"}", "UTF-8"},
		{`{"traces":[{` + good + `,"spans":[{"kind":300}]}]}`, "kind"},
	} {
		_, err := batchjson.Decode([]byte(c.doc))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.doc, err, c.says)
		}
	}
}

func store(t testing.TB) *memory.Backend {
	t.Helper()
	m, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t testing.TB, q backend.Querier) []*backend.Trace {
	t.Helper()
	var out []*backend.Trace
	for x, err := range q.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// A graph as a person would write it: it knows nothing of Go's types.
func collector(change func(doc map[string]any)) batchjson.Graph {
	return func(_ context.Context, input []byte) ([]byte, error) {
		var doc map[string]any
		if err := json.Unmarshal(input, &doc); err != nil { // numbers become doubles, as in many languages
			return nil, err
		}
		change(doc)
		return json.Marshal(doc)
	}
}

func TestThroughFiltersAndRedacts(t *testing.T) {
	m := store(t)
	w := batchjson.Through(m, collector(func(doc map[string]any) {
		var keep []any
		for _, x := range doc["traces"].([]any) {
			tr := x.(map[string]any)
			if tr["status"] != "error" {
				continue
			}
			delete(tr["attributes"].(map[string]any), "team")
			keep = append(keep, tr)
		}
		doc["traces"] = keep
	}))
	all := backendtest.Samples(0, 70)
	for range 2 { // repeated, as after a lost answer
		if bad, err := w.Write(t.Context(), batch(1, all...)); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
	}
	got := read(t, m)
	if len(got) != 10 {
		t.Fatalf("%d traces, want the 10 that failed", len(got))
	}
	for i, x := range got {
		want := all[7*i+3].Clone()
		want.Attrs = want.Attrs[:1]
		if x.Start != want.Start || x.End != want.End || !reflect.DeepEqual(x.Attrs, want.Attrs) || x.Check() != nil {
			t.Errorf("%+v\nwant %+v", x, want)
		}
		for k := range x.Spans {
			if x.Spans[k].Start != want.Spans[k].Start || x.Spans[k].End != want.Spans[k].End {
				t.Errorf("span %d moved", k)
			}
		}
	}
	if q, err := backend.AsQuerier(w); err != nil || len(read(t, q)) != 10 {
		t.Errorf("asked through the graph: %v", err)
	}
	p, err := backend.AsRetention(w)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Prune(t.Context(), backendtest.Begin.AddDate(1, 0, 0)); err != nil || n != 10 {
		t.Errorf("pruned %d, %v", n, err)
	}
}

// only is a backend that cannot be asked.
type only struct{ backend.Writer }

func TestThroughCanWhatTheBackendCan(t *testing.T) {
	w := batchjson.Through(only{store(t)}, collector(func(map[string]any) {}))
	if _, err := backend.AsQuerier(w); !fault.Is(err, fault.Denied) {
		t.Error(err)
	}
	if _, err := backend.AsRetention(w); !fault.Is(err, fault.Denied) {
		t.Error(err)
	}
	if info := backend.Describe(batchjson.Through(store(t), nil)); info != memory.Info {
		t.Errorf("%+v", info)
	}
}

func TestThroughKeepsFaultsApart(t *testing.T) {
	m := store(t)
	down := fault.New(fault.Unavailable, "graph", "no instance")
	for _, c := range []struct {
		run  batchjson.Graph
		kind fault.Kind
	}{
		{func(context.Context, []byte) ([]byte, error) { return nil, down }, fault.Unavailable},
		{func(context.Context, []byte) ([]byte, error) { return []byte(`{"answer":42}`), nil }, fault.Rejected},
	} {
		if _, err := batchjson.Through(m, c.run).Write(t.Context(), batch(1, backendtest.Sample(1))); !fault.Is(err, c.kind) {
			t.Errorf("%v, want %s", err, c.kind)
		}
	}
	if _, err := batchjson.Through(m, func(context.Context, []byte) ([]byte, error) { return nil, down }).Write(t.Context(), batch(1, backendtest.Sample(1))); !errors.Is(err, down) {
		t.Error(err)
	}
	if got := read(t, m); len(got) > 0 {
		t.Errorf("%d traces stored", len(got))
	}
}

func TestThroughReportsByInput(t *testing.T) {
	spoil := collector(func(doc map[string]any) {
		ts := doc["traces"].([]any)
		for _, i := range []int{2, 4} {
			ts[i].(map[string]any)["probability"] = 2
		}
		made := map[string]any{"trace_id": strings.Repeat("0a", 16), "run_id": strings.Repeat("0b", 16), "probability": 7}
		doc["traces"] = append([]any{made, made}, ts[1:]...)
	})
	m := store(t)
	bad, err := batchjson.Through(m, spoil).Write(t.Context(), batch(1, backendtest.Samples(0, 6)...))
	if err != nil {
		t.Fatal(err)
	}
	if len(bad) != 3 || bad[0].Index != 0 || !strings.Contains(bad[0].Reason, ";") || bad[1].Index != 2 || bad[2].Index != 4 {
		t.Errorf("%+v", bad)
	}
	if got := read(t, m); len(got) != 3 {
		t.Errorf("%d traces stored", len(got))
	}
	rows := &backend.Batch{ID: backendtest.ID(2), Sketches: []backend.Sketch{{Epoch: backendtest.ID(1)}}}
	_, err = batchjson.Through(m, func(context.Context, []byte) ([]byte, error) {
		return []byte(`{"traces":[{"trace_id":"` + strings.Repeat("0a", 16) + `","run_id":"` + strings.Repeat("0b", 16) + `","probability":7,"start_unix_nano":"0","duration_nano":0}]}`), nil
	}).Write(t.Context(), rows)
	if !fault.Is(err, fault.Rejected) {
		t.Error(err)
	}
	if bad, err := batchjson.Through(m, spoil).Write(t.Context(), batch(3)); err != nil || len(bad) > 0 {
		t.Errorf("nothing to send: %v, %v", bad, err)
	}
}

// FuzzDecode: what is accepted is written and read as the same, and never spoils a
// backend.
func FuzzDecode(f *testing.F) {
	b := batch(1, append(backendtest.Samples(0, 3), backendtest.Odd())...)
	b.Sketches = []backend.Sketch{{Epoch: backendtest.ID(3), Graph: "g", Seq: 4, Data: []byte("x")}}
	f.Add(encode(f, b))
	f.Add([]byte(`{"traces":[{"trace_id":"01000000000000000000000000000000","run_id":"01000000000000000000000000000000","attributes":{"a":-0.0,"b":1E2,"c":{"float":"NaN"}}}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		b, err := batchjson.Decode(doc)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := batchjson.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		c, err := batchjson.Decode(again)
		if err != nil {
			t.Fatalf("written, but then: %v\n%s", err, again)
		}
		third, err := batchjson.Encode(c)
		if err != nil || string(third) != string(again) {
			t.Fatalf("%v\n%s\n%s", err, again, third)
		}
		if _, err := store(t).Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	x := batch(1, backendtest.Samples(0, 100)...)
	n := 0
	for _, t := range x.Traces {
		n += len(t.Spans)
	}
	for b.Loop() {
		doc, err := batchjson.Encode(x)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := batchjson.Decode(doc); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/span")
}
