package engine

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The causes of a run's context that the engine itself ended.
var (
	errRunTime = errors.New("the run reached limits.time")
	errFailed  = errors.New("another step failed the run")
)

// execution is one run. Its coordinating goroutine, the caller of Run, owns every
// field; a step in flight owns its token until it comes back through results.
// Executions are pooled with the memory they grew.
type execution struct {
	p      *Program
	prep   *prepared
	o      Options
	ctx    context.Context
	caller context.Context         // as given to Run
	cancel func()                  // nil until ctx holds resources
	stop   context.CancelCauseFunc // stops running siblings; nil while none runs beside another
	input  []byte
	start  time.Time
	now    time.Time // end of the step being processed
	err    error     // the first failure; nothing starts after it

	tokens  []int      // by node: ready, running or waiting for a retry
	visits  []int      // by node: times entered
	busy    []bool     // by node: a step runs or waits for its next attempt
	outputs [][]byte   // by node: last output
	ran     []bool     // by node: succeeded at least once
	arrived [][][]byte // by edge: data that waits at a gathering node, oldest first
	pending []int      // gathering nodes where data waits
	live    bits       // nodes with a token or waiting data

	ready    []*token // first in, first out, from head
	head     int
	backoff  []*token // waiting for their next attempt
	inflight int
	results  chan *token
	free     []*token

	seq, last int // number of the next step; of the last finished one
	lastNode  int // node of the last finished step
	steps     int
	retries   int
	usage     run.Usage
	state     state
	random    *rand.Rand
	matched   []int // scratch of routing
	obs       run.Observation
	lookup    func(string) []byte // output of a node by name
}

// token is one step from the moment its node can run.
type token struct {
	step    run.Step
	trail   run.Trail
	node    int
	after   int
	ready   time.Time // when it could have started
	first   time.Time // start of the first attempt
	end     time.Time // of the last attempt
	due     time.Time // of the next attempt
	calls   int       // model calls of earlier attempts
	output  []byte
	err     error
	refused error // the input could not be made
}

func newExecution(p *Program) *execution {
	n := len(p.Plan.Nodes)
	x := &execution{p: p, prep: p.prep, tokens: make([]int, n), visits: make([]int, n), busy: make([]bool, n), outputs: make([][]byte, n),
		ran: make([]bool, n), arrived: make([][][]byte, len(p.Plan.Edges)), live: newBits(n)}
	x.lookup = func(name string) []byte {
		if i, ok := x.prep.index[name]; ok {
			return x.outputs[i]
		}
		return nil
	}
	return x
}

// reset forgets the run and keeps the memory.
func (x *execution) reset() {
	clear(x.tokens)
	clear(x.visits)
	clear(x.busy)
	clear(x.outputs)
	clear(x.ran)
	clear(x.live)
	for i := range x.arrived {
		clear(x.arrived[i])
		x.arrived[i] = x.arrived[i][:0]
	}
	for _, t := range x.ready[x.head:] {
		x.recycle(t)
	}
	clear(x.ready)
	x.ready, x.head, x.pending = x.ready[:0], 0, x.pending[:0]
	x.o, x.ctx, x.caller, x.cancel, x.stop, x.input, x.err = Options{}, nil, nil, nil, nil, nil, nil
	x.seq, x.last, x.steps, x.retries, x.usage, x.random = 0, 0, 0, 0, run.Usage{}, nil
	x.obs = run.Observation{}
	x.state.reset()
}

func (x *execution) newToken() *token {
	if n := len(x.free); n > 0 {
		t := x.free[n-1]
		x.free = x.free[:n-1]
		return t
	}
	return &token{}
}

func (x *execution) recycle(t *token) {
	trail := t.trail
	trail.Reset()
	*t = token{trail: trail}
	x.free = append(x.free, t)
}

// enter makes node ready to run on data, once.
func (x *execution) enter(node int, data []byte, after int, at time.Time) {
	if x.err != nil {
		return
	}
	pn := &x.p.Plan.Nodes[node]
	if most := pn.Spec.MaxVisits; most > 0 && x.visits[node] >= most {
		x.fail(fault.New(fault.Limit, x.prep.paths[node], "visit %d, max_visits is %d", x.visits[node]+1, most).
			WithHint("raise max_visits, or make a condition leave the cycle earlier"))
		return
	}
	t := x.newToken()
	t.node, t.after, t.ready = node, after, at
	t.step = run.Step{Info: x.o.Info, Node: pn.Spec.Name, Visit: x.visits[node], Input: data, State: &x.state, Trail: &t.trail}
	x.visits[node]++
	if pn.Input != nil {
		in, err := pn.Input.Value(x.scope(data))
		if err != nil {
			t.refused = fault.Wrap("", x.prep.paths[node]+".input", err, "")
		}
		t.step.Input = in
	}
	x.tokens[node]++
	x.mark(node)
	x.ready = append(x.ready, t)
}

func (x *execution) scope(output []byte) graph.Scope {
	return graph.Scope{Input: x.input, Output: output, Nodes: x.lookup, State: &x.state, Info: x.o.Info}
}

// loop runs steps until none is left. A step that is alone runs on this
// goroutine; several run on goroutines of their own.
func (x *execution) loop() {
	for {
		for x.err == nil && x.inflight < x.o.Parallel {
			t := x.next()
			if t == nil {
				break
			}
			if !x.begin(t) {
				x.recycle(t)
				break
			}
			if x.o.Parallel == 1 || x.inflight == 0 && len(x.ready) == 0 && len(x.backoff) == 0 {
				x.attempt(x.ctx, t)
				x.finish(t)
				continue
			}
			x.dispatch(t)
		}
		switch {
		case x.inflight > 0 || x.err == nil && len(x.backoff) > 0:
			x.wait()
		case x.err != nil || !x.unlock():
			return
		}
	}
}

