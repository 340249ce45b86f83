package engine

import (
	"strconv"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// maxItemRecords bounds the metrics, the events, the logs and the attributes that
// the items of one step leave behind, each. Model calls are all kept: they cost.
const maxItemRecords = 256

// group is the state of a step with foreach.
type group struct {
	items    [][]byte
	outputs  [][]byte // by item; nil while unknown and when left out
	depth    int      // at which every item starts
	next     int      // first item that was not started
	open     int      // items that are ready, running or waiting
	running  []*token // on goroutines of their own
	hits     int      // items that the cache answered
	failures int      // items that failed and were left out or gave null
	dropped  int      // records beyond maxItemRecords
	failed   int      // lowest item that failed the step
	err      error    // of that item
	closed   bool     // nothing starts any more
}

// path returns the place of t in messages: nodes.NAME, with the index of the item
// in a foreach.
func (t *token) path() string {
	at := t.frame.prep.paths[t.node]
	if t.group != nil {
		at += "[" + strconv.Itoa(t.step.Item-1) + "]"
	}
	return at
}

// list evaluates the items of a step that is being entered.
func (f *frame) list(t *token, pn *graph.PlanNode) {
	items, err := pn.Items.List(f.scope(t.step.Input))
	if err != nil {
		err = fault.Wrap("", f.prep.paths[t.node]+".foreach.items", err, "")
	}
	t.each = &group{items: items, outputs: make([][]byte, len(items)), err: err, failed: len(items)}
}

// expand starts the items of t, as many as may run at once.
func (x *execution) expand(t *token) {
	g := t.each
	t.first, t.end = time.Now(), time.Now()
	most := t.frame.prep.plan.Nodes[t.node].Spec.Foreach.Concurrency
	if most == 0 {
		most = graph.DefaultConcurrency
	}
	if x.recall(t) {
		x.finish(t)
		return
	}
	g.depth = t.depth
	g.open++ // so that the step does not end while its first items are made
	g.closed = g.err != nil
	for range min(most, x.o.Parallel) {
		x.startItem(t)
	}
	x.endItem(t)
}

// startItem makes the next item of t ready.
func (x *execution) startItem(t *token) {
	g, f := t.each, t.frame
	if g.closed || f.err != nil || g.next == len(g.items) {
		return
	}
	i := g.next
	g.next++
	g.open++
	c := x.newToken()
	c.frame, c.node, c.group, c.up, c.after, c.depth, c.ready = f, t.node, g, t, t.after, g.depth, time.Now()
	c.step = t.step
	c.step.Trail, c.step.Item, c.step.Input = &c.trail, i+1, g.items[i]
	if t.view != nil {
		c.view = &view{s: f.state}
		c.step.State = c.view
	} else if x.journal != nil {
		c.tracked = &tracked{State: f.state}
		c.step.State = c.tracked
	}
	if pn := &f.prep.plan.Nodes[t.node]; pn.Input != nil || pn.Key != nil || pn.Idem != nil {
		sc := f.scope(t.step.Input)
		sc.Item, sc.Index = g.items[i], i
		c.evaluate(pn, sc)
	}
	f.open++
	x.ready = append(x.ready, c)
}

// finishItem takes an item back whose attempts are over.
func (x *execution) finishItem(c *token) {
	g, f, i := c.group, c.frame, c.step.Item-1
	switch {
	case f.err != nil:
	case c.err != nil && f.ended() != nil:
		up := f.ended()
		up.fail(up.why())
	case x.overBudget():
	case c.err == nil:
		g.outputs[i] = c.output
	default:
		switch f.prep.plan.Nodes[c.node].Spec.Foreach.OnItemError {
		case graph.ItemSkip:
			g.failures++
		case graph.ItemNull:
			g.failures++
			g.outputs[i] = []byte("null")
		default:
			x.failItem(c, i)
		}
	}
	x.leaveGroup(c)
}

// failItem ends the step because of item i. Earlier items go on, so that it is
// always the first failing item that the step reports; later ones are stopped.
func (x *execution) failItem(c *token, i int) {
	g := c.group
	if i > g.failed {
		return
	}
	g.failed, g.err, g.closed = i, c.err, true
	for _, o := range g.running {
		if o.step.Item-1 > i {
			o.stop(errFailed)
		}
	}
	for _, sub := range append([]*frame(nil), x.nested...) {
		if p := sub.parent; p != nil && p.group == g && p.step.Item-1 > i && sub.err == nil {
			sub.fail(fault.Wrap(fault.Cancelled, p.path(), errFailed, "stopped"))
		}
	}
	for _, o := range x.pull(func(t *token) bool { return t.group == g && t.step.Item-1 > i }) {
		x.drop(o)
	}
}

// leaveGroup takes a finished item off its step and starts the next one.
func (x *execution) leaveGroup(c *token) {
	g, t, f := c.group, c.up, c.frame
	t.depth = max(t.depth, c.depth)
	t.retries += c.step.Attempt
	if c.hit {
		g.hits++
	}
	g.keep(&t.trail, &c.trail)
	t.calls = len(t.trail.Calls)
	x.recycle(c)
	x.startItem(t)
	x.endItem(t)
	f.leave()
}

// endItem ends the step with its last item.
func (x *execution) endItem(t *token) {
	g := t.each
	if g.open--; g.open > 0 {
		return
	}
	t.end = time.Now()
	if t.err = g.err; t.err == nil {
		t.err = t.frame.err
	}
	if t.err == nil {
		t.output = g.list()
	}
	t.trail.Attrs = append(t.trail.Attrs, run.Int("foreach.items", int64(len(g.items))))
	if g.failures > 0 {
		t.trail.Attrs = append(t.trail.Attrs, run.Int("foreach.failed", int64(g.failures)))
	}
	if g.dropped > 0 {
		t.trail.Attrs = append(t.trail.Attrs, run.Int("foreach.dropped", int64(g.dropped)))
	}
	if g.hits > 0 {
		t.hit = g.hits == len(g.items)
		t.trail.Metrics = append(t.trail.Metrics, hits(g.hits))
	}
	x.finish(t)
}

// list returns the JSON list of what the items gave.
func (g *group) list() []byte {
	n := 2
	for _, o := range g.outputs {
		n += len(o) + 1
	}
	b := append(make([]byte, 0, n), '[')
	for _, o := range g.outputs {
		if o == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, o...)
	}
	return append(b, ']')
}

// keep moves what an item left behind to its step.
func (g *group) keep(to, from *run.Trail) {
	to.Calls = append(to.Calls, from.Calls...)
	to.Attrs = bounded(g, to.Attrs, from.Attrs)
	to.Metrics = bounded(g, to.Metrics, from.Metrics)
	to.Events = bounded(g, to.Events, from.Events)
	to.Logs = bounded(g, to.Logs, from.Logs)
}

func bounded[T any](g *group, to, from []T) []T {
	n := min(len(from), max(maxItemRecords-len(to), 0))
	g.dropped += len(from) - n
	return append(to, from[:n]...)
}
