package rsi

import (
	"encoding/json"
	"time"

	"github.com/sparkrsi/spark/core/stats"
)

// The verdicts of a cycle. Only Improved means that the active version changed.
const (
	Improved         = "improved"           // a better version was confirmed and released
	WaitingForReview = "waiting_for_review" // a better version was confirmed; a person decides on its release
	NotImproved      = "not_improved"       // nothing better was found, or the candidate did not hold up
	Inconclusive     = "inconclusive"       // every pair was run and no difference shown
	BudgetExhausted  = "budget_exhausted"   // inconclusive, because the runs, cost or time of the policy ended first
	InsufficientData = "insufficient_data"  // too few executions or inputs to begin with
	Conflict         = "conflict"           // confirmed, but someone else had changed the active version
	Failed           = "error"              // the cycle could not run to its end
)

// Report is what one cycle did.
type Report struct {
	ID                   string        `json:"id"`
	Graph                string        `json:"graph"`
	Version              string        `json:"version"`    // label that the cycle started from
	VersionID            string        `json:"version_id"` // its digest
	Seed                 uint64        `json:"seed"`
	Started              time.Time     `json:"started"`
	Seconds              float64       `json:"seconds"`
	Runs                 int           `json:"runs"` // experiment runs, warm-ups included
	CostUSD              float64       `json:"cost_usd"`
	ImprovementsDeployed bool          `json:"improvements_deployed"`
	NumImprovements      int           `json:"num_improvements"`
	Improvements         []Improvement `json:"improvements"`        // deployed ones
	Candidate            *Improvement  `json:"candidate,omitempty"` // what met CONFIRM, whatever came of it
	Stages               []Stage       `json:"stages"`
	Verdict              string        `json:"verdict"`
	Reason               string        `json:"reason"`
}

// Improvement is one hypothesis with what its experiment showed.
type Improvement struct {
	Hypothesis *Hypothesis       `json:"hypothesis"`
	Experiment *stats.Report     `json:"experiment"`
	Impact     map[string]Impact `json:"impact"`            // by objective, and success
	Version    string            `json:"version,omitempty"` // label, when deployed
	VersionID  string            `json:"version_id,omitempty"`
}

// Stage is one phase that ran, in the order of running.
type Stage struct {
	Phase   string          `json:"phase"` // such as screen
	Node    string          `json:"node"`  // its name in the cycle document
	Seconds float64         `json:"seconds"`
	Output  json.RawMessage `json:"output,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// improvement returns the candidate of the experiment, nil before there was one.
func (s *session) improvement() *Improvement {
	if s.evidence == nil {
		return nil
	}
	return &Improvement{Hypothesis: s.winner.hypothesis, Experiment: &s.evidence.Report, Impact: impact(s.evidence.Report)}
}

// finish returns the report of a session that has ended.
func (s *session) finish() *Report {
	if s.verdict == "" {
		s.conclude(Inconclusive, "the cycle document ended before a release")
	}
	r := &Report{ID: "c-" + s.id, Graph: s.base.Graph.Name, Version: s.base.Graph.Version, VersionID: s.baseID, Seed: s.seed,
		Started: s.budget.start, Seconds: s.Now().Sub(s.budget.start).Seconds(), Runs: s.budget.runs, CostUSD: s.budget.cost,
		Improvements: []Improvement{}, Candidate: s.improvement(), Stages: s.stages, Verdict: s.verdict, Reason: s.reason}
	if s.promoted != nil && s.promoted.Status == PromotionReleased {
		i := *r.Candidate
		i.Version, i.VersionID = s.promoted.Label, s.promoted.ID
		r.Improvements = append(r.Improvements, i)
		r.ImprovementsDeployed, r.NumImprovements = true, len(r.Improvements)
	}
	return r
}