// next takes the first ready step whose node is free. The visits of one node run
// one after the other, so that what a node sends keeps its order.
func (x *execution) next() *token {
	for i := x.head; i < len(x.ready); i++ {
		t := x.ready[i]
		if x.busy[t.node] && t.step.Attempt == 0 {
			continue
		}
		x.busy[t.node] = true
		copy(x.ready[x.head+1:], x.ready[x.head:i])
		x.ready[x.head] = nil
		if x.head++; x.head == len(x.ready) {
			x.ready, x.head = x.ready[:0], 0
		}
		return t
	}
	return nil
}

// begin numbers a step, or fails the run when it may not start another.
func (x *execution) begin(t *token) bool {
	if x.ctx.Err() != nil {
		x.fail(x.ended())
		return false
	}
	if t.step.Attempt > 0 {
		return true
	}
	if most := x.o.Limits.Steps; most > 0 && x.steps >= most {
		x.fail(fault.New(fault.Limit, "limits.steps", "the run needs more than %d steps", most).
			WithHint("raise limits.steps in the policy"))
		return false
	}
	t.step.Seq = x.seq
	x.seq++
	x.steps++
	return true
}

// dispatch runs a step on a goroutine of its own.
func (x *execution) dispatch(t *token) {
	if x.stop == nil {
		x.ctx, x.stop = context.WithCancelCause(x.ctx)
	}
	if cap(x.results) < x.o.Parallel {
		x.results = make(chan *token, x.o.Parallel)
	}
	x.inflight++
	go func(ctx context.Context, results chan<- *token) {
		x.attempt(ctx, t)
		results <- t
	}(x.ctx, x.results)
}

// wait processes what comes next: a finished step, or the end of a backoff.
func (x *execution) wait() {
	if x.err != nil || len(x.backoff) == 0 {
		t := <-x.results
		x.inflight--
		x.finish(t)
		return
	}
	next := x.backoff[0]
	for _, t := range x.backoff[1:] {
		if t.due.Before(next.due) {
			next = t
		}
	}
	timer := time.NewTimer(time.Until(next.due))
	defer timer.Stop()
	select {
	case t := <-x.results:
		x.inflight--
		x.finish(t)
	case <-x.ctx.Done():
		x.fail(x.ended())
	case <-timer.C:
		for i, t := range x.backoff {
			if t == next {
				x.backoff = append(x.backoff[:i], x.backoff[i+1:]...)
				break
			}
		}
		x.ready = append(x.ready, next)
	}
}

// fail ends the run with err unless it failed before: running siblings are
// cancelled, steps that wait for another attempt end with their last error.
func (x *execution) fail(err error) {
	if x.err != nil {
		return
	}
	x.err = err
	if x.stop != nil {
		x.stop(errFailed)
	}
	for _, t := range x.backoff {
		x.observeStep(run.StepFinished, t)
		x.recycle(t)
	}
	clear(x.backoff)
	x.backoff = x.backoff[:0]
}

// ended says why the context of the run is done.
func (x *execution) ended() error {
	switch cause := context.Cause(x.ctx); {
	case errors.Is(cause, errRunTime):
		return fault.New(fault.Limit, "limits.time", "the run exceeded its time limit of %v", x.o.Limits.Time).
			WithHint("raise limits.time in the policy")
	case errors.Is(x.caller.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.Timeout, "", cause, "the caller's deadline passed")
	default:
		return fault.Wrap(fault.Cancelled, "", cause, "the run was cancelled")
	}
}

// output returns the output of the run, or fails it.
func (x *execution) output() ([]byte, string) {
	plan := x.p.Plan
	for _, i := range plan.Output {
		if !x.ran[i] {
			continue
		}
		out := x.outputs[i]
		if !json.Valid(out) {
			x.err = fault.New(fault.Invalid, x.prep.paths[i], "the output of the run is not JSON")
			return nil, ""
		}
		return out, plan.Nodes[i].Spec.Name
	}
	x.err = fault.New(fault.Invalid, "output", "no output node ran, the run ended at %q", plan.Nodes[x.lastNode].Spec.Name).
		WithHint("add an otherwise edge where every condition can be false, or list more output nodes")
	return nil, ""
}

func (x *execution) observeRun(phase run.Phase, start, end time.Time, output []byte, err error) {
	if x.o.Observer == nil {
		return
	}
	x.obs = run.Observation{Phase: phase, Info: x.o.Info, Start: start, End: end, Err: err, Input: x.input, Output: output}
	x.o.Observer.Observe(&x.obs)
}

// observeStep tells of a finished or failed attempt of t.
func (x *execution) observeStep(phase run.Phase, t *token) {
	if x.o.Observer == nil {
		return
	}
	o := &x.obs
	*o = run.Observation{Phase: phase, Info: x.o.Info, Start: t.first, End: t.end, Err: t.err, Input: t.step.Input,
		Output: t.output, Node: t.step.Node, Type: x.p.Plan.Nodes[t.node].Type, Seq: t.step.Seq, After: t.after,
		Visit: t.step.Visit, Retries: t.step.Attempt, Wait: t.first.Sub(t.ready)}
	if tr := &t.trail; phase == run.StepFinished &&
		len(tr.Attrs)+len(tr.Metrics)+len(tr.Events)+len(tr.Calls)+len(tr.Logs) > 0 {
		o.Trail = tr
	}
	x.o.Observer.Observe(o)
}
