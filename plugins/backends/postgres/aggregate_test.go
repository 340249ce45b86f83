package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// varied returns runs with parallel steps, retries, model calls, cancelled steps,
// several metrics a run and odd probabilities.
func varied(n int) []*backend.Trace {
	r := rand.New(rand.NewPCG(3, 4))
	traces := backendtest.Samples(0, n)
	for i, x := range traces {
		x.Probability = []float64{1, .1, .37}[r.IntN(3)]
		for k := range x.Spans {
			s := &x.Spans[k]
			s.NodeType = fmt.Sprint("type", r.IntN(2))
			s.After = r.IntN(k+1) - 1
			s.Start -= r.Int64N(5e5)
			if r.IntN(6) == 0 {
				s.Status, s.ErrorType, s.Error = backend.Failed, []string{"", "trap", "timeout"}[r.IntN(3)], fmt.Sprint("reason ", r.IntN(5))
			}
			if r.IntN(9) == 0 {
				s.Status = backend.Cancelled
			}
			if r.IntN(8) == 0 {
				s.Seq = -1
			}
			s.Retries, s.Tokens, s.Cost = r.IntN(3), r.Int64N(3)*40, float64(r.IntN(3))*.013
		}
		for k := range r.IntN(6) {
			x.Metrics = append(x.Metrics, backend.Metric{Name: []string{"sales", "temperature", "delay"}[k%3], Agg: []string{"counter", "gauge", "histogram"}[k%3],
				Unit: "1", Node: fmt.Sprint("m", r.IntN(3)), Time: x.Start + r.Int64N(100), Value: r.NormFloat64()})
		}
		if i%17 == 0 {
			x.Metrics = append(x.Metrics, backend.Metric{Name: "sales", Agg: "counter", Value: math.Inf(1), Time: x.End})
		}
		if i%11 == 0 {
			x.Graph = ""
		}
	}
	return traces
}

// The database computes what backend.Aggregator does, for every filter.
func TestAggregateOfFilters(t *testing.T) {
	s := postgres.Start(t)
	b := openAs(t, inSchema(s, layoutRows, t.TempDir()))
	defer b.Close(context.Background())
	all := varied(600)
	for n := 0; n < len(all); n += 100 {
		if bad, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: all[n : n+100]}); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
	}
	from := backendtest.Begin
	for _, f := range []backend.Filter{
		{}, {Graph: "docsearch"}, {Graph: "docsearch", Version: "1.0.1"}, {RunKind: "production"}, {Graph: "none"}, {Status: "ok"}, {Status: "error"}, {Status: "cancelled"},
		{From: from.Add(100 * time.Second)}, {To: from.Add(77 * time.Second)}, {From: from.Add(100 * time.Second), To: from.Add(200 * time.Second), Graph: "answer"},
		{From: from.Add(100*time.Second + 1)}, {To: from.Add(77*time.Second + 1)}, {Node: "n4"}, {Node: "m1"}, {Node: "n4", RunKind: "shadow"}, {MinMillis: 2200},
		{TraceID: fmt.Sprintf("%x", all[9].RunID)}, {TraceID: fmt.Sprintf("%x", all[8].TraceID)},
	} {
		m, err := f.Match()
		if err != nil {
			t.Fatal(err)
		}
		var a backend.Aggregator
		for _, x := range all {
			if m.Trace(x) {
				a.Add(x)
			}
		}
		got, err := b.Aggregate(t.Context(), f)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if at := backendtest.Differ(got, a.Aggregate()); at != "" {
			t.Errorf("%+v: %s", f, at)
		}
	}
}

// FuzzText: any text comes back from the form in which the database takes it.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "größe", "a\x00b", "\xff\xfe", `!"x"`, `!`, `!!"`, "!\"\x00", "\\u0000", "\u2028\uFFFD\x7f\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := quote(s)
		if unquote(q) != s {
			t.Fatalf("%q became %q, then %q", s, q, unquote(q))
		}
		if !utf8.ValidString(q) || slices.Contains([]byte(q), 0) {
			t.Fatalf("%q is no text for PostgreSQL", q)
		}
		var back string
		if err := json.Unmarshal(appendJSON(nil, s), &back); err != nil || back != q {
			t.Fatalf("JSON of %q is %q, %v", s, back, err)
		}
	})
}

// FuzzConfig: no configuration makes parse panic, and what it accepts is within
// bounds.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"connection_string": "postgres://u:p@h:1/d?sslmode=disable", "statement_timeout": 3}`))
	f.Add([]byte(`{"host": "h'\\", "port": 5432, "database": "d", "user": "u", "password": "p", "schema": "s", "layout": "packed", "connect_timeout": "1s"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse(b)
		if err != nil {
			return
		}
		if s.pool.MaxConns < 2 || s.connectTimeout <= 0 || s.statementTimeout <= 0 || !schemaName.MatchString(s.schema) {
			t.Fatalf("%s: %+v", b, s)
		}
	})
}
