package rsi

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// The constants of the estimator.
const (
	goodShare    = .2
	parzenDraws  = 24
	minBandwidth = .08
)

// parzen proposes points that resemble the good trials more than the others: of
// several draws around good ones it takes that with the largest ratio of the two
// densities. Source: Bergstra et al. 2011, Algorithms for hyper-parameter
// optimization (TPE).
type parzen struct {
	space     *space
	good, bad density
}

// newParzen learns from trials; nil when there are fewer than two. A trial that
// got further in its bracket is better than one that was dropped before.
func newParzen(s *space, trials []*trial) *parzen {
	if len(trials) < 2 {
		return nil
	}
	ranked := slices.Clone(trials)
	slices.SortStableFunc(ranked, func(a, b *trial) int {
		return cmp.Or(cmp.Compare(b.rung, a.rung), cmp.Compare(b.score, a.score))
	})
	cut := int(math.Ceil(goodShare * float64(len(ranked))))
	return &parzen{space: s, good: newDensity(ranked[:cut]), bad: newDensity(ranked[cut:])}
}

// draw returns the best of parzenDraws proposals.
func (m *parzen) draw(rng *rand.Rand) point {
	var best point
	top := math.Inf(-1)
	for range parzenDraws {
		around := m.good.points[rng.IntN(len(m.good.points))]
		p := make(point, len(around))
		for k := range p {
			p[k] = m.space.dims[k].near(around[k], m.good.width, rng)
		}
		if gain := m.good.log(m.space, p) - m.bad.log(m.space, p); gain > top {
			best, top = p, gain
		}
	}
	return best
}

// density is a mixture of one kernel a point.
type density struct {
	points []point
	masses []point // of every kernel, a tunable
	width  float64
}

func newDensity(trials []*trial) density {
	d := density{width: max(minBandwidth, .5*math.Pow(float64(len(trials)), -.25))}
	for _, t := range trials {
		masses := make(point, len(t.point))
		for k, u := range t.point {
			masses[k] = mass(u, d.width)
		}
		d.points, d.masses = append(d.points, t.point), append(d.masses, masses)
	}
	return d
}

// log returns the logarithm of the density at p, up to a constant.
func (d density) log(s *space, p point) float64 {
	var sum float64
	for i, at := range d.points {
		product := 1.0
		for k := range at {
			product *= s.dims[k].kernel(at[k], p[k], d.width, d.masses[i][k])
		}
		sum += product
	}
	return math.Log(sum/float64(max(len(d.points), 1)) + 1e-300)
}
