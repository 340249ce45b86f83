package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

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
//
//	execution: queue, workers, limits, observer
//	  top frame: joins, visits, outputs, state of the run's graph
//	    frame of a nested graph, one for each step that runs it
type execution struct {
	p      *Program
	o      Options
	top    frame
	caller context.Context // as given to Run
	cancel func()          // nil until the context of top holds a timer
	start  time.Time
	now    time.Time // end of the step being processed

	ready    []*token // first in, first out, from head
	head     int
	backoff  []*token // waiting for the time at which they are due
	waiting  []*token // for a person
	inflight int
	results  chan *token
	free     []*token
	nested   []*frame // running, without top
	spare    []*frame

	seq     int // number of the next step
	last    int // number of the last finished one
	steps   int
	retries int
	usage   run.Usage
	journal *journal              // nil when no checkpoints are asked for
	spent   map[spender]run.Usage // by nodes with a budget; nil until one spends
	random  *rand.Rand
	matched []int // scratch of routing
	obs     run.Observation
}

// token is one step from the moment its node can run. A step with foreach is one
// token, and each of its items another.
type token struct {
	step     run.Step
	trail    run.Trail
	view     *view // of the state, nil when the document declares no keys
	frame    *frame
	node     int
	after    int
	depth    int       // steps on the longest way that led here
	ready    time.Time // when it could have started
	first    time.Time // start of the first attempt
	end      time.Time // of the last attempt
	due      time.Time // of the next attempt, or when a question ends
	calls    int       // model calls that were counted
	retries  int       // of its items
	output   []byte
	err      error
	begun    bool          // it has its number
	hit      bool          // the output came from the cache
	paid     bool          // its place in the rate limit is taken
	delay    time.Duration // to wait for the rate limit, 0 otherwise
	key      []byte        // what the cache key expression gave
	cacheKey Key
	refused  error  // the input could not be made
	each     *group // the step has foreach
	group    *group // the token is an item of it
	up       *token // the step that the item belongs to
	stop     context.CancelCauseFunc
	id       string   // which step, when there is a journal
	tracked  *tracked // its state, when writes are recorded
	recorded bool     // it ends as its record says
}

func newExecution(p *Program) *execution {
	x := &execution{p: p}
	x.top.init(x, p.prep)
	return x
}

