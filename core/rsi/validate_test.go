package rsi

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// reviewOf judges the base with changes; edit may change what no change reaches.
func reviewOf(t *testing.T, limits Limits, kind string, edit func(l *graph.Locked), changes ...graph.Change) Review {
	t.Helper()
	w := newWorld(t, 1, 100)
	m := New(Config{Telemetry: w, Lab: w, Catalog: w, Releaser: w, Ledger: w, Limits: limits})
	s, err := m.begin(w.request(1))
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Apply(w.base.Graph, changes...)
	if err != nil {
		t.Fatal(err)
	}
	l := &graph.Locked{Graph: g, Locks: append([]graph.Lock(nil), w.base.Locks...)}
	if edit != nil {
		edit(l)
	}
	r, err := s.review(t.Context(), &Hypothesis{Type: kind}, changes, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func setting(node, path, old, new string) graph.Change {
	return graph.Change{Kind: graph.NodeConfigUpdate, Target: node, Path: path, Old: json.RawMessage(old), New: json.RawMessage(new)}
}

func TestReview(t *testing.T) {
	worldTypes["writer"] = `{"type":"object","properties":{"text":{"type":"string","x-prompt":true}}}`
	t.Cleanup(func() { delete(worldTypes, "writer") })
	writer := func(text string) func(l *graph.Locked) {
		return func(l *graph.Locked) {
			config, _ := json.Marshal(map[string]string{"text": text})
			l.Graph.Node("normalize").Module, l.Graph.Node("normalize").Config = "writer@^1", config
			l.Locks[0].Type = "writer"
		}
	}
	depth := setting("retrieve", "depth", "50", "20")
	stem := setting("normalize", "stem", "false", "true")
	for _, c := range []struct {
		name   string
		limits Limits
		kind   string
		edit   func(l *graph.Locked)
		change graph.Change
		rule   string // the first finding, empty for none
		score  float64
		level  string
	}{
		{"far from what is protected", Limits{}, ParameterTuning, nil, stem, "", .1, "low"},
		{"next to it", Limits{}, ParameterTuning, nil, depth, "", .4, "medium"},
		{"free change", Limits{}, "custom", nil, depth, "", .8, "critical"},
		{"protected", Limits{}, ParameterTuning, nil, setting("answer", "style", "5", "1"), "protected", 1.1, "critical"},
		{"schema", Limits{}, ParameterTuning, nil, setting("retrieve", "depth", "50", "0"), "schema", 1.4, "critical"},
		{"type", Limits{}, ParameterTuning, nil, setting("retrieve", "depth", "50", `"deep"`), "schema", 1.4, "critical"},
		{"kind", Limits{Kinds: []graph.Kind{graph.NodeAdd}}, ParameterTuning, nil, stem, "allowed_kinds", 1.1, "critical"},
		{"grant", Limits{}, ParameterTuning, func(l *graph.Locked) { l.Graph.Node("normalize").Grant = &graph.Grant{Clock: true} }, stem, "capabilities", 1.1, "critical"},
		{"asset", Limits{}, ParameterTuning, func(l *graph.Locked) {
			l.Graph.Assets = map[string]string{"secrets": "s.txt"}
			l.Graph.Node("normalize").Assets = []string{"secrets"}
		}, stem, "capabilities", 1.1, "critical"},
		{"prompt", Limits{PromptLength: 5}, ParameterTuning, writer("åååååå"), stem, "max_prompt_length", 1.1, "critical"},
		{"prompt that fits", Limits{PromptLength: 5}, ParameterTuning, writer("ååååå"), stem, "", .1, "low"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reviewOf(t, c.limits, c.kind, c.edit, c.change)
			rule := ""
			if len(r.Findings) > 0 {
				rule = r.Findings[0].Rule
			}
			if rule != c.rule || r.Valid != (c.rule == "") || math.Abs(r.RiskScore-c.score) > 1e-9 || r.RiskLevel != c.level {
				t.Errorf("%+v", r)
			}
			if r.NeedsPerson != (r.Valid && r.RiskScore >= .7) {
				t.Errorf("needs a person: %v at %v", r.NeedsPerson, r.RiskScore)
			}
		})
	}
}

func TestReviewCountsNodes(t *testing.T) {
	extra := func(l *graph.Locked) {
		l.Graph.Nodes = append(l.Graph.Nodes, &graph.Node{Name: "extra", Module: "textnorm@^1"})
		l.Graph.Edges = append(l.Graph.Edges, &graph.Edge{From: "normalize", To: "extra"})
		l.Locks = append(l.Locks, graph.Lock{Node: "extra", Type: "textnorm", Version: "1.0.0", Digest: "aa"})
	}
	stem := setting("normalize", "stem", "false", "true")
	if r := reviewOf(t, Limits{}, ParameterTuning, extra, stem); !r.Valid || math.Abs(r.RiskScore-.4) > 1e-9 {
		t.Errorf("%+v", r)
	}
	if r := reviewOf(t, Limits{NodesAdded: -1}, ParameterTuning, extra, stem); r.Valid || r.Findings[0].Rule != "max_nodes_added" {
		t.Errorf("%+v", r)
	}
	if r := reviewOf(t, Limits{}, ParameterTuning, nil); r.Valid || !strings.Contains(r.Reason, "is the active version") {
		t.Errorf("%+v", r)
	}
}

func TestAWiderModuleIsRefused(t *testing.T) {
	had := capabilities(&graph.Graph{}, nil)
	got := capabilities(&graph.Graph{Nodes: []*graph.Node{{Name: "a", Module: "m"}}}, map[string]*abi.NodeType{
		"m": {Effects: abi.EffectsWrite, Capabilities: []abi.Capability{abi.CapGenerate}}})
	if len(had) != 0 || strings.Join(got, ",") != "effects write,generate" {
		t.Errorf("%v, %v", had, got)
	}
}
