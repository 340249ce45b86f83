package graph

import (
	"slices"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Compile returns the plan of a graph. It validates the graph without looking at
// modules and fails with Invalid for the first error. Nodes with a module need
// their lock; a graph of native nodes needs none. A cycle without max_visits is
// taken: whoever runs the plan sets a limit on steps.
func Compile(l *Locked) (*Plan, error) {
	if err := nesting(l, nil); err != nil {
		return nil, err
	}
	return compile(l)
}

func compile(l *Locked) (*Plan, error) {
	g := l.Graph
	if err := g.Validate(nil, StepsLimited()).Err(""); err != nil {
		return nil, err
	}
	s := shapeOf(g)
	p := &Plan{Graph: g, Locked: l, Type: s.kind(g), Start: s.start, Levels: s.level}
	for i, n := range g.Nodes {
		pn := PlanNode{Spec: n, Type: run.NodeType{Name: "native"}, In: s.in[i], Out: s.out[i], Join: JoinAll}
		if n.Join != "" {
			pn.Join = n.Join
		}
		if n.Module != "" {
			at := slices.IndexFunc(l.Locks, func(k Lock) bool { return k.Node == n.Name })
			if at < 0 {
				return nil, fault.New(fault.Invalid, "nodes."+n.Name, "module %s is not locked", n.Module)
			}
			k := l.Locks[at]
			pn.Type = run.NodeType{Name: k.Type, Version: k.Version, Digest: k.Digest}
		}
		var err error
		if n.Graph != "" {
			var k *NestedLock
			if pn.Nested, k, err = compileNested(l, n); err != nil {
				return nil, err
			}
			pn.Type = run.NodeType{Name: "graph", Version: k.Version, Digest: k.Digest}
		}
		if n.Input != nil {
			if pn.Input, err = CompileMapping(n.Input.Raw); err != nil {
				return nil, fault.Wrap("", "nodes."+n.Name+".input", err, "mapping")
			}
			for _, name := range pn.Input.Reads() {
				pn.Reads = append(pn.Reads, s.index[name])
			}
		}
		if n.Foreach != nil {
			if pn.Items, err = CompileExpression(n.Foreach.Items); err != nil {
				return nil, fault.Wrap("", "nodes."+n.Name+".foreach.items", err, "list")
			}
			for _, name := range pn.Items.Reads() {
				if i := s.index[name]; !slices.Contains(pn.Reads, i) {
					pn.Reads = append(pn.Reads, i)
				}
			}
		}
		p.Nodes = append(p.Nodes, pn)
	}
	for i, e := range g.Edges {
		pe := PlanEdge{From: s.from[i], To: s.to[i], Otherwise: e.Otherwise, OnError: e.OnError, Back: s.back[i]}
		if e.When != "" {
			prg, err := CompileCondition(e.When)
			if err != nil {
				return nil, fault.Wrap("", index("edges", i)+".when", err, "condition")
			}
			pe.When = prg
		}
		p.Edges = append(p.Edges, pe)
	}
	for _, name := range g.Output {
		p.Output = append(p.Output, s.index[name])
	}
	if len(g.Output) == 0 {
		for i := range g.Nodes {
			if len(s.out[i]) == 0 {
				p.Output = append(p.Output, i)
			}
		}
	}
	return p, nil
}
