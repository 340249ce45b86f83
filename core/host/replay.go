package host

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// MaxReplays bounds the runs of one replay.
const MaxReplays = 1000

// ReplayRequest asks that recorded production runs be tried again: one by its id, or
// the newest of a graph.
type ReplayRequest struct {
	Run      string    // id, 32 hex digits; of a run with checkpoints the first six do
	Graph    string    // of the runs; may be empty with Run when the default profile has it
	From, To time.Time // when they started, without Run; zero is unbounded
	Limit    int       // runs at most, without Run; 0 is 100, the bound MaxReplays
	// Version is what they are tried on, a label or id; empty is the active one.
	Version string
	// Document is tried instead of a version, and not stored.
	Document *Document
	// Natives lets Go functions run whose input is not as recorded. Nobody declares
	// their effects, so they are held back otherwise.
	Natives bool
}

// ReplayReport is what a replay came to.
type ReplayReport struct {
	Graph     string      `json:"graph"`
	Version   string      `json:"version"` // tried
	VersionID string      `json:"version_id"`
	Runs      int         `json:"runs"`     // tried again
	Same      int         `json:"same"`     // with the recorded outcome
	Differ    int         `json:"differ"`   // with another one
	Failed    int         `json:"failed"`   // of those that differ: failed, and had not
	Held      int         `json:"held"`     // of those that failed: a node with effects was held back
	Answered  int         `json:"answered"` // steps that the record answered
	Ran       int         `json:"ran"`      // steps that ran
	Nodes     []string    `json:"nodes"`    // those that ran, sorted
	Replays   []*Replayed `json:"replays"`
	Skipped   []Unplayed  `json:"skipped,omitempty"`
}

// Replayed is one recorded run that was tried again.
type Replayed struct {
	Run      string          `json:"run_id"`    // recorded
	Replay   string          `json:"replay_id"` // of the run that tried it
	Version  string          `json:"version"`   // recorded on
	Same     bool            `json:"same"`
	Before   json.RawMessage `json:"before,omitempty"` // the recorded output
	After    json.RawMessage `json:"after,omitempty"`
	Failed   string          `json:"failed,omitempty"` // kind of the recorded error
	Error    string          `json:"error,omitempty"`  // of the new run
	Held     bool            `json:"held,omitempty"`
	Answered int             `json:"answered"`
	Ran      int             `json:"ran"`
	Nodes    []string        `json:"nodes,omitempty"` // those that ran
	Diff     string          `json:"diff,omitempty"`  // lines that went (-) and came (+)
}

