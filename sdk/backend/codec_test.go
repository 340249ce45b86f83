package backend_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testkit/telemetry/vectors.json")

const vectorFile = "../../testkit/telemetry/vectors.json"

// vectors is the published form of test vectors: an implementation in another
// language decodes each block, compares the fields and encodes a batch of them.
type vectors struct {
	Format     string   `json:"format"`
	Dictionary []string `json:"dictionary"`
	Blocks     []vector `json:"blocks"`
	Batch      string   `json:"batch"`
}

type vector struct {
	Name  string `json:"name"`
	Block string `json:"block"`
	Trace any    `json:"trace"`
}

// readable returns t as JSON-ready values: ids, floats and texts in hex.
func readable(t *backend.Trace) any {
	attrs := func(in []backend.Attr) (out [][]any) {
		for _, a := range in {
			out = append(out, []any{hex.EncodeToString([]byte(a.Key)), a.Kind, fmt.Sprintf("%016x", a.Num), hex.EncodeToString([]byte(a.Str))})
		}
		return out
	}
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	bits := func(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }
	var spans, events, metrics []any
	for _, s := range t.Spans {
		spans = append(spans, map[string]any{"id": fmt.Sprintf("%x", s.ID), "parent": fmt.Sprintf("%x", s.Parent), "node": text(s.Node), "node_type": text(s.NodeType),
			"type_version": text(s.TypeVersion), "digest": text(s.Digest), "kind": s.Kind, "start": fmt.Sprint(s.Start), "end": fmt.Sprint(s.End),
			"status": s.Status, "error_type": text(s.ErrorType), "error": text(s.Error), "seq": s.Seq, "after": s.After, "retries": s.Retries, "wait": s.Wait,
			"input_size": s.InputSize, "output_size": s.OutputSize, "cache_hit": s.CacheHit, "tokens": s.Tokens, "cost": bits(s.Cost), "attrs": attrs(s.Attrs)})
	}
	for _, e := range t.Events {
		events = append(events, map[string]any{"type": text(e.Type), "name": text(e.Name), "span": fmt.Sprintf("%x", e.Span), "time": fmt.Sprint(e.Time), "attrs": attrs(e.Attrs)})
	}
	for _, m := range t.Metrics {
		metrics = append(metrics, map[string]any{"name": text(m.Name), "unit": text(m.Unit), "agg": text(m.Agg), "node": text(m.Node),
			"span": fmt.Sprintf("%x", m.Span), "time": fmt.Sprint(m.Time), "value": bits(m.Value), "attrs": attrs(m.Attrs)})
	}
	return map[string]any{"trace_id": fmt.Sprintf("%x", t.TraceID), "run_id": fmt.Sprintf("%x", t.RunID), "parent_span": fmt.Sprintf("%x", t.ParentSpan),
		"root_span": fmt.Sprintf("%x", t.RootSpan), "graph": text(t.Graph), "version": text(t.Version), "version_id": text(t.VersionID), "graph_type": text(t.GraphType),
		"environment": text(t.Environment), "run_kind": text(t.RunKind), "start": fmt.Sprint(t.Start), "end": fmt.Sprint(t.End), "status": t.Status,
		"error_type": text(t.ErrorType), "error": text(t.Error), "probability": bits(t.Probability), "derive": t.Derive, "dropped": t.Dropped,
		"resource": attrs(t.Resource), "attrs": attrs(t.Attrs), "spans": spans, "events": events, "metrics": metrics}
}

func vectorTraces() map[string]*backend.Trace {
	return map[string]*backend.Trace{"plain": backendtest.Sample(1), "own run id, sampled": backendtest.Sample(15), "failed": backendtest.Sample(10), "odd": backendtest.Odd(),
		"empty": {TraceID: backendtest.ID(0), RunID: backendtest.ID(0), Probability: 1}}
}

func vectorBatch() *backend.Batch {
	return &backend.Batch{ID: backendtest.ID(9), Traces: backendtest.Samples(1, 3),
		Sketches: []backend.Sketch{{Epoch: backendtest.ID(3), Graph: "g", Version: "1", VersionID: "v", Hour: 493_000, Node: "n", Seq: 300, Data: []byte{1, 2, 3}}}}
}

