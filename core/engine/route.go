package engine

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// route follows the edges of a step that succeeded. All conditions are evaluated
// before the first edge fires.
func (f *frame) route(t *token) {
	x, plan := f.x, f.prep.plan
	pn := &plan.Nodes[t.node]
	first := pn.Spec.Route == graph.RouteFirst
	x.matched = x.matched[:0]
	conditionMet, hasOtherwise := false, false
	for _, e := range pn.Out {
		edge := &plan.Edges[e]
		switch {
		case len(edge.OnError) > 0:
			continue
		case edge.Otherwise:
			hasOtherwise = true
			continue
		case edge.When != nil:
			ok, err := edge.When.Bool(f.scope(t.output))
			if err != nil {
				f.fail(fault.Wrap("", f.prep.edge(e)+".when", err, "after %q", t.step.Node))
				return
			}
			if !ok {
				continue
			}
			conditionMet = true
		}
		x.matched = append(x.matched, e)
		if first {
			break
		}
	}
	if hasOtherwise && !conditionMet && (!first || len(x.matched) == 0) {
		for _, e := range pn.Out {
			if plan.Edges[e].Otherwise && (!first || len(x.matched) == 0) {
				x.matched = append(x.matched, e)
			}
		}
	}
	for _, e := range x.matched {
		f.deliver(e, t.output, t.step.Seq, t.depth)
	}
}

// edge returns the place of an edge in messages.
func (p *prepared) edge(e int) string {
	at := "edges[" + strconv.Itoa(e) + "]"
	if p.prefix != "" {
		at = "nodes." + p.prefix + at
	}
	return at
}

// failure is what an on_error edge carries.
type failure struct {
	Error struct {
		Kind    fault.Kind `json:"kind"`
		Node    string     `json:"node"`
		Message string     `json:"message"`
	} `json:"error"`
	Input json.RawMessage `json:"input"` // of the failed step
}

// routeError follows the on_error edges for the kind of t's error and reports
// whether there was one.
func (f *frame) routeError(t *token) bool {
	x, plan := f.x, f.prep.plan
	pn := &plan.Nodes[t.node]
	kind := fault.KindOf(t.err)
	x.matched = x.matched[:0]
	for _, e := range pn.Out {
		if slices.Contains(plan.Edges[e].OnError, kind) {
			x.matched = append(x.matched, e)
			if pn.Spec.Route == graph.RouteFirst {
				break
			}
		}
	}
	if len(x.matched) == 0 {
		return false
	}
	var told failure
	told.Error.Kind, told.Error.Node, told.Error.Message = kind, t.step.Node, t.err.Error()
	if json.Valid(t.step.Input) {
		told.Input = t.step.Input
	}
	data, err := json.Marshal(&told)
	if err != nil {
		f.fail(fault.Wrap(fault.Internal, f.prep.paths[t.node], err, "error data"))
		return true
	}
	for _, e := range x.matched {
		f.deliver(e, data, t.step.Seq, t.depth)
	}
	return true
}
