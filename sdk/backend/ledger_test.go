package backend_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// oneVersion returns runs of one version with everything that a ledger can hold.
func oneVersion() []*backend.Trace {
	r := rand.New(rand.NewPCG(8, 9))
	traces := backendtest.Samples(0, 300)
	for n, t := range traces {
		t.Graph, t.Version = "answer", "2.0.0"
		for i := range t.Spans {
			switch s := &t.Spans[i]; r.IntN(12) {
			case 0: // an order that is no chain
				s.After = -1
			case 1:
				s.Status = backend.Failed
			case 2:
				s.Status, s.ErrorType = backend.Cancelled, "cancelled"
			case 3:
				s.Cost = r.Float64()
			case 4:
				s.Start, s.End = s.End, s.Start // a clock that jumped
			case 5:
				s.Node = "only here"
			case 6:
				s.Seq = -1
			}
		}
		switch n % 40 {
		case 1:
			t.Spans = nil
		case 2:
			t.Status, t.Error = backend.Failed, "größe\xff"
		case 3:
			t.Metrics = append(t.Metrics, backend.Metric{Name: "count", Agg: "counter", Value: float64(n)}, backend.Metric{Name: "count", Agg: "counter", Value: 1})
		case 4:
			t.Status = backend.Unset
		}
	}
	odd := backendtest.Odd()
	odd.Graph, odd.Version = "answer", "2.0.0"
	odd.Spans[0].Seq, odd.Spans[0].Cost = 0, 1 // NaN is equal to nothing
	return append(traces, odd)
}

// A ledger answers as the traces do that it was made of, for every filter that it
// can answer and also when it is written again after more runs.
func TestLedgerAgrees(t *testing.T) {
	traces := oneVersion()
	l := backend.NewLedger("answer", "2.0.0")
	var data []byte
	for i, x := range traces {
		l.Add(x)
		if i%100 == 7 {
			data = l.Encode(data[:0])
		}
	}
	data = l.Encode([]byte("before"))[len("before"):]
	if l.First != 0 || l.Last != traces[len(traces)-1].End {
		t.Errorf("from %d to %d", l.First, l.Last)
	}
	from := backendtest.Begin.Add(time.Minute)
	for _, f := range []backend.Filter{{}, {Graph: "answer"}, {Graph: "answer", Version: "2.0.0", RunKind: "production"}, {Version: "1.0.0"}, {Graph: "docsearch"},
		{Status: "error"}, {Status: "cancelled"}, {From: from}, {From: from, To: from.Add(time.Minute)}, {MinMillis: 2000}} {
		for _, since := range []int64{0, backendtest.Begin.Add(100 * time.Second).UnixNano()} {
			m, err := f.Match()
			if err != nil || !m.InLedger() {
				t.Fatalf("%+v: %v", f, err)
			}
			var want, got backend.Aggregator
			for _, x := range traces {
				if m.Trace(x) && x.End >= since {
					want.Add(x)
				}
			}
			if err := got.AddLedger(data, m, since); err != nil {
				t.Fatal(err)
			}
			if x, y := got.Aggregate(), want.Aggregate(); !reflect.DeepEqual(x, y) {
				t.Errorf("%+v since %d:\n got %+v\nwant %+v", f, since, x, y)
			}
		}
	}
	for _, f := range []backend.Filter{{Node: "n1"}, {TraceID: "73616d706c652e2e0000000000000001"}, {Limit: 3}, {Offset: 3}} {
		if m, err := f.Match(); err != nil || m.InLedger() {
			t.Errorf("%+v is answered by a ledger, %v", f, err)
		}
	}
}

// Every damaged byte and every cut of a ledger is noticed.
func TestDamagedLedger(t *testing.T) {
	l := backend.NewLedger("answer", "2.0.0")
	for _, x := range oneVersion()[:40] {
		l.Add(x)
	}
	data := l.Encode(nil)
	m, _ := backend.Filter{}.Match()
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		var a, b backend.Aggregator
		if err := a.AddLedger(bad, m, 0); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if err := b.AddLedger(data[:i], m, 0); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	later := bytes.Clone(data[:len(data)-4])
	later[0] = 2
	var a backend.Aggregator
	if err := a.AddLedger(seal(later), m, 0); !fault.Is(err, fault.Newer) || fault.HintOf(err) == "" {
		t.Errorf("version 2: %v", err)
	}
}

// FuzzLedger feeds a block: when it holds a trace, the ledger of that trace answers
// as the trace does.
func FuzzLedger(f *testing.F) {
	for _, x := range vectorTraces() {
		b := backend.EncodeTrace(nil, x)
		f.Add(b[1 : len(b)-4])
	}
	m, _ := backend.Filter{}.Match()
	f.Fuzz(func(t *testing.T, body []byte) {
		x, err := backend.DecodeTrace(seal(append([]byte{1}, body...)))
		if err != nil || x.Check() != nil {
			return
		}
		l := backend.NewLedger(x.Graph, x.Version)
		l.Add(x)
		l.Add(x)
		var got, want backend.Aggregator
		if err := got.AddLedger(l.Encode(nil), m, 0); err != nil {
			t.Fatal(err)
		}
		want.Add(x)
		want.Add(x)
		if a, b := sprint(got.Aggregate()), sprint(want.Aggregate()); a != b {
			t.Fatalf("\n got %s\nwant %s", a, b)
		}
	})
}

// FuzzAddLedger feeds bytes behind the checksum: reading them never panics.
func FuzzAddLedger(f *testing.F) {
	l := backend.NewLedger("answer", "2.0.0")
	for _, x := range oneVersion()[:4] {
		l.Add(x)
	}
	b := l.Encode(nil)
	f.Add(b[1 : len(b)-4])
	m, _ := backend.Filter{RunKind: "production"}.Match()
	f.Fuzz(func(t *testing.T, body []byte) {
		var a backend.Aggregator
		if a.AddLedger(seal(append([]byte{1}, body...)), m, 0) == nil {
			a.Aggregate()
		}
	})
}

func BenchmarkLedger(b *testing.B) {
	x := benchTrace()
	b.Run("add", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			l := backend.NewLedger(x.Graph, x.Version)
			for range 400 {
				x.Start, x.End = x.Start+1e6, x.End+1e6
				l.Add(x)
			}
			n = len(l.Encode(nil))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4000, "ns/span")
		b.ReportMetric(float64(n)/4000, "B/span")
	})
	b.Run("aggregate", func(b *testing.B) {
		l := backend.NewLedger(x.Graph, x.Version)
		for range 400 {
			l.Add(x)
		}
		data := l.Encode(nil)
		m, _ := backend.Filter{Graph: x.Graph, Version: x.Version, RunKind: x.RunKind}.Match()
		var a backend.Aggregator
		b.ReportAllocs()
		for b.Loop() {
			if err := a.AddLedger(data, m, 0); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4000, "ns/span")
	})
}

// sprint is a as text: NaN is equal to itself there.
func sprint(a *backend.Aggregate) string {
	s := fmt.Sprintf("%+v %v %+v %+v %v %v %d", a.Runs, a.Cancelled, a.Failures, a.Metrics, a.First, a.Last, a.Unattributed)
	for _, name := range slices.Sorted(maps.Keys(a.Nodes)) {
		s += fmt.Sprintf(" %s %+v", name, *a.Nodes[name])
	}
	return s
}
