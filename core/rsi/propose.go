package rsi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/core/graph"
)

// ParameterTuning is the type of hypothesis that Tuner makes.
const ParameterTuning = "parameter_tuning"

// Hypothesis is a change that may improve a graph. It is either a set of tunables
// to search together, whose best configuration becomes Changes once SCREEN chose
// it, or Changes alone.
type Hypothesis struct {
	ID        string         `json:"id"`
	Graph     string         `json:"graph"`
	Baseline  string         `json:"baseline"` // id of the version it starts from
	Type      string         `json:"type"`
	Targets   []string       `json:"targets"` // nodes
	Rationale string         `json:"rationale"`
	Evidence  []string       `json:"evidence,omitempty"`
	Tunables  []Tunable      `json:"tunables,omitempty"`
	Changes   []graph.Change `json:"changes"`
	RiskScore float64        `json:"risk_score"`
	RiskLevel string         `json:"risk_level"`
	Risks     []string       `json:"risk_factors,omitempty"`
	Author    string         `json:"author"`

	space *space // of Tunables; nil when there are none
	seeds []point
}

// Situation is what a proposer may know.
type Situation struct {
	Base       *graph.Locked
	BaseID     string
	Policy     *graph.Policy
	Analysis   *Analysis
	Experience []Experience      // of this graph, oldest first
	Frozen     map[string]string // nodes that must stay as they are, and why
	Catalog    Catalog
}

// Proposer makes hypotheses, the most promising first. It need not care about
// limits: what touches a frozen node, or is one too many, is dropped. ID, Graph
// and Baseline are filled in by the cycle.
type Proposer interface {
	Propose(ctx context.Context, s *Situation) ([]*Hypothesis, error)
}

// frozen returns the nodes that no hypothesis may touch.
func frozen(p *graph.Policy) map[string]string {
	f := map[string]string{}
	if p != nil {
		for _, node := range p.Protected {
			f[node] = "protected by the policy"
		}
	}
	return f
}

// tunables returns every tunable of l whose node is not protected, in node order.
func (m *Improver) tunables(ctx context.Context, l *graph.Locked, p *graph.Policy) ([]Tunable, error) {
	return tunablesOf(ctx, m.Catalog, l, frozen(p))
}

