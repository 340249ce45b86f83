package backend_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// Quantiles stay within 2 % of the exact ones for every shape and scale.
func TestQuantilesAreWithinTwoPercent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, draw := range map[string]func() float64{
		"microseconds": func() float64 { return 1e3 * math.Exp(r.NormFloat64()) },
		"milliseconds": func() float64 { return 3e6 * math.Exp(r.NormFloat64()/2) },
		"hours":        func() float64 { return 4e12 * r.Float64() },
		"nanoseconds":  func() float64 { return float64(r.IntN(60)) },
		"two modes":    func() float64 { return []float64{1e6, 9e8}[r.IntN(2)] * (1 + r.Float64()/10) },
		"heavy tail":   func() float64 { return 1e5 / math.Pow(1-r.Float64(), 1.5) },
	} {
		var whole backend.Durations
		parts := make([]backend.Durations, 7)
		var all []int64
		var sum float64
		for i := range 20000 {
			v := int64(draw())
			all, sum = append(all, v), sum+float64(v)
			whole.Add(v, 1)
			parts[i%7].Add(v, 1)
		}
		var merged backend.Durations
		for i := range parts {
			merged.Merge(&parts[i])
		}
		slices.Sort(all)
		for _, d := range []*backend.Durations{&whole, &merged} {
			for _, q := range []float64{.01, .25, .5, .95, .99, .999, 1} {
				want := float64(all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]) / 1e9
				if got := d.Quantile(q); math.Abs(got-want) > .02*want {
					t.Errorf("%s: quantile %v is %v, want %v", name, q, got, want)
				}
			}
			if math.Abs(d.Mean()-sum/2e4/1e9) > 1e-9*sum/2e4/1e9 || d.Max() != float64(all[len(all)-1])/1e9 || d.Count() != 2e4 {
				t.Errorf("%s: mean %v, max %v, count %v", name, d.Mean(), d.Max(), d.Count())
			}
		}
	}
	var none backend.Durations
	if none.Quantile(.5) != 0 || none.Mean() != 0 || none.Max() != 0 {
		t.Error("an empty histogram has figures")
	}
}

// A kept trace stands for 1/p runs.
func TestWeights(t *testing.T) {
	var a backend.Aggregator
	for i, ms := range []int64{10, 20, 1000} {
		x := &backend.Trace{TraceID: backendtest.ID(i), RunID: backendtest.ID(i), Start: 1, End: 1 + ms*1e6, Probability: []float64{.1, .1, 1}[i], Status: backend.OK}
		if ms == 1000 {
			x.Status = backend.Failed
			x.ErrorType, x.Error = "limit", "too long"
		}
		a.Add(x)
	}
	g := a.Aggregate()
	if g.Runs.Recorded != 3 || g.Runs.Count != 21 || g.Runs.Failures != 1 || math.Abs(g.Runs.Mean-(.01*10+.02*10+1)/21) > 1e-12 {
		t.Errorf("runs %+v", g.Runs)
	}
	if math.Abs(g.Runs.P50-.02) > .0004 || math.Abs(g.Runs.P99-1) > .02 || g.Runs.Max != 1 || g.Unattributed != 3 {
		t.Errorf("runs %+v, %d unattributed", g.Runs, g.Unattributed)
	}
	if len(g.Failures) != 1 || g.Failures[0].Node != "" || g.Failures[0].ErrorType != "limit" {
		t.Errorf("a run that fails outside its steps has the pattern %+v", g.Failures)
	}
}

// The critical path of a diamond goes through the slower branch; the faster one
// and a side branch carry no blame, and waiting belongs to the step that waited.
func TestCriticalPath(t *testing.T) {
	x := &backend.Trace{TraceID: backendtest.ID(1), RunID: backendtest.ID(1), Start: 0, End: 100e6, Probability: 1, Status: backend.OK}
	step := func(name string, seq, after int, start, end int64) {
		s := backendtest.Step(x, seq, start*1e6, end*1e6)
		s.Node, s.After = name, after
		x.Spans = append(x.Spans, s)
	}
	step("fast", 2, 0, 10, 20) // steps are recorded as they end
	step("split", 0, -1, 0, 10)
	step("side", 4, 0, 10, 60)
	step("slow", 1, 0, 15, 70) // waited 5 ms for a worker
	step("join", 3, 1, 70, 95)
	x.Spans = append(x.Spans, backend.Span{Node: "join", Seq: -1, After: 3, Start: 0, End: 99e6, Status: backend.OK}) // a model call
	var a backend.Aggregator
	a.Add(x)
	g := a.Aggregate()
	for node, want := range map[string]float64{"split": .10, "slow": .60, "join": .25, "fast": 0, "side": 0} {
		if got := g.Nodes[node].SelfBlame; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s carries %v of the run, want %v", node, got, want)
		}
	}
}

