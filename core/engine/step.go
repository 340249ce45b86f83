package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// errNodeTimeout is the cause of a step's context that ended by its timeout.
var errNodeTimeout = errors.New("node timeout")

// The defaults of graph.Retry.
const (
	defaultBackoff    = 50 * time.Millisecond
	defaultMaxBackoff = 2 * time.Second
)

var defaultKinds = []fault.Kind{fault.Transient, fault.Timeout, fault.Unavailable}

// attempt runs a step once. It may be called on any goroutine.
func (x *execution) attempt(ctx context.Context, t *token) {
	now := time.Now()
	fresh := t.first.IsZero()
	if fresh {
		t.first = now
	}
	if t.err = t.refused; t.err != nil {
		t.end = now
		return
	}
	if x.o.Replay != nil && x.recall(t) {
		return
	}
	if !t.frame.prep.plain[t.node] {
		if !t.paid && x.cached(ctx, t) {
			t.end = time.Now()
			return
		}
		if t.throttle(now) {
			if t.end = now; fresh && t.err == nil {
				t.first = time.Time{} // waiting is not running
			}
			return
		}
	}
	outer := ctx
	limit := x.timeout(t)
	if limit > 0 {
		sub, cancel := context.WithTimeoutCause(ctx, limit, errNodeTimeout)
		defer cancel()
		ctx = sub
	}
	if t.view != nil {
		t.view.restart()
	}
	t.output, t.err = x.guarded(ctx, t)
	if t.view != nil && t.err == nil {
		t.err = t.view.failure()
	}
	t.end = time.Now()
	if t.err == nil {
		if t.output == nil {
			t.output = []byte("null")
		}
		if c := t.frame.prep.plan.Nodes[t.node].Spec.Cache; c != nil && x.o.Cache != nil {
			x.o.Cache.Put(ctx, t.cacheKey, t.output, time.Duration(c.TTL))
		}
		return
	}
	t.output = nil
	if at, ok := ctx.Deadline(); ok && !t.end.Before(at) {
		// A runner with a clock of its own can notice the deadline before the
		// context's timer has fired; which limit it was only the context tells.
		<-ctx.Done()
	}
	path := t.path()
	if outer.Err() != nil {
		kind, cause := fault.Kind(""), context.Cause(outer)
		if errors.Is(cause, errRunTime) {
			kind = fault.Limit
		}
		t.err = fault.Wrap(kind, path, t.err, "stopped, %v", cause)
		return
	}
	if limit > 0 && ctx.Err() != nil && errors.Is(context.Cause(ctx), errNodeTimeout) {
		t.err = fault.Wrap(fault.Timeout, path, t.err, "exceeded the node timeout of %v", limit)
		return
	}
	var f *fault.Error
	if !errors.As(t.err, &f) || f.Path != path {
		t.err = fault.Wrap("", path, t.err, "")
	}
}

// timeout returns how long one attempt of t may take, 0 for any time. The host's
// default is for nodes, not for graphs.
func (x *execution) timeout(t *token) time.Duration {
	limit := time.Duration(t.frame.prep.plan.Nodes[t.node].Spec.Timeout)
	if limit == 0 && t.frame.prep.nested[t.node] == nil {
		limit = x.o.StepTimeout
	}
	return limit
}

// call runs the node and turns a panic into an Internal fault that carries the
// stack.
func (x *execution) call(ctx context.Context, t *token) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fault.Panicked(r)
		}
	}()
	return t.frame.prep.runners[t.node].RunNode(ctx, &t.step)
}

