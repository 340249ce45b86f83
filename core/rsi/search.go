package rsi

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
)

// trial is one configuration under search. The search owns it; a bench keeps
// its measurements.
type trial struct {
	point point
	key   string // of the configuration that point stands for
	rung  int    // how many inputs it was measured on
	score float64
}

// bench measures trials. It is used by one goroutine.
type bench interface {
	// measure runs every trial once on each of the inputs that it has not met,
	// interleaved, the default beside them. errSpent when the budget ended first;
	// what was measured until then counts.
	measure(ctx context.Context, trials []*trial, inputs []int) error
	// score returns the mean improvement of t over the default on the inputs that t
	// was measured on, of those given.
	score(t *trial, inputs []int) float64
}

// The constants of the search, from simulation. A larger budget than firstRung
// configurations can use starts on more inputs instead: with one input each,
// survivors are picked by luck.
const (
	eta         = 3
	bracketRuns = 240 // from here on there are several brackets
	brackets    = 3
	carried     = 3 // trials that go on to the next bracket
	firstRung   = 81
	randomShare = .2 // of the proposals of later brackets
)

// search is successive halving over a space, in brackets of which the later ones
// learn from the earlier ones. On a noisy six-parameter surface it closes half of
// the gap in 120 runs and three quarters in 480, where hill climbing closes a
// tenth and three tenths (search_test.go). The same inputs come in the same order in every
// bracket, so all trials can be compared. Source: Jamieson & Talwalkar 2016,
// Non-stochastic best arm identification.
type search struct {
	space  *space
	bench  bench
	rng    *rand.Rand
	inputs []int              // SCREEN, in the order in which rungs take them
	skip   func(p point) bool // configurations that need no trial; may be nil
	seeds  []point            // tried first, such as earlier winners
	warmup int                // runs that every arm takes on a rung without being measured
	group  int                // trials beside which the default is warmed up; 0 is all

	trials []*trial // every one so far
	seen   map[string]bool
}

// run spends at most about budget runs and returns the trials that got furthest,
// best first; empty when there was nothing to try. An error is the bench's; with
// errSpent the trials returned are those of the last rung that was reached.
func (s *search) run(ctx context.Context, budget int) ([]*trial, error) {
	s.seen = map[string]bool{}
	n := 1
	if budget >= bracketRuns {
		n = brackets
	}
	var best []*trial
	for b := range n {
		plan := s.plan(budget / n)
		if len(plan) == 0 {
			break
		}
		fresh := s.propose(plan[0].trials, b > 0)
		if len(fresh) == 0 {
			break
		}
		var err error
		if best, err = s.bracket(ctx, plan, fresh, best); err != nil {
			return best, err
		}
	}
	return best, nil
}

// rung is one step of a bracket: so many trials on the first so many inputs.
type rung struct{ trials, inputs int }

// plan returns the rungs that fit into budget runs, the default's runs
// included; empty when not even one configuration fits. It takes as many rungs as
// leave two trials on the last, and starts on more inputs once firstRung trials
// fit.
func (s *search) plan(budget int) []rung {
	var best []rung
	for first := 1; first <= len(s.inputs); first *= eta {
		var widest []rung
		for steps := 1; ; steps++ {
			var plan []rung
			for n := 1; n <= firstRung; n++ {
				p, cost := s.rungs(n, steps, first)
				if cost > budget {
					break
				}
				plan = p
			}
			if len(plan) < steps || steps > 1 && plan[steps-1].trials < 2 {
				break
			}
			widest = plan
		}
		if len(widest) == 0 || len(best) > 0 && widest[0].trials < firstRung/2 {
			break
		}
		best = widest
	}
	return best
}

// rungs returns at most steps rungs that start with n trials on first inputs, and
// what they cost when measurements are kept from rung to rung.
func (s *search) rungs(n, steps, first int) (plan []rung, cost int) {
	inputs := len(s.inputs)
	for in, had := first, 0; len(plan) < steps && had < inputs; in, had = min(in*eta, inputs), in {
		plan = append(plan, rung{n, in})
		cost += (n+1)*(in-had) + s.warmup*(n+s.groups(n))
		n = (n + eta - 1) / eta
	}
	return plan, cost
}

// groups is how often the default is warmed up beside n trials.
func (s *search) groups(n int) int {
	if s.group == 0 {
		return 1
	}
	return (n + s.group - 1) / s.group
}

// bracket halves fresh down to the last rung, where the trials carried from the
// bracket before join, and returns the best of that rung.
func (s *search) bracket(ctx context.Context, plan []rung, fresh, before []*trial) ([]*trial, error) {
	s.trials = append(s.trials, fresh...)
	alive := fresh
	for i, r := range plan {
		alive = slices.Clone(alive[:min(len(alive), r.trials)])
		if i == len(plan)-1 {
			alive = append(alive, before...)
		}
		inputs := s.inputs[:r.inputs]
		err := s.bench.measure(ctx, alive, inputs)
		for _, t := range alive {
			t.rung = max(t.rung, r.inputs)
			t.score = s.bench.score(t, inputs)
		}
		slices.SortStableFunc(alive, func(a, b *trial) int { return cmp.Compare(b.score, a.score) })
		if err != nil {
			return alive, err
		}
	}
	return alive[:min(len(alive), carried)], nil
}

// propose returns up to n configurations that were not tried before: the seeds,
// then uniform draws, and when learn is true mostly draws of the estimator. There
// are fewer when the space is nearly used up.
func (s *search) propose(n int, learn bool) []*trial {
	var model *parzen
	if learn {
		model = newParzen(s.space, s.trials)
	}
	var list []*trial
	add := func(p point) {
		p = s.space.snap(p)
		key := s.space.key(p)
		if s.seen[key] || s.space.isStart(p) || s.skip != nil && s.skip(p) {
			return
		}
		s.seen[key] = true
		list = append(list, &trial{point: p, key: key})
	}
	for ; len(s.seeds) > 0 && len(list) < n; s.seeds = s.seeds[1:] {
		add(s.seeds[0])
	}
	for tries := 0; len(list) < n && tries < 20*n; tries++ {
		if model != nil && s.rng.Float64() >= randomShare {
			add(model.draw(s.rng))
		} else {
			add(s.space.random(s.rng))
		}
	}
	return list
}
