package stats

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// WeightedMean returns the mean of x weighted by w, in x's unit; a record kept with probability p weighs 1/p. ErrTooFew
// when nothing has weight; an error when the lengths differ or a weight is negative or not finite.
func WeightedMean(x, w []float64) (float64, error) {
	if err := checkWeights(x, w); err != nil {
		return 0, fmt.Errorf("weighted mean: %w", err)
	}
	var sum, total float64
	for i := range x {
		sum += w[i] * x[i]
		total += w[i]
	}
	return sum / total, nil
}

// WeightedQuantile returns the smallest value of x that at least the share q of the weight does not exceed, q in
// (0,1]; a record kept with probability p weighs 1/p. It does not judge whether there are enough values: see
// QuantileShown. Errors as WeightedMean.
func WeightedQuantile(x, w []float64, q float64) (float64, error) {
	if err := checkWeights(x, w); err != nil {
		return 0, fmt.Errorf("weighted quantile: %w", err)
	}
	if !(q > 0 && q <= 1) {
		return 0, fmt.Errorf("weighted quantile: q %v is outside (0,1]", q)
	}
	order := make([]int, 0, len(x))
	var total float64
	for i := range x {
		if w[i] > 0 {
			order = append(order, i)
			total += w[i]
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	var below float64
	for _, i := range order {
		// A relative 1e-12 keeps q exact for equal weights although their sums are rounded.
		if below += w[i]; below >= q*total*(1-1e-12) {
			return x[i], nil
		}
	}
	return x[order[len(order)-1]], nil
}

func checkWeights(x, w []float64) error {
	if len(x) != len(w) {
		return fmt.Errorf("%d values have %d weights", len(x), len(w))
	}
	var total float64
	for i := range x {
		if math.IsNaN(x[i]) {
			return fmt.Errorf("value %d is not a number", i)
		}
		if !finite(w[i]) || w[i] < 0 {
			return fmt.Errorf("weight %d is %v", i, w[i])
		}
		total += w[i]
	}
	if total == 0 {
		return ErrTooFew
	}
	return nil
}

// QuantileShown says whether n values an arm are enough to show the quantile q in (0,1): with probability 95 % at least
// one of them lies beyond it, which takes 59 values for 0.95 and 299 for 0.99.
func QuantileShown(n int, q float64) bool {
	return q > 0 && q < 1 && float64(n) >= math.Log(0.05)/math.Log(q)
}

// quantileResamples is how many bootstrap draws stand behind an interval; its ends then move by about 2 % of its width.
const quantileResamples = 2000

// QuantileRatio returns the quantile q in (0,1) of candidate divided by that of baseline, with a 95 % bootstrap
// interval. Below 1 the candidate is smaller. ErrTooFew when QuantileShown is false for either arm or the baseline's
// quantile is not above 0; an error when a value is negative or not finite. The same rng state gives the same answer.
//
// The k-th order statistic of a resample of n values is the one at rank ceil(n B) of the sample, B ~ Beta(k, n+1-k), so
// no resample is ever drawn.
func QuantileRatio(baseline, candidate []float64, q float64, rng *rand.Rand) (Interval, error) {
	var arms [2][]float64
	var draw [2]distuv.Beta
	var point [2]float64
	for i, values := range [2][]float64{baseline, candidate} {
		n := len(values)
		if !QuantileShown(n, q) {
			return Interval{}, fmt.Errorf("quantile ratio at %v: %d values: %w", q, n, ErrTooFew)
		}
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		if !(sorted[0] >= 0) || math.IsInf(sorted[n-1], 1) {
			return Interval{}, fmt.Errorf("quantile ratio at %v: a value is negative or not finite", q)
		}
		k := math.Ceil(float64(n) * q)
		arms[i], point[i] = sorted, sorted[int(k)-1]
		draw[i] = distuv.Beta{Alpha: k, Beta: float64(n) + 1 - k, Src: rng}
	}
	if point[0] == 0 {
		return Interval{}, fmt.Errorf("quantile ratio at %v: the baseline's is 0: %w", q, ErrTooFew)
	}
	ratios := make([]float64, quantileResamples)
	for i := range ratios {
		var drawn [2]float64
		for a := range drawn {
			rank := math.Ceil(float64(len(arms[a])) * draw[a].Rand())
			drawn[a] = arms[a][max(int(rank), 1)-1]
		}
		if ratios[i] = drawn[1] / drawn[0]; drawn[0] == 0 {
			ratios[i] = math.Inf(1)
		}
	}
	slices.Sort(ratios)
	return Interval{
		Estimate: point[1] / point[0],
		Low:      ratios[quantileResamples*25/1000-1],
		High:     ratios[quantileResamples-quantileResamples*25/1000],
	}, nil
}
