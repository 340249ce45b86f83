package rsi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Limits bound what a cycle may change. They are the host's, not the policy's.
type Limits struct {
	NodesAdded   int          // default 5
	NodesRemoved int          // default 2
	PromptLength int          // characters; default 10,000
	Review       float64      // risk score from which a person decides; default 0.7
	Kinds        []graph.Kind // allowed kinds of change; nil allows all
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.NodesAdded, 5)
	set(&l.NodesRemoved, 2)
	set(&l.PromptLength, 10_000)
	if l.Review == 0 {
		l.Review = .7
	}
	return l
}

// Review is what validation says of a candidate.
type Review struct {
	Valid       bool      `json:"valid"`
	NeedsPerson bool      `json:"needs_person"` // the risk asks for a person's decision
	RiskScore   float64   `json:"risk_score"`   // 0 and up
	RiskLevel   string    `json:"risk_level"`   // low below 0.3, medium below 0.6, high below 0.8, critical
	RiskFactors []string  `json:"risk_factors"`
	Findings    []Finding `json:"findings"`
	Reason      string    `json:"reason"`
}

// Finding is one rule that a candidate touches.
type Finding struct {
	Rule           string `json:"rule"`
	Severity       string `json:"severity"` // error or warning
	Message        string `json:"message"`
	Recommendation string `json:"recommendation,omitempty"`
}

// The risk that a type of hypothesis brings by itself.
var typeRisk = map[string]float64{
	ParameterTuning: .1, "caching": .1, "config_change": .2, "prompt_optimization": .2, "parallelization": .3,
	"model_upgrade": .3, "edge_modification": .3, "node_replacement": .4, "tool_addition": .4, "custom": .5,
}

const unknownTypeRisk = .5

// review judges a candidate without running it: what changed, whether it may, and
// how risky it is. The error is that of the catalog.
func (s *session) review(ctx context.Context, h *Hypothesis, changes []graph.Change, l *graph.Locked) (Review, error) {
	r := Review{RiskFactors: []string{}, Findings: []Finding{}}
	find := func(rule, recommendation, format string, args ...any) {
		r.Findings = append(r.Findings, Finding{rule, graph.SeverityError, fmt.Sprintf(format, args...), recommendation})
	}
	risk := func(score float64, format string, args ...any) {
		r.RiskScore += score
		r.RiskFactors = append(r.RiskFactors, fmt.Sprintf("+%.1f %s", score, fmt.Sprintf(format, args...)))
	}
	old := s.base.Graph
	if len(changes) == 0 {
		find("changes", "", "the candidate is the active version")
	}
	added, removed := missingIn(old, l.Graph), missingIn(l.Graph, old)
	changed := changedNodes(s.base, l)
	for _, c := range changes {
		if s.Limits.Kinds != nil && !slices.Contains(s.Limits.Kinds, c.Kind) {
			find("allowed_kinds", "", "changes of kind %s are not allowed", c.Kind)
		}
	}
	// The graphs themselves are compared, not what the changes claim.
	for _, node := range s.policy.Protected {
		if changed[node] || slices.Contains(removed, node) || !sameNode(old, l.Graph, node) {
			find("protected", "propose a change elsewhere", "node %q is protected", node)
		}
	}
	if len(added) > s.Limits.NodesAdded {
		find("max_nodes_added", "", "%d nodes are added, the limit is %d", len(added), s.Limits.NodesAdded)
	}
	if len(removed) > s.Limits.NodesRemoved {
		find("max_nodes_removed", "", "%d nodes are removed, the limit is %d", len(removed), s.Limits.NodesRemoved)
	}
	types, err := s.nodeTypes(ctx, l)
	if err != nil {
		return r, err
	}
	for _, f := range l.Graph.Validate(func(ref string) (*abi.NodeType, error) {
		if t := types[ref]; t != nil {
			return t, nil
		}
		return nil, fault.New(fault.NotFound, ref, "the candidate locks no such module")
	}, graph.StepsLimited()) {
		if f.Severity == graph.SeverityError {
			find("schema", f.Hint, "%s: %s", f.Path, f.Message)
		}
	}
	for _, n := range l.Graph.Nodes {
		if t := types[n.Module]; t != nil && changed[n.Name] {
			for path, length := range prompts(t.Config, n.Config) {
				if length > s.Limits.PromptLength {
					find("max_prompt_length", "", "nodes.%s.config.%s has %d characters, the limit is %d", n.Name, path, length, s.Limits.PromptLength)
				}
			}
		}
	}
	before, err := s.nodeTypes(ctx, s.base)
	if err != nil {
		return r, err
	}
	had := capabilities(old, before)
	for _, c := range capabilities(l.Graph, types) {
		if !slices.Contains(had, c) {
			find("capabilities", "a person may grant it in a new version", "the candidate wants %q, which the active version does not have", c)
		}
	}

	base, known := typeRisk[h.Type]
	if !known {
		base = unknownTypeRisk
	}
	risk(base, "type %s", h.Type)
	if n := len(added) + len(removed); n > 0 {
		risk(.1*float64(n), "%d nodes added or removed", n)
	}
	if !sameEdges(old, l.Graph) {
		risk(.2, "edges change")
	}
	for _, node := range s.policy.Protected {
		if slices.ContainsFunc(l.Graph.Edges, func(e *graph.Edge) bool { return e.From == node && changed[e.To] || e.To == node && changed[e.From] }) {
			risk(.3, "next to protected node %s", node)
			break
		}
	}
	if len(r.Findings) > 0 {
		risk(float64(len(r.Findings)), "%d violations", len(r.Findings))
	}
	r.Valid = len(r.Findings) == 0
	r.RiskLevel = riskLevel(r.RiskScore)
	r.NeedsPerson = r.Valid && r.RiskScore >= s.Limits.Review
	r.Reason = fmt.Sprintf("valid, risk %s (%.1f)", r.RiskLevel, r.RiskScore)
	if !r.Valid {
		r.Reason = r.Findings[0].Rule + ": " + r.Findings[0].Message
	}
	return r, nil
}