func TestMetricsCombineWithinARun(t *testing.T) {
	var a backend.Aggregator
	for n := range 2 {
		x := &backend.Trace{TraceID: backendtest.ID(n), RunID: backendtest.ID(n), End: 1, Probability: 1, Status: backend.OK}
		for i, v := range []float64{1, 2, 6} {
			at := []int64{5, 9, 7}[i] // the second point is the last in time
			for _, agg := range []string{"counter", "gauge", "histogram"} {
				x.Metrics = append(x.Metrics, backend.Metric{Name: agg, Agg: agg, Value: v * float64(n+1), Time: at})
			}
		}
		x.Metrics = append(x.Metrics, backend.Metric{Name: "never", Agg: "gauge", Value: math.Inf(1)})
		a.Add(x)
	}
	want := map[string]backend.MetricStat{
		"counter":   {Runs: 2, Mean: 13.5, Min: 9, Max: 18, Agg: "counter"},
		"gauge":     {Runs: 2, Mean: 3, Min: 2, Max: 4, Agg: "gauge"},
		"histogram": {Runs: 2, Mean: 4.5, Min: 3, Max: 6, Agg: "histogram"},
	}
	if got := a.Aggregate().Metrics; !reflect.DeepEqual(got, want) {
		t.Errorf("metrics %+v, want %+v", got, want)
	}
}

func TestFailurePatterns(t *testing.T) {
	var a backend.Aggregator
	for n := range 50 {
		x := backendtest.Sample(n)
		x.Status = backend.Failed
		x.Probability = 1
		x.Spans = x.Spans[:1]
		x.Spans[0].Status, x.Spans[0].ErrorType, x.Spans[0].Error = backend.Failed, []string{"timeout", "trap"}[min(n%5, 1)], string(rune('a'+n%6))
		a.Add(x)
	}
	f := a.Aggregate().Failures
	if len(f) != 2 || f[0].ErrorType != "trap" || f[0].Count != 40 || f[1].Count != 10 || len(f[0].Samples) != 3 || len(f[0].Traces) != 3 {
		t.Errorf("patterns %+v", f)
	}
}

// Tallies of parts, encoded and merged, are the tally of the whole.
func TestTalliesMerge(t *testing.T) {
	var whole backend.Tallies
	parts := make([]backend.Tallies, 3)
	for n := range 300 {
		x := backendtest.Sample(n)
		whole.Add(x, 2)
		parts[n%3].Add(x, 2)
	}
	var merged backend.Tallies
	for i := range parts {
		run, err := backend.DecodeTally(parts[i].Run.Encode(nil))
		if err != nil {
			t.Fatal(err)
		}
		merged.Run.Merge(run)
		for name, n := range parts[i].Nodes {
			n, err := backend.DecodeTally(n.Encode(nil))
			if err != nil {
				t.Fatal(err)
			}
			merged.Node(name).Merge(n)
		}
	}
	near := func(a, b backend.Stats) bool {
		x, y := reflect.ValueOf(a), reflect.ValueOf(b)
		for i := range x.NumField() {
			if f := x.Field(i); f.CanFloat() && math.Abs(f.Float()-y.Field(i).Float()) > 1e-9*math.Abs(f.Float()) || f.CanInt() && f.Int() != y.Field(i).Int() {
				return false
			}
		}
		return true
	}
	a, b := whole.Aggregate(), merged.Aggregate()
	if !near(a.Runs, b.Runs) || a.Cancelled != b.Cancelled || a.Cancelled == 0 || len(a.Nodes) != len(b.Nodes) {
		t.Errorf("runs %+v, merged %+v", a.Runs, b.Runs)
	}
	for name := range a.Nodes {
		if !near(*a.Nodes[name], *b.Nodes[name]) {
			t.Errorf("%s %+v, merged %+v", name, *a.Nodes[name], *b.Nodes[name])
		}
	}
}