// The published vectors must decode to the published fields for ever: a change
// of the encoding is a new version, not a new file.
func TestVectors(t *testing.T) {
	if *rewrite {
		v := vectors{Format: "spark telemetry block, version 1; texts and floats in hex", Dictionary: backend.Dictionary(), Batch: hex.EncodeToString(backend.EncodeBatch(nil, vectorBatch()))}
		for _, name := range []string{"empty", "plain", "own run id, sampled", "failed", "odd"} {
			x := vectorTraces()[name]
			v.Blocks = append(v.Blocks, vector{name, hex.EncodeToString(backend.EncodeTrace(nil, x)), readable(x)})
		}
		b, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	words := backend.Dictionary()
	if len(words) < len(v.Dictionary) || !reflect.DeepEqual(words[:len(v.Dictionary)], v.Dictionary) {
		t.Error("a word of the dictionary was moved or removed")
	}
	for _, x := range v.Blocks {
		block, err := hex.DecodeString(x.Block)
		if err != nil {
			t.Fatal(err)
		}
		got, err := backend.DecodeTrace(block)
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		a, _ := json.Marshal(readable(got))
		w, _ := json.Marshal(x.Trace)
		if !sameJSON(a, w) {
			t.Errorf("%s decodes to\n%s, want\n%s", x.Name, a, w)
		}
		if enc := backend.EncodeTrace(nil, vectorTraces()[x.Name]); !bytes.Equal(enc, block) {
			t.Errorf("%s encodes to other bytes", x.Name)
		}
	}
	batch, _ := hex.DecodeString(v.Batch)
	p, err := backend.DecodeBatch(batch)
	if err != nil {
		t.Fatal(err)
	}
	got, bad := p.Unpack()
	if len(bad) > 0 || !reflect.DeepEqual(got, vectorBatch()) {
		t.Errorf("batch %+v, bad %+v", got, bad)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func TestDecoderReusesItsMemory(t *testing.T) {
	var d backend.Decoder
	for n := range 200 {
		want := backendtest.Sample(n)
		got, err := d.Decode(backend.EncodeTrace([]byte("before")[:0], want))
		if err != nil || !reflect.DeepEqual(got.Clone(), want) {
			t.Fatalf("trace %d: %v\n got %+v\nwant %+v", n, err, got, want)
		}
	}
	block := backend.EncodeTrace(nil, backendtest.Sample(1))
	if n := testing.AllocsPerRun(100, func() { d.Decode(block) }); n > 2 {
		t.Errorf("%v allocations for a trace, want at most 2", n)
	}
}

// Every damaged byte and every cut is noticed.
func TestDamageIsCorrupt(t *testing.T) {
	block := backend.EncodeTrace(nil, backendtest.Sample(3))
	for i := range block {
		if _, err := backend.DecodeTrace(block[:i]); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		bad := bytes.Clone(block)
		bad[i] ^= 1 << (i % 8)
		if _, err := backend.DecodeTrace(bad); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestLaterEncodingIsNewer(t *testing.T) {
	block := backend.EncodeTrace(nil, backendtest.Sample(3))
	block[0] = 2
	if _, err := backend.DecodeTrace(seal(block[:len(block)-4])); !fault.Is(err, fault.Newer) {
		t.Errorf("version 2: %v", err)
	}
	one := &backend.Trace{TraceID: backendtest.ID(1), RunID: backendtest.ID(1), Probability: 1, Graph: "production"} // word 0
	block = backend.EncodeTrace(nil, one)
	i := bytes.Index(block, append(one.RootSpan[:], 1)) + 8
	block = append(binary.AppendUvarint(bytes.Clone(block[:i]), 100_001), block[i+1:len(block)-4]...)
	if _, err := backend.DecodeTrace(seal(block)); !fault.Is(err, fault.Newer) || fault.HintOf(err) == "" {
		t.Errorf("a word of a later dictionary: %v", err)
	}
}

// A count that the bytes cannot hold allocates nothing like it.
func TestDecodeBoundsItsMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	sample := backend.EncodeTrace(nil, benchTrace())
	sample = sample[1 : len(sample)-4]
	for range 300 {
		body := bytes.Clone(sample)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(body) - 5)
			copy(body[at:], []byte{0xff, 0xff, 0xff, 0x0f}[r.IntN(4):])
		}
		block := seal(append([]byte{1}, body...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := backend.DecodeTrace(block)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(64*len(block)+64<<10) {
			t.Fatalf("%d bytes allocated for a block of %d (%v)", grown, len(block), err)
		}
	}
}

// FuzzDecodeTrace feeds bytes behind the checksum: decoding never panics, and what it accepts encodes to something that decodes the same.
func FuzzDecodeTrace(f *testing.F) {
	for _, x := range vectorTraces() {
		b := backend.EncodeTrace(nil, x)
		f.Add(b[1 : len(b)-4])
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		block := seal(append([]byte{1}, body...))
		x, err := backend.DecodeTrace(block)
		if err != nil {
			return
		}
		again := backend.EncodeTrace(nil, x)
		var v backend.Verifier
		if _, err := v.Verify(block); (err == nil) != (x.Check() == nil) {
			t.Fatalf("it decodes, but verify: %v", err)
		}
		if _, _, err := v.Scan(block); (err == nil) != (x.Check() == nil) {
			t.Fatalf("it decodes, but verify and scan: %v", err)
		}
		y, err := backend.DecodeTrace(again)
		if err != nil {
			t.Fatalf("decoded, encoded, but then: %v", err)
		}
		if third := backend.EncodeTrace(nil, y); !bytes.Equal(third, again) {
			t.Fatal("encoding is not stable")
		}
		x.AllEvents()
		x.AllMetrics()
		var a backend.Aggregator
		a.Add(x)
		a.Aggregate()
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(backend.EncodeBatch(nil, vectorBatch()))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := backend.DecodeBatch(b)
		if err != nil {
			return
		}
		if q, err := backend.DecodeBatch(backend.EncodePacked(nil, p)); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v: %+v is not %+v", err, q, p)
		}
		p.Unpack()
	})
}

func FuzzDecodeTally(f *testing.F) {
	var x backend.Tallies
	for n := range 20 {
		x.Add(backendtest.Sample(n), 1.5)
	}
	f.Add(x.Run.Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		y, err := backend.DecodeTally(b)
		if err != nil {
			return
		}
		var z backend.Tally
		z.Merge(y)
		z.Stats(y)
	})
}

// benchTrace is a run of ten steps with eight attributes each.
func benchTrace() *backend.Trace {
	r := rand.New(rand.NewPCG(1, 2))
	t := backendtest.Sample(1)
	t.Spans, t.Events, t.Metrics = nil, nil, nil
	at := t.Start
	for i := range 10 {
		s := backendtest.Step(t, i, at, at+int64(r.IntN(2e6)))
		for k := range 8 {
			a := backend.Attr{Key: benchKeys[k], Kind: backend.Kind(k % 4), Num: uint64(r.IntN(100))}
			switch a.Kind {
			case backend.KindString:
				a.Str = fmt.Sprint("value ", r.IntN(5))
			case backend.KindFloat:
				a.Num = math.Float64bits(r.Float64())
			case backend.KindBool:
				a.Num &= 1
			}
			s.Attrs = append(s.Attrs, a)
		}
		at = s.End
		t.Spans = append(t.Spans, s)
	}
	return t
}

var benchKeys = [...]string{"query.normal", "hits.before", "score.best", "cached.index", "language", "hits.after", "score.mean", "complete"}

func BenchmarkEncode(b *testing.B) {
	t := benchTrace()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = backend.EncodeTrace(buf[:0], t)
	}
	b.ReportMetric(float64(len(buf))/10, "B/span")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
}

func BenchmarkDecode(b *testing.B) {
	block := backend.EncodeTrace(nil, benchTrace())
	var d backend.Decoder
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
}

func BenchmarkAggregate(b *testing.B) {
	t := benchTrace()
	var a backend.Aggregator
	for b.Loop() {
		a.Add(t)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
}
