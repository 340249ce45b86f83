package backendtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Begin is when the first sampled trace starts.
var Begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ID returns the nth id of a fixed sequence without zero.
func ID(n int) (id backend.ID) {
	copy(id[:], "sample..")
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

func text(key, v string) backend.Attr { return backend.Attr{Key: key, Str: v} }

func number(key string, v float64) backend.Attr {
	return backend.Attr{Key: key, Kind: backend.KindFloat, Num: math.Float64bits(v)}
}

func integer(key string, v int64) backend.Attr {
	return backend.Attr{Key: key, Kind: backend.KindInt, Num: uint64(v)}
}

// Sample returns the nth trace of a fixed, varied sequence: the graphs docsearch
// and answer, two versions, every run kind and status, three to six steps one
// second apart, metrics, events and attributes.
func Sample(n int) *backend.Trace {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	start := Begin.Add(time.Duration(n) * time.Second).UnixNano()
	t := &backend.Trace{
		TraceID: ID(n), RunID: ID(n), Graph: []string{"docsearch", "answer"}[n%2], Version: fmt.Sprintf("1.0.%d", n%4/2),
		VersionID: "sha256:00ff", GraphType: "sequential", Environment: "test",
		RunKind: []string{"production", "experiment", "shadow", "replay"}[n%8/2], Start: start, Probability: 1,
		Status: backend.OK, Derive: backend.DeriveEvents | backend.DeriveMetrics,
		Resource: []backend.Attr{text("service.name", "spark")},
		Attrs:    []backend.Attr{integer("n", int64(n)), text("team", "search")},
	}
	if n%3 == 0 {
		t.RunID, t.ParentSpan = ID(n+1_000_000), backend.SpanID{1, 2, 3}
	}
	if n%5 == 0 {
		t.Probability = .25
	}
	binary.BigEndian.PutUint64(t.RootSpan[:], r.Uint64()|1)
	at := start
	for i := range 3 + r.IntN(4) {
		s := Step(t, i, at, at+int64(r.IntN(1000)+1)*1e6)
		s.Attrs = []backend.Attr{text("query", fmt.Sprintf("question %d", n)), integer("hits", int64(r.IntN(50))), number("score", r.Float64())}
		s.Wait, s.InputSize, s.OutputSize = int64(r.IntN(9000)), r.IntN(4000), r.IntN(4000)
		s.CacheHit = r.IntN(5) == 0
		if i == 2 {
			s.Tokens, s.Cost, s.Retries = 120, .0025, n%2
		}
		at = s.End
		t.Spans = append(t.Spans, s)
	}
	t.End = at + 1000
	last := &t.Spans[len(t.Spans)-1]
	t.Metrics = []backend.Metric{{Name: "quality", Unit: "1", Agg: "gauge", Node: last.Node, Span: last.ID, Time: at, Value: r.Float64()}}
	t.Events = []backend.Event{{Type: "node_retry", Name: last.Node, Span: last.ID, Time: at, Attrs: []backend.Attr{integer("retry_count", 1)}}}
	switch n % 7 {
	case 3:
		t.Status, t.ErrorType, t.Error = backend.Failed, "timeout", "no answer within 2s"
		last.Status, last.ErrorType, last.Error = t.Status, t.ErrorType, t.Error
	case 5:
		t.Status, t.ErrorType, t.Error = backend.Cancelled, "cancelled", "the caller gave up"
	}
	return t
}

// Step returns a step of t: number seq of a chain, called n<seq>.
func Step(t *backend.Trace, seq int, start, end int64) backend.Span {
	s := backend.Span{Parent: t.RootSpan, Node: fmt.Sprintf("n%d", seq), NodeType: "echo", TypeVersion: "1.2.0", Digest: "d1",
		Kind: 1, Start: start, End: end, Status: backend.OK, Seq: seq, After: seq - 1}
	binary.BigEndian.PutUint64(s.ID[:], binary.BigEndian.Uint64(t.RootSpan[:])+uint64(seq)+1)
	return s
}

// Samples returns the traces from to to-1.
func Samples(from, to int) []*backend.Trace {
	var ts []*backend.Trace
	for n := from; n < to; n++ {
		ts = append(ts, Sample(n))
	}
	return ts
}

// Odd returns a trace of extreme values: no step, every byte in its texts, times
// and numbers at their limits.
func Odd() *backend.Trace {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return &backend.Trace{
		TraceID: ID(5_000_000), RunID: ID(5_000_000), Graph: "größe\x00天气", Version: "'; DROP TABLE traces; --", RunKind: "production",
		Start: 0, End: math.MaxInt64 / 2, Status: backend.Failed, Error: string(every), Probability: 1e-9,
		Attrs: []backend.Attr{
			text("", ""), text(string(every), "\x00"), number("nan", math.NaN()), number("inf", math.Inf(-1)), number("tiny", 5e-324),
			integer("least", math.MinInt64), {Key: "yes", Kind: backend.KindBool, Num: 1},
		},
		Spans: []backend.Span{{ID: backend.SpanID{255, 255, 255, 255, 255, 255, 255, 255}, Parent: backend.SpanID{9}, Node: "天\x00", Kind: 3,
			Start: math.MaxInt64 / 2, End: math.MaxInt64 / 2, Seq: -1, After: math.MaxInt32, Retries: -1, Wait: -5, Cost: math.NaN()}},
		Metrics: []backend.Metric{{Name: "nan", Agg: "gauge", Value: math.NaN(), Time: -1}},
		Dropped: 7,
	}
}
