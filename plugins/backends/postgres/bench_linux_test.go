package postgres

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

var spans = flag.Int("spans", 600_000, "how many spans the aggregates sum up")

// batch returns 400 runs of ten steps with eight attributes.
func batch() []*backend.Trace {
	traces := make([]*backend.Trace, 400)
	for i := range traces {
		t := backendtest.Sample(i)
		t.Spans, t.Events, t.Metrics = nil, nil, nil
		at := t.Start
		for k := range 10 {
			s := backendtest.Step(t, k, at, at+int64(1000*(i+k)))
			s.Attrs = backendtest.Sample(i).Spans[0].Attrs
			s.Attrs = append(s.Attrs[:3:3], s.Attrs...)
			s.Attrs = append(s.Attrs, s.Attrs[:2]...)
			for a := range s.Attrs {
				s.Attrs[a].Key += string(rune('a' + a))
			}
			at = s.End
			t.Spans = append(t.Spans, s)
		}
		t.End = at
		traces[i] = t
	}
	return traces
}

// used returns the processor time of the server and of this process, those it
// started included.
func used(b *testing.B, s *postgres.Server) time.Duration {
	total := s.CPU(b)
	for _, who := range [...]int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return total
}

func benchmarkIngest(b *testing.B, layout string) {
	s := postgres.New(b, postgres.Options{Durable: true})
	w := openAs(b, inSchema(s, layout, b.TempDir()))
	defer w.Close(context.Background())
	p := backend.Pack(&backend.Batch{Traces: batch()})
	n, before := 0, used(b, s)
	for b.Loop() {
		n++
		p.ID = backendtest.ID(n)
		if bad, err := w.WritePacked(b.Context(), p); err != nil || len(bad) > 0 {
			b.Fatal(bad, err)
		}
	}
	b.ReportMetric(float64((used(b, s)-before).Microseconds())/float64(n*4000), "cpu-us/span")
	c, err := w.Count(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)*4000/b.Elapsed().Seconds(), "spans/s")
	b.ReportMetric(float64(c.Bytes)/float64(c.Spans), "B/span")
}

func BenchmarkIngestRows(b *testing.B)   { benchmarkIngest(b, layoutRows) }
func BenchmarkIngestPacked(b *testing.B) { benchmarkIngest(b, layoutPacked) }

// BenchmarkRowsAgainstPsql writes batches in turn with psql, which loads the rows
// of the same batch by \copy in the binary form, one transaction a batch, without
// making them: what a loader in C reaches. The ratio is its time over ours.
func BenchmarkRowsAgainstPsql(b *testing.B) {
	s := postgres.New(b, postgres.Options{Durable: true})
	c := inSchema(s, layoutRows, b.TempDir())
	w := openAs(b, c)
	defer w.Close(context.Background())
	p := backend.Pack(&backend.Batch{ID: backendtest.ID(0), Traces: batch()})
	if _, err := w.WritePacked(b.Context(), p); err != nil { // partitions, steps and the rows themselves
		b.Fatal(err)
	}
	const turn = 25
	script := copies(b, c.Schema, &w.enc, turn)
	n, ours, theirs := 0, time.Duration(0), time.Duration(0)
	for b.Loop() {
		at := time.Now()
		for range turn {
			n++
			p.ID = backendtest.ID(n)
			if _, err := w.WritePacked(b.Context(), p); err != nil {
				b.Fatal(err)
			}
		}
		ours += time.Since(at)
		at = time.Now()
		cmd := s.Psql(b.Context(), "-q")
		cmd.Stdin = bytes.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		theirs += time.Since(at)
	}
	b.ReportMetric(float64(n)*4000/ours.Seconds(), "spans/s")
	b.ReportMetric(float64(n)*4000/theirs.Seconds(), "psql-spans/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
}

// copies returns a psql script that loads the rows of e several times.
func copies(b *testing.B, schema string, e *encoder, times int) []byte {
	dir := b.TempDir()
	one := "BEGIN;\n"
	for i, table := range tables {
		rows := e.part(i, 0, len(e.traces))
		if len(rows) == 0 {
			continue
		}
		file := filepath.Join(dir, table)
		if err := os.WriteFile(file, slices.Concat(copyHead, rows, copyTail), 0o600); err != nil {
			b.Fatal(err)
		}
		one += "\\copy " + table + " FROM '" + file + "' (FORMAT binary)\n"
	}
	return []byte("SET search_path = " + schema + ";\n" + strings.Repeat(one+"COMMIT;\n", times))
}

func benchmarkAggregate(b *testing.B, layout string) {
	s := postgres.Start(b)
	c := inSchema(s, layout, b.TempDir())
	c.StatementTimeout = plugin.Seconds(time.Minute)
	w := openAs(b, c)
	defer w.Close(context.Background())
	p := backend.Pack(&backend.Batch{Traces: batch()})
	for n := range *spans / 4000 {
		p.ID = backendtest.ID(n)
		if _, err := w.WritePacked(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	before := used(b, s)
	for b.Loop() {
		if _, err := w.Aggregate(b.Context(), backend.Filter{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(*spans), "ns/span")
	b.ReportMetric(float64((used(b, s)-before).Nanoseconds())/float64(b.N)/float64(*spans), "cpu-ns/span")
}

func BenchmarkAggregateRows(b *testing.B)   { benchmarkAggregate(b, layoutRows) }
func BenchmarkAggregatePacked(b *testing.B) { benchmarkAggregate(b, layoutPacked) }

// BenchmarkOverview asks the plugin process for the statistics of a day of one
// version with ten nodes, among those of thirty days of twenty graphs: what it
// takes does not depend on how many spans there were.
func BenchmarkOverview(b *testing.B) {
	s := postgres.New(b, postgres.Options{Durable: true})
	c := inSchema(s, layoutRows, b.TempDir())
	w := launch(b, c)
	defer w.Close(context.Background())
	var sum backend.Tallies
	for n, t := range batch() {
		for i := range t.Spans {
			t.Spans[i].End += int64(n*i) * 7919
		}
		sum.Add(t, 1)
	}
	sum.Nodes[""] = &sum.Run
	var rows []backend.Sketch
	for hour := range int64(24) {
		for node, t := range sum.Nodes {
			rows = append(rows, backend.Sketch{Epoch: backendtest.ID(1), Graph: "docsearch", Version: "1.0.0", Hour: 493_000 + hour, Node: node, Seq: 1, Data: t.Encode(nil)})
		}
	}
	if _, err := w.Write(b.Context(), &backend.Batch{ID: backendtest.ID(1), Sketches: rows}); err != nil {
		b.Fatal(err)
	}
	others := s.Psql(b.Context(), "-q", "-c", "INSERT INTO "+c.Schema+`.sketch SELECT gen_random_uuid(), epoch, graph || g, version, version_id, hour + 24 * d, node, seq, data
		FROM `+c.Schema+".sketch, generate_series(1, 20) g, generate_series(1, 30) d")
	if out, err := others.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	q, err := telemetry.NewQuery(w, nil)
	if err != nil {
		b.Fatal(err)
	}
	before := used(b, s)
	for b.Loop() {
		a, err := q.Overview(b.Context(), backend.Filter{Graph: "docsearch", Version: "1.0.0"})
		if err != nil || len(a.Nodes) != 10 || a.Runs.Recorded == 0 {
			b.Fatal(a, err)
		}
	}
	b.ReportMetric(float64((used(b, s)-before).Microseconds())/float64(b.N), "cpu-us")
	b.ReportMetric(float64(len(rows)), "rows")
}