func tunablesOf(ctx context.Context, c Catalog, l *graph.Locked, frozen map[string]string) ([]Tunable, error) {
	var list []Tunable
	for _, lock := range l.Locks {
		n := l.Graph.Node(lock.Node)
		if _, stays := frozen[lock.Node]; stays || n == nil {
			continue
		}
		t, err := c.NodeType(ctx, lock)
		if err != nil {
			return nil, err
		}
		some, err := Tunables(lock.Node, t, n.Config)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

// maxTogether is how many tunables one search takes on: beyond it the runs that
// cycles can afford say little about each.
const maxTogether = 24

// Tuner proposes to search the declared tunables of a graph: of several nodes
// together, because what is best for one depends on the others, those that hold
// most of the critical path first.
type Tuner struct{}

var _ Proposer = Tuner{}

// Propose returns one hypothesis for up to 24 tunables, more when there are more.
// A node's tunables stay together. Earlier winners are tried first.
func (Tuner) Propose(ctx context.Context, s *Situation) ([]*Hypothesis, error) {
	all, err := tunablesOf(ctx, s.Catalog, s.Base, s.Frozen)
	if err != nil {
		return nil, err
	}
	nodes := map[string][]Tunable{}
	var order []string
	for _, t := range all {
		if nodes[t.Node] == nil {
			order = append(order, t.Node)
		}
		nodes[t.Node] = append(nodes[t.Node], t)
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(s.Analysis.share(b), s.Analysis.share(a)) })

	var list []*Hypothesis
	for _, node := range order {
		h := (*Hypothesis)(nil)
		if len(list) > 0 && len(list[len(list)-1].Tunables)+len(nodes[node]) <= maxTogether {
			h = list[len(list)-1]
		} else {
			h = &Hypothesis{Type: ParameterTuning, Author: "tuner"}
			list = append(list, h)
		}
		h.Targets = append(h.Targets, node)
		h.Tunables = append(h.Tunables, nodes[node]...)
	}
	for _, h := range list {
		var names []string
		var share float64
		for _, node := range h.Targets {
			share += s.Analysis.share(node)
			for _, b := range s.Analysis.Bottlenecks {
				if b.Node == node {
					h.Evidence = append(h.Evidence, fmt.Sprintf("%s: %s: %s", node, b.Issue, b.Detail))
				}
			}
		}
		for _, t := range h.Tunables {
			names = append(names, t.Node+"."+t.Path)
		}
		together := ""
		if len(names) > 1 {
			together = " together"
		}
		h.Rationale = fmt.Sprintf("tune %s%s; their nodes hold %.0f %% of the critical path", strings.Join(names, ", "), together, 100*share)
		h.space = newSpace(h.Tunables)
		h.seeds = seeds(h, s.Experience)
	}
	return list, nil
}

// seeds returns the configurations of earlier cycles that did well, the latest
// first, laid over what the graph has now.
func seeds(h *Hypothesis, past []Experience) []point {
	var list []point
	for i := len(past) - 1; i >= 0 && len(list) < carried; i-- {
		e := past[i]
		if e.Type != h.Type || e.Outcome != Improved && e.Outcome != WaitingForReview {
			continue
		}
		p, any := slices.Clone(h.space.start), false
		for k, t := range h.Tunables {
			if v, ok := e.Values[t.Node+"."+t.Path]; ok {
				p[k], any = t.place(v), true
			}
		}
		if any {
			list = append(list, p)
		}
	}
	return list
}

// build returns the graph that h makes of base at p, and how it differs. p is
// ignored when h has no tunables.
func (h *Hypothesis) build(base *graph.Graph, p point) (*graph.Graph, []graph.Change, error) {
	changes := h.Changes
	if h.space != nil {
		changes = nil
		for k, v := range h.space.values(p) {
			if t := h.Tunables[k]; string(v) != string(t.Current) {
				changes = append(changes, graph.Change{Kind: graph.NodeConfigUpdate, Target: t.Node, Path: t.Path, Old: t.Current, New: v})
			}
		}
	}
	g, err := graph.Apply(base, changes...)
	return g, changes, err
}

// valuesOf returns the new values of changes, by node and path.
func valuesOf(changes []graph.Change) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for _, c := range changes {
		m[c.Target+"."+c.Path] = c.New
	}
	return m
}

// proposed is the output of the phase.
type proposed struct {
	Hypotheses []*Hypothesis     `json:"hypotheses"`
	Count      int               `json:"count"`
	Frozen     map[string]string `json:"frozen,omitempty"`
	Reason     string            `json:"reason"`
}

const defaultHypotheses = 3

// propose asks every proposer and keeps the first max_hypotheses that touch
// nothing frozen.
func (s *session) propose(ctx context.Context) (any, error) {
	if s.analysis == nil {
		return nil, skipped("propose", "analyze")
	}
	past, err := s.experience(ctx)
	if err != nil {
		return nil, err
	}
	fixed, err := s.probe(ctx)
	if err != nil {
		return nil, err
	}
	view := &Situation{Base: s.base, BaseID: s.baseID, Policy: s.policy, Analysis: s.analysis, Experience: past, Frozen: fixed, Catalog: s.Catalog}
	out := proposed{Hypotheses: []*Hypothesis{}, Frozen: fixed}
	limit := cmp.Or(s.policy.RSI.MaxHypotheses, defaultHypotheses)
	for _, p := range s.Proposers {
		list, err := p.Propose(ctx, view)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			touches := slices.ContainsFunc(h.Targets, func(node string) bool { _, stays := fixed[node]; return stays })
			if touches || len(out.Hypotheses) == limit {
				continue
			}
			h.ID = fmt.Sprintf("h-%s-%d", s.id, len(out.Hypotheses)+1)
			h.Graph, h.Baseline = s.base.Graph.Name, s.baseID
			if h.Changes == nil {
				h.Changes = []graph.Change{} // SCREEN finds them
			}
			if h.space == nil && len(h.Tunables) > 0 {
				h.space = newSpace(h.Tunables)
			}
			out.Hypotheses = append(out.Hypotheses, h)
		}
	}
	s.hypotheses, s.past = out.Hypotheses, past
	out.Count = len(out.Hypotheses)
	out.Reason = fmt.Sprintf("%d hypotheses", out.Count)
	if out.Count == 0 {
		out.Reason = "nothing to try: no node that may change declares a tunable"
		s.conclude(NotImproved, out.Reason)
	}
	return out, nil
}
