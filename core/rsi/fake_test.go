package rsi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// world is a synthetic host: a graph of three nodes whose latency and quality are
// functions of their configuration and of the input, with seeded noise. Latencies
// are numbers in outcomes; nothing waits.
type world struct {
	t        testing.TB
	rng      *rand.Rand
	base     *graph.Locked
	policy   *graph.Policy
	data     []Example
	agg      *backend.Aggregate
	source   Source
	active   string // id
	ledger   []Record
	released []Release

	latency func(c config, input float64) float64 // seconds, before noise
	quality func(c config, input float64) float64 // in [0,1]
	cost    float64                               // of a run, US dollars
	fails   func(c config) bool
	metrics map[string]Metric

	runs []labRun
	open int
	most int // arms open at once
}

// labRun is one run as the lab saw it.
type labRun struct {
	input int
	conf  config
}

// config is what the tunables of the world's graph say.
type config struct {
	K1    float64 `json:"k1"`
	Depth float64 `json:"depth"`
	Stem  bool    `json:"stem"`
	Style float64 `json:"style"`
}

const noise = .3 // sigma of log latency

const worldGraph = `
graph: search
version: 1.0.0
start: normalize
nodes:
  normalize: {module: textnorm@^1, config: {stem: false}}
  retrieve: {module: bm25@^1, config: {depth: 50}}
  answer: {module: template@^1, config: {style: 5}}
edges:
  - {from: normalize, to: retrieve}
  - {from: retrieve, to: answer}
output: [answer]
`

const worldPolicy = `
policy: search
objectives:
  latency: {weight: 0.4, direction: minimize}
  quality: {weight: 0.6, direction: maximize}
protected: [answer]
`

var worldTypes = map[string]string{
	"textnorm": `{"type":"object","properties":{"stem":{"type":"boolean","default":false,"x-tunable":true}}}`,
	"bm25": `{"type":"object","properties":{"k1":{"type":"number","default":1.2,"minimum":0,"maximum":10,"x-tunable":{"min":0.4,"max":3}},
		"depth":{"type":"integer","minimum":1,"x-tunable":{"min":5,"max":200,"log":true}}}}`,
	"template": `{"type":"object","properties":{"style":{"type":"integer","x-tunable":{"min":1,"max":9}}}}`,
}

// newWorld returns a world in which depth 20 and k1 2 with stemming are much
// better than the start, and a dataset of n inputs.
func newWorld(t testing.TB, seed uint64, n int) *world {
	t.Helper()
	g, fs := graph.Decode([]byte(worldGraph), "search.yaml")
	if err := fs.Err("search.yaml"); err != nil {
		t.Fatal(err)
	}
	p, fs := graph.DecodePolicy([]byte(worldPolicy), "policy.yaml")
	if err := fs.Err("policy.yaml"); err != nil {
		t.Fatal(err)
	}
	p.RSI.Budget.Runs = 1200
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 99)), policy: p, source: Source{"sqlite", true, true}}
	w.base = &graph.Locked{Graph: g, Locks: []graph.Lock{{Node: "normalize", Type: "textnorm", Version: "1.0.0", Digest: "aa"},
		{Node: "retrieve", Type: "bm25", Version: "1.0.0", Digest: "bb"}, {Node: "answer", Type: "template", Version: "1.0.0", Digest: "cc"}}}
	w.active = graph.Digest(w.base)
	for i := range n {
		w.data = append(w.data, Example{ID: fmt.Sprint("x", i), Input: json.RawMessage(fmt.Sprint(i)), Expected: json.RawMessage(`"yes"`)})
	}
	node := func(mean, share float64) *backend.Stats {
		return &backend.Stats{Recorded: 400, Count: 400, Mean: mean, P50: mean, P95: 2 * mean, SelfBlame: share}
	}
	w.agg = &backend.Aggregate{Runs: backend.Stats{Recorded: 400, Count: 400, Failures: 4, Mean: .1, P50: .09, P95: .2, P99: .3},
		Nodes: map[string]*backend.Stats{"normalize": node(.001, .01), "retrieve": node(.08, .8), "answer": node(.019, .19)}}
	w.latency = func(c config, input float64) float64 { return (.02 + .0015*c.Depth) * (1 + input) }
	w.quality = func(c config, input float64) float64 {
		q := .8 - .1*math.Abs(c.K1-2) - .3*max(0, math.Log(15/c.Depth)) - .3*input
		if c.Stem {
			q += .1
		}
		return q
	}
	w.fails = func(config) bool { return false }
	return w
}

// flatten makes every configuration equally good.
func (w *world) flatten() {
	w.latency = func(_ config, input float64) float64 { return .1 * (1 + input) }
	w.quality = func(_ config, input float64) float64 { return .8 - .5*input }
}

func (w *world) improver() *Improver {
	return New(Config{Telemetry: w, Lab: w, Catalog: w, Releaser: w, Ledger: w})
}

func (w *world) request(seed uint64) Request {
	return Request{Version: w.base, Policy: w.policy, Dataset: w.data, Scorers: []Scorer{grader{}}, Seed: seed}
}

