package rsi

import (
	"context"
	_ "embed"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

//go:embed cycle.yaml
var cycleDocument []byte

// CycleDocument returns the graph document that a cycle runs by default, to be
// copied and edited.
func CycleDocument() []byte { return slices.Clone(cycleDocument) }

// Config is what an Improver works with. The first five fields are required.
type Config struct {
	Telemetry Telemetry
	Lab       Lab
	Catalog   Catalog
	Releaser  Releaser
	Ledger    Ledger

	Proposers []Proposer       // default Tuner
	Document  []byte           // of the cycle; default CycleDocument
	Limits    Limits           // of changes
	OpenArms  int              // arms open at a time, at least 2; default 8
	Now       func() time.Time // default time.Now
}

// Improver analyses and improves graphs. It holds no state between calls and is
// safe for concurrent use as far as its Config is; two cycles on one graph at a
// time waste each other's work, since the second to release meets a conflict.
type Improver struct{ Config }

// New returns an Improver with the defaults filled in.
func New(c Config) *Improver {
	if c.Proposers == nil {
		c.Proposers = []Proposer{Tuner{}}
	}
	if c.Document == nil {
		c.Document = cycleDocument
	}
	if c.OpenArms == 0 {
		c.OpenArms = 8
	}
	c.OpenArms = max(c.OpenArms, 2)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	return &Improver{c}
}

// Request asks for one cycle.
type Request struct {
	Version  *graph.Locked // the active version
	Policy   *graph.Policy
	Dataset  []Example
	Scorers  []Scorer       // of the objective quality; may be empty
	Seed     uint64         // of the split, the search and the order of runs; 0 draws one, which the report names
	Progress func(Progress) // called from one goroutine, often; may be nil
}

// Progress tells how far a cycle is.
type Progress struct {
	Phase   string // analyze, propose, screen, validate, experiment, release, hold, learn
	Done    int    // runs of screen, pairs of experiment
	Total   int    // 0 when the phase does not count
	Message string
}

// session is one cycle: what its phases share. The engine runs them one after
// another, so nothing here is locked.
type session struct {
	*Improver
	id         string
	base       *graph.Locked
	baseID     string
	policy     *graph.Policy
	objectives []stats.Objective
	data       []Example
	screen     []int // indices into data
	confirm    []int
	scorers    []Scorer
	seed       uint64
	rng        *rand.Rand
	budget     *budget
	progress   func(Progress)
	types      map[string]*abi.NodeType // by digest and type
	context    string                   // see contextOf

	analysis   *Analysis
	past       []Experience
	hypotheses []*Hypothesis
	winner     *winner
	validated  *validated
	candidate  *graph.Locked // what ran in the experiment
	evidence   *Evidence
	promoted   *Promotion

	stages          []Stage
	verdict, reason string
}

// phases are the native nodes of a cycle document.
var phases = map[string]func(*session, context.Context) (any, error){
	"rsi.analyze":    (*session).analyzePhase,
	"rsi.propose":    (*session).propose,
	"rsi.screen":     (*session).screenPhase,
	"rsi.validate":   (*session).validatePhase,
	"rsi.experiment": (*session).experimentPhase,
	"rsi.release":    (*session).releasePhase,
	"rsi.hold":       (*session).holdPhase,
	"rsi.learn":      (*session).learnPhase,
}

// Cycle runs one improvement cycle from r.Version and returns what happened. No
// improvement is no error: the verdict says it. An error means that the cycle
// could not run (Invalid for a request, dataset, scorer or cycle document that is
// at fault, the host's faults otherwise); the ledger then keeps what happened
// until there.
func (m *Improver) Cycle(ctx context.Context, r Request) (*Report, error) {
	plan, err := compileCycle(m.Document)
	if err != nil {
		return nil, err
	}
	s, err := m.begin(r)
	if err != nil {
		return nil, err
	}
	program := &engine.Program{Plan: plan}
	for i := range plan.Nodes {
		spec := plan.Nodes[i].Spec
		program.Runners = append(program.Runners, engine.Func(func(ctx context.Context, _ *run.Step) ([]byte, error) {
			return s.stage(ctx, spec)
		}))
	}
	_, err = engine.Run(ctx, program, []byte("{}"), engine.Options{Parallel: 1,
		Info: &run.Info{ID: run.NewID(), Graph: plan.Graph.Name, Version: plan.Graph.Version, GraphType: plan.Type,
			Kind: run.Experiment, Started: s.budget.start, TelemetryOff: true}})
	if err != nil {
		s.conclude(Failed, err.Error())
	}
	report := s.finish()
	// What happened is worth keeping also when the caller has gone.
	if lost := s.record(context.WithoutCancel(ctx), KindCycle, "c-"+s.id, report); err == nil {
		err = lost
	}
	if err != nil {
		return nil, err
	}
	return report, nil
}

// compileCycle checks a cycle document: all its nodes are phases.
func compileCycle(document []byte) (*graph.Plan, error) {
	g, fs := graph.Decode(document, "cycle")
	if err := fs.Err("cycle"); err != nil {
		return nil, err
	}
	for _, n := range g.Nodes {
		if phases[n.Native] == nil {
			return nil, fault.New(fault.Invalid, "nodes."+n.Name, "a cycle has no phase %q", n.Native+n.Module).
				WithHint("the phases are %s", strings.Join(slices.Sorted(maps.Keys(phases)), ", "))
		}
	}
	return graph.Compile(&graph.Locked{Graph: g})
}

// begin checks a request and splits its dataset.
func (m *Improver) begin(r Request) (*session, error) {
	list, err := objectives(r.Policy)
	if err != nil {
		return nil, err
	}
	if len(r.Dataset) == 0 {
		return nil, fault.New(fault.Invalid, "evaluation.dataset", "there is no dataset to compare versions on").
			WithHint("name a JSONL file in the policy: evaluation: {dataset: eval.jsonl}")
	}
	for r.Seed == 0 {
		r.Seed = rand.Uint64()
	}
	id := run.NewID().String()[:12]
	s := &session{Improver: m, id: id, base: r.Version, baseID: graph.Digest(r.Version), policy: r.Policy, objectives: list,
		data: r.Dataset, scorers: r.Scorers, seed: r.Seed, rng: rand.New(rand.NewPCG(r.Seed, 0)),
		budget: newBudget(r.Policy.RSI.Budget, m.Now), progress: r.Progress, types: map[string]*abi.NodeType{}}
	if s.screen, s.confirm, err = split(r.Dataset, r.Policy.RSI, s.rng); err != nil {
		return nil, err
	}
	if len(s.confirm) >= minConfirm {
		if err := s.design(len(s.confirm)).Validate(); err != nil {
			return nil, err
		}
	}
	s.context = s.contextOf()
	return s, nil
}

// stage runs the phase of a node and keeps its output for the report.
func (s *session) stage(ctx context.Context, n *graph.Node) ([]byte, error) {
	name := strings.TrimPrefix(n.Native, "rsi.")
	s.report(name, 0, 0, "")
	start := s.Now()
	out, err := phases[n.Native](s, ctx)
	stage := Stage{Phase: name, Node: n.Name}
	if err == nil {
		stage.Output, err = json.Marshal(out)
	}
	if err != nil {
		stage.Error = err.Error()
	}
	stage.Seconds = s.Now().Sub(start).Seconds()
	s.stages = append(s.stages, stage)
	return stage.Output, err
}

func (s *session) report(phase string, done, total int, msg string) {
	if s.progress != nil {
		s.progress(Progress{phase, done, total, msg})
	}
}

// conclude sets the verdict; a later phase may change it.
func (s *session) conclude(verdict, reason string) { s.verdict, s.reason = verdict, reason }

// skipped is the error of a phase that misses what it builds on.
func skipped(phase, needs string) error {
	return fault.New(fault.Invalid, "rsi."+phase, "the cycle document runs it without %s", needs).
		WithHint("compare the document with the default one")
}

// analyzePhase analyses the version the cycle starts from.
func (s *session) analyzePhase(ctx context.Context) (any, error) {
	a, err := s.Analyze(ctx, s.base.Graph.Name, AnalyzeOptions{Version: s.base, Policy: s.policy})
	if err != nil {
		return nil, err
	}
	if a.Verdict == Ready && (len(s.screen) == 0 || len(s.confirm) < minConfirm) {
		a.Verdict, a.Reason = Inconclusive, "insufficient data: "+
			"the dataset gives "+count(len(s.screen), "input")+" to choose with and "+count(len(s.confirm), "input")+
			" to confirm with, 1 and 20 are needed"
	}
	if a.Verdict != Ready {
		s.conclude(InsufficientData, a.Reason)
		return a, nil
	}
	s.analysis = a
	return a, nil
}
