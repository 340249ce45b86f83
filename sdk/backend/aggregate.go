package backend

import (
	"encoding/hex"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
)

// Bounds of an Aggregate: what lies beyond them is left out of the lists but
// stays counted in the figures.
const (
	maxPatterns = 1000
	maxMetrics  = 1000
	samples     = 3
)

// Aggregator sums traces up for analysis; every backend that can read its traces
// back answers Aggregate with it. The zero value is ready. Not safe for
// concurrent use.
type Aggregator struct {
	tallies      Tallies
	failures     map[[2]string]*Failure
	metrics      map[string]*metricSum
	perRun       map[string]*runMetric
	any          bool
	first, last  int64
	unattributed int64
}

type metricSum struct {
	weight, sum, min, max float64
	agg, unit             string
}

// runMetric is one metric within one run.
type runMetric struct {
	sum, last float64
	time      int64
	n         int
	agg, unit string
}

// Add counts t with weight 1/Probability. A trace that Check refuses is ignored.
// Nothing of t is kept but strings.
func (a *Aggregator) Add(t *Trace) {
	if t.Check() != nil {
		return
	}
	w := 1 / t.Probability
	a.tallies.Add(t, w)
	if t.Graph == "" {
		a.unattributed++
	}
	if !a.any || t.Start < a.first {
		a.any, a.first = true, t.Start
	}
	a.last = max(a.last, t.Start)
	if t.Status == Cancelled {
		return
	}
	a.addFailures(t, w)
	a.addMetrics(t, w)
}

func (a *Aggregator) addFailures(t *Trace, w float64) {
	blamed := false
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Status == Failed && s.Seq >= 0 {
			a.failure(t, s.Node, s.ErrorType, s.Error, w)
			blamed = true
		}
	}
	if t.Status == Failed && !blamed {
		a.failure(t, "", t.ErrorType, t.Error, w)
	}
}

func (a *Aggregator) failure(t *Trace, node, kind, msg string, w float64) {
	key := [2]string{node, kind}
	f := a.failures[key]
	if f == nil {
		if len(a.failures) >= maxPatterns {
			return
		}
		if a.failures == nil {
			a.failures = map[[2]string]*Failure{}
		}
		f = &Failure{Node: node, ErrorType: kind}
		a.failures[key] = f
	}
	f.Count += w
	msg = strings.ToValidUTF8(msg, "\uFFFD") // samples are for people, and travel as JSON
	if len(f.Samples) < samples && msg != "" && !slices.Contains(f.Samples, msg) {
		f.Samples = append(f.Samples, msg)
	}
	if len(f.Traces) < samples {
		if id := hex.EncodeToString(t.TraceID[:]); !slices.Contains(f.Traces, id) {
			f.Traces = append(f.Traces, id)
		}
	}
}

// addMetrics combines the stored points of one run by their aggregation, then
// counts that one value a run.
func (a *Aggregator) addMetrics(t *Trace, w float64) {
	if len(t.Metrics) == 0 {
		return
	}
	if a.perRun == nil {
		a.perRun, a.metrics = map[string]*runMetric{}, map[string]*metricSum{}
	}
	clear(a.perRun)
	for i := range t.Metrics {
		m := &t.Metrics[i]
		r := a.perRun[m.Name]
		if r == nil {
			r = &runMetric{agg: m.Agg, unit: m.Unit, time: m.Time}
			a.perRun[m.Name] = r
		}
		r.n++
		r.sum += m.Value
		if m.Time >= r.time {
			r.time, r.last = m.Time, m.Value
		}
	}
	for name, r := range a.perRun {
		v := r.sum
		switch r.agg {
		case "gauge":
			v = r.last
		case "histogram":
			v = r.sum / float64(r.n)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) { // what is not a number is missing, not a value
			continue
		}
		s := a.metrics[name]
		if s == nil {
			if len(a.metrics) >= maxMetrics {
				continue
			}
			s = &metricSum{min: v, max: v, agg: r.agg, unit: r.unit}
			a.metrics[name] = s
		}
		s.weight += w
		s.sum += w * v
		s.min, s.max = min(s.min, v), max(s.max, v)
	}
}

// Merge counts all that o counted, as if it had come after what a counted. O must
// not be used again.
func (a *Aggregator) Merge(o *Aggregator) {
	a.tallies.Run.Merge(&o.tallies.Run)
	for name, n := range o.tallies.Nodes {
		a.tallies.Node(name).Merge(n)
	}
	a.unattributed += o.unattributed
	if o.any {
		if !a.any || o.first < a.first {
			a.first = o.first
		}
		a.any, a.last = true, max(a.last, o.last)
	}
	for key, f := range o.failures {
		mine := a.failures[key]
		if mine == nil {
			if len(a.failures) < maxPatterns {
				if a.failures == nil {
					a.failures = map[[2]string]*Failure{}
				}
				a.failures[key] = f
			}
			continue
		}
		mine.Count += f.Count
		mine.Samples = more(mine.Samples, f.Samples)
		mine.Traces = more(mine.Traces, f.Traces)
	}
	for name, s := range o.metrics {
		mine := a.metrics[name]
		if mine == nil {
			if len(a.metrics) < maxMetrics {
				if a.metrics == nil {
					a.perRun, a.metrics = map[string]*runMetric{}, map[string]*metricSum{}
				}
				a.metrics[name] = s
			}
			continue
		}
		mine.weight += s.weight
		mine.sum += s.sum
		mine.min, mine.max = min(mine.min, s.min), max(mine.max, s.max)
	}
}

// more adds to list what it lacks of other, up to the bound of samples.
func more(list, other []string) []string {
	for _, s := range other {
		if len(list) < samples && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// Aggregate returns the figures so far. The Aggregator may go on.
func (a *Aggregator) Aggregate() *Aggregate {
	g := a.tallies.Aggregate()
	g.Unattributed = a.unattributed
	if a.any {
		g.First, g.Last = time.Unix(0, a.first).UTC(), time.Unix(0, a.last).UTC()
	}
	for _, f := range a.failures {
		g.Failures = append(g.Failures, *f)
	}
	slices.SortFunc(g.Failures, func(x, y Failure) int {
		if x.Count != y.Count {
			if x.Count > y.Count {
				return -1
			}
			return 1
		}
		return slices.Compare([]string{x.Node, x.ErrorType}, []string{y.Node, y.ErrorType})
	})
	for name, s := range a.metrics {
		if g.Metrics == nil {
			g.Metrics = make(map[string]MetricStat, len(a.metrics))
		}
		g.Metrics[name] = MetricStat{Runs: s.weight, Mean: s.sum / s.weight, Min: s.min, Max: s.max, Agg: s.agg, Unit: s.unit}
	}
	return g
}

// AggregateTraces adds up a whole sequence, or returns its error.
func AggregateTraces(traces iter.Seq2[*Trace, error]) (*Aggregate, error) {
	var a Aggregator
	for t, err := range traces {
		if err != nil {
			return nil, err
		}
		a.Add(t)
	}
	return a.Aggregate(), nil
}
