package telemetry

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// MetricSummary sums up the points of one metric of one node of one version. A
// point of a run that was kept with probability p counts 1/p times.
type MetricSummary struct {
	Name        string    `json:"name"`
	Graph       string    `json:"graph_id"`
	Version     string    `json:"graph_version"`
	Node        string    `json:"node_name,omitempty"` // empty for a metric of the run
	Aggregation string    `json:"aggregation"`         // of the last point, like Unit
	Unit        string    `json:"unit,omitempty"`
	Points      int64     `json:"points"` // recorded ones, on which all below rests
	Count       float64   `json:"count"`  // weighted, like all but Min, Max and Last
	Sum         float64   `json:"sum"`
	Mean        float64   `json:"mean"`
	Min         float64   `json:"min"`
	Max         float64   `json:"max"`
	P50         float64   `json:"p50"` // at most 1.6 % off, like P95
	P95         float64   `json:"p95"`
	Last        float64   `json:"last"` // the latest value
	LastTime    time.Time `json:"last_time"`
}

// maxSummaries bounds the metrics that one question sums up.
const maxSummaries = 10_000

// MetricSummaries sums up the points that Metrics would yield for f, by name,
// graph, version and node, in this order; f.Limit and f.Offset count summaries.
// Points that are not finite numbers are left out. A Limit fault when there are
// more than 10,000.
func (q *Query) MetricSummaries(ctx context.Context, f backend.Filter) ([]MetricSummary, error) {
	if f.Of != "" && f.Of != backend.OfMetrics {
		return nil, fault.New(fault.Invalid, "of", "%q is asked for where metrics are answered", f.Of)
	}
	page := f.Page()
	f.Of = backend.OfMetrics
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	f.Sort, f.Newest, f.Limit, f.Offset = "", false, 0, 0
	type key struct{ name, graph, version, node string }
	all := map[key]*summary{}
	for t, err := range q.Raw(ctx, f) {
		if err != nil {
			return nil, err
		}
		points := t.AllMetrics()
		for i := range points {
			p := &points[i]
			if !m.SelectsMetric(t, p) || math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
				continue
			}
			k := key{p.Name, t.Graph, t.Version, p.Node}
			s := all[k]
			if s == nil {
				if len(all) == maxSummaries {
					return nil, fault.New(fault.Limit, "metrics", "there are more than %d metrics by name, version and node", maxSummaries).
						WithHint("name a graph, a version, a metric or a time")
				}
				s = &summary{MetricSummary: MetricSummary{Name: p.Name, Graph: t.Graph, Version: t.Version, Node: p.Node}, buckets: map[int64]*bucket{}}
				all[k] = s
			}
			s.add(p, 1/t.Probability)
		}
	}
	sums := make([]MetricSummary, 0, len(all))
	for _, s := range all {
		sums = append(sums, s.finish())
	}
	slices.SortFunc(sums, func(x, y MetricSummary) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Graph, y.Graph), cmp.Compare(x.Version, y.Version), cmp.Compare(x.Node, y.Node))
	})
	return slices.DeleteFunc(sums, func(MetricSummary) bool { return page.Full() || !page.Take() }), nil
}

// summary is a MetricSummary under way, with a histogram of 32 buckets in every
// power of two; a bucket remembers the mean of what fell into it, so that few
// distinct values come out exactly.
type summary struct {
	MetricSummary
	buckets map[int64]*bucket
}

type bucket struct{ weight, mean float64 }

// place returns the number of the bucket of v; numbers order as values do.
func place(v float64) int64 {
	n := int64(math.Float64bits(v+0)&math.MaxInt64) >> 47
	if v < 0 {
		return -n
	}
	return n
}

func (s *summary) add(p *backend.Metric, w float64) {
	v := p.Value
	if s.Points == 0 {
		s.Min, s.Max = v, v
	}
	s.Points++
	s.Count += w
	s.Sum += w * v
	s.Mean += (v - s.Mean) * (w / s.Count)
	s.Min, s.Max = min(s.Min, v), max(s.Max, v)
	if when := at(p.Time); s.Points == 1 || !when.Before(s.LastTime) {
		s.Last, s.LastTime, s.Aggregation, s.Unit = v, when, p.Agg, p.Unit
	}
	b := s.buckets[place(v)]
	if b == nil {
		b = &bucket{}
		s.buckets[place(v)] = b
	}
	b.weight += w
	b.mean += (v - b.mean) * (w / b.weight)
}

func (s *summary) finish() MetricSummary {
	order := make([]int64, 0, len(s.buckets))
	for n := range s.buckets {
		order = append(order, n)
	}
	slices.Sort(order)
	quantile := func(q float64) float64 {
		sum := 0.0
		for _, n := range order {
			if sum += s.buckets[n].weight; sum >= q*s.Count*(1-1e-12) {
				return s.buckets[n].mean
			}
		}
		return s.Max
	}
	s.P50, s.P95 = quantile(.5), quantile(.95)
	for _, v := range [...]*float64{&s.Sum, &s.Mean, &s.P50, &s.P95} { // JSON has no infinity
		*v = max(min(*v, math.MaxFloat64), -math.MaxFloat64)
	}
	return s.MetricSummary
}
