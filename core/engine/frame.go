package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// frame is one walk through one graph: the run's own, or a nested one on behalf
// of the step that named it. The execution owns it.
type frame struct {
	x      *execution
	prep   *prepared
	parent *token // the step that the frame is the body of, nil at the top
	ctx    context.Context
	stop   context.CancelCauseFunc // nil at the top while no step runs beside another
	input  []byte
	err    error // the first failure; nothing of the frame starts after it
	open   int   // tokens; the frame ends with the last

	tokens   []int       // by node: ready, running or waiting
	visits   []int       // by node: times entered
	busy     []bool      // by node: a step runs or waits for its next attempt
	outputs  [][]byte    // by node: last output
	ran      []bool      // by node: succeeded at least once
	arrived  [][]arrival // by edge: data that waits at a gathering node, oldest first
	pending  []int       // gathering nodes where data waits
	live     bits        // nodes with a token or waiting data
	lastNode int         // node of the last finished step
	depth    int         // of the deepest finished step
	own      state
	state    *state
	lookup   func(string) []byte // output of a node by name
}

// arrival is data that came over an edge.
type arrival struct {
	data  []byte
	depth int
}

func (f *frame) init(x *execution, p *prepared) {
	n := len(p.plan.Nodes)
	*f = frame{x: x, prep: p, tokens: make([]int, n), visits: make([]int, n), busy: make([]bool, n), outputs: make([][]byte, n),
		ran: make([]bool, n), arrived: make([][]arrival, len(p.plan.Edges)), live: newBits(n)}
	f.state = &f.own
	f.lookup = func(name string) []byte {
		if i, ok := f.prep.index[name]; ok {
			return f.outputs[i]
		}
		return nil
	}
}

// reset forgets the walk and keeps the memory.
func (f *frame) reset() {
	clear(f.tokens)
	clear(f.visits)
	clear(f.busy)
	clear(f.outputs)
	clear(f.ran)
	clear(f.live)
	for i := range f.arrived {
		clear(f.arrived[i])
		f.arrived[i] = f.arrived[i][:0]
	}
	f.pending = f.pending[:0]
	f.parent, f.ctx, f.stop, f.input, f.err, f.open, f.lastNode, f.depth = nil, nil, nil, nil, nil, 0, 0, 0
	f.own.reset()
	f.state = &f.own
}

// cancellable gives the top frame a context that its failure ends.
func (f *frame) cancellable() {
	if f.stop == nil {
		f.ctx, f.stop = context.WithCancelCause(f.ctx)
	}
}

// enter makes node ready to run on data, once.
func (f *frame) enter(node int, data []byte, after, depth int, at time.Time) {
	if f.err != nil {
		return
	}
	x := f.x
	pn := &f.prep.plan.Nodes[node]
	if most := pn.Spec.MaxVisits; most > 0 && f.visits[node] >= most {
		f.fail(fault.New(fault.Limit, f.prep.paths[node], "visit %d, max_visits is %d", f.visits[node]+1, most).
			WithHint("raise max_visits, or make a condition leave the cycle earlier"))
		return
	}
	t := x.newToken()
	t.frame, t.node, t.after, t.depth, t.ready = f, node, after, depth, at
	t.step = run.Step{Info: x.o.Info, Node: f.prep.names[node], Visit: f.visits[node], Input: data, State: f.state, Trail: &t.trail}
	if f.state.typed != nil {
		t.view = &view{s: f.state}
		t.step.State = t.view
	} else if x.journal != nil {
		t.tracked = &tracked{State: f.state}
		t.step.State = t.tracked
	}
	if f.parent != nil {
		t.step.Item = f.parent.step.Item
	}
	f.visits[node]++
	if pn.Items != nil {
		f.list(t, pn)
	} else if pn.Input != nil || pn.Key != nil || pn.Idem != nil {
		t.evaluate(pn, f.scope(data))
	}
	f.open++
	f.tokens[node]++
	f.mark(node)
	x.ready = append(x.ready, t)
}

