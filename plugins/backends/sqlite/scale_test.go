package sqlite

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sq "zombiezen.com/go/sqlite"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// put writes the samples from to to-1 in batches of 500.
func put(t testing.TB, b *Backend, from, to int) {
	t.Helper()
	for n := from; n < to; n += 500 {
		if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: backendtest.Samples(n, min(n+500, to))}); err != nil {
			t.Fatal(err)
		}
	}
}

// An aggregate from ledgers is what the traces come to, also with a trace that starts
// in 1970 among them.
func TestAggregateFromLedgers(t *testing.T) {
	b := openIn(t, t.TempDir())
	defer b.Close(context.Background())
	put(t, b, 0, 6000)
	if _, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(-2), Traces: []*backend.Trace{backendtest.Odd()}}); err != nil {
		t.Fatal(err)
	}
	from := backendtest.Begin.Add(20 * time.Minute)
	for _, f := range []backend.Filter{{}, {Graph: "docsearch"}, {Graph: "answer", Version: "1.0.1", From: from, To: from.Add(time.Hour)}, {Status: "error", From: from}} {
		got, err := b.Aggregate(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := backend.AggregateTraces(b.Traces(t.Context(), f))
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Runs.Mean/want.Runs.Mean-1) > 1e-12 {
			t.Errorf("%+v: mean %v, want %v", f, got.Runs.Mean, want.Runs.Mean)
		}
		x, y := rounded(t, got), rounded(t, want)
		if x != y {
			t.Errorf("%+v:\n got %s\nwant %s", f, x, y)
		}
	}
}

// rounded is a as text without what the order of adding up changes.
func rounded(t *testing.T, a *backend.Aggregate) string {
	t.Helper()
	near := func(s *backend.Stats) {
		for _, v := range []*float64{&s.Mean, &s.Cost, &s.SelfBlame, &s.Count, &s.Failures} {
			*v = float64(float32(*v))
		}
	}
	near(&a.Runs)
	for _, n := range a.Nodes {
		near(n)
	}
	for k, m := range a.Metrics {
		m.Mean, m.Runs = float64(float32(m.Mean)), float64(float32(m.Runs))
		a.Metrics[k] = m
	}
	for i := range a.Failures {
		a.Failures[i].Count = float64(float32(a.Failures[i].Count))
	}
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Questions about a time, a version or an id go through an index.
func TestQueriesUseAnIndex(t *testing.T) {
	b := openIn(t, t.TempDir())
	defer b.Close(context.Background())
	put(t, b, 0, 2000)
	from := backendtest.Begin.Add(time.Minute)
	for _, c := range []struct {
		filter backend.Filter
		index  string
	}{
		{backend.Filter{From: from, To: from.Add(time.Minute)}, "traces_by_start"},
		{backend.Filter{Graph: "docsearch", Version: "1.0.0", From: from}, "traces_by_version"},
		{backend.Filter{TraceID: "73616d706c652e2e0000000000000001"}, "SEARCH t USING INTEGER PRIMARY KEY"},
	} {
		m, err := c.filter.Match()
		if err != nil {
			t.Fatal(err)
		}
		query, cond := selection(m)
		plan := ""
		if err := b.reader(t.Context(), "plan", func(conn *sq.Conn) error {
			s, err := conn.Prepare("EXPLAIN QUERY PLAN " + query)
			if err != nil {
				return err
			}
			defer s.Reset()
			cond.bind(s)
			for {
				ok, err := s.Step()
				if err != nil || !ok {
					return err
				}
				plan += s.ColumnText(3) + "; "
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, c.index) || strings.Contains(plan, "SCAN traces;") {
			t.Errorf("%s: %s", query, plan)
		}
	}
}

// What is pruned gives its room back to the disk.
func TestPruneShrinksTheFile(t *testing.T) {
	dir := t.TempDir()
	b := openIn(t, dir)
	defer b.Close(context.Background())
	put(t, b, 0, 8000)
	size := func() int64 {
		t.Helper()
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(filepath.Join(dir, "telemetry.db"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	before := size()
	if n, err := b.Prune(t.Context(), backendtest.Begin.Add(7900*time.Second)); err != nil || n < 7800 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if after := size(); after > before/4 {
		t.Errorf("the file has %d bytes after it had %d", after, before)
	}
	if n, err := b.Count(t.Context()); err != nil || n.Traces > 200 {
		t.Errorf("%+v, %v", n, err)
	}
	put(t, b, 8000, 8500)
}
