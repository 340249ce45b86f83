package engine

import (
	"context"
	"time"

	"github.com/sparkrsi/spark/core/graph"
)

// descend starts the nested graph that t names; t ends with it.
func (x *execution) descend(t *token) {
	now := time.Now()
	if t.err = nil; t.refused == nil && !x.replaying() && t.throttle(now) {
		if t.end = now; t.err != nil && t.first.IsZero() {
			t.first = now
		}
		x.finish(t)
		return
	}
	p := t.frame.prep.nested[t.node]
	var f *frame
	for i, s := range x.spare {
		if s.prep == p {
			f = s
			x.spare = append(x.spare[:i], x.spare[i+1:]...)
			break
		}
	}
	if f == nil {
		f = &frame{}
		f.init(x, p)
	}
	x.top.cancellable()
	if t.first.IsZero() {
		t.first = now
	}
	t.output = nil
	f.parent, f.input = t, t.step.Input
	f.arm()
	if t.frame.prep.plan.Nodes[t.node].Spec.State == graph.StateShared {
		f.state = t.frame.state
	} else if p.plan.State != nil {
		f.own.begin(p.plan.State)
	}
	x.nested = append(x.nested, f)
	f.open++
	if t.refused != nil {
		f.err = t.refused
	} else {
		f.enter(p.plan.Start, f.input, t.after, t.depth, now)
	}
	f.leave()
}

// arm gives a nested graph its context. While recorded steps are taken over no
// timeout runs: they took their time before.
func (f *frame) arm() {
	f.ctx, f.stop = context.WithCancelCause(f.parent.frame.ctx)
	if limit := f.x.timeout(f.parent); limit > 0 && !f.x.replaying() {
		ctx, cancel := context.WithTimeoutCause(f.ctx, limit, errNodeTimeout)
		stop := f.stop
		f.ctx, f.stop = ctx, func(err error) { stop(err); cancel() }
	}
}

// ascend ends a nested graph and with it the step that named it.
func (x *execution) ascend(f *frame) {
	t := f.parent
	t.end = time.Now()
	if f.err == nil {
		t.output, _ = f.output()
	}
	t.err = f.err
	t.depth = max(t.depth, f.depth)
	f.stop(nil)
	for i, g := range x.nested {
		if g == f {
			x.nested = append(x.nested[:i], x.nested[i+1:]...)
			break
		}
	}
	f.reset()
	x.spare = append(x.spare, f)
	x.finish(t)
}
