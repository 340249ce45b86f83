package engine

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Recording answers steps with what they gave before, so that a changed node can
// be tried on old traffic. A step is answered when its node has the same path,
// runs the same (module, config, assets, grants) and got the same input; of several
// such outputs it gets the one of its visit and item, else the first. A step with
// foreach is answered as a whole, unless its items are made of other nodes' outputs or of the
// state. What a node wrote to the state or reported is not repeated, as with a cache. Make one with
// NewRecording and add the steps of one run; then it may serve any number of runs at once.
type Recording struct {
	plan  *graph.Plan
	steps map[recalled][]memory
}

type recalled struct {
	node string
	key  Key
}

type memory struct {
	visit, item int
	output      []byte
	err         error
}

// NewRecording returns an empty recording of a run of plan.
func NewRecording(plan *graph.Plan) *Recording {
	return &Recording{plan: plan, steps: map[recalled][]memory{}}
}

// Add adds one step as run.Observation tells of it; input and output are JSON and
// the output is kept. Steps of nodes that are graphs are left out, because their
// inner steps answer, and so is what was cancelled or not captured.
func (r *Recording) Add(node string, visit, item int, input, output []byte, err error) {
	pn := planNode(r.plan, node)
	if pn == nil || !recallable(pn) || input == nil || output == nil && err == nil || fault.Is(err, fault.Cancelled) {
		return
	}
	at := recalled{node, recallKey(pn, input)}
	r.steps[at] = append(r.steps[at], memory{visit, item, output, err})
}

// Len returns how many steps can be answered.
func (r *Recording) Len() (n int) {
	for _, m := range r.steps {
		n += len(m)
	}
	return n
}

// planNode returns the node with a path such as outer/inner, or nil.
func planNode(p *graph.Plan, path string) *graph.PlanNode {
	name, rest, inner := strings.Cut(path, "/")
	for i := range p.Nodes {
		pn := &p.Nodes[i]
		switch {
		case pn.Spec.Name != name:
		case !inner:
			return pn
		case pn.Nested != nil:
			return planNode(pn.Nested, rest)
		}
	}
	return nil
}

// recallable reports whether what a step gives depends on nothing but its input
// and on what recallKey looks at.
func recallable(pn *graph.PlanNode) bool {
	if pn.Nested != nil || pn.Items == nil {
		return pn.Nested == nil
	}
	reads := pn.Items.Source()
	if pn.Input != nil {
		reads += pn.Input.Source()
	}
	return len(pn.Reads) == 0 && !strings.Contains(reads, "state")
}

// recallKey is the key of a step whatever its cache says.
func recallKey(pn *graph.PlanNode, input []byte) Key {
	h := sha256.New()
	h.Write(pn.Content[:])
	if pn.Items != nil {
		fmt.Fprintf(h, "%q %q ", pn.Items.Source(), pn.Spec.Foreach.OnItemError)
		if pn.Input != nil {
			fmt.Fprintf(h, "%q ", pn.Input.Source())
		}
	}
	h.Write(input)
	var k Key
	h.Sum(k[:0])
	return k
}

// recall answers t from the recording of the options, if it can.
func (x *execution) recall(t *token) bool {
	r := x.o.Replay
	if r == nil || t.group != nil {
		return false
	}
	pn := &t.frame.prep.plan.Nodes[t.node]
	if !recallable(pn) {
		return false
	}
	found := r.steps[recalled{t.step.Node, recallKey(pn, t.step.Input)}]
	if len(found) == 0 {
		return false
	}
	best := found[0]
	for _, m := range found {
		if m.visit == t.step.Visit && m.item == t.step.Item {
			best = m
			break
		}
	}
	t.output, t.err, t.end = best.output, best.err, time.Now()
	t.trail.Attrs = append(t.trail.Attrs, run.Bool("replayed", true))
	return true
}
