package rsi

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// cube is a space of continuous tunables in [0,1] with the given start.
func cube(start ...float64) *space {
	dims := make([]Tunable, len(start))
	for i, x := range start {
		v, _ := json.Marshal(x)
		dims[i] = Tunable{Node: "n", Path: string(rune('a' + i)), Min: 0, Max: 1, Current: v}
	}
	return newSpace(dims)
}

// surface is a synthetic log latency over six tunables: a bowl, tilted between
// the first two, whose start is better than most random points. One run of a
// point is noisy.
type surface struct {
	rng  *rand.Rand
	seen map[*trial]map[int]float64
	runs int
}

var (
	surfaceStart = point{.3, .6, .3, .65, .35, .7}
	surfaceBest  = point{.6, .35, .55, .4, .6, .45}
)

const surfaceNoise = .3

func (s *surface) truth(p point) float64 {
	var sum float64
	for k, x := range p {
		sum += (x - surfaceBest[k]) * (x - surfaceBest[k])
	}
	return 2*sum + 2*(p[0]-surfaceBest[0])*(p[1]-surfaceBest[1])
}

// closed is the share of what can be gained that p gains.
func (s *surface) closed(p point) float64 { return 1 - s.truth(p)/s.truth(surfaceStart) }

func (s *surface) observe(p point) float64 {
	s.runs++
	return s.truth(surfaceStart) - s.truth(p) + surfaceNoise*s.rng.NormFloat64()
}

func (s *surface) measure(_ context.Context, trials []*trial, inputs []int) error {
	for _, t := range trials {
		if s.seen[t] == nil {
			s.seen[t] = map[int]float64{}
		}
		for _, i := range inputs {
			if _, ok := s.seen[t][i]; !ok {
				s.seen[t][i] = s.observe(t.point)
			}
		}
	}
	return nil
}

func (s *surface) score(t *trial, inputs []int) float64 {
	var sum float64
	for _, i := range inputs {
		sum += s.seen[t][i]
	}
	return sum / float64(len(inputs))
}

// climb is the obvious search: step one tunable, run both sides five times, keep
// what looked better.
func (s *surface) climb(budget int) point {
	at := append(point(nil), surfaceStart...)
	five := func(p point) (sum float64) {
		for range 5 {
			sum += s.observe(p)
		}
		return sum
	}
	for s.runs+10 <= budget {
		p := append(point(nil), at...)
		k := s.rng.IntN(len(p))
		p[k] = max(0, min(1, p[k]+[]float64{-.1, .1}[s.rng.IntN(2)]))
		if five(p) > five(at) {
			at = p
		}
	}
	return at
}

func inputs(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func searchSurface(t *testing.T, seed uint64, budget int) (point, int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	f := &surface{rng: rng, seen: map[*trial]map[int]float64{}}
	s := &search{space: cube(surfaceStart...), bench: f, rng: rng, inputs: inputs(90)}
	best, err := s.run(t.Context(), budget)
	if err != nil {
		t.Fatal(err)
	}
	if len(best) == 0 || best[0].score <= 0 {
		return surfaceStart, f.runs
	}
	return best[0].point, f.runs
}

func TestSearchClosesTheGap(t *testing.T) {
	// 120 replications; the Monte-Carlo standard error of each share is below .03.
	const reps = 120
	for _, c := range []struct {
		budget         int
		least, most    float64 // share of the gap closed
		climbAtMost    float64
		betterThanHill float64
	}{
		{120, .44, .64, .17, .3},
		{480, .66, .86, .35, .3},
	} {
		var found, hill float64
		for r := range reps {
			p, runs := searchSurface(t, uint64(r), c.budget)
			if runs > c.budget {
				t.Fatalf("%d runs spent of %d", runs, c.budget)
			}
			f := &surface{rng: rand.New(rand.NewPCG(uint64(r), 8))}
			found += f.closed(p) / reps
			hill += f.closed(f.climb(c.budget)) / reps
		}
		t.Logf("%d runs: search closes %.2f of the gap, hill climbing %.2f", c.budget, found, hill)
		if found < c.least || found > c.most || hill > c.climbAtMost || found-hill < c.betterThanHill {
			t.Errorf("%d runs: closed %.3f, want %.2f to %.2f; climbing %.3f, want at most %.2f", c.budget, found, c.least, c.most, hill, c.climbAtMost)
		}
	}
}

func TestSearchFollowsItsSeed(t *testing.T) {
	a, _ := searchSurface(t, 3, 480)
	b, _ := searchSurface(t, 3, 480)
	c, _ := searchSurface(t, 4, 480)
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Errorf("seed 3 gave %v and %v, seed 4 %v", a, b, c)
	}
}

func TestBracketsFitTheirBudget(t *testing.T) {
	for _, size := range []int{1, 5, 90} {
		for _, warmup := range []int{0, 1} {
			s := &search{inputs: inputs(size), warmup: warmup}
			for budget := range 1500 {
				plan := s.plan(budget)
				cost, had := 0, 0
				for i, r := range plan {
					cost += (r.trials + 1) * (r.inputs - had + warmup)
					had = r.inputs
					if r.inputs > size || r.trials < 1 || i > 0 && r.trials > plan[i-1].trials {
						t.Fatalf("budget %d: %v", budget, plan)
					}
				}
				if cost > budget || len(plan) == 0 && budget >= 2*(1+warmup) {
					t.Fatalf("budget %d, %d inputs, warm-up %d: %v costs %d", budget, size, warmup, plan, cost)
				}
			}
		}
	}
	if got := (&search{inputs: inputs(90)}).plan(120); !reflect.DeepEqual(got, []rung{{45, 1}, {15, 3}, {5, 9}}) {
		t.Errorf("120 runs give %v", got)
	}
}

func TestSearchUsesUpASmallSpace(t *testing.T) {
	v := func(s string) json.RawMessage { return json.RawMessage(s) }
	sp := newSpace([]Tunable{{Node: "n", Path: "on", Values: []json.RawMessage{v("false"), v("true")}, Current: v("false")},
		{Node: "n", Path: "k", Min: 1, Max: 3, Step: 1, Current: v("2")}})
	f := &surface{rng: rand.New(rand.NewPCG(1, 1)), seen: map[*trial]map[int]float64{}}
	s := &search{space: sp, bench: flat{f}, rng: f.rng, inputs: inputs(9), skip: func(p point) bool { return sp.key(p) == "true 3" },
		seeds: []point{{.9, 0}}}
	if _, err := s.run(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, tr := range s.trials {
		keys[tr.key] = true
	}
	want := map[string]bool{"true 1": true, "true 2": true, "false 1": true, "false 3": true}
	if !reflect.DeepEqual(keys, want) || len(s.trials) != 4 || s.trials[0].key != "true 1" {
		t.Errorf("tried %v, first %q", keys, s.trials[0].key)
	}
}

// flat measures nothing but noise.
type flat struct{ *surface }

func (f flat) measure(_ context.Context, trials []*trial, inputs []int) error {
	for _, t := range trials {
		f.seen[t] = map[int]float64{}
		for _, i := range inputs {
			f.seen[t][i] = f.rng.NormFloat64()
		}
	}
	return nil
}
