package telemetry_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// BenchmarkIngestProcess writes batches of 400 runs with ten steps of eight
// attributes, every run with an id of its own, through the plugin process
// to the file: encoding, gRPC with mutual TLS, decoding, SQLite.
func BenchmarkIngestProcess(b *testing.B) {
	config, err := json.Marshal(sqlite.Config{DBPath: filepath.Join(b.TempDir(), "telemetry.db")})
	if err != nil {
		b.Fatal(err)
	}
	p, err := plughost.Launch(b.Context(), plughost.Spec{Name: "sqlite", Kind: plughost.Backend, Args: []string{"serve-sqlite"}, Config: config})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close(context.Background())
	c, err := backend.NewClient(b.Context(), p.Conn(), nil)
	if err != nil {
		b.Fatal(err)
	}
	batch, spans, n := tenSteps(400), 4000, 0
	rng := rand.New(rand.NewPCG(1, 2))
	host, plugin := cpuTime(b), taskTime(p.Info().PID)
	for b.Loop() {
		n++
		for _, t := range batch {
			binary.BigEndian.PutUint64(t.TraceID[:], rng.Uint64())
			t.RunID = t.TraceID
		}
		if _, err := c.Write(b.Context(), &backend.Batch{ID: backendtest.ID(1000 * n), Traces: batch}); err != nil {
			b.Fatal(err)
		}
	}
	used := cpuTime(b) - host + time.Duration(taskTime(p.Info().PID)-plugin)
	b.ReportMetric(float64(used.Nanoseconds())/float64(n*spans), "cpu-ns/span") // both processes
	b.ReportMetric(float64(n*spans)/b.Elapsed().Seconds(), "spans/s")
}

// tenSteps returns n runs with ten steps of eight attributes each.
func tenSteps(n int) []*backend.Trace {
	traces := make([]*backend.Trace, n)
	for i := range traces {
		t := backendtest.Sample(i)
		attrs := t.Spans[0].Attrs
		attrs = append(append(attrs[:3:3], attrs...), attrs[:2]...)
		t.Spans, t.Events, t.Metrics = nil, nil, nil
		at := t.Start
		for k := range 10 {
			s := backendtest.Step(t, k, at, at+int64(1000*(i+k)))
			s.Attrs, at = attrs, s.End
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

// BenchmarkOverview asks the process for the statistics of a day of one version
// with ten nodes: what it takes does not depend on how many spans there were.
func BenchmarkOverview(b *testing.B) {
	config, err := json.Marshal(sqlite.Config{DBPath: filepath.Join(b.TempDir(), "telemetry.db")})
	if err != nil {
		b.Fatal(err)
	}
	p, err := plughost.Launch(b.Context(), plughost.Spec{Name: "sqlite", Kind: plughost.Backend, Args: []string{"serve-sqlite"}, Config: config})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close(context.Background())
	c, err := backend.NewClient(b.Context(), p.Conn(), nil)
	if err != nil {
		b.Fatal(err)
	}
	var rows []backend.Sketch
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
	if _, err := c.Write(b.Context(), &backend.Batch{ID: backendtest.ID(1), Sketches: rows}); err != nil {
		b.Fatal(err)
	}
	q, err := telemetry.NewQuery(c, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a, err := q.Overview(b.Context(), backend.Filter{Graph: "docsearch", Version: "1.0.0"})
		if err != nil || len(a.Nodes) != 10 || a.Runs.Recorded == 0 {
			b.Fatal(a, err)
		}
	}
	b.ReportMetric(float64(len(rows)), "rows")
}