// evaluate makes the input of t and its keys.
func (t *token) evaluate(pn *graph.PlanNode, s graph.Scope) {
	value := func(p *graph.Program, at string) []byte {
		if p == nil || t.refused != nil {
			return nil
		}
		v, err := p.Value(s)
		if err != nil {
			t.refused = fault.Wrap("", t.path()+at, err, "")
		}
		return v
	}
	if pn.Input != nil {
		t.step.Input = value(pn.Input, ".input")
	}
	t.key = value(pn.Key, ".cache.key")
	if id := value(pn.Idem, ".idempotency_key"); len(id) > 0 && id[0] != '"' {
		t.step.IdempotencyKey = string(id)
	} else if len(id) > 0 && json.Unmarshal(id, &t.step.IdempotencyKey) != nil {
		t.refused = fault.New(fault.Invalid, t.path()+".idempotency_key", "is no text")
	}
}

func (f *frame) scope(output []byte) graph.Scope {
	return graph.Scope{Input: f.input, Output: output, Nodes: f.lookup, State: f.state, Info: f.x.o.Info}
}

// leave takes a finished step off the frame. With the last one, and with nothing
// left that waits at a join, the frame is over.
func (f *frame) leave() {
	if f.open--; f.open > 0 {
		return
	}
	if f.err == nil && f.unlock() && f.open > 0 {
		return
	}
	if f.parent != nil {
		f.x.ascend(f)
	}
}

// under reports whether f is g or was started, directly or not, by a step of g.
func (f *frame) under(g *frame) bool {
	for ; f != g; f = f.parent.frame {
		if f.parent == nil {
			return false
		}
	}
	return true
}

// fail ends the frame with err unless it failed before: running steps below it
// are cancelled, waiting ones are given up.
func (f *frame) fail(err error) {
	if f.err != nil {
		return
	}
	f.err = err
	if f.stop != nil {
		f.stop(errFailed)
	}
	for _, g := range f.x.nested {
		if g.err == nil && g.under(f) {
			g.err = fault.Wrap(fault.Cancelled, g.parent.path(), errFailed, "stopped")
		}
	}
	f.open++ // so that f does not end before all is given up
	for _, t := range f.x.pull(func(t *token) bool { return t.frame.under(f) }) {
		f.x.drop(t)
	}
	f.leave()
}

// ended returns the outermost frame around f whose context is done, or nil.
func (f *frame) ended() (out *frame) {
	if f.ctx.Err() == nil {
		return nil
	}
	for ; ; f = f.parent.frame {
		if f.ctx.Err() != nil {
			out = f
		}
		if f.parent == nil {
			return out
		}
	}
}

// why says for which reason the context of f is done.
func (f *frame) why() error {
	x := f.x
	switch cause := context.Cause(f.ctx); {
	case f.parent != nil && errors.Is(cause, errNodeTimeout):
		up := f.parent
		return fault.Wrap(fault.Timeout, up.path(), f.ctx.Err(), "exceeded the node timeout of %v", x.timeout(up))
	case errors.Is(cause, errRunTime):
		return fault.New(fault.Limit, "limits.time", "the run exceeded its time limit of %v", x.o.Limits.Time).
			WithHint("raise limits.time in the policy")
	case errors.Is(x.caller.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.Timeout, "", cause, "the caller's deadline passed")
	default:
		return fault.Wrap(fault.Cancelled, "", cause, "the run was cancelled")
	}
}

// output returns the output of the graph, or fails the frame.
func (f *frame) output() ([]byte, string) {
	plan, prefix := f.prep.plan, f.prep.prefix
	for _, i := range plan.Output {
		if !f.ran[i] {
			continue
		}
		out := f.outputs[i]
		if !json.Valid(out) {
			f.err = fault.New(fault.Invalid, f.prep.paths[i], "the output of the run is not JSON")
			return nil, ""
		}
		return out, f.prep.names[i]
	}
	at, of := "output", "the run"
	if prefix != "" {
		at, of = "nodes."+prefix[:len(prefix)-1]+".output", "the nested graph"
	}
	f.err = fault.New(fault.Invalid, at, "no output node ran, %s ended at %q", of, plan.Nodes[f.lastNode].Spec.Name).
		WithHint("add an otherwise edge where every condition can be false, or list more output nodes")
	return nil, ""
}