func (w *world) cycle(seed uint64) *Report {
	w.t.Helper()
	r, err := w.improver().Cycle(w.t.Context(), w.request(seed))
	if err != nil {
		w.t.Fatal(err)
	}
	if w.open != 0 {
		w.t.Errorf("%d arms were left open", w.open)
	}
	return r
}

func (w *world) Source(_ context.Context, name string) (Source, error) {
	if name != w.base.Graph.Name {
		return Source{}, fault.New(fault.NotFound, name, "there is no graph %q", name)
	}
	return w.source, nil
}

func (w *world) Flush(context.Context, string) error { return nil }

func (w *world) Aggregate(_ context.Context, f backend.Filter) (*backend.Aggregate, error) {
	if f.RunKind != string(run.Production) || f.Graph != w.base.Graph.Name || !f.From.Before(f.To) {
		return nil, fault.New(fault.Internal, "", "asked for %+v", f)
	}
	return w.agg, nil
}

func (w *world) NodeType(_ context.Context, l graph.Lock) (*abi.NodeType, error) {
	return &abi.NodeType{Type: l.Type, Version: l.Version, Config: json.RawMessage(worldTypes[l.Type]), Effects: abi.EffectsNone}, nil
}

func (w *world) Prepare(_ context.Context, base *graph.Locked, g *graph.Graph) (Arm, error) {
	c := config{K1: 1.2}
	for _, n := range g.Nodes {
		if err := json.Unmarshal(n.Config, &c); err != nil {
			return nil, err
		}
	}
	w.open++
	w.most = max(w.most, w.open)
	return &synthetic{w, &graph.Locked{Graph: g, Locks: base.Locks}, c}, nil
}

// synthetic is an arm of the world.
type synthetic struct {
	w *world
	l *graph.Locked
	c config
}

func (a *synthetic) Locked() *graph.Locked { return a.l }
func (a *synthetic) Close()                { a.w.open-- }

// Run draws what belongs to the input from the input, and the rest from the
// world's noise.
func (a *synthetic) Run(ctx context.Context, input []byte) (Outcome, error) {
	if ctx.Err() != nil {
		return Outcome{}, ctx.Err()
	}
	w := a.w
	var i int
	if err := json.Unmarshal(input, &i); err != nil {
		return Outcome{}, err
	}
	w.runs = append(w.runs, labRun{i, a.c})
	hard := rand.New(rand.NewPCG(uint64(i), 5)).Float64()
	out := Outcome{Latency: time.Duration(w.latency(a.c, hard) * math.Exp(noise*w.rng.NormFloat64()) * 1e9), Metrics: w.metrics,
		Usage: run.Usage{Cost: w.cost}}
	if w.fails(a.c) {
		out.Err = fault.New(fault.Trap, "nodes.retrieve", "the guest crashed")
		return out, nil
	}
	q := w.quality(a.c, hard)
	if q >= 0 && q <= 1 {
		q = max(0, min(1, q+.05*w.rng.NormFloat64()))
	}
	out.Output, _ = json.Marshal(q)
	return out, nil
}

// grader takes the output for the score.
type grader struct{}

func (grader) Name() string { return "grader" }

func (grader) Score(_ context.Context, _, expected, output []byte) (float64, string, error) {
	var q float64
	if string(expected) != `"yes"` {
		return 0, "", fault.New(fault.Internal, "", "expected is %s", expected)
	}
	err := json.Unmarshal(output, &q)
	return q, "", err
}

func (w *world) Release(_ context.Context, r Release) (Released, error) {
	if r.Base != w.active {
		return Released{}, fault.New(fault.Conflict, r.Graph, "the active version is %.6s, not %.6s", w.active, r.Base)
	}
	w.released = append(w.released, r)
	w.active = graph.Digest(r.Version)
	return Released{w.active, r.Label}, nil
}

func (w *world) Append(_ context.Context, r Record) error {
	for _, o := range w.ledger {
		if o.Kind == r.Kind && o.ID == r.ID {
			return fault.New(fault.Conflict, r.ID, "this %s was recorded before", r.Kind)
		}
	}
	w.ledger = append(w.ledger, r)
	return nil
}

func (w *world) List(_ context.Context, kind, name string) ([]Record, error) {
	var list []Record
	for _, r := range w.ledger {
		if r.Kind == kind && r.Graph == name {
			list = append(list, r)
		}
	}
	return list, nil
}

// recorded decodes the only record of a kind.
func recorded[T any](w *world, kind string) T {
	w.t.Helper()
	var v T
	list, _ := w.List(w.t.Context(), kind, w.base.Graph.Name)
	if len(list) == 0 {
		w.t.Fatalf("the ledger has no %s", kind)
	}
	if err := json.Unmarshal(list[len(list)-1].Body, &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// proposal is a proposer of one hypothesis.
type proposal struct{ h *Hypothesis }

func (p proposal) Propose(context.Context, *Situation) ([]*Hypothesis, error) {
	return []*Hypothesis{p.h}, nil
}
