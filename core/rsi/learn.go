package rsi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Experience is what one hypothesis taught. It is kept for ever and steers the
// proposals of later cycles: winners are tried again first, a candidate that was
// refused in the same context is not tried again.
type Experience struct {
	Hypothesis string                     `json:"hypothesis"`
	Type       string                     `json:"type"`
	Targets    []string                   `json:"targets"`
	Values     map[string]json.RawMessage `json:"values,omitempty"`    // of the candidate, by node.path; only what it changed
	Candidate  string                     `json:"candidate,omitempty"` // digest
	Context    string                     `json:"context"`             // digest of objectives and dataset
	Outcome    string                     `json:"outcome"`             // the cycle's verdict for the candidate, or not_chosen
	Screen     float64                    `json:"screen_score,omitempty"`
	Effect     *float64                   `json:"effect_percent,omitempty"` // on CONFIRM
	Lesson     string                     `json:"lesson"`
}

// NotChosen is the outcome of a hypothesis that another one beat on SCREEN, or
// that found nothing better than the active version.
const NotChosen = "not_chosen"

// contextOf identifies what candidates were judged by.
func (s *session) contextOf() string {
	raw, err := json.Marshal([]any{s.policy.Objectives, s.policy.Evaluation, s.data})
	if err != nil {
		return "" // objectives that are no numbers have been refused before
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// experience returns what earlier cycles on this graph taught, oldest first.
func (s *session) experience(ctx context.Context) ([]Experience, error) {
	records, err := s.Ledger.List(ctx, KindExperience, s.base.Graph.Name)
	if err != nil {
		return nil, err
	}
	list := make([]Experience, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r.Body, &list[i]); err != nil {
			return nil, fault.Wrap(fault.Corrupt, r.ID, err, "read the experience from the ledger")
		}
	}
	return list, nil
}

// rejectedKeys returns the digests of the candidates that were measured to the
// end in this context and not found better.
func rejectedKeys(past []Experience, context string) map[string]bool {
	keys := map[string]bool{}
	for _, e := range past {
		if e.Context == context && e.Candidate != "" {
			keys[e.Candidate] = e.Outcome == NotImproved || e.Outcome == Inconclusive
		}
	}
	return keys
}

// learned is the output of the phase.
type learned struct {
	Experiences int    `json:"experiences"`
	Verdict     string `json:"verdict"`
	Reason      string `json:"reason"`
}

// learnPhase records every hypothesis and what became of it.
func (s *session) learnPhase(ctx context.Context) (any, error) {
	for _, h := range s.hypotheses {
		if err := s.record(ctx, KindHypothesis, h.ID, h); err != nil {
			return nil, err
		}
		e := Experience{Hypothesis: h.ID, Type: h.Type, Targets: h.Targets, Context: s.context, Outcome: NotChosen,
			Lesson: "nothing better than the active version was found"}
		if s.winner != nil && s.winner.hypothesis == h {
			e.Outcome, e.Lesson = s.verdict, s.reason
			e.Values, e.Screen = valuesOf(h.Changes), s.winner.score
			if s.evidence != nil {
				e.Candidate = s.evidence.Candidate
				if effect := s.evidence.Report.Effect; effect != nil {
					e.Effect = &effect.Estimate
				}
			}
		} else if s.winner != nil {
			e.Lesson = fmt.Sprintf("%s did better on SCREEN", s.winner.hypothesis.ID)
		}
		if err := s.record(ctx, KindExperience, "x-"+h.ID, e); err != nil {
			return nil, err
		}
	}
	return learned{len(s.hypotheses), s.verdict, s.reason}, nil
}
