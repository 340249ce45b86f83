package rsi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/stats"
)

// warmups is how many unmeasured runs each arm takes first.
const warmups = 2

// Evidence is one experiment as the ledger keeps it: enough to compute the report
// again.
type Evidence struct {
	ID         string         `json:"id"`
	Hypothesis string         `json:"hypothesis"`
	Graph      string         `json:"graph"`
	Baseline   string         `json:"baseline"`  // digest of what ran
	Candidate  string         `json:"candidate"` // digest of what ran
	Seed       uint64         `json:"seed"`
	Changes    []graph.Change `json:"changes"`
	Screen     []string       `json:"screen"`  // ids of the inputs that chose
	Confirm    []string       `json:"confirm"` // ids of the inputs that could confirm
	Repeats    int            `json:"repeats"`
	Stopped    string         `json:"stopped,omitempty"` // which budget ended it early
	Report     stats.Report   `json:"report"`
	Pairs      []PairRecord   `json:"pairs"`
}

// PairRecord is one input run by both arms, in the order of running.
type PairRecord struct {
	Input     string    `json:"input"` // id of the example
	Baseline  ArmRecord `json:"baseline"`
	Candidate ArmRecord `json:"candidate"`
}

// ArmRecord is one side of a pair, its repeats averaged.
type ArmRecord struct {
	OK     bool               `json:"ok"`
	Error  string             `json:"error,omitempty"`
	Values map[string]float64 `json:"values"` // by objective, without those that are missing
}

// design returns the experiment on n inputs that the policy asks for.
func (s *session) design(n int) stats.Design {
	d := stats.Design{N: n, FirstLook: min(minConfirm, n), Objectives: s.objectives}
	if e := s.policy.RSI.MinEffect; e != nil {
		if d.MinEffect = *e; *e == 0 {
			d.MinEffect = -1 // stats takes 0 for the default
		}
	}
	return d
}

// experimentPhase runs the winner of SCREEN against the active version on CONFIRM
// until core/stats has decided or a budget is spent.
func (s *session) experimentPhase(ctx context.Context) (any, error) {
	if s.winner == nil || s.validated == nil || !s.validated.review.Valid {
		return nil, skipped("experiment", "validate")
	}
	if s.evidence != nil {
		// CONFIRM may be met once: a second look at it would choose.
		return nil, skipped("experiment again", "a cycle of its own")
	}
	h := s.winner.hypothesis
	exp, err := stats.NewExperiment(s.design(len(s.confirm)))
	if err != nil {
		return nil, err
	}
	base, err := s.open(ctx, s.base.Graph)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	candidate, err := s.open(ctx, s.winner.graph)
	if err != nil {
		return nil, err
	}
	defer candidate.Close()
	s.candidate = candidate.Locked()

	ev := &Evidence{ID: "e-" + s.id, Hypothesis: h.ID, Graph: s.base.Graph.Name, Baseline: graph.Digest(base.Locked()),
		Candidate: graph.Digest(s.candidate), Seed: s.seed, Changes: h.Changes, Screen: s.ids(s.screen), Confirm: s.ids(s.confirm),
		Repeats: max(s.policy.RSI.Repeats, 1), Pairs: []PairRecord{}}
	s.evidence = ev
	err = s.pairs(ctx, exp, [2]*entrant{base, candidate}, ev)
	ev.Report = exp.Report()
	if errors.Is(err, errSpent) {
		ev.Stopped = err.Error()
		ev.Report.Reason += "; " + ev.Stopped
		s.conclude(BudgetExhausted, ev.Report.Reason)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	switch {
	case ev.Stopped != "", ev.Report.Verdict == stats.Pass:
	case ev.Report.Verdict == stats.Fail || ev.Report.Cause == stats.CauseNoEffect:
		s.conclude(NotImproved, ev.Report.Reason)
	default:
		s.conclude(Inconclusive, ev.Report.Reason)
	}
	return tested{ev.Report, s.mayDeploy()}, s.record(ctx, KindExperiment, ev.ID, ev)
}

// tested is the output of the phase. Deploy says that no person is needed.
type tested struct {
	stats.Report
	Deploy bool `json:"deploy"`
}

// pairs runs both arms, in random order, on every input of CONFIRM in turn.
func (s *session) pairs(ctx context.Context, exp *stats.Experiment, arms [2]*entrant, ev *Evidence) error {
	for i := range warmups {
		for _, a := range arms {
			// On SCREEN: CONFIRM is met only while measuring.
			if _, err := s.measure(ctx, a, s.screen[i%len(s.screen)], everything); err != nil {
				return err
			}
		}
	}
	for done, example := range s.confirm {
		var runs [2][]sample
		for range ev.Repeats {
			first := s.rng.IntN(2)
			for _, side := range [2]int{first, 1 - first} {
				m, err := s.measure(ctx, arms[side], example, everything)
				if err != nil {
					return err
				}
				runs[side] = append(runs[side], m)
			}
		}
		b, c := mean(runs[0]), mean(runs[1])
		ev.Pairs = append(ev.Pairs, PairRecord{s.data[example].ID, s.armRecord(b), s.armRecord(c)})
		d, err := exp.Add(stats.Pair{Baseline: b.values, Candidate: c.values, BaselineOK: b.ok, CandidateOK: c.ok})
		if err != nil {
			return err
		}
		s.report("experiment", done+1, len(s.confirm), d.Reason)
		if d.Done {
			return nil
		}
	}
	return nil
}

func (s *session) armRecord(m sample) ArmRecord {
	r := ArmRecord{OK: m.ok, Values: map[string]float64{}}
	if m.err != nil {
		r.Error = m.err.Error()
	}
	for k, o := range s.objectives {
		if v := m.values[k]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			r.Values[o.Name] = v
		}
	}
	return r
}

func (s *session) ids(examples []int) []string {
	list := make([]string, len(examples))
	for i, e := range examples {
		list[i] = s.data[e].ID
	}
	return list
}

// Impact is what one objective was before and after, on CONFIRM. Before and after
// are means in Unit; the change and its interval, valid however often was looked,
// are in ChangeUnit and in the objective's own direction: -20 percent of a
// latency is an improvement. An absent value is not known.
type Impact struct {
	Before     *float64 `json:"before"`
	After      *float64 `json:"after"`
	Change     *float64 `json:"change"`
	Low        *float64 `json:"low"`
	High       *float64 `json:"high"`
	Unit       string   `json:"unit"`        // s, usd, score, share, or empty for a metric
	ChangeUnit string   `json:"change_unit"` // percent or points
	Standing   string   `json:"standing"`    // better, worse or undecided
}

// impact returns the rows of a report by objective.
func impact(r stats.Report) map[string]Impact {
	m := map[string]Impact{}
	for _, row := range r.Objectives {
		i := Impact{Before: row.Baseline, After: row.Candidate, Unit: unitOf(row.Objective), ChangeUnit: string(row.Unit), Standing: string(row.State)}
		if row.Kind == stats.Success {
			i.Unit = unitOf(Reliability)
		}
		if c := row.Change; c != nil {
			i.Change, i.Low, i.High = &c.Estimate, &c.Low, &c.High
		}
		m[row.Objective] = i
	}
	return m
}

// record appends one entry to the ledger.
func (s *session) record(ctx context.Context, kind, id string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kind, id, err)
	}
	return s.Ledger.Append(ctx, Record{Kind: kind, ID: id, Graph: s.base.Graph.Name, Body: raw})
}
