package stats

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// ErrLooks says that a list of looks cannot be planned: empty, not increasing, below 1 or beyond the horizon.
var ErrLooks = errors.New("looks must increase from 1 to the number of pairs")

// Spending returns how much of the one-sided error alpha may have been spent at the information fraction t in (0,1].
// It increases in t and equals alpha at 1.
type Spending func(alpha, t float64) float64

// KimDeMets returns the power family alpha t^power: 1 spends evenly, 2 is Spark's choice, 3 is close to
// O'Brien-Fleming. Source: Kim & DeMets 1987.
func KimDeMets(power float64) Spending {
	return func(alpha, t float64) float64 { return alpha * math.Pow(t, power) }
}

// LanDeMets is the spending function whose boundaries resemble O'Brien & Fleming's: almost nothing early.
// Source: Lan & DeMets 1983.
func LanDeMets(alpha, t float64) float64 {
	return 2 * upperTail(upperQuantile(alpha/2)/math.Sqrt(t))
}

// Looks returns the numbers of pairs at which an experiment of n pairs is looked at: first, then every `every` pairs,
// and n itself last. It is empty when n < 1 or every < 1; first is clipped to [1,n].
func Looks(first, every, n int) []int {
	if n < 1 || every < 1 {
		return nil
	}
	var looks []int
	for k := max(first, 1); k < n; k += every {
		looks = append(looks, k)
	}
	return append(looks, n)
}

const (
	gridPoints = 801 // density points a look; odd, for Simpson's rule
	gridReach  = 8.0 // standard deviations kept below zero and around a step
)

// Boundaries returns, for each look (a number of pairs), the upper limit b of the standardised score z: under no
// difference, z passes b at any look up to and including t = look/n with probability spend(alpha, t), one-sided. The
// lower limits are -b. alpha lies in (0,0.5). ErrLooks for a list of looks that cannot be planned.
//
// The density of the score that has not crossed yet is carried from look to look on a grid of 801 points and each
// boundary is found by bisection. Source: Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000, chapter 19.
func Boundaries(alpha float64, spend Spending, looks []int, n int) ([]float64, error) {
	if !(alpha > 0 && alpha < 0.5) {
		return nil, fmt.Errorf("boundaries: alpha %v is outside (0,0.5)", alpha)
	}
	if len(looks) == 0 {
		return nil, fmt.Errorf("boundaries: %w: there are none", ErrLooks)
	}
	bounds := make([]float64, len(looks))
	var g grid
	spent := 0.0
	for k, look := range looks {
		if look < 1 || look > n || k > 0 && look <= looks[k-1] {
			return nil, fmt.Errorf("boundaries: %w: look %d of %d is %d, n is %d", ErrLooks, k+1, len(looks), look, n)
		}
		t := float64(look) / float64(n)
		target := spend(alpha, t)
		var limit float64 // on the scale of B(t) = z sqrt(t)
		if k == 0 {
			limit = upperQuantile(target) * math.Sqrt(t)
		} else {
			limit = g.limit(target-spent, t)
		}
		bounds[k] = limit / math.Sqrt(t)
		spent = target
		if k+1 < len(looks) {
			g = g.advance(t, limit)
		}
	}
	return bounds, nil
}

// grid is the sub-density of Brownian motion at time t on paths that have not crossed a boundary: values at
// lo + i*step, weighted for Simpson's rule so that a sum is an integral.
type grid struct {
	t, lo, step float64
	mass        []float64
}

// advance returns the sub-density at time t below limit. The zero grid is the start at time 0.
func (g grid) advance(t, limit float64) grid {
	lo := min(-gridReach*math.Sqrt(t), limit-1)
	points := gridPoints
	sd := math.Sqrt(t - g.t)
	if need := int(4 * (limit - lo) / sd); need > points { // dense looks: keep four points a step's deviation
		points = need | 1
	}
	next := grid{t: t, lo: lo, step: (limit - lo) / float64(points-1), mass: make([]float64, points)}
	for i := range next.mass {
		x := next.at(i)
		var density float64
		if g.mass == nil {
			density = normalDensity(x/sd) / sd
		} else {
			from := max(0, int((x-gridReach*sd-g.lo)/g.step))
			to := min(len(g.mass)-1, int((x+gridReach*sd-g.lo)/g.step)+1)
			for j := from; j <= to; j++ {
				density += g.mass[j] * normalDensity((x-g.at(j))/sd)
			}
			density /= sd
		}
		weight := 2.0
		switch {
		case i == 0 || i == points-1:
			weight = 1
		case i%2 == 1:
			weight = 4
		}
		next.mass[i] = density * weight * next.step / 3
	}
	return next
}

func (g grid) at(i int) float64 { return g.lo + float64(i)*g.step }

// limit returns the boundary at time t that is first crossed there with probability p.
func (g grid) limit(p, t float64) float64 {
	sd := math.Sqrt(t - g.t)
	lo, hi := g.lo, 40*math.Sqrt(t)
	for range 200 {
		mid := lo + (hi-lo)/2
		if mid <= lo || mid >= hi || hi-lo < 1e-12 {
			break
		}
		var crossing float64
		for j := max(0, int((mid-gridReach*sd-g.lo)/g.step)); j < len(g.mass); j++ {
			crossing += g.mass[j] * upperTail((mid-g.at(j))/sd)
		}
		if crossing > p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// upperTail returns the probability that a standard normal exceeds x, accurate far into the tail.
func upperTail(x float64) float64 { return 0.5 * math.Erfc(x/math.Sqrt2) }

// upperQuantile returns the point that a standard normal exceeds with probability p.
func upperQuantile(p float64) float64 { return -distuv.UnitNormal.Quantile(p) }

func normalDensity(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
