package rsi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// wide is a catalog whose every node type has n tunables.
type wide int

func (n wide) NodeType(context.Context, graph.Lock) (*abi.NodeType, error) {
	props := map[string]any{}
	for i := range int(n) {
		props[fmt.Sprint("p", i)] = map[string]any{"type": "number", "default": 1, "x-tunable": map[string]any{"min": 0, "max": 2}}
	}
	raw, err := json.Marshal(map[string]any{"type": "object", "properties": props})
	return &abi.NodeType{Type: "wide", Config: raw}, err
}

func TestTunerGroupsNodes(t *testing.T) {
	w := newWorld(t, 1, 1)
	a := &Analysis{Nodes: []NodeReport{{Node: "retrieve", CriticalShare: .7}, {Node: "answer", CriticalShare: .2}},
		Bottlenecks: []Bottleneck{{Node: "retrieve", Issue: "high_latency", Detail: "slow"}}}
	for _, c := range []struct {
		each int
		want string
	}{
		{0, ""},
		{8, "retrieve answer normalize (24)"},
		{9, "retrieve answer (18), normalize (9)"},
		{20, "retrieve (20), answer (20), normalize (20)"},
	} {
		list, err := Tuner{}.Propose(t.Context(), &Situation{Base: w.base, Policy: w.policy, Analysis: a, Catalog: wide(c.each)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range list {
			got = append(got, fmt.Sprintf("%s (%d)", strings.Join(h.Targets, " "), len(h.Tunables)))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%d tunables a node: %q, want %q", c.each, s, c.want)
		}
		if len(list) > 0 && (len(list[0].Evidence) != 1 || !strings.Contains(list[0].Rationale, "critical path")) {
			t.Errorf("%+v", list[0])
		}
	}
}

func TestTheBestHypothesisGoesOn(t *testing.T) {
	change := func(depth string) *Hypothesis {
		return &Hypothesis{Type: "config_change", Targets: []string{"retrieve"}, Rationale: "depth " + depth,
			Changes: []graph.Change{setting("retrieve", "depth", "50", depth)}}
	}
	w := newWorld(t, 3, 150)
	c := Config{Telemetry: w, Lab: w, Catalog: w, Releaser: w, Ledger: w, Proposers: []Proposer{
		proposal{change("60")}, proposal{&Hypothesis{Type: "config_change", Targets: []string{"answer"}}}, proposal{change("20")}, proposal{change("190")}}}
	w.policy.RSI.MaxHypotheses = 2
	r, err := New(c).Cycle(t.Context(), w.request(1))
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != Improved || r.Candidate.Hypothesis.Rationale != "depth 20" {
		t.Fatalf("%s: %s, %+v", r.Verdict, r.Reason, r.Candidate)
	}
	list, _ := w.List(t.Context(), KindExperience, "search")
	if len(list) != 2 {
		t.Fatalf("%d experiences, max_hypotheses is 2", len(list))
	}
	outcomes := map[string]string{}
	for _, rec := range list {
		var e Experience
		if err := json.Unmarshal(rec.Body, &e); err != nil {
			t.Fatal(err)
		}
		outcomes[e.Hypothesis] = e.Outcome
	}
	if winner := r.Candidate.Hypothesis.ID; outcomes[winner] != Improved || len(outcomes) != 2 {
		t.Errorf("outcomes %v, the winner is %s", outcomes, winner)
	}
	for _, run := range w.runs {
		if run.conf.Depth == 190 {
			t.Fatal("a hypothesis beyond the limit ran")
		}
	}
}

func TestLabelsCountOn(t *testing.T) {
	for _, c := range []struct {
		base  string
		taken []string
		want  string
	}{
		{"1.0.0", nil, "1.0.0+rsi.1"},
		{"1.0.0+rsi.4", nil, "1.0.0+rsi.5"},
		{"1.0.0", []string{"1.0.0+rsi.1", "2.0.0+rsi.9", "1.0.0+rsi.3"}, "1.0.0+rsi.4"},
		{"2.0.0+mine", nil, "2.0.0+mine+rsi.1"},
		{"", nil, "0+rsi.1"},
	} {
		w := newWorld(t, 1, 50)
		w.base.Graph.Version = c.base
		for i, label := range c.taken {
			raw, _ := json.Marshal(Promotion{Label: label})
			w.ledger = append(w.ledger, Record{Kind: KindRelease, ID: fmt.Sprint(i), Graph: "search", Body: raw})
		}
		s, err := w.improver().begin(w.request(1))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.label(t.Context()); err != nil || got != c.want {
			t.Errorf("after %q and %v: %q, want %q (%v)", c.base, c.taken, got, c.want, err)
		}
	}
}
