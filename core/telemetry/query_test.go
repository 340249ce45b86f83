package telemetry

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// stored returns a Query of a backend that holds traces.
func stored(t *testing.T, traces ...*backend.Trace) *Query {
	t.Helper()
	b, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if bad, err := b.Write(t.Context(), &backend.Batch{ID: backend.ID{1}, Traces: traces}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	q, err := NewQuery(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestRowsAreThoseOfALoop compares random questions for spans, events and metrics,
// whole and in pages, with a loop over all records.
func TestRowsAreThoseOfALoop(t *testing.T) {
	all := backendtest.Samples(0, 40)
	for i, x := range all {
		x.Start -= int64(i%3) * 1e9 // ties, and not the order of arrival
	}
	q := stored(t, all...)
	type record struct {
		id  string
		key int64
	}
	loop := func(f backend.Filter) (out []record) {
		m, err := f.Match()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			if !m.Trace(x) {
				continue
			}
			nodes := x.Nodes()
			switch f.Of {
			case backend.OfSpans:
				for i := range x.Spans {
					if s := &x.Spans[i]; m.SelectsSpan(x, s) {
						out = append(out, record{spanID(s.ID), m.Key(s.Start, s.End, s.Cost)})
					}
				}
			case backend.OfEvents:
				for _, e := range x.AllEvents() {
					if m.SelectsEvent(x, &e, nodes[e.Span]) {
						out = append(out, record{fmt.Sprint(e.Type, spanID(e.Span), e.Time), m.Key(e.Time, e.Time, 0)})
					}
				}
			case backend.OfMetrics:
				for _, p := range x.AllMetrics() {
					if m.SelectsMetric(x, &p) {
						out = append(out, record{fmt.Sprint(p.Name, spanID(p.Span), p.Time), m.Key(p.Time, p.Time, 0)})
					}
				}
			}
		}
		slices.SortStableFunc(out, func(a, b record) int {
			if a.key < b.key {
				return -1
			} else if a.key > b.key {
				return 1
			}
			return 0
		})
		if m.Desc {
			slices.Reverse(out)
		}
		return out
	}
	ask := func(f backend.Filter) (out []string) {
		fail := func(err error) {
			if err != nil {
				t.Fatalf("%+v: %v", f, err)
			}
		}
		switch f.Of {
		case backend.OfSpans:
			for s, err := range q.Spans(t.Context(), f) {
				fail(err)
				out = append(out, s.SpanID)
			}
		case backend.OfEvents:
			for e, err := range q.Events(t.Context(), f) {
				fail(err)
				out = append(out, fmt.Sprint(e.Type, e.SpanID, e.Time.UnixNano()))
			}
		case backend.OfMetrics:
			for p, err := range q.Metrics(t.Context(), f) {
				fail(err)
				out = append(out, fmt.Sprint(p.Name, p.SpanID, p.Time.UnixNano()))
			}
		}
		return out
	}
	r := rand.New(rand.NewPCG(5, 8))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 200 {
		f := backend.Filter{Of: pick(backend.OfSpans, backend.OfEvents, backend.OfMetrics), Graph: pick("", "docsearch"), Node: pick("", "", "n2"), Sort: pick("", "", "start", "-start")}
		switch f.Of {
		case backend.OfSpans:
			f.Like, f.Status, f.Sort = pick("", "n?", "n1*"), pick("", "error"), pick("", "duration", "-duration", "cost", "-cost", f.Sort)
		case backend.OfEvents:
			f.Type = pick("", "node_finished", "graph_started", "node_retry")
		case backend.OfMetrics:
			f.Like, f.Agg = pick("", "node.*", "quality"), pick("", "gauge", "counter")
		}
		f.Newest = f.Sort == "" && r.IntN(2) == 0
		var want []string
		for _, x := range loop(f) {
			want = append(want, x.id)
		}
		if got := ask(f); !slices.Equal(got, want) {
			t.Fatalf("%+v:\n got %v\nwant %v", f, got, want)
		}
		var paged []string
		for f.Limit = 1 + r.IntN(60); ; f.Offset += f.Limit {
			page := ask(f)
			if paged = append(paged, page...); len(page) < f.Limit {
				break
			}
		}
		if !slices.Equal(paged, want) {
			t.Fatalf("pages of %+v:\n got %v\nwant %v", f, paged, want)
		}
	}
}

func TestRowsAreOfOneKind(t *testing.T) {
	q := stored(t)
	for _, err := range q.Spans(t.Context(), backend.Filter{Of: backend.OfEvents}) {
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("events asked of spans: %v", err)
		}
	}
}

// TestSummariesAreWeighted: a run kept with probability 1/4 counts four times.
func TestSummariesAreWeighted(t *testing.T) {
	var all []*backend.Trace
	for n := range 20 {
		x := backendtest.Sample(2 * n) // all of docsearch
		x.Version, x.Probability, x.Derive = "1.0.0", 1, 0
		v := float64(n)
		if n >= 10 {
			x.Probability = .25
		}
		x.Metrics = []backend.Metric{{Name: "quality", Agg: "gauge", Unit: "1", Node: "rank", Time: x.Start + int64(n), Value: v},
			{Name: "nan", Agg: "gauge", Value: math.NaN()}, {Name: "below", Agg: "counter", Value: -v * 1000}}
		all = append(all, x)
	}
	q := stored(t, all...)
	sums, err := q.MetricSummaries(t.Context(), backend.Filter{})
	if err != nil || len(sums) != 2 || sums[0].Name != "below" || sums[1].Name != "quality" {
		t.Fatalf("%+v, %v", sums, err)
	}
	// 0 to 9 once and 10 to 19 four times: 50 in all, the 25th is 13, the 48th 19.
	s := sums[1]
	if s.Points != 20 || math.Abs(s.Count-50) > 1e-9 || math.Abs(s.Sum-625) > 1e-9 || math.Abs(s.Mean-12.5) > 1e-9 || s.Min != 0 || s.Max != 19 ||
		s.P50 != 13 || s.P95 != 19 || s.Last != 19 || s.Node != "rank" || s.Unit != "1" || s.Aggregation != "gauge" || s.Version != "1.0.0" {
		t.Errorf("%+v", s)
	}
	// Upside down: the 25th of 50 from below is -13000, the 48th -2000.
	if s = sums[0]; math.Abs(s.P50/-13000-1) > .016 || math.Abs(s.P95/-2000-1) > .016 || s.Max != 0 || s.Min != -19000 {
		t.Errorf("%+v", s)
	}
	if sums, err = q.MetricSummaries(t.Context(), backend.Filter{Limit: 1, Offset: 1}); err != nil || len(sums) != 1 || sums[0].Name != "quality" {
		t.Errorf("second page %+v, %v", sums, err)
	}
	if sums, err = q.MetricSummaries(t.Context(), backend.Filter{Name: "quality", From: time.Unix(0, all[15].Metrics[0].Time)}); err != nil || len(sums) != 1 || sums[0].Points != 5 {
		t.Errorf("later ones %+v, %v", sums, err)
	}
}

func TestTrees(t *testing.T) {
	x := backendtest.Sample(3)
	step := &x.Spans[0]
	call := *step
	call.ID, call.Parent, call.Seq, call.NodeType, call.Kind = backend.SpanID{1}, step.ID, -1, "model", 3
	inner := call
	inner.ID, inner.Parent = backend.SpanID{2}, call.ID
	loop := call
	loop.ID, loop.Parent = backend.SpanID{3}, backend.SpanID{4}
	back := call
	back.ID, back.Parent = backend.SpanID{4}, backend.SpanID{3}
	steps := len(x.Spans)
	x.Spans = append(x.Spans, call, inner, loop, back)
	x.Events = append(x.Events, backend.Event{Type: "deploy", Name: "of the run", Time: x.Start})
	q := stored(t, backendtest.Sample(1), x)
	trees, err := q.Trees(t.Context(), strings.ToUpper(fmt.Sprintf("%x", x.RunID)))
	if err != nil || len(trees) != 1 {
		t.Fatal(trees, err)
	}
	tree := trees[0]
	if tree.Trace.Graph != x.Graph || len(tree.Spans) != steps+2 || len(tree.Events) != 1 || tree.Events[0].Type != "deploy" {
		t.Errorf("%d spans, events %+v", len(tree.Spans), tree.Events)
	}
	if s := tree.Spans[0]; len(s.Spans) != 1 || s.Spans[0].NodeType != "model" || len(s.Spans[0].Spans) != 1 || s.OffsetMS != 0 {
		t.Errorf("first step %+v", s)
	}
	if s := tree.Spans[steps-1]; len(s.Events) != 1 || s.Events[0].Type != "node_retry" || len(s.Metrics) != 1 || s.Metrics[0].Name != "quality" {
		t.Errorf("last step %+v", s)
	}
	if _, err := json.Marshal(trees); err != nil {
		t.Error(err)
	}
	if _, err := q.Trees(t.Context(), strings.Repeat("f", 32)); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such trace: %v", err)
	}
	for _, id := range []string{"", "xyz", strings.Repeat("0", 32)} {
		if _, err := q.Trees(t.Context(), id); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
