package postgres

import (
	"math"

	"github.com/sparkrsi/spark/sdk/backend"
)

// A cell is everything about a span that its weight counts for, in one number,
// which the database groups by faster than by each of it. Its upper 17
// bits are the bucket of the duration, the outcomes, the cache hit and whether the
// span is a step, the others a hash of node and weight.
func cell(t *backend.Trace, s *backend.Span, node int64, weight float64) int64 {
	c := uint64(backend.Bucket(s.End-s.Start))<<6 | uint64(t.Status)<<4 | uint64(s.Status&3)<<2
	if s.CacheHit {
		c |= 2
	}
	if s.Seq >= 0 {
		c |= 1
	}
	// Two rounds of a multiplicative hash. Source: Knuth 1998, TAOCP 3, 6.4.
	const golden = 0x9e3779b97f4a7c15
	h := (uint64(node)*golden ^ math.Float64bits(weight)) * golden
	h = (h ^ h>>32) * golden
	return int64(c<<cellShift | h>>(64-cellShift))
}

const cellShift = 47

// uncell returns what the upper bits of a cell were made of.
func uncell(cell int64) (run, span backend.Status, hit, step bool) {
	c := uint64(cell) >> cellShift
	return backend.Status(c >> 4 & 3), backend.Status(c >> 2 & 3), c&2 != 0, c&1 != 0
}

func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// sums is what the steps of a run add up to.
type sums struct {
	retries, cacheHits, tokens int64
	cost                       float64
	ownFailure                 bool // failed, but no step did
}

func sum(t *backend.Trace) (x sums) {
	x.ownFailure = t.Status == backend.Failed
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Seq < 0 {
			continue
		}
		if s.Status == backend.Failed {
			x.ownFailure = false
		}
		x.cost += s.Cost // was spent, whatever came of the step
		if s.Status == backend.Cancelled {
			continue
		}
		x.retries += int64(s.Retries)
		x.tokens += s.Tokens
		if s.CacheHit {
			x.cacheHits++
		}
	}
	return x
}

// points combines the metric points of runs as backend.Aggregator does. Not safe
// for concurrent use.
type points struct {
	first  map[string]int // index of the first point with a name
	values []point        // by index of that point
}

type point struct {
	sum, last float64
	time      int64
	n         int
}

// combine takes the points of the next run.
func (p *points) combine(metrics []backend.Metric) {
	if p.first == nil {
		p.first = map[string]int{}
	}
	clear(p.first)
	p.values = zeroed(p.values, len(metrics))
	for i := range metrics {
		m := &metrics[i]
		at, ok := p.first[m.Name]
		if !ok {
			at = i
			p.first[m.Name] = i
			p.values[i].time = m.Time
		}
		v := &p.values[at]
		v.n++
		v.sum += m.Value
		if m.Time >= v.time {
			v.time, v.last = m.Time, m.Value
		}
	}
}

// value returns what all points named like the ith, m, make of the run: the sum
// of counters, the last of gauges, the mean of histograms. It is false for every
// point but the first of its name, and when the outcome is not a number.
func (p *points) value(i int, m *backend.Metric) (float64, bool) {
	x := &p.values[i]
	if x.n == 0 {
		return 0, false
	}
	v := x.sum
	switch m.Agg {
	case "gauge":
		v = x.last
	case "histogram":
		v = x.sum / float64(x.n)
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}
