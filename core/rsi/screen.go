package rsi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sparkrsi/spark/core/graph"
)

// The limits of choosing. More runs than maxSearchRuns change little; the shares
// of time and cost leave the rest for confirming.
const (
	maxSearchRuns = 3000
	searchShare   = .6
)

// winner is the configuration that SCREEN chose.
type winner struct {
	hypothesis *Hypothesis
	graph      *graph.Graph
	score      float64 // mean improvement over the default on SCREEN
	inputs     int     // that the score rests on
}

// screened is the output of the phase. Score is the chosen configuration's mean
// improvement over the default on SCREEN, a share: optimistic, since it is the
// best of many, and for that reason never reported as the effect.
type screened struct {
	Found          bool           `json:"found"`
	Hypothesis     string         `json:"hypothesis,omitempty"`
	Changes        []graph.Change `json:"changes,omitempty"`
	Score          float64        `json:"score"`
	Inputs         int            `json:"inputs"`
	Configurations int            `json:"configurations"`
	Refused        int            `json:"refused,omitempty"` // configurations that could not run or were not allowed
	RefusedFor     string         `json:"refused_for,omitempty"`
	Runs           int            `json:"runs"`
	Reason         string         `json:"reason"`
}

// screenPhase searches every hypothesis on SCREEN, with equal shares of the runs,
// and keeps the best configuration of all.
func (s *session) screenPhase(ctx context.Context) (any, error) {
	if len(s.hypotheses) == 0 {
		return nil, skipped("screen", "propose")
	}
	repeats := max(s.policy.RSI.Repeats, 1)
	reserve := 2 * (len(s.confirm)*repeats + warmups)
	total := min(s.budget.limit.Runs-s.budget.runs-reserve, maxSearchRuns)
	out := screened{}
	before := s.budget.runs
	var ended error
	for i, h := range s.hypotheses {
		best, err := s.search(ctx, h, total/len(s.hypotheses), allowance{searchShare, reserve}, &out)
		if errors.Is(err, errSpent) {
			ended = err
		} else if err != nil {
			return nil, err
		}
		if best != nil && (s.winner == nil || best.score > s.winner.score) {
			s.winner = best
		}
		if ended != nil && i < len(s.hypotheses)-1 {
			break
		}
	}
	out.Runs = s.budget.runs - before
	switch {
	case s.winner != nil:
		h := s.winner.hypothesis
		out.Found, out.Hypothesis, out.Changes, out.Score, out.Inputs = true, h.ID, h.Changes, s.winner.score, s.winner.inputs
		out.Reason = fmt.Sprintf("best of %d configurations in %d runs", out.Configurations, out.Runs)
	case ended != nil:
		out.Reason = ended.Error()
		s.conclude(BudgetExhausted, "while choosing: "+ended.Error())
	case out.Configurations == 0 && total < 4:
		out.Reason = fmt.Sprintf("%d runs are left beside the %d that confirming needs", max(total, 0), reserve)
		s.conclude(BudgetExhausted, "no runs to choose with: "+out.Reason)
	case out.Configurations == 0:
		out.Reason = "every configuration was tried and refused before"
		s.conclude(NotImproved, out.Reason)
	default:
		out.Reason = fmt.Sprintf("none of %d configurations did better than the active version in %d runs", out.Configurations, out.Runs)
		s.conclude(NotImproved, out.Reason)
	}
	return out, nil
}

// search returns the best configuration of h that beats the default on SCREEN,
// nil when none does. Runs is what it should cost, a what it must not pass.
func (s *session) search(ctx context.Context, h *Hypothesis, runs int, a allowance, out *screened) (*winner, error) {
	b := &labBench{s: s, h: h, allowed: a, baseline: map[int][]sample{}, seen: map[*trial]map[int]sample{},
		broken: map[*trial]string{}}
	before := s.budget.runs
	b.onRun = func() { s.report("screen", s.budget.runs-before, runs, h.ID) }
	inputs := make([]int, len(s.screen))
	for i := range inputs {
		inputs[i] = i
	}
	rejected := rejectedKeys(s.past, s.context)
	skip := func(p point) bool {
		g, _, err := h.build(s.base.Graph, p)
		return err == nil && rejected[graph.Digest(&graph.Locked{Graph: g, Locks: s.base.Locks, Assets: s.base.Assets})]
	}
	var best []*trial
	var err error
	if h.space != nil {
		search := &search{space: h.space, bench: b, rng: s.rng, inputs: inputs, skip: skip, seeds: h.seeds, warmup: 1, group: s.OpenArms - 1}
		best, err = search.run(ctx, runs)
		out.Configurations += len(search.trials)
	} else if t := (&trial{}); !skip(nil) {
		n := min(len(inputs), runs/2-1)
		if n < 1 {
			return nil, nil
		}
		err = b.measure(ctx, []*trial{t}, inputs[:n])
		t.score = b.score(t, inputs[:n])
		best = []*trial{t}
		out.Configurations++
	}
	for _, why := range b.broken {
		out.Refused++
		out.RefusedFor = max(out.RefusedFor, why) // any one, but the same every time
	}
	if err != nil && !errors.Is(err, errSpent) || len(best) == 0 {
		return nil, err
	}
	top := slices.MaxFunc(best, func(x, y *trial) int { return cmp.Compare(x.score, y.score) })
	if !(top.score > 0) || math.IsInf(top.score, 0) {
		return nil, err
	}
	g, changes, buildErr := h.build(s.base.Graph, top.point)
	if buildErr != nil {
		return nil, buildErr
	}
	h.Changes = changes
	return &winner{hypothesis: h, graph: g, score: top.score, inputs: len(b.seen[top])}, err
}
