package stats

import "math"

// AnytimeThreshold is the evidence at which an AnytimeT may be acted on: under no difference it is ever reached with
// probability at most 1/20.
const AnytimeThreshold = 20

// AnytimeT weighs whether the mean of a stream differs from 0 when nobody knows how long the stream will be: look after
// every value, stop whenever E reaches AnytimeThreshold, and the error stays below 5 %. The zero value is ready. One
// goroutine at a time.
//
// Source: Lindon et al. 2022, the mixture t test with prior precision chosen as g = 0.25.
type AnytimeT struct{ m moments }

// Add takes one value. A value that is not finite is refused: it returns false and leaves the evidence as it was.
func (a *AnytimeT) Add(x float64) bool {
	if !finite(x) {
		return false
	}
	a.m.add(x)
	return true
}

// N returns how many values were taken.
func (a *AnytimeT) N() int { return a.m.n }

// Mean returns the mean of the values, 0 when there is none.
func (a *AnytimeT) Mean() float64 { return a.m.mean }

// E returns the evidence against a mean of 0, in (0,+Inf): 1 says nothing. With r = 1 + n g and v = n - 1,
// ln E = -1/2 ln r + n/2 [ln(1 + t^2/v) - ln(1 + t^2/(v r))]. It is 1 below 2 values, and while all values are equal,
// because then there is no scale to judge by.
func (a *AnytimeT) E() float64 {
	se := a.m.stdErr()
	if a.m.n < 2 || !(se > 0) || math.IsInf(se, 0) {
		return 1
	}
	const g = 0.25
	n, v, t := float64(a.m.n), float64(a.m.n-1), a.m.mean/se
	r := 1 + n*g
	e := math.Exp(-math.Log(r)/2 + n/2*(math.Log1p(t*t/v)-math.Log1p(t*t/(v*r))))
	if math.IsNaN(e) {
		return 1
	}
	return e
}
