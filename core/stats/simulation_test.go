package stats

import (
	"flag"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// simReps replaces the number of replications of every scenario, for a longer look:
// go test ./core/stats -run Simulation -v -stats.reps 200000
var simReps = flag.Int("stats.reps", 0, "replications of every simulation; 0 keeps each scenario's own")

// tally is the outcome of many experiments.
type tally struct {
	n, pass, fail int
	pairs         moments // until the decision
}

// simulate runs n experiments of one design. Every replication has its own seed, so the result does not depend on the
// number of workers.
func simulate(t *testing.T, n int, seed uint64, d Design, draw func(*rand.Rand) Pair) tally {
	t.Helper()
	plan, err := NewPlan(d)
	if err != nil {
		t.Fatal(err)
	}
	last := make([]Decision, n)
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				e := plan.Start()
				for !last[i].Done {
					d, err := e.Add(draw(rng))
					if err != nil {
						panic(err)
					}
					last[i] = d
				}
			}
		})
	}
	wg.Wait()
	all := tally{n: n}
	for _, d := range last {
		all.pairs.add(float64(d.Pairs))
		switch d.Verdict {
		case Pass:
			all.pass++
		case Fail:
			all.fail++
		}
	}
	return all
}

// upperBound and lowerBound are the one-sided 95 % Clopper-Pearson bounds of k out of n.
func upperBound(k, n int) float64 {
	if k == n {
		return 1
	}
	return distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}.Quantile(0.95)
}

func lowerBound(k, n int) float64 {
	if k == 0 {
		return 0
	}
	return distuv.Beta{Alpha: float64(k), Beta: float64(n - k + 1)}.Quantile(0.05)
}

// latencies draws a lognormal latency whose log variance sigma^2 is half the input's; the candidate takes ratio times
// as long, and a run of either arm takes ten times as long with probability heavy.
func latencies(sigma, ratio, heavy float64) func(*rand.Rand) (b, c float64) {
	s := sigma / math.Sqrt2
	return func(r *rand.Rand) (float64, float64) {
		input := s * r.NormFloat64()
		arm := func(factor float64) float64 {
			if x := factor * math.Exp(input+s*r.NormFloat64()); heavy == 0 || r.Float64() >= heavy {
				return x
			}
			return 10 * factor * math.Exp(input+s*r.NormFloat64())
		}
		return arm(1), arm(ratio)
	}
}

// scores draws a quality score of which most inputs do not change: a share up gains 75 % of its score, a share down
// loses as much, a share broken loses everything.
func scores(up, down, broken float64) func(*rand.Rand) (b, c float64) {
	return func(r *rand.Rand) (float64, float64) {
		b := []float64{0.5, 0.8, 1, 1}[r.IntN(4)] / 2
		x := r.Float64()
		switch {
		case x < up:
			return b, 1.75 * b
		case x < up+down:
			return b, 0.25 * b
		case x < up+down+broken:
			return b, 0
		}
		return b, b
	}
}

func pairOf(draws ...func(*rand.Rand) (b, c float64)) func(*rand.Rand) Pair {
	return func(r *rand.Rand) Pair {
		p := Pair{BaselineOK: true, CandidateOK: true, Baseline: make([]float64, len(draws)), Candidate: make([]float64, len(draws))}
		for i, draw := range draws {
			p.Baseline[i], p.Candidate[i] = draw(r)
		}
		return p
	}
}

