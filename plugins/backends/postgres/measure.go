package postgres

import (
	"math"
	"math/bits"

	"github.com/sparkrsi/spark/sdk/backend"
)

// bucket returns the number of the bucket of a duration in nanoseconds, as
// backend.Durations counts it: 32 equal ones in every power of two.
func bucket(ns int64) int {
	v := uint64(max(ns, 0))
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 6
	return shift*32 + int(v>>shift)
}

// path computes the critical path of runs, as backend.Tallies does: from the
// step that ended last back along Span.After. Not safe for concurrent use.
type path struct {
	at    []int32 // by Seq: index of the span, plus one
	share []int64 // by index of the span: nanoseconds on the path
}

// walk returns for each span the nanoseconds it kept the run from ending. The
// slice is valid until the next call.
func (p *path) walk(spans []backend.Span) []int64 {
	p.share = zeroed(p.share, len(spans))
	p.at = zeroed(p.at, 4*len(spans)+64)
	last := -1
	for i := range spans {
		s := &spans[i]
		if s.Seq < 0 {
			continue
		}
		if s.Seq < len(p.at) {
			p.at[s.Seq] = int32(i) + 1
		}
		if last < 0 || s.End > spans[last].End {
			last = i
		}
	}
	for i := last; i >= 0; {
		s, from, next := &spans[i], spans[i].Start, -1
		if s.After >= 0 && s.After < s.Seq && s.After < len(p.at) {
			next = int(p.at[s.After]) - 1
		}
		if next >= 0 {
			from = spans[next].End
		}
		p.share[i] += max(s.End-from, 0)
		i = next
	}
	return p.share
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