func TestDerivedRecordsAreCounted(t *testing.T) {
	for n := range 100 {
		x := backendtest.Sample(n)
		x.Spans = append(x.Spans, backend.Span{Kind: 3, Seq: -1, Tokens: 5, Cost: 1})
		for derive := range backend.Derive(4) {
			x.Derive = derive
			if e, m := len(x.AllEvents()), len(x.AllMetrics()); e != x.EventCount() || m != x.MetricCount() {
				t.Fatalf("trace %d: %d events counted as %d, %d metrics as %d", n, e, x.EventCount(), m, x.MetricCount())
			}
		}
	}
}

// The percentiles of an Aggregator are those of the sorted durations, weighted, also
// when it was merged of parts and when all durations lie in one bucket.
func TestExactPercentiles(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for name, draw := range map[string]func() int64{
		"wide":     func() int64 { return int64(1e5 * math.Exp(2*r.NormFloat64())) },
		"narrow":   func() int64 { return 1e9 + int64(r.IntN(1e6)) },
		"equal":    func() int64 { return 123_456_789 },
		"few":      func() int64 { return int64(r.IntN(3)) * 7e6 },
		"negative": func() int64 { return int64(r.IntN(100)) - 80 },
		"ages":     func() int64 { return math.MaxInt64/4 + r.Int64N(math.MaxInt64/8) },
	} {
		for _, n := range []int{1, 2, 99, 30_000} {
			type weighted struct {
				ns int64
				w  float64
			}
			var all []weighted
			var total float64
			var whole backend.Aggregator
			parts := make([]backend.Aggregator, 3)
			for i := range n {
				x := &backend.Trace{TraceID: backendtest.ID(i), RunID: backendtest.ID(i), Start: 1e9, End: 1e9 + 1, Status: backend.OK,
					Probability: []float64{1, .25, .1}[r.IntN(3)]}
				v := draw()
				x.Spans = []backend.Span{{Node: "n", Start: 1e9, End: 1e9 + v, Status: backend.OK, After: -1}}
				all, total = append(all, weighted{max(v, 0), 1 / x.Probability}), total+1/x.Probability
				whole.Add(x)
				parts[i%3].Add(x)
			}
			var merged backend.Aggregator
			for i := range parts {
				merged.Merge(&parts[i])
			}
			slices.SortFunc(all, func(a, b weighted) int { return cmp.Compare(a.ns, b.ns) })
			for _, a := range []*backend.Aggregator{&whole, &merged} {
				s := a.Aggregate().Nodes["n"]
				for q, got := range map[float64]float64{.5: s.P50, .95: s.P95, .99: s.P99} {
					seen, want := 0.0, 0.0
					for _, x := range all {
						want = float64(x.ns) / 1e9
						if seen += x.w; seen >= (q-1e-9)*total {
							break
						}
					}
					if got != want {
						t.Errorf("%s, %d durations: quantile %v is %v, want %v", name, n, q, got, want)
					}
				}
			}
		}
	}
}

// Beyond its bounds an Aggregator keeps no durations and its percentiles are those of
// the histogram.
func TestTooManyForExactPercentiles(t *testing.T) {
	x := &backend.Trace{TraceID: backendtest.ID(1), RunID: backendtest.ID(1), End: 1, Probability: 1, Status: backend.OK, Spans: make([]backend.Span, 100_000)}
	for i := range x.Spans {
		x.Spans[i] = backend.Span{Node: "n", End: int64(i) * 1000, Status: backend.OK, Seq: i, After: -1}
	}
	var a backend.Aggregator
	for n := range 90 {
		a.Add(x)
		if n == 3 && a.Aggregate().Nodes["n"].P50 != .049999 {
			t.Fatalf("the median is %v at first", a.Aggregate().Nodes["n"].P50)
		}
	}
	if s := a.Aggregate().Nodes["n"]; s.Recorded != 9_000_000 || s.P50 == .049999 || math.Abs(s.P50/.05-1) > 1./64 {
		t.Errorf("%+v", s)
	}
	var b backend.Aggregator
	x.Spans = x.Spans[:100]
	for n := range 70 {
		x.Probability = 1 / float64(n+1)
		b.Add(x)
	}
	if s := b.Aggregate().Nodes["n"]; s.P50 == 49e-6 || math.Abs(s.P50/49e-6-1) > 1./32 {
		t.Errorf("with seventy weights: %+v", s)
	}
}