func TestSimulation(t *testing.T) {
	latency := Objective{Name: "latency", Weight: 0.3, Direction: Minimize, Kind: Ratio}
	quality := Objective{Name: "quality", Weight: 0.7, Direction: Maximize, Kind: Bounded}
	lone, both := []Objective{latency}, []Objective{quality, latency}
	noMargin := latency
	noMargin.Margin = ptr(0.99)

	// +8 % of the mean with a deviation of 30 % of it: of 0.171 changed inputs 0.139 gain.
	better := scores(0.139, 0.032, 0)
	shipped := func(failures float64, draw func(*rand.Rand) Pair) func(*rand.Rand) Pair {
		return func(r *rand.Rand) Pair {
			p := draw(r)
			p.CandidateOK = r.Float64() >= failures
			return p
		}
	}
	hideSlow := func(draw func(*rand.Rand) Pair) func(*rand.Rand) Pair { // the slow runs of the candidate are not reported
		return func(r *rand.Rand) Pair {
			p := draw(r)
			if p.Candidate[0] > 2 {
				p.Candidate[0] = math.NaN()
			}
			return p
		}
	}

	for _, s := range []struct {
		name             string
		reps             int
		design           Design
		draw             func(*rand.Rand) Pair
		atMost, atLeast  float64 // share of Pass that the 95 % Monte-Carlo bound must respect; atMost 0 is 1
		pairs, pairsNear float64 // mean pairs until the decision; 0 is not checked
	}{
		// An identical candidate.
		{"null latency", 20000, Design{Futility: -1, Objectives: lone}, pairOf(latencies(0.6, 1, 0)), 0.028, 0, 0, 0},
		{"null latency, heavy tail", 20000, Design{Futility: -1, Objectives: lone}, pairOf(latencies(0.5, 1, 0.02)), 0.028, 0, 0, 0},
		{"null quality", 20000, Design{Futility: -1, Objectives: []Objective{quality}}, pairOf(scores(0.08, 0.08, 0)), 0.028, 0, 0, 0},
		{"null quality and latency", 20000, Design{Futility: -1, Objectives: both}, pairOf(scores(0.08, 0.08, 0), latencies(0.6, 1, 0)), 0.028, 0, 0, 0},
		{"null, no margin, no futility", 3000, Design{Futility: -1, Objectives: []Objective{noMargin}}, pairOf(latencies(0.6, 1, 0)), 0.033, 0, 197, 1},
		{"null, futility", 20000, Design{Objectives: lone}, pairOf(latencies(0.6, 1, 0)), 0.028, 0, 56, 4},
		{"null, 140 inputs", 5000, Design{N: 140, Objectives: both}, pairOf(scores(0.08, 0.08, 0), latencies(0.6, 1, 0)), 0.028, 0, 0, 0},

		// Real improvements.
		{"quality +8 %", 5000, Design{Futility: -1, Objectives: []Objective{quality}}, pairOf(better), 0, 0.90, 0, 0},
		{"quality +8 %, 100 pairs", 5000, Design{N: 100, Futility: -1, Objectives: []Objective{quality}}, pairOf(better), 0.76, 0.66, 0, 0},
		{"quality +8 %, futility", 5000, Design{Objectives: []Objective{quality}}, pairOf(better), 0, 0.83, 0, 0},
		{"latency -20 %", 5000, Design{Futility: -1, Objectives: lone}, pairOf(latencies(0.6, 0.8, 0)), 0, 0.95, 77, 3},
		{"latency -20 %, futility", 5000, Design{Objectives: lone}, pairOf(latencies(0.6, 0.8, 0)), 0, 0.95, 0, 0},
		{"latency -20 %, heavy tail", 5000, Design{Futility: -1, Objectives: lone}, pairOf(latencies(0.5, 0.8, 0.02)), 0, 0.995, 68, 3},
		{"latency -20 %, same quality", 5000, Design{Objectives: both}, pairOf(scores(0, 0, 0), latencies(0.6, 0.8, 0)), 0, 0.94, 0, 0},

		// Improvements that are none.
		{"broken inputs, sigma 0.3", 10000, Design{Futility: -1, Objectives: both}, pairOf(scores(0, 0, 0.15), latencies(0.3, 0.75, 0)), 0.01, 0, 0, 0},
		{"broken inputs, sigma 0.6", 10000, Design{Futility: -1, Objectives: both}, pairOf(scores(0, 0, 0.15), latencies(0.6, 0.75, 0)), 0.01, 0, 0, 0},
		{"broken inputs, sigma 1", 10000, Design{Futility: -1, Objectives: both}, pairOf(scores(0, 0, 0.15), latencies(1, 0.75, 0)), 0.01, 0, 0, 0},
		{"failing runs", 10000, Design{Futility: -1, Objectives: lone}, shipped(0.15, pairOf(latencies(0.6, 0.75, 0))), 0.01, 0, 0, 0},
		{"slow runs not reported", 5000, Design{Futility: -1, Objectives: lone}, hideSlow(pairOf(latencies(0.6, 1, 0))), 0.01, 0, 0, 0},
	} {
		t.Run(s.name, func(t *testing.T) {
			reps := s.reps
			if *simReps > 0 {
				reps = *simReps
			}
			got := simulate(t, reps, 20260101, s.design, s.draw)
			upper, lower := upperBound(got.pass, reps), lowerBound(got.pass, reps)
			t.Logf("pass %.4f [%.4f, %.4f], fail %.4f, pairs %.1f +- %.1f, %d replications",
				float64(got.pass)/float64(reps), lower, upper, float64(got.fail)/float64(reps), got.pairs.mean, 1.96*got.pairs.stdErr(), reps)
			if s.atMost > 0 && upper > s.atMost {
				t.Errorf("the upper bound of promotions is %.4f, at most %.4f is promised", upper, s.atMost)
			}
			if lower < s.atLeast {
				t.Errorf("the lower bound of promotions is %.4f, at least %.4f is promised", lower, s.atLeast)
			}
			if s.pairs > 0 && math.Abs(got.pairs.mean-s.pairs) > s.pairsNear {
				t.Errorf("%.1f pairs on average, about %.0f are promised", got.pairs.mean, s.pairs)
			}
		})
	}
}

func ptr[T any](x T) *T { return &x }
