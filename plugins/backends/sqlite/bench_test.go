package sqlite

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// BenchmarkIngest writes batches of 400 runs with ten steps of eight attributes,
// every run with an id of its own.
func BenchmarkIngest(b *testing.B) {
	w := openIn(b, b.TempDir())
	defer w.Close(context.Background())
	traces := tenSteps(400)
	rng := rand.New(rand.NewPCG(1, 2))
	n, begin := 0, cpuTime(b)
	for b.Loop() {
		n++
		for _, t := range traces {
			binary.BigEndian.PutUint64(t.TraceID[:], rng.Uint64())
			t.RunID = t.TraceID
		}
		if _, err := w.Write(b.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: traces}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	used := cpuTime(b) - begin
	c, err := w.Count(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)*4000/b.Elapsed().Seconds(), "spans/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(n)/4000, "cpu-ns/span")
	b.ReportMetric(float64(c.Bytes)/float64(c.Spans), "B/span")
}

// tenSteps returns n runs with ten steps of eight attributes each.
func tenSteps(n int) []*backend.Trace {
	traces := make([]*backend.Trace, n)
	for i := range traces {
		t := backendtest.Sample(i)
		t.Spans, t.Events, t.Metrics = nil, nil, nil
		at := t.Start
		for k := range 10 {
			s := backendtest.Step(t, k, at, at+int64(1000*(i+k)))
			s.Attrs = backendtest.Sample(i).Spans[0].Attrs
			s.Attrs = append(s.Attrs[:3:3], s.Attrs...)
			s.Attrs = append(s.Attrs, s.Attrs[:2]...)
			at = s.End
			t.Spans = append(t.Spans, s)
		}
		traces[i] = t
	}
	return traces
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var aggregateSpans = flag.Int("sqlite.spans", 100_000, "spans in the file of BenchmarkAggregate")

// BenchmarkAggregate asks a file with runs of ten steps with eight attributes, of
// one version, and with the statistics of a day: for their exact, weighted
// aggregate; for the same of a third of them by time; for the sum of the
// statistics; and for a trace by its id.
func BenchmarkAggregate(b *testing.B) {
	w := openIn(b, b.TempDir())
	defer w.Close(context.Background())
	traces := tenSteps(400)
	rng := rand.New(rand.NewPCG(1, 2))
	batches := *aggregateSpans / 4000
	var ids []backend.ID
	for n := range batches {
		for _, t := range traces {
			binary.BigEndian.PutUint64(t.TraceID[:], rng.Uint64())
			t.RunID, t.Graph, t.Version, t.RunKind = t.TraceID, "docsearch", "1.0.0", "production"
			t.Start += 1e9
			t.End += 1e9
		}
		ids = append(ids, traces[n%len(traces)].TraceID)
		if _, err := w.Write(b.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: traces}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Write(b.Context(), &backend.Batch{ID: backendtest.ID(-2), Sketches: day()}); err != nil {
		b.Fatal(err)
	}
	if err := w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	c, err := w.Count(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	third := backendtest.Begin.Add(time.Duration(batches) * time.Second / 3)
	for name, f := range map[string]backend.Filter{"all": {}, "third": {To: third}} {
		f.Graph, f.Version, f.RunKind = "docsearch", "1.0.0", "production"
		b.Run(name, func(b *testing.B) {
			begin := cpuTime(b)
			for b.Loop() {
				a, err := w.Aggregate(b.Context(), f)
				if err != nil || a.Runs.Recorded == 0 {
					b.Fatal(a, err)
				}
			}
			if name == "all" {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.Spans), "ns/span")
				b.ReportMetric(float64((cpuTime(b)-begin).Nanoseconds())/float64(b.N)/float64(c.Spans), "cpu-ns/span")
			}
		})
	}
	b.Run("statistics", func(b *testing.B) {
		for b.Loop() {
			var sum backend.Tallies
			for s, err := range w.Sketches(b.Context(), backend.Filter{Graph: "docsearch", Version: "1.0.0"}) {
				if err != nil {
					b.Fatal(err)
				}
				t, err := backend.DecodeTally(s.Data)
				if err != nil {
					b.Fatal(err)
				}
				if s.Node == "" {
					sum.Run.Merge(t)
				} else {
					sum.Node(s.Node).Merge(t)
				}
			}
			if a := sum.Aggregate(); len(a.Nodes) != 10 || a.Runs.Recorded == 0 {
				b.Fatal(a)
			}
		}
	})
	b.Run("id", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range w.Traces(b.Context(), backend.Filter{TraceID: hex.EncodeToString(ids[rng.IntN(len(ids))][:])}) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			if n != 1 {
				b.Fatal(n, "traces of one id")
			}
		}
	})
}

// day returns the rows of statistics of a day of one version with ten nodes.
func day() (rows []backend.Sketch) {
	for hour := range int64(24) {
		var sum backend.Tallies
		for n, t := range tenSteps(400) {
			for i := range t.Spans {
				t.Spans[i].End += int64(n*i) * 7919
			}
			sum.Add(t, 1)
		}
		add := func(node string, t *backend.Tally) {
			rows = append(rows, backend.Sketch{Epoch: backendtest.ID(1), Graph: "docsearch", Version: "1.0.0", Hour: 493_000 + hour, Node: node, Seq: 1, Data: t.Encode(nil)})
		}
		add("", &sum.Run)
		for node, t := range sum.Nodes {
			add(node, t)
		}
	}
	return rows
}
