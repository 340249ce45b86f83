package rsi

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The states of a promotion.
const (
	PromotionReleased = "released"
	PromotionWaiting  = "waiting" // for a person
	PromotionRefused  = "refused" // the active version had changed
)

// Promotion is what became of a confirmed candidate. Version is the candidate
// itself, so that a person can release it later.
type Promotion struct {
	Hypothesis string        `json:"hypothesis"`
	Experiment string        `json:"experiment"`
	Status     string        `json:"status"`
	Base       string        `json:"base"` // id of the version the cycle started from
	Label      string        `json:"label"`
	ID         string        `json:"id,omitempty"` // of the new version, when released
	Reason     string        `json:"reason"`
	Version    *graph.Locked `json:"version"`
}

// confirmed returns the candidate if, and only if, this cycle validated and
// confirmed exactly it: whatever document ran the phases.
func (s *session) confirmed(ctx context.Context) (*graph.Locked, error) {
	if s.evidence == nil || s.evidence.Stopped != "" || s.evidence.Report.Verdict != stats.Pass {
		return nil, skipped("release", "an experiment that passed")
	}
	if s.validated == nil || !s.validated.review.Valid || s.validated.digest != graph.Digest(s.candidate) {
		return nil, skipped("release", "validate")
	}
	l := *s.candidate
	l.Graph = l.Graph.Clone()
	label, err := s.label(ctx)
	l.Graph.Version = label
	return &l, err
}

const labelMark = "+rsi."

// label returns the next label of the base's line: 1.0.0+rsi.3 after 1.0.0+rsi.2.
func (s *session) label(ctx context.Context) (string, error) {
	root, n := lineage(s.base.Graph.Version)
	list, err := s.Ledger.List(ctx, KindRelease, s.base.Graph.Name)
	if err != nil {
		return "", err
	}
	for _, r := range list {
		var p Promotion
		if err := json.Unmarshal(r.Body, &p); err != nil {
			return "", fault.Wrap(fault.Corrupt, r.ID, err, "read the release from the ledger")
		}
		if other, m := lineage(p.Label); other == root {
			n = max(n, m)
		}
	}
	return root + labelMark + strconv.Itoa(n+1), nil
}

// lineage splits a label into what a person gave it and Spark's number, 0 for none.
func lineage(label string) (root string, n int) {
	if label == "" {
		label = "0"
	}
	i := strings.LastIndex(label, labelMark)
	if i < 0 {
		return label, 0
	}
	n, err := strconv.Atoi(label[i+len(labelMark):])
	if err != nil {
		return label, 0
	}
	return label[:i], n
}

func (s *session) promotion(l *graph.Locked) *Promotion {
	return &Promotion{Hypothesis: s.winner.hypothesis.ID, Experiment: s.evidence.ID, Base: s.baseID, Label: l.Graph.Version, Version: l}
}

// releasePhase makes the confirmed candidate the active version.
func (s *session) releasePhase(ctx context.Context) (any, error) {
	l, err := s.confirmed(ctx)
	if err != nil {
		return nil, err
	}
	if s.promoted != nil || !s.mayDeploy() {
		return nil, skipped("release", "a policy and a risk that allow it")
	}
	evidence, err := json.Marshal(s.improvement())
	if err != nil {
		return nil, err
	}
	p := s.promotion(l)
	rel, err := s.Releaser.Release(ctx, Release{Graph: l.Graph.Name, Base: s.baseID, Version: l, Label: p.Label,
		Strategy: s.policy.RSI.Strategy, Author: "hypothesis:" + p.Hypothesis, Evidence: evidence})
	switch {
	case fault.Is(err, fault.Conflict):
		p.Status, p.Reason = PromotionRefused, "someone else changed the active version during the cycle: "+err.Error()
		s.conclude(Conflict, p.Reason)
	case err != nil:
		return nil, err
	default:
		p.Status, p.ID, p.Label, p.Reason = PromotionReleased, rel.ID, rel.Label, s.evidence.Report.Reason
		s.conclude(Improved, p.Reason)
	}
	s.promoted = p
	return p.summary(), s.record(ctx, KindRelease, "r-"+s.id, p)
}

// mayDeploy says whether no person is needed.
func (s *session) mayDeploy() bool {
	auto := s.policy.RSI.AutoDeploy
	return (auto == nil || *auto) && !s.validated.review.NeedsPerson
}

// holdPhase records the confirmed candidate for a person to decide on.
func (s *session) holdPhase(ctx context.Context) (any, error) {
	l, err := s.confirmed(ctx)
	if err != nil {
		return nil, err
	}
	if s.promoted != nil {
		return nil, skipped("hold", "a candidate that is not released")
	}
	p := s.promotion(l)
	why := "auto_deploy is false"
	if s.validated.review.NeedsPerson {
		why = fmt.Sprintf("risk is %s (%.1f)", s.validated.review.RiskLevel, s.validated.review.RiskScore)
	}
	p.Status, p.Reason = PromotionWaiting, fmt.Sprintf("confirmed and waiting for a person, because %s: %s", why, s.evidence.Report.Reason)
	s.promoted = p
	s.conclude(WaitingForReview, p.Reason)
	return p.summary(), s.record(ctx, KindRelease, "r-"+s.id, p)
}

// summary is the promotion as a stage shows it, without the whole version.
func (p *Promotion) summary() any {
	c := *p
	c.Version = nil
	return c
}
