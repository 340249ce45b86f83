package stats

import "math"

// track is what one objective has shown so far.
type track struct {
	Objective
	d         []float64 // improvement of every pair, NaN where left out; Bounded not yet divided by mean(b)
	m         moments   // of d
	baseline  moments   // of the values that made d
	candidate moments
	largest   float64 // of those values; the most that one pair could lose

	failed           int // pairs left out because a side failed
	zeros            int // ratios left out because one side is 0 in the better direction
	baselineMissing  int // values a successful baseline run did not have
	candidateMissing int
	reported         moments // over pairs where both runs succeeded: 1 where only the candidate has a value, -1 where only the baseline has
}

// add takes one pair.
func (t *track) add(b, c float64, baselineOK, candidateOK bool) {
	d := math.NaN()
	if t.Kind == Success {
		b, c = indicator(baselineOK), indicator(candidateOK)
	} else {
		b, c = t.value(b, baselineOK), t.value(c, candidateOK)
		if baselineOK && candidateOK {
			t.countMissing(!math.IsNaN(b), !math.IsNaN(c))
		}
	}
	switch {
	case math.IsNaN(b) || math.IsNaN(c):
		if !baselineOK || !candidateOK {
			t.failed++
		}
	case t.Kind == Ratio:
		if d = t.logRatio(b, c); math.IsNaN(d) {
			t.zeros++
		}
	case t.Direction == Minimize:
		d = b - c
	default:
		d = c - b
	}
	t.d = append(t.d, d)
	if math.IsNaN(d) {
		return
	}
	t.m.add(d)
	t.baseline.add(b)
	t.candidate.add(c)
	t.largest = max(t.largest, b, c)
}

// value returns what a run's value counts as, NaN when it counts as nothing.
func (t *track) value(x float64, ok bool) float64 {
	if !ok {
		switch {
		case t.Direction == Maximize && t.Kind != Ratio:
			return 0
		case t.Kind == Rate:
			return 1
		}
		return math.NaN()
	}
	if !finite(x) || x < 0 || t.Kind == Rate && x > 1 {
		return math.NaN()
	}
	return x
}

func (t *track) logRatio(b, c float64) float64 {
	if b == 0 && c == 0 {
		return 0
	}
	d := math.Log(c) - math.Log(b)
	if t.Direction == Minimize {
		d = -d
	}
	if (b == 0 || c == 0) && d > 0 {
		return math.NaN()
	}
	return max(-maxLogRatio, min(maxLogRatio, d))
}

func (t *track) countMissing(baseline, candidate bool) {
	t.reported.add(indicator(candidate) - indicator(baseline))
	if !baseline {
		t.baselineMissing++
	}
	if !candidate {
		t.candidateMissing++
	}
}

// unit is what one unit of d is divided by to become a relative change.
func (t *track) unit() float64 {
	if t.Kind == Bounded && t.baseline.mean > 0 {
		return t.baseline.mean
	}
	return 1
}

// stdErr is the standard error of the mean of d for judging harm. Where most pairs do not differ at all, one that
// loses everything is added to the variance: twenty pairs that agree are no proof that none would break.
func (t *track) stdErr() float64 {
	switch t.Kind {
	case Bounded:
		return withPseudoPair(t.m, t.largest)
	case Rate, Success:
		return withPseudoPair(t.m, 1)
	}
	return t.m.stdErr()
}

// withPseudoPair is the standard error of m with one pair of the given size added to the variance.
func withPseudoPair(m moments, size float64) float64 {
	return math.Hypot(m.stdErr(), size/float64(m.n))
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