// reset forgets the run and keeps the memory.
func (x *execution) reset() {
	x.top.reset()
	clear(x.ready)
	x.ready, x.head = x.ready[:0], 0
	x.o, x.caller, x.cancel, x.journal = Options{}, nil, nil, nil
	x.seq, x.last, x.steps, x.retries, x.usage, x.random = 0, 0, 0, 0, run.Usage{}, nil
	x.obs = run.Observation{}
	clear(x.spent)
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

// loop runs steps until none is left. A step that is alone runs on this
// goroutine; several run on goroutines of their own.
func (x *execution) loop() {
	for {
		for x.inflight < x.o.Parallel {
			t := x.next()
			if t == nil {
				break
			}
			switch {
			case !x.begin(t):
			case t.each != nil:
				x.expand(t)
			case t.frame.prep.nested[t.node] != nil:
				x.descend(t)
			case x.journal != nil && t.wait() != nil:
				x.ask(t)
			case x.o.Parallel == 1 || x.inflight == 0 && len(x.ready) == 0 && len(x.backoff) == 0 && len(x.waiting) == 0:
				x.attempt(t.frame.ctx, t)
				x.finish(t)
			default:
				x.dispatch(t)
			}
		}
		if x.inflight == 0 && len(x.backoff) == 0 {
			if len(x.waiting) == 0 || !x.expire(time.Now()) {
				return
			}
			continue
		}
		x.wait()
	}
}

// next takes the first ready step whose node is free. The visits of one node run
// one after the other, so that what a node sends keeps its order.
func (x *execution) next() *token {
	for i := x.head; i < len(x.ready); i++ {
		t := x.ready[i]
		if t.group == nil {
			if t.frame.busy[t.node] && !t.begun {
				continue
			}
			t.frame.busy[t.node] = true
		}
		copy(x.ready[x.head+1:], x.ready[x.head:i])
		x.ready[x.head] = nil
		if x.head++; x.head == len(x.ready) {
			x.ready, x.head = x.ready[:0], 0
		}
		return t
	}
	return nil
}

// begin numbers a step, or fails the run and drops the step when it may not
// start another.
func (x *execution) begin(t *token) bool {
	if f := t.frame.ended(); f != nil {
		f.fail(f.why())
		x.drop(t)
		return false
	}
	if t.refused == nil && x.p.prep.budgets {
		t.refused = x.overspent(t, true)
	}
	if t.begun {
		if x.journal != nil {
			t.id = t.name() // its attempt may be another one
		}
		return true
	}
	if most := x.o.Limits.Steps; most > 0 && x.steps >= most {
		x.top.fail(fault.New(fault.Limit, "limits.steps", "the run needs more than %d steps", most).
			WithHint("raise limits.steps in the policy"))
		x.drop(t)
		return false
	}
	x.number(t)
	return true
}

// dispatch runs a step on a goroutine of its own.
func (x *execution) dispatch(t *token) {
	x.top.cancellable()
	if cap(x.results) < x.o.Parallel {
		x.results = make(chan *token, x.o.Parallel)
	}
	x.inflight++
	ctx := t.frame.ctx
	if t.group != nil {
		ctx, t.stop = context.WithCancelCause(ctx)
		t.group.running = append(t.group.running, t)
	}
	go func(results chan<- *token) {
		x.attempt(ctx, t)
		results <- t
	}(x.results)
}

// wait processes what comes next: a finished step, the end of a backoff, or the
// end of a graph's time while its steps wait.
func (x *execution) wait() {
	var due time.Time
	for _, list := range [2][]*token{x.backoff, x.waiting} {
		for _, t := range list {
			if !t.due.IsZero() && (due.IsZero() || t.due.Before(due)) {
				due = t.due
			}
		}
	}
	if due.IsZero() {
		x.take(<-x.results)
		return
	}
	for _, f := range x.nested {
		if at, ok := f.ctx.Deadline(); ok && at.Before(due) {
			due = at
		}
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case t := <-x.results:
		x.take(t)
	case <-x.top.ctx.Done():
		x.top.fail(x.top.why())
	case <-timer.C:
		x.wake(due)
	}
}

func (x *execution) take(t *token) {
	x.inflight--
	if t.stop != nil {
		t.stop(nil)
		t.stop = nil
		t.group.running = slices.DeleteFunc(t.group.running, func(o *token) bool { return o == t })
	}
	x.finish(t)
}

// wake moves what is due to the ready steps and ends nested graphs whose time is
// over.
func (x *execution) wake(due time.Time) {
	for i := 0; i < len(x.backoff); {
		t := x.backoff[i]
		if t.due.After(due) {
			i++
			continue
		}
		x.backoff = append(x.backoff[:i], x.backoff[i+1:]...)
		x.ready = append(x.ready, t)
	}
	for _, f := range append([]*frame(nil), x.nested...) {
		if f.parent == nil || f.err != nil {
			continue // ended with another one
		}
		if at, ok := f.ctx.Deadline(); ok && !at.After(due) {
			<-f.ctx.Done()
			f.fail(f.why())
		}
	}
	if len(x.waiting) > 0 {
		x.expire(due)
	}
}

// pull takes the steps that wait for their turn and match out of both queues.
func (x *execution) pull(match func(t *token) bool) (out []*token) {
	kept := x.ready[:0]
	for _, t := range x.ready[x.head:] {
		if match(t) {
			out = append(out, t)
		} else {
			kept = append(kept, t)
		}
	}
	clear(x.ready[len(kept):])
	x.ready, x.head = kept, 0
	kept = x.backoff[:0]
	for _, t := range x.backoff {
		if match(t) {
			out = append(out, t)
		} else {
			kept = append(kept, t)
		}
	}
	clear(x.backoff[len(kept):])
	x.backoff = kept
	if x.journal != nil {
		out = x.pullHeld(out, match)
	}
	return out
}

// drop gives up a step that will not run again. One that ran before ends with its
// last error.
func (x *execution) drop(t *token) {
	f := t.frame
	if t.group != nil {
		if t.begun && x.journal != nil && !x.replaying() {
			x.record(t, nil, true)
		}
		x.leaveGroup(t)
		return
	}
	if t.begun {
		t.giveUp()
		if x.journal != nil && !x.replaying() {
			x.record(t, nil, true)
		}
		x.observeStep(run.StepFinished, t)
	}
	f.busy[t.node] = false
	f.tokens[t.node]--
	f.mark(t.node)
	x.recycle(t)
	f.leave()
}

// giveUp ends a step that waits for its rate limit or for an answer.
func (t *token) giveUp() {
	if t.err != nil {
		return
	}
	what := "its rate limit"
	if t.wait() != nil {
		what = "an answer"
	}
	t.err = fault.New(fault.Cancelled, t.path(), "stopped while it waited for %s", what)
	if t.end = time.Now(); t.first.IsZero() {
		t.first = t.end
	}
}

func (x *execution) observeRun(phase run.Phase, start, end time.Time, output []byte, err error) {
	if x.o.Observer == nil {
		return
	}
	x.obs = run.Observation{Phase: phase, Info: x.o.Info, Start: start, End: end, Err: err, Input: x.top.input, Output: output}
	x.o.Observer.Observe(&x.obs)
}

// observeStep tells of a finished or failed attempt of t.
func (x *execution) observeStep(phase run.Phase, t *token) {
	if x.o.Observer == nil {
		return
	}
	o := &x.obs
	*o = run.Observation{Phase: phase, Info: x.o.Info, Start: t.first, End: t.end, Err: t.err, Input: t.step.Input,
		Output: t.output, Node: t.step.Node, Type: t.frame.prep.plan.Nodes[t.node].Type, Seq: t.step.Seq, After: t.after,
		Item: t.step.Item, Visit: t.step.Visit, Retries: t.step.Attempt + t.retries, Wait: max(t.first.Sub(t.ready), 0), CacheHit: t.hit}
	if up := t.frame.parent; up != nil {
		o.Parent = up.step.Seq + 1
	}
	if tr := &t.trail; phase == run.StepFinished &&
		len(tr.Attrs)+len(tr.Metrics)+len(tr.Events)+len(tr.Calls)+len(tr.Logs) > 0 {
		o.Trail = tr
	}
	x.o.Observer.Observe(o)
}