// Unplayed is a run whose record does not allow to try it again.
type Unplayed struct {
	Run    string `json:"run_id"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

// ReplayRuns tries recorded production runs again on another version. A step whose
// node and input are as recorded is answered from the record; only the others run,
// as runs of kind replay, without cache and checkpoints. A node with effects never runs: it
// is answered from the record or fails the replay.
//
// It needs what capture_inputs and capture_outputs record. Invalid when the asked
// run lacks them, naming the setting; of several runs such ones are skipped and
// listed. NotFound when there is no such run, graph or version.
func (h *Host) ReplayRuns(ctx context.Context, req ReplayRequest) (*ReplayReport, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	traces, err := h.recorded(ctx, &req)
	if err != nil {
		return nil, err
	}
	d, err := h.candidate(ctx, req)
	if err != nil {
		return nil, err
	}
	defer d.release()
	p := &player{host: h, d: d, plans: map[string]*graph.Plan{}, each: map[string]bool{}}
	if p.program, err = p.guarded(ctx, d.program, "", req.Natives); err != nil {
		return nil, err
	}
	r := &ReplayReport{Graph: req.Graph, Version: d.label, VersionID: d.id, Nodes: []string{}, Replays: []*Replayed{}}
	for _, t := range traces {
		one, err := p.play(ctx, t)
		if ctx.Err() != nil {
			return nil, fault.Wrap(fault.Cancelled, "", ctx.Err(), "interrupted after %d replays", r.Runs)
		}
		if err != nil && req.Run != "" {
			return nil, err
		}
		if err != nil {
			r.Skipped = append(r.Skipped, Unplayed{run.ID(t.RunID).String(), err.Error(), fault.HintOf(err)})
			continue
		}
		r.add(one)
	}
	slices.Sort(r.Nodes)
	return r, nil
}

func (r *ReplayReport) add(one *Replayed) {
	r.Replays = append(r.Replays, one)
	r.Runs++
	r.Answered += one.Answered
	r.Ran += one.Ran
	for _, n := range one.Nodes {
		if !slices.Contains(r.Nodes, n) {
			r.Nodes = append(r.Nodes, n)
		}
	}
	if one.Same {
		r.Same++
		return
	}
	r.Differ++
	if one.Error != "" && one.Failed == "" {
		r.Failed++
	}
	if one.Held {
		r.Held++
	}
}

// recorded returns the traces that req asks for, newest first, and completes it.
func (h *Host) recorded(ctx context.Context, req *ReplayRequest) (list []*backend.Trace, err error) {
	f := backend.Filter{Graph: req.Graph, RunKind: string(run.Production), From: req.From, To: req.To, Newest: true, Limit: req.Limit}
	switch {
	case req.Run != "":
		if r, err := h.store.Run(ctx, req.Run); err == nil {
			req.Run, req.Graph = r.ID, r.Graph
		}
		if _, err := run.ParseID(req.Run); err != nil {
			return nil, fault.Wrap(fault.Invalid, req.Run, err, "no run with checkpoints begins like this").(*fault.Error).
				WithHint("give all 32 digits, as `spark telemetry traces` shows them")
		}
		f = backend.Filter{Graph: req.Graph, TraceID: req.Run}
	case req.Graph == "":
		return nil, fault.New(fault.Invalid, "graph", "neither a run nor a graph is named").WithHint("name one of them")
	case req.Limit == 0:
		f.Limit = 100
	case req.Limit < 0 || req.Limit > MaxReplays:
		return nil, fault.New(fault.Invalid, "limit", "%d is not from 1 to %d", req.Limit, MaxReplays)
	}
	q, err := h.Query(ctx, req.Graph)
	if err != nil {
		return nil, err
	}
	for t, err := range q.Raw(ctx, f) {
		if err != nil {
			return nil, err
		}
		if req.Run != "" && run.ID(t.RunID).String() != req.Run {
			continue // another run of the same trace
		}
		list = append(list, t)
	}
	if len(list) == 0 && req.Run != "" {
		return nil, fault.New(fault.NotFound, req.Run, "telemetry has no such run").
			WithHint("it may have been sampled out, pruned, or its graph writes to another profile: name it with --graph")
	}
	if req.Graph == "" {
		req.Graph = list[0].Graph
	}
	return list, nil
}

// candidate returns what the runs are tried on, retained.
func (h *Host) candidate(ctx context.Context, req ReplayRequest) (*deployment, error) {
	if req.Document == nil {
		return h.pick(ctx, req.Graph, req.Version)
	}
	g, _, own, _, err := h.decode(ctx, *req.Document)
	if err != nil {
		return nil, err
	}
	if err := own.Err(req.Document.GraphFile); err != nil {
		return nil, err
	}
	if g.Name != req.Graph {
		return nil, fault.New(fault.Invalid, req.Document.GraphFile, "the document is of graph %s, the runs are of %s", g.Name, req.Graph)
	}
	l, err := h.lock(ctx, g, nil, *req.Document)
	if err != nil {
		return nil, err
	}
	return h.prepare(ctx, l, g.Version) // its one user is the caller
}

// player tries recorded runs again on one version.
type player struct {
	host    *Host
	d       *deployment
	program *engine.Program        // of d, with effects held back
	plans   map[string]*graph.Plan // that runs were recorded on, by version id
	each    map[string]bool        // nodes with foreach and nodes that are graphs: their steps are made of others
}

// errHeld is the cause of every step that was held back.
var errHeld = errors.New("the record has no answer for this input")

// withheld is a node whose effects are held back.
type withheld struct{ path, why string }

// RunNode implements engine.NodeRunner.
func (n withheld) RunNode(context.Context, *run.Step) ([]byte, error) {
	return nil, fault.Wrap(fault.Denied, "nodes."+n.path, errHeld, "is held back, because %s", n.why).(*fault.Error).
		WithHint("a replay repeats no effects: change only what leaves the input of this node as it was")
}

// guarded returns a copy of a program whose nodes with effects are held back.
func (p *player) guarded(ctx context.Context, of *engine.Program, prefix string, natives bool) (*engine.Program, error) {
	out := &engine.Program{Plan: of.Plan, Runners: slices.Clone(of.Runners), Nested: slices.Clone(of.Nested)}
	for i := range of.Plan.Nodes {
		n := &of.Plan.Nodes[i]
		path := prefix + n.Spec.Name
		p.each[path] = n.Nested != nil || n.Items != nil
		switch {
		case n.Nested != nil:
			var err error
			if out.Nested[i], err = p.guarded(ctx, of.Nested[i], path+"/", natives); err != nil {
				return nil, err
			}
		case n.Spec.Native != "" && !natives:
			out.Runners[i] = withheld{path, "nobody declares the effects of a Go function"}
		case n.Spec.Module != "":
			k := slices.IndexFunc(of.Plan.Locked.Locks, func(k graph.Lock) bool { return k.Node == n.Spec.Name })
			t, err := p.host.store.NodeType(ctx, of.Plan.Locked.Locks[k])
			if err != nil {
				return nil, err
			}
			if t.Effects == abi.EffectsWrite {
				out.Runners[i] = withheld{path, "it changes the world (effects: write)"}
			}
		}
	}
	return out, nil
}

// play tries one run again.
func (p *player) play(ctx context.Context, t *backend.Trace) (*Replayed, error) {
	plan, err := p.plan(ctx, t)
	if err != nil {
		return nil, err
	}
	input, rec, err := p.record(t, plan)
	if err != nil {
		return nil, err
	}
	out := &Replayed{Run: run.ID(t.RunID).String(), Version: t.Version, Failed: t.ErrorType}
	before, _ := captured(t.Attrs, "output")
	info := p.d.info(run.Replay)
	out.Replay = info.ID.String()
	seen := &audience{each: p.each, out: out}
	if r := p.d.profile.rec.Begin(info); r != nil {
		seen.next = r
	}
	o := engine.Options{Info: info, Observer: seen, Limits: p.d.limits, Parallel: p.host.cfg.Parallel, Replay: rec}
	if p.program.Plan.Waits() {
		o.Journal = new(engine.Log)
	}
	res, err := engine.Run(ctx, p.program, input, o)
	if err == nil && len(res.Waiting) > 0 {
		if r, ok := seen.next.(*telemetry.Run); ok {
			r.Discard()
		}
		err = fault.Wrap(fault.Denied, "nodes."+res.Waiting[0].Node, errHeld, "asks a person")
	}
	if err != nil {
		out.Error, out.Held = err.Error(), errors.Is(err, errHeld)
		out.Before = before
		out.Same = string(fault.KindOf(err)) == t.ErrorType
		return out, nil
	}
	if out.Same = t.ErrorType == "" && sameJSON(before, res.Output); !out.Same {
		out.Before, out.After = before, res.Output
		out.Diff = lineDiff(before, res.Output)
	}
	return out, nil
}

// plan returns the plan that a run was recorded on.
func (p *player) plan(ctx context.Context, t *backend.Trace) (*graph.Plan, error) {
	if plan := p.plans[t.VersionID]; plan != nil {
		return plan, nil
	}
	v, err := p.host.store.Version(ctx, t.Graph, t.VersionID)
	if err != nil {
		return nil, err
	}
	plan, err := graph.Compile(v.Locked)
	if err == nil {
		p.plans[t.VersionID] = plan
	}
	return plan, err
}

// record returns the input of a recorded run and what it can answer.
func (p *player) record(t *backend.Trace, plan *graph.Plan) ([]byte, *engine.Recording, error) {
	if t.Status == backend.Cancelled {
		return nil, nil, fault.New(fault.Invalid, run.ID(t.RunID).String(), "the run was cancelled, so there is nothing to compare with")
	}
	var lacks []string
	input, given := captured(t.Attrs, "input")
	if !given {
		lacks = append(lacks, "capture_inputs: true")
	}
	output, gave := captured(t.Attrs, "output")
	if !gave && t.ErrorType == "" {
		lacks = append(lacks, "capture_outputs: true")
	}
	if len(t.Spans) == 0 {
		lacks = append(lacks, "enable_traces: true and instrument_nodes: all")
	}
	if len(lacks) > 0 {
		return nil, nil, fault.New(fault.Invalid, "telemetry.profiles."+p.d.profile.name, "the run was recorded without what a replay needs").
			WithHint("set %s in telemetry profile %s and replay runs recorded since", strings.Join(lacks, ", "), p.d.profile.name)
	}
	if !json.Valid(input) || gave && !json.Valid(output) {
		return nil, nil, fault.New(fault.Invalid, "input", "the input or the output of the run was captured only in part").
			WithHint("telemetry keeps 16 KiB of each; runs with smaller ones can be replayed")
	}
	rec := engine.NewRecording(plan)
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Seq < 0 || itemOf(t, s) > 0 { // a model call; an item of a foreach, which is answered as a whole
			continue
		}
		in, _ := captured(s.Attrs, "input")
		if in == nil || len(in) != s.InputSize {
			continue // cut: the step has to run again
		}
		if s.Status == backend.OK {
			if out, _ := captured(s.Attrs, "output"); len(out) == s.OutputSize {
				rec.Add(s.Node, int(visitOf(s)), 0, in, out, nil)
			}
		} else if kind, ok := fault.ParseKind(s.ErrorType); ok {
			rec.Add(s.Node, int(visitOf(s)), 0, in, nil, fault.New(kind, "nodes."+s.Node, "%s", s.Error))
		}
	}
	return input, rec, nil
}
