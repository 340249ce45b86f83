package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWeightedMeanAndQuantile(t *testing.T) {
	x, w := []float64{5, 1, 3}, []float64{1, 1, 2}
	mean, err := WeightedMean(x, w)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "weighted mean", mean, 3, 0)
	for q, want := range map[float64]float64{0.01: 1, 0.25: 1, 0.26: 3, 0.75: 3, 0.76: 5, 1: 5} {
		got, err := WeightedQuantile(x, w, q)
		if err != nil || got != want {
			t.Errorf("quantile %v is %v (%v), want %v", q, got, err, want)
		}
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	if got, err := WeightedQuantile(hundred, slices.Repeat([]float64{0.1}, 100), 0.95); got != 95 || err != nil {
		t.Errorf("p95 of 1..100 with weights 0.1 is %v (%v)", got, err)
	}
}

// A population sampled with known probabilities must look like the population, not like the sample.
func TestWeightsUndoSampling(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	var all, kept, weights []float64
	for range 200_000 {
		x, p := math.Exp(rng.NormFloat64()), 0.05
		if x > 3 {
			p = 1 // slow runs are always kept
		}
		all = append(all, x)
		if rng.Float64() < p {
			kept, weights = append(kept, x), append(weights, 1/p)
		}
	}
	ones := slices.Repeat([]float64{1}, len(all))
	for _, q := range []float64{0.5, 0.95} {
		want, err1 := WeightedQuantile(all, ones, q)
		got, err2 := WeightedQuantile(kept, weights, q)
		if err1 != nil || err2 != nil || math.Abs(got/want-1) > 0.05 {
			t.Errorf("quantile %v is %v from the sample and %v from all (%v, %v)", q, got, want, err1, err2)
		}
	}
	want, _ := WeightedMean(all, ones)
	got, err := WeightedMean(kept, weights)
	if err != nil || math.Abs(got/want-1) > 0.03 {
		t.Errorf("mean is %v from the sample and %v from all (%v)", got, want, err)
	}
}

func TestWeightedRefuses(t *testing.T) {
	for _, c := range []struct{ x, w []float64 }{
		{nil, nil}, {[]float64{1}, nil}, {[]float64{1}, []float64{0}}, {[]float64{1}, []float64{-1}},
		{[]float64{1}, []float64{math.Inf(1)}}, {[]float64{math.NaN()}, []float64{1}},
	} {
		if _, err := WeightedMean(c.x, c.w); err == nil {
			t.Errorf("mean of %v weighted %v was given", c.x, c.w)
		}
		if _, err := WeightedQuantile(c.x, c.w, 0.5); err == nil {
			t.Errorf("quantile of %v weighted %v was given", c.x, c.w)
		}
	}
	for _, q := range []float64{0, -1, 1.1, math.NaN()} {
		if _, err := WeightedQuantile([]float64{1}, []float64{1}, q); err == nil {
			t.Errorf("quantile %v was given", q)
		}
	}
}

func TestQuantileShown(t *testing.T) {
	for _, c := range []struct {
		n    int
		q    float64
		want bool
	}{{58, 0.95, false}, {59, 0.95, true}, {298, 0.99, false}, {299, 0.99, true}, {1000, 1, false}, {1000, math.NaN(), false}} {
		if got := QuantileShown(c.n, c.q); got != c.want {
			t.Errorf("QuantileShown(%d, %v) = %v", c.n, c.q, got)
		}
	}
}

func TestQuantileRatio(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	sample := func(n int, scale float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = scale * math.Exp(0.6*rng.NormFloat64())
		}
		return x
	}
	// The interval holds the true ratio about 95 % of the time.
	const reps = 300
	held := 0
	for range reps {
		got, err := QuantileRatio(sample(200, 1), sample(200, 0.8), 0.95, rng)
		if err != nil {
			t.Fatal(err)
		}
		if !(got.Low <= got.Estimate && got.Estimate <= got.High) {
			t.Fatalf("interval %v does not hold its estimate", got)
		}
		if got.Low <= 0.8 && 0.8 <= got.High {
			held++
		}
	}
	if share := float64(held) / reps; share < 0.90 {
		t.Errorf("the interval held the truth in %.1f %% of %d samples", 100*share, reps)
	}

	if _, err := QuantileRatio(sample(58, 1), sample(100, 1), 0.95, rng); !errors.Is(err, ErrTooFew) {
		t.Errorf("p95 of 58 runs: %v", err)
	}
	if _, err := QuantileRatio(make([]float64, 100), sample(100, 1), 0.95, rng); !errors.Is(err, ErrTooFew) {
		t.Errorf("p95 against zeros: %v", err)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), -1} {
		x := sample(100, 1)
		x[50] = bad
		if _, err := QuantileRatio(x, sample(100, 1), 0.95, rng); err == nil {
			t.Errorf("a value of %v was accepted", bad)
		}
	}
	a, _ := QuantileRatio(sample(100, 1), sample(100, 1), 0.5, rand.New(rand.NewPCG(1, 1)))
	if a.High <= a.Low {
		t.Errorf("interval %v has no width", a)
	}
}
