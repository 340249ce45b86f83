package graph

import (
	"strings"

	"cel.dev/cel-go/common/types"
)

// flow finds edges that never fire, and what waits for them or can only be
// reached by them.
func (v *validator) flow() {
	dead := make([]bool, len(v.g.Edges))
	for i, n := range v.g.Nodes {
		v.deadEdges(n, v.s.out[i], dead)
	}
	runs := v.runs(dead)
	for i, n := range v.g.Nodes {
		if v.s.start < 0 || v.s.index[n.Name] != i {
			continue
		}
		path := "nodes." + n.Name
		if v.s.reached[i] && !runs[i] {
			v.warnf(path, "mend the edges to it", "never runs: every way here leads over an edge that never fires")
			continue
		}
		if !runs[i] || n.Join == JoinAny {
			continue
		}
		for _, e := range v.s.in[i] {
			if from := v.g.Nodes[v.s.from[e]].Name; dead[e] || !runs[v.s.from[e]] {
				v.warnf(path, "mend or remove the edge from "+from, "waits for nothing from %q, which never sends here", from)
			}
		}
	}
	for i, n := range v.g.Nodes {
		if n.Join != "" && len(v.s.in[i]) < 2 && v.s.index[n.Name] == i {
			v.warnf("nodes."+n.Name+".join", "remove the key", "a node with %d incoming edges joins nothing", len(v.s.in[i]))
		}
	}
	for i, name := range v.g.Output {
		if n, ok := v.s.index[name]; ok && v.s.start >= 0 && !runs[n] {
			v.warnf(index("output", i), "name a node that runs", "%q never runs", name)
		}
	}
}

// deadEdges marks the edges of one node that never fire.
func (v *validator) deadEdges(n *Node, out []int, dead []bool) {
	taken, sure := -1, -1 // the first edge that always fires; the first constant true condition
	for _, i := range out {
		e, path := v.g.Edges[i], index("edges", i)
		value, fixed := constant(e.When)
		switch {
		case len(e.OnError) > 0:
			continue
		case n.Route == RouteFirst && taken >= 0:
			dead[i] = true
			v.warnf(path, "put it before edges that always fire, or remove it", "never fires: %s goes first and always fires", index("edges", taken))
		case fixed && !value:
			dead[i] = true
			v.warnf(path+".when", "write a condition or remove the edge", "is always false, the edge never fires")
		case fixed && sure < 0:
			sure = i
			v.warnf(path+".when", "remove the condition", "is always true")
		}
		if n.Route == RouteFirst && taken < 0 && (e.plain() || fixed && value) {
			taken = i
		}
	}
	for _, i := range out {
		if v.g.Edges[i].Otherwise && sure >= 0 && !dead[i] {
			dead[i] = true
			v.warnf(index("edges", i)+".otherwise", "remove the edge", "never fires: the condition of %s is always true", index("edges", sure))
		}
	}
}

// constant returns the value of a condition that does not depend on anything.
func constant(src string) (value, fixed bool) {
	if strings.TrimSpace(src) == "" {
		return false, false
	}
	for _, name := range []string{"output", "input", "nodes", "state", "run"} {
		if strings.Contains(src, name) { // most do, and compiling takes time
			return false, false
		}
	}
	env, err := environment()
	if err != nil {
		return false, false
	}
	checked, iss := env.Compile(src)
	if iss.Err() != nil {
		return false, false
	}
	prg, err := env.Program(checked)
	if err != nil {
		return false, false
	}
	out, _, err := prg.Eval(map[string]any{})
	b, ok := out.(types.Bool)
	return bool(b), err == nil && ok
}

// runs marks the nodes that some way without dead edges leads to.
func (v *validator) runs(dead []bool) []bool {
	runs := make([]bool, len(v.g.Nodes))
	if v.s.start < 0 {
		return runs
	}
	runs[v.s.start] = true
	for todo := []int{v.s.start}; len(todo) > 0; todo = todo[1:] {
		for _, e := range v.s.out[todo[0]] {
			if to := v.s.to[e]; !dead[e] && !runs[to] {
				runs[to] = true
				todo = append(todo, to)
			}
		}
	}
	return runs
}