// finish takes a step back: it repeats it, follows its edges or fails its graph.
func (x *execution) finish(t *token) {
	f := t.frame
	if t.delay > 0 {
		x.delay(t)
		return
	}
	if x.journal != nil && x.postpone(t) {
		return
	}
	over := f.err != nil
	x.account(t)
	x.now, x.last = t.end, t.step.Seq
	failing := f.err != nil
	var writes []write
	if t.view != nil && t.err == nil && !failing {
		writes = t.commit()
	}
	again := t.err != nil && !failing && f.ctx.Err() == nil && x.mayRetry(t)
	if x.journal != nil && !t.recorded && !(again && !t.composite()) {
		x.record(t, writes, over)
		failing = f.err != nil
	}
	if again && !failing {
		x.retry(t)
		return
	}
	if t.group != nil {
		x.finishItem(t)
		return
	}
	x.observeStep(run.StepFinished, t)
	f.lastNode, f.depth = t.node, max(f.depth, t.depth)
	f.busy[t.node] = false
	f.tokens[t.node]--
	f.mark(t.node)
	switch {
	case failing:
	case t.err != nil && f.ctx.Err() != nil:
		up := f.ended()
		up.fail(up.why())
	case x.overBudget():
	case t.err != nil:
		if !f.routeError(t) {
			f.fail(t.err)
		}
	default:
		f.outputs[t.node], f.ran[t.node] = t.output, true
		f.route(t)
	}
	if f.err == nil && len(f.pending) > 0 {
		f.settle(t.step.Seq)
	}
	x.recycle(t)
	f.leave()
}

// delay lets t wait for its rate limit.
func (x *execution) delay(t *token) {
	t.due, t.delay = t.end.Add(t.delay), 0
	if t.frame.err == nil && t.frame.ctx.Err() == nil && (t.group == nil || !t.group.closed || t.step.Item <= t.group.failed) {
		x.backoff = append(x.backoff, t)
		return
	}
	t.giveUp()
	x.finish(t)
}

// mayRetry reports whether the policy of a failed step allows another attempt.
func (x *execution) mayRetry(t *token) bool {
	r := t.frame.prep.plan.Nodes[t.node].Spec.Retry
	if g := t.group; g != nil && g.closed && t.step.Item > g.failed {
		return false // stopped by an earlier item
	}
	if r == nil || t.each != nil || t.recorded && !t.composite() || t.step.Attempt+1 >= r.Attempts {
		return false
	}
	kinds := r.Kinds
	if len(kinds) == 0 {
		kinds = defaultKinds
	}
	return slices.Contains(kinds, fault.KindOf(t.err)) && !x.overBudget()
}

// retry arranges another attempt of a failed step. What the failed attempt
// measured is dropped; its model calls, events and logs stay, because they
// happened.
func (x *execution) retry(t *token) {
	r := t.frame.prep.plan.Nodes[t.node].Spec.Retry
	x.observeStep(run.StepRetried, t)
	x.retries++
	t.trail.Attrs, t.trail.Metrics = t.trail.Attrs[:0], t.trail.Metrics[:0]
	t.due = t.end.Add(x.pause(r, t.step.Attempt))
	t.step.Attempt++
	t.recorded = false
	x.backoff = append(x.backoff, t)
}

// pause returns how long to wait after failed attempt n, counted from 0:
// exponential backoff with full jitter. Source: Brooker 2015, "Exponential
// Backoff And Jitter", AWS Architecture Blog.
func (x *execution) pause(r *graph.Retry, n int) time.Duration {
	base, most := time.Duration(r.Backoff), time.Duration(r.MaxBackoff)
	if base == 0 {
		base = defaultBackoff
	}
	if most == 0 {
		most = max(defaultMaxBackoff, base)
	}
	d := most
	if n < 32 && base <= most>>n {
		d = base << n
	}
	if x.random == nil {
		seed := x.o.Seed
		if seed == 0 {
			seed = binary.LittleEndian.Uint64(x.o.Info.ID[:])
		}
		x.random = rand.New(rand.NewPCG(seed, 0))
	}
	return time.Duration(x.random.Int64N(int64(d) + 1))
}

// overBudget fails the run when its model calls cost more than allowed.
func (x *execution) overBudget() bool {
	l := &x.o.Limits
	if l.CostUSD > 0 && x.usage.Cost > l.CostUSD {
		x.top.fail(fault.New(fault.Limit, "limits.cost_usd", "the run cost %.6g USD, the limit is %.6g", x.usage.Cost, l.CostUSD).
			WithHint("raise limits.cost_usd in the policy"))
		return true
	}
	if used := x.usage.InputTokens + x.usage.OutputTokens; l.Tokens > 0 && used > l.Tokens {
		x.top.fail(fault.New(fault.Limit, "limits.tokens", "the run used %d tokens, the limit is %d", used, l.Tokens).
			WithHint("raise limits.tokens in the policy"))
		return true
	}
	return false
}
