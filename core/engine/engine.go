// Package engine executes one run of a compiled graph: it decides which node
// runs when and on what input, retries, enforces timeouts and limits, and tells
// an observer every transition. It runs nothing itself: each node is behind a
// NodeRunner, and nothing here knows modules, storage or telemetry.
//
// Start with Program and Run. A Program is made once a version and shared by all
// its runs.
package engine

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// NodeRunner runs the steps of one node. RunNode returns the output as JSON; the
// bytes then belong to the run, and nil means null. It must be safe for
// concurrent use, return soon after ctx is done, and keep nothing of the step.
// The kind of its error decides about retries and on_error edges.
type NodeRunner interface {
	RunNode(ctx context.Context, s *run.Step) ([]byte, error)
}

// Func is a native node: a Go function as NodeRunner. A panic becomes an
// Internal fault.
type Func func(ctx context.Context, s *run.Step) ([]byte, error)

var _ NodeRunner = Func(nil)

// RunNode calls f.
func (f Func) RunNode(ctx context.Context, s *run.Step) ([]byte, error) { return f(ctx, s) }

// Observer is told each transition of a run. Calls for one run come from one
// goroutine at a time, in order, beginning with RunStarted and ending with
// exactly one RunFinished. The run waits for each call.
type Observer interface {
	Observe(o *run.Observation)
}

// Program is a plan with what runs its nodes. Build makes one of a plan. Set the fields once; a Program is
// then safe for concurrent use and must not be copied.
type Program struct {
	Plan    *graph.Plan
	Runners []NodeRunner // by node index; nil for a node that is a graph or waits for a person
	Nested  []*Program   // by node index, of nodes that are graphs; may be nil when there is none

	once  sync.Once
	prep  *prepared
	spare sync.Pool // of *execution
}

// Options are the settings of one run. The zero value runs without observer and
// limits.
type Options struct {
	Info        *run.Info     // nil makes a production run with a fresh id
	Observer    Observer      // nil observes nothing
	Limits      graph.Limits  // zero fields are unlimited
	StepTimeout time.Duration // of nodes that set none; 0 is none
	Parallel    int           // steps in flight; 0 is GOMAXPROCS, 1 never starts a goroutine
	Cache       Cache         // of nodes with a cache; nil caches nothing, as experiments need it
	Seed        uint64        // of the jitter of backoffs; 0 takes it from the run's id
	Journal     Journal       // checkpoints after every step; nil makes none, as long as no node waits for a person
	Replay      *Recording    // answers steps whose node and input are as recorded; nil answers none
}

// Result is what a run gave. After a failed run it still counts steps and usage.
type Result struct {
	Output     []byte     // JSON; nil when the run failed or waits
	OutputNode string     // the node whose output it is
	Waiting    []Question // the run has not ended: it waits for answers, and holds nothing until Resume
	Steps      int        // started steps; items of a foreach count, retries do not
	Retries    int
	Usage      run.Usage
	Duration   time.Duration
}

// Run executes p on a JSON input and returns when no step is left running. The
// result is never nil. The error is a fault: of a step, with the path
// nodes.NAME; Limit when a limit of the run or of visits was reached; Cancelled
// or Timeout when ctx ended; Invalid when the input is not JSON, a condition or
// mapping cannot be evaluated, no output node ran, or nothing bounds a cycle.
//
// With a journal, every finished step is appended to it before anything follows
// from it. When all that is left waits for a person, Run returns with
// Result.Waiting and without an error; the observer is then told no RunFinished, and Resume
// observes the run from its start.
//
// The visits of one node run one after the other. Results do not depend on
// Parallel, except where steps write one state key concurrently that the document
// does not declare, a step reads a key that another one writes meanwhile, a node
// with join any lies behind a fan-out, or an expression reads a node that may
// still be running.
func Run(ctx context.Context, p *Program, input []byte, o Options) (*Result, error) {
	p.once.Do(func() { p.prep = prepare(p, "") })
	if p.prep.bad != nil {
		return &Result{}, p.prep.bad
	}
	if o.Journal == nil {
		return start(ctx, p, input, o, nil)
	}
	return start(ctx, p, input, o, &journal{to: o.Journal, asked: map[string]time.Time{}})
}

// start begins a run, or one that j continues.
func start(ctx context.Context, p *Program, input []byte, o Options, j *journal) (*Result, error) {
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	x, _ := p.spare.Get().(*execution)
	if x == nil {
		x = newExecution(p)
	}
	x.start = time.Now()
	if o.Info == nil {
		o.Info = &run.Info{ID: run.NewID(), Graph: p.Plan.Graph.Name, Version: p.Plan.Graph.Version,
			GraphType: p.Plan.Type, Kind: run.Production, Started: x.start}
		o.Info.TraceID = o.Info.ID
	}
	x.o, x.top.input, x.top.ctx, x.caller, x.journal = o, input, ctx, ctx, j
	if limit := time.Duration(o.Limits.Time); limit > 0 {
		if j != nil {
			limit -= j.elapsed
		}
		x.top.ctx, x.cancel = context.WithTimeoutCause(ctx, limit, errRunTime)
	}
	if p.Plan.State != nil {
		x.top.own.begin(p.Plan.State)
	}
	x.observeRun(run.RunStarted, x.start, time.Time{}, nil, nil)
	switch {
	case !json.Valid(input):
		x.top.fail(fault.New(fault.Invalid, "input", "the input of the run is not JSON"))
	case p.prep.endless && o.Limits.Steps == 0:
		x.top.fail(fault.New(fault.Invalid, "limits.steps", "the graph has a cycle without a bound").
			WithHint("set max_visits on one of its nodes, or limits.steps in the policy"))
	case p.prep.waits && j == nil:
		x.top.fail(fault.New(fault.Invalid, "journal", "a node of the graph waits for a person, and the run has no journal").
			WithHint("run it where checkpoints are kept"))
	default:
		x.top.enter(p.Plan.Start, input, -1, 0, x.start)
		if x.replaying() {
			if err := x.rerun(); err != nil {
				return x.discard(err)
			}
		}
		if x.loop(); len(x.waiting) > 0 {
			return x.discard(nil)
		}
	}
	res := &Result{Steps: x.steps, Retries: x.retries, Usage: x.usage}
	if x.top.err == nil {
		res.Output, res.OutputNode = x.top.output()
	}
	if x.top.stop != nil {
		x.top.stop(nil)
	}
	if x.cancel != nil {
		x.cancel()
	}
	err := x.top.err
	end := time.Now()
	res.Duration = end.Sub(x.start)
	x.observeRun(run.RunFinished, x.start, end, res.Output, err)
	x.reset()
	p.spare.Put(x)
	return res, err
}
