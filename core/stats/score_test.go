package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestScoresByHand(t *testing.T) {
	near(t, "sign flip of 3, -1, 2", SignFlip([]float64{3, -1, 2}), 4/math.Sqrt(14), 1e-12)
	near(t, "sign flip of twenty equal values", SignFlip(slices.Repeat([]float64{1e-300}, 20)), math.Sqrt(20), 1e-12)
	near(t, "sign flip of nothing", SignFlip(nil), 0, 0)
	near(t, "sign flip of zeros", SignFlip([]float64{0, 0}), 0, 0)

	// |d| sorted: 1(+) 2(-) 2(+) 3(+), the zero dropped; ranks 1, 2.5, 2.5, 4; T = 1 - 2.5 + 2.5 + 4 = 5, n = 4.
	near(t, "signed rank with a tie and a zero", SignedRank([]float64{3, -2, 0, 2, 1}), 5/math.Sqrt(4*5*9/6.), 1e-12)
	near(t, "signed rank of nothing", SignedRank(nil), 0, 0)
	near(t, "signed rank of zeros", SignedRank([]float64{0, 0}), 0, 0)
	if !math.IsNaN(SignFlip([]float64{1, math.NaN()})) || !math.IsNaN(SignedRank([]float64{1, math.NaN()})) {
		t.Error("a score of NaN is a number")
	}
}

// slowWalsh lists and sorts every Walsh average.
func slowWalsh(d []float64) []float64 {
	var all []float64
	for i := range d {
		for j := i; j < len(d); j++ {
			all = append(all, d[i]/2+d[j]/2)
		}
	}
	slices.Sort(all)
	return all
}

func TestHodgesLehmannAgainstTheFullList(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for n := 2; n < 60; n++ {
		d := make([]float64, n)
		for i := range d {
			d[i] = math.Round(10*rng.NormFloat64()) / 4 // ties and zeros
			if n%3 == 0 {
				d[i] = rng.NormFloat64()
			}
		}
		all := slowWalsh(d)
		m := len(all)
		median := all[m/2]
		if m%2 == 0 {
			median = all[m/2-1]/2 + all[m/2]/2
		}
		const b = 1.96
		got, err := HodgesLehmann(d, b)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "estimate", got.Estimate, median, 0)
		f := float64(n)
		k := int(math.Floor(f*(f+1)/4 - b*math.Sqrt(f*(f+1)*(2*f+1)/24)))
		low, high := math.Inf(-1), math.Inf(1)
		if k >= 1 {
			low, high = all[k-1], all[m-k]
		}
		if got.Low != low || got.High != high {
			t.Errorf("n %d: interval %v, want %v to %v", n, got, low, high)
		}
	}
}

// Swapping the arms turns every improvement round: scores and estimates change their sign and nothing else.
func TestSwappingArmsFlipsTheSign(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		d := make([]float64, 2+rng.IntN(60))
		neg := make([]float64, len(d))
		for i := range d {
			d[i] = math.Round(20*rng.NormFloat64()) / 10
			neg[i] = -d[i]
		}
		near(t, "sign flip", SignFlip(neg), -SignFlip(d), 0)
		near(t, "signed rank", SignedRank(neg), -SignedRank(d), 0)
		a, err1 := HodgesLehmann(d, 2)
		b, err2 := HodgesLehmann(neg, 2)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if a != (Interval{-b.Estimate, -b.High, -b.Low}) {
			t.Errorf("Hodges-Lehmann %v and swapped %v", a, b)
		}
	}
}

// Under no difference both scores have mean 0 and deviation 1.
func TestScoresAreStandard(t *testing.T) {
	const reps, n = 4000, 50
	rng := rand.New(rand.NewPCG(4, 4))
	var flip, rank moments
	d := make([]float64, n)
	for range reps {
		for i := range d {
			d[i] = math.Sinh(rng.NormFloat64())
		}
		flip.add(SignFlip(d))
		rank.add(SignedRank(d))
	}
	for name, m := range map[string]moments{"sign flip": flip, "signed rank": rank} {
		near(t, name+" mean", m.mean, 0, 4/math.Sqrt(reps))
		near(t, name+" deviation", m.sd(), 1, 4/math.Sqrt(2*reps))
	}
}

func TestIntervalsNeedData(t *testing.T) {
	for _, d := range [][]float64{nil, {1}, {1, math.NaN()}, {1, math.Inf(1)}, {1, math.Inf(-1)}} {
		if _, err := HodgesLehmann(d, 2); !errors.Is(err, ErrTooFew) {
			t.Errorf("HodgesLehmann(%v): %v", d, err)
		}
		if _, err := MeanInterval(d, 2); !errors.Is(err, ErrTooFew) {
			t.Errorf("MeanInterval(%v): %v", d, err)
		}
	}
	got, err := MeanInterval([]float64{1, 2, 3, 4}, 2)
	if err != nil {
		t.Fatal(err)
	}
	half := 2 * math.Sqrt(5./3) / 2
	near(t, "mean", got.Estimate, 2.5, 1e-12)
	near(t, "low", got.Low, 2.5-half, 1e-12)
	near(t, "high", got.High, 2.5+half, 1e-12)
}

func TestAnytimeT(t *testing.T) {
	var a AnytimeT
	for _, x := range []float64{1, 2, 3, 4} {
		if !a.Add(x) {
			t.Fatal("a finite value was refused")
		}
	}
	// t = 2.5/(1.2910/2) = 3.8730, t^2 = 15, v = 3, r = 2: ln E = -ln(2)/2 + 2 [ln 6 - ln 3.5].
	near(t, "E", a.E(), math.Exp(-math.Log(2)/2+2*math.Log(6/3.5)), 1e-9)
	if a.Add(math.NaN()) || a.Add(math.Inf(1)) || a.N() != 4 || a.Mean() != 2.5 {
		t.Errorf("a value that is not finite changed the evidence: n %d, mean %v", a.N(), a.Mean())
	}
	var same AnytimeT
	for range 50 {
		same.Add(0.1)
	}
	near(t, "E of equal values", same.E(), 1, 0)

	const streams, length = 2000, 500
	rng := rand.New(rand.NewPCG(5, 5))
	ever, found := 0, 0
	for i := range streams {
		var null, real AnytimeT
		hit, hitReal := false, false
		for range length {
			null.Add(rng.NormFloat64())
			hit = hit || null.E() >= AnytimeThreshold
			if i < 200 {
				real.Add(0.3 + rng.NormFloat64())
				hitReal = hitReal || real.E() >= AnytimeThreshold
			}
		}
		ever += int(indicator(hit))
		found += int(indicator(hitReal))
	}
	if upper := upperBound(ever, streams); upper > 0.06 {
		t.Errorf("%d of %d streams without a difference crossed (upper 95 %% bound %.4f)", ever, streams, upper)
	}
	if found < 195 {
		t.Errorf("%d of 200 streams with a difference of 0.3 deviations were found in %d values", found, length)
	}
}
