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
// back answers Aggregate with it. Percentiles are exact as long as it counts at most
// 8,388,608 runs and steps with at most 64 different probabilities, else as Durations
// has them. The zero value is ready. Not safe for concurrent use.
type Aggregator struct {
	tallies      Tallies
	failures     map[[2]string]*pattern
	metrics      map[string]*metricSum
	points       runMetrics
	ledger       ledgerReader
	any          bool
	first, last  int64
	unattributed int64
}

type metricSum struct {
	weight, sum, min, max float64
	agg, unit             string
}

// Add counts t with weight 1/Probability. A trace that Check refuses is ignored.
// Nothing of t is kept but strings.
func (a *Aggregator) Add(t *Trace) {
	if t.Check() != nil {
		return
	}
	w := 1 / t.Probability
	a.tallies.keep()
	a.tallies.Add(t, w)
	a.begun(t.Start, t.Graph)
	if t.Status == Cancelled {
		return
	}
	t.failed(func(node, kind, msg string) { a.failure(t, node, kind, msg, w) })
	for _, m := range a.points.of(t.Metrics) {
		a.metric(m.name, m.agg, m.unit, m.value, w)
	}
}

// begun notes when a run of a graph started.
func (a *Aggregator) begun(start int64, graph string) {
	if graph == "" {
		a.unattributed++
	}
	if !a.any || start < a.first {
		a.any, a.first = true, start
	}
	a.last = max(a.last, start)
}

// failed calls f with the node, type and message of each failure of t: its failed
// steps, or the run when none of them is to blame.
func (t *Trace) failed(f func(node, kind, msg string)) {
	blamed := false
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Status == Failed && s.Seq >= 0 {
			f(s.Node, s.ErrorType, s.Error)
			blamed = true
		}
	}
	if t.Status == Failed && !blamed {
		f("", t.ErrorType, t.Error)
	}
}

// pattern is a Failure being counted. Its messages and trace ids are those of the
// runs that started first, whatever the order of counting.
type pattern struct {
	count            float64
	messages, traces []mention
}

// mention is a text and when the first run that it is of started.
type mention struct {
	text string
	at   int64
}

// failure counts a failure of t, of which the start and the trace id are known.
func (a *Aggregator) failure(t *Trace, node, kind, msg string, w float64) {
	p := a.pattern([2]string{node, kind})
	if p == nil {
		return
	}
	p.count += w
	if msg != "" {
		p.messages = first(p.messages, mention{strings.ToValidUTF8(msg, "\uFFFD"), t.Start}) // they are for people, and travel as JSON
	}
	if len(p.traces) < samples || t.Start < p.traces[samples-1].at {
		p.traces = first(p.traces, mention{hex.EncodeToString(t.TraceID[:]), t.Start})
	}
}

// pattern returns that of a node and error type, nil when there are too many.
func (a *Aggregator) pattern(key [2]string) *pattern {
	p := a.failures[key]
	if p == nil && len(a.failures) < maxPatterns {
		if a.failures == nil {
			a.failures = map[[2]string]*pattern{}
		}
		p = &pattern{}
		a.failures[key] = p
	}
	return p
}

// first adds m to list, which holds different texts, at most samples of them, those
// of the earliest runs in the order of these.
func first(list []mention, m mention) []mention {
	if len(list) == samples && m.at >= list[samples-1].at {
		return list
	}
	if i := slices.IndexFunc(list, func(x mention) bool { return x.text == m.text }); i >= 0 {
		if list[i].at <= m.at {
			return list
		}
		list = slices.Delete(list, i, i+1)
	}
	i := 0
	for i < len(list) && list[i].at <= m.at {
		i++
	}
	list = slices.Insert(list, i, m)
	return list[:min(len(list), samples)]
}

func texts(list []mention) (out []string) {
	for _, m := range list {
		out = append(out, m.text)
	}
	return out
}

// metric counts the one value that a run has of a metric.
func (a *Aggregator) metric(name, agg, unit string, v, w float64) {
	s := a.metrics[name]
	if s == nil {
		if len(a.metrics) >= maxMetrics {
			return
		}
		if a.metrics == nil {
			a.metrics = map[string]*metricSum{}
		}
		s = &metricSum{min: v, max: v, agg: agg, unit: unit}
		a.metrics[name] = s
	}
	s.weight += w
	s.sum += w * v
	s.min, s.max = min(s.min, v), max(s.max, v)
}

// runMetrics combines the stored points of one run by their aggregation: counters
// are summed, of gauges the last counts, histograms are averaged.
type runMetrics struct {
	at   map[string]int // in list
	list []runMetric
}

type runMetric struct {
	name, agg, unit  string
	value, sum, last float64
	time             int64
	n                int
}

// of returns one value for each metric, in the order of their first points; what
// is not a number is missing, not a value. Valid until the next call.
func (r *runMetrics) of(points []Metric) []runMetric {
	if len(points) == 0 {
		return nil
	}
	if r.at == nil {
		r.at = map[string]int{}
	}
	clear(r.at)
	r.list = r.list[:0]
	for i := range points {
		p := &points[i]
		k, ok := r.at[p.Name]
		if !ok {
			k = len(r.list)
			r.at[p.Name] = k
			r.list = append(r.list, runMetric{name: p.Name, agg: p.Agg, unit: p.Unit, time: p.Time})
		}
		m := &r.list[k]
		m.n++
		m.sum += p.Value
		if p.Time >= m.time {
			m.time, m.last = p.Time, p.Value
		}
	}
	kept := r.list[:0]
	for _, m := range r.list {
		switch m.agg {
		case "gauge":
			m.value = m.last
		case "histogram":
			m.value = m.sum / float64(m.n)
		default:
			m.value = m.sum
		}
		if !math.IsNaN(m.value) && !math.IsInf(m.value, 0) {
			kept = append(kept, m)
		}
	}
	return kept
}

// Merge counts all that o counted, as if it had come after what a counted. O must
// not be used again.
func (a *Aggregator) Merge(o *Aggregator) {
	if o.tallies.spare == nil {
		return // it counted nothing
	}
	a.tallies.keep()
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
	for key, theirs := range o.failures {
		if mine := a.pattern(key); mine != nil {
			mine.count += theirs.count
			for _, m := range theirs.messages {
				mine.messages = first(mine.messages, m)
			}
			for _, m := range theirs.traces {
				mine.traces = first(mine.traces, m)
			}
		}
	}
	for name, s := range o.metrics {
		mine := a.metrics[name]
		if mine == nil {
			if len(a.metrics) < maxMetrics {
				if a.metrics == nil {
					a.metrics = map[string]*metricSum{}
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

// Aggregate returns the figures so far. The Aggregator may go on.
func (a *Aggregator) Aggregate() *Aggregate {
	g := a.tallies.Aggregate()
	g.Unattributed = a.unattributed
	if a.any {
		g.First, g.Last = time.Unix(0, a.first).UTC(), time.Unix(0, a.last).UTC()
	}
	for key, p := range a.failures {
		g.Failures = append(g.Failures, Failure{Node: key[0], ErrorType: key[1], Count: p.count, Samples: texts(p.messages), Traces: texts(p.traces)})
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
