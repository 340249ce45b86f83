package stats

import (
	"errors"
	"math"
	"math/bits"
	"slices"
)

// ErrTooFew says that there are too few values for an answer to mean anything.
var ErrTooFew = errors.New("too few values")

// SignFlip returns the score of the mean of d when each sign could as well have been the other:
// z = sum d / sqrt(sum d^2), at most sqrt(len(d)) in size. It is 0 when every value is 0 or there is none, and NaN when
// one is not finite.
func SignFlip(d []float64) float64 {
	var largest, sum, squares float64
	for _, x := range d {
		largest = max(largest, math.Abs(x))
	}
	if largest == 0 {
		return 0
	}
	for _, x := range d {
		x /= largest // neither overflows nor vanishes when squared
		sum += x
		squares += x * x
	}
	return sum / math.Sqrt(squares)
}

// SignedRank returns Wilcoxon's signed-rank score: T = sum sign(d) rank|d| over the n values that are not 0, with
// mid-ranks for ties, divided by sqrt(n(n+1)(2n+1)/6). It is 0 when every value is 0 or there is none, and NaN when a
// value is. Source: Wilcoxon 1945; the variance is not reduced for ties, which errs towards no difference.
func SignedRank(d []float64) float64 {
	// A float64 turned left by one bit orders as its size, with the sign last.
	keys := make([]uint64, 0, len(d))
	for _, x := range d {
		if math.IsNaN(x) {
			return x
		}
		if x != 0 {
			keys = append(keys, bits.RotateLeft64(math.Float64bits(x), 1))
		}
	}
	if len(keys) == 0 {
		return 0
	}
	slices.Sort(keys)
	var total float64
	for i := 0; i < len(keys); {
		j, signs := i, 0
		for ; j < len(keys) && keys[j]>>1 == keys[i]>>1; j++ {
			signs += 1 - 2*int(keys[j]&1)
		}
		total += float64(signs) * float64(i+1+j) / 2 // ranks i+1..j share their mean
		i = j
	}
	n := float64(len(keys))
	return total / math.Sqrt(n*(n+1)*(2*n+1)/6)
}

// Interval is an estimate with the interval around it, all in the unit its field's comment names. Low may be -Inf and
// High +Inf when the data do not bound them.
type Interval struct {
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

// HodgesLehmann returns the median of the Walsh averages of d, in d's unit, with its interval at the boundary b (1.96
// for a fixed 95 %, b_k of the look for a repeated interval): the Walsh averages at rank
// n(n+1)/4 - b sqrt(n(n+1)(2n+1)/24) from below and from above, unbounded where that rank is below 1. ErrTooFew below
// 2 values or when one is not finite. It takes O(n) memory and about 200 passes over d.
// Source: Hodges & Lehmann 1963; Jennison & Turnbull 2000, chapter 9.
func HodgesLehmann(d []float64, b float64) (Interval, error) {
	if len(d) < 2 {
		return Interval{}, ErrTooFew
	}
	sorted := slices.Clone(d)
	slices.Sort(sorted)
	// NaN sorts first.
	if math.IsNaN(sorted[0]) || math.IsInf(sorted[0], 0) || math.IsInf(sorted[len(sorted)-1], 0) {
		return Interval{}, ErrTooFew
	}
	n := float64(len(d))
	averages := len(d) * (len(d) + 1) / 2
	median := walsh(sorted, (averages+1)/2)
	if averages%2 == 0 {
		median = median/2 + walsh(sorted, averages/2+1)/2
	}
	out := Interval{Estimate: median, Low: math.Inf(-1), High: math.Inf(1)}
	// The statistic is symmetric about n(n+1)/4, so the k-th from below and from above belong together.
	if k := int(math.Floor(n*(n+1)/4 - b*math.Sqrt(n*(n+1)*(2*n+1)/24))); k >= 1 {
		out.Low, out.High = walsh(sorted, k), walsh(sorted, averages+1-k)
	}
	return out, nil
}

// walsh returns the k-th smallest (from 1) of the averages (x_i + x_j)/2, i <= j, of sorted finite values. It bisects
// over the floating-point numbers themselves, so the answer is exact, and counts without listing the averages.
func walsh(sorted []float64, k int) float64 {
	lo, hi := orderOf(sorted[0]), orderOf(sorted[len(sorted)-1])
	for lo < hi {
		mid := lo + int64(uint64(hi-lo)/2)
		limit, count, j := ordered(mid), 0, len(sorted)-1
		for i := 0; i <= j; i++ {
			for j >= i && sorted[i]/2+sorted[j]/2 > limit {
				j--
			}
			count += j - i + 1
		}
		if count >= k {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return ordered(lo)
}

// orderOf maps finite floating-point numbers to integers of the same order; ordered is its inverse.
func orderOf(x float64) int64 {
	i := int64(math.Float64bits(x))
	if i < 0 {
		return math.MinInt64 - i
	}
	return i
}

func ordered(i int64) float64 {
	if i < 0 {
		return math.Float64frombits(uint64(math.MinInt64 - i))
	}
	return math.Float64frombits(uint64(i))
}

// MeanInterval returns the mean of d with mean +- b sd/sqrt(n), in d's unit; b as for HodgesLehmann. ErrTooFew below 2
// values or when the result is not finite.
func MeanInterval(d []float64, b float64) (Interval, error) {
	var m moments
	for _, x := range d {
		m.add(x)
	}
	half := b * m.stdErr()
	if m.n < 2 || !finite(m.mean) || !finite(half) {
		return Interval{}, ErrTooFew
	}
	return Interval{Estimate: m.mean, Low: m.mean - half, High: m.mean + half}, nil
}

// moments is Welford's running mean and sum of squared deviations.
type moments struct {
	n        int
	mean, m2 float64
}

func (m *moments) add(x float64) {
	m.n++
	delta := x - m.mean
	m.mean += delta / float64(m.n)
	m.m2 += delta * (x - m.mean)
}

// sd is the sample standard deviation; NaN below 2 values.
func (m *moments) sd() float64 {
	if m.n < 2 {
		return math.NaN()
	}
	return math.Sqrt(m.m2 / float64(m.n-1))
}

func (m *moments) stdErr() float64 { return m.sd() / math.Sqrt(float64(m.n)) }

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
