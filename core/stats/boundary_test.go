package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBoundariesCheckValues(t *testing.T) {
	quarters := []int{25, 50, 75, 100}
	for _, c := range []struct {
		name  string
		spend Spending
		looks []int
		n     int
		want  map[int]float64 // by look
		tol   float64
	}{
		{"Kim-DeMets power 2", KimDeMets(2), quarters, 100, map[int]float64{0: 2.9552, 1: 2.5594, 2: 2.3009, 3: 2.0920}, 5e-5},
		{"Lan-DeMets", LanDeMets, quarters, 100, map[int]float64{0: 4.3326, 1: 2.9631, 2: 2.3590, 3: 2.0141}, 5e-5},
		{"20 to 200 by 10", KimDeMets(2), Looks(20, 10, 200), 200, map[int]float64{0: 3.481, 18: 2.2196}, 5e-4},
		{"one look is the fixed test", KimDeMets(2), []int{50}, 50, map[int]float64{0: 1.959964}, 1e-6},
	} {
		got, err := Boundaries(0.025, c.spend, c.looks, c.n)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for k, want := range c.want {
			if math.Abs(got[k]-want) > c.tol {
				t.Errorf("%s: boundary %d is %.6f, want %.4f", c.name, k+1, got[k], want)
			}
		}
	}
}

// The boundaries must spend what they say: Brownian paths cross them with probability alpha t^2 by look t.
func TestBoundariesSpendAlpha(t *testing.T) {
	const paths, alpha = 200_000, 0.025
	for _, looks := range [][]int{Looks(20, 10, 140), {10, 11, 90, 100}} {
		n := looks[len(looks)-1]
		bounds, err := Boundaries(alpha, KimDeMets(2), looks, n)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		crossed := make([]int, len(looks))
		for range paths {
			s, at := 0.0, 0
			for k, look := range looks {
				s += math.Sqrt(float64(look-at)) * rng.NormFloat64()
				at = look
				if s > bounds[k]*math.Sqrt(float64(look)) {
					crossed[k]++
					break
				}
			}
		}
		total := 0
		for k, c := range crossed {
			total += c
			frac := float64(looks[k]) / float64(n)
			want := alpha * frac * frac
			se := math.Sqrt(want * (1 - want) / paths)
			if got := float64(total) / paths; math.Abs(got-want) > 4*se {
				t.Errorf("looks %v: by look %d %.5f of paths crossed, want %.5f (Monte-Carlo error %.5f)", looks, k+1, got, want, se)
			}
		}
	}
}

func TestBoundariesDenseLooks(t *testing.T) {
	every, err := Boundaries(0.025, KimDeMets(2), Looks(20, 1, 200), 200)
	if err != nil {
		t.Fatal(err)
	}
	tens, err := Boundaries(0.025, KimDeMets(2), Looks(20, 10, 200), 200)
	if err != nil {
		t.Fatal(err)
	}
	for k := 1; k < len(every); k++ {
		if !(every[k] < every[k-1]+1) || !(every[k] > 1.96) {
			t.Fatalf("boundary %d of dense looks is %v after %v", k+1, every[k], every[k-1])
		}
	}
	if last, coarse := every[len(every)-1], tens[len(tens)-1]; last < coarse || last > coarse+0.2 {
		t.Errorf("the last of 181 looks is %v, of 19 looks %v; more looks cost a little", last, coarse)
	}
}

func TestBoundariesRefuse(t *testing.T) {
	for _, looks := range [][]int{nil, {0, 10}, {10, 10}, {20, 10}, {10, 101}} {
		if _, err := Boundaries(0.025, KimDeMets(2), looks, 100); !errors.Is(err, ErrLooks) {
			t.Errorf("looks %v: error %v, want ErrLooks", looks, err)
		}
	}
	for _, alpha := range []float64{0, 0.5, -1, math.NaN()} {
		if _, err := Boundaries(alpha, KimDeMets(2), []int{10}, 10); err == nil {
			t.Errorf("alpha %v was accepted", alpha)
		}
	}
}

func TestLooks(t *testing.T) {
	for _, c := range []struct {
		first, every, n int
		want            []int
	}{
		{20, 10, 45, []int{20, 30, 40, 45}},
		{20, 10, 40, []int{20, 30, 40}},
		{20, 10, 12, []int{12}},
		{0, 1, 2, []int{1, 2}},
		{20, 0, 100, nil},
		{20, 10, 0, nil},
	} {
		if got := Looks(c.first, c.every, c.n); !slices.Equal(got, c.want) {
			t.Errorf("Looks(%d, %d, %d) = %v, want %v", c.first, c.every, c.n, got, c.want)
		}
	}
}

func TestConditionalPower(t *testing.T) {
	// At half of the information a score of 1.96 whose trend goes on ends at mean 2.7719 with deviation sqrt(1/2).
	if got := ConditionalPower(1.959964, 0.5, 1.959964); math.Abs(got-0.874540) > 1e-6 {
		t.Errorf("conditional power %v, want 0.874540", got)
	}
	if got := ConditionalPower(0, 0.5, 2.2); got > 0.001 {
		t.Errorf("no trend at half time has conditional power %v", got)
	}
}