func riskLevel(score float64) string {
	const rounding = 1e-9 // .1+.2 is a medium risk
	switch {
	case score < .3-rounding:
		return "low"
	case score < .6-rounding:
		return "medium"
	case score < .8-rounding:
		return "high"
	}
	return "critical"
}

// nodeTypes returns the node types of l by module reference.
func (s *session) nodeTypes(ctx context.Context, l *graph.Locked) (map[string]*abi.NodeType, error) {
	m := map[string]*abi.NodeType{}
	for _, lock := range l.Locks {
		n := l.Graph.Node(lock.Node)
		if n == nil || m[n.Module] != nil {
			continue
		}
		key := lock.Digest + " " + lock.Type
		t := s.types[key]
		if t == nil {
			var err error
			if t, err = s.Catalog.NodeType(ctx, lock); err != nil {
				return nil, err
			}
			s.types[key] = t
		}
		m[n.Module] = t
	}
	return m, nil
}

// missingIn returns the nodes of g that old does not have.
func missingIn(old, g *graph.Graph) []string {
	var list []string
	for _, n := range g.Nodes {
		if old.Node(n.Name) == nil {
			list = append(list, n.Name)
		}
	}
	return list
}

// sameNode reports whether both graphs say the same about a node.
func sameNode(a, b *graph.Graph, name string) bool {
	x, _ := json.Marshal(a.Node(name))
	y, _ := json.Marshal(b.Node(name))
	return string(x) == string(y)
}

func sameEdges(a, b *graph.Graph) bool {
	x, _ := json.Marshal([]any{a.Start, a.Edges, a.Output})
	y, _ := json.Marshal([]any{b.Start, b.Edges, b.Output})
	return string(x) == string(y)
}

// capabilities returns what the nodes of g may do beyond computing: grants,
// wishes of their modules, assets and effects, each with the node where it
// matters.
func capabilities(g *graph.Graph, types map[string]*abi.NodeType) []string {
	var list []string
	for _, n := range g.Nodes {
		if n.Grant != nil {
			for name, granted := range map[string]bool{"generate": n.Grant.Generate, "clock": n.Grant.Clock, "random": n.Grant.Random} {
				if granted {
					list = append(list, "grant "+name+" on "+n.Name)
				}
			}
			for _, origin := range n.Grant.HTTP {
				list = append(list, "grant http "+origin+" on "+n.Name)
			}
		}
		for _, a := range n.Assets {
			list = append(list, "asset "+a+" on "+n.Name)
		}
		if t := types[n.Module]; t != nil {
			for _, c := range t.Capabilities {
				list = append(list, string(c))
			}
			if t.Effects != "" && t.Effects != abi.EffectsNone {
				list = append(list, "effects "+string(t.Effects))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// prompts returns the lengths in characters of the values that a config schema
// marks with x-prompt, by path.
func prompts(raw, config json.RawMessage) map[string]int {
	out := map[string]int{}
	var s schema
	if json.Unmarshal(raw, &s) != nil {
		return out
	}
	var walk func(s *schema, path string, config json.RawMessage)
	walk = func(s *schema, path string, config json.RawMessage) {
		var values map[string]json.RawMessage
		json.Unmarshal(config, &values)
		for name, p := range s.Properties {
			at := below(path, name)
			var text string
			if p.Prompt && json.Unmarshal(values[name], &text) == nil {
				out[at] = utf8.RuneCountInString(text)
			}
			walk(p, at, values[name])
		}
	}
	walk(&s, "", config)
	return out
}

// validatePhase judges the configuration that SCREEN chose, as it is locked.
func (s *session) validatePhase(ctx context.Context) (any, error) {
	if s.winner == nil {
		return nil, skipped("validate", "screen")
	}
	h := s.winner.hypothesis
	arm, err := s.open(ctx, s.winner.graph)
	if err != nil {
		return nil, err
	}
	defer arm.Close()
	r, err := s.review(ctx, h, h.Changes, arm.Locked())
	if err != nil {
		return nil, err
	}
	h.RiskScore, h.RiskLevel, h.Risks = r.RiskScore, r.RiskLevel, r.RiskFactors
	s.validated = &validated{review: r, digest: graph.Digest(arm.Locked())}
	if !r.Valid {
		s.conclude(NotImproved, "the candidate is not allowed: "+r.Reason)
	}
	return r, nil
}

// validated is the review of one exact candidate.
type validated struct {
	review Review
	digest string
}
