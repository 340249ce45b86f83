package graph

import (
	"crypto/sha256"
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
	var err error
	if p.State, err = compileState(g); err != nil {
		return nil, err
	}
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
		if n.Wait != nil {
			var at string
			if pn.Wait, at, err = n.Wait.compile(); err != nil {
				return nil, fault.Wrap("", "nodes."+n.Name+".wait."+at, err, "compile")
			}
			pn.Type = run.NodeType{Name: "wait"}
		}
		if n.Graph != "" {
			nested, k, err := compileNested(l, n)
			if err != nil {
				return nil, err
			}
			pn.Nested, pn.Type = nested, run.NodeType{Name: "graph", Version: k.Version, Digest: k.Digest}
		}
		if err := pn.compile(s); err != nil {
			return nil, err
		}
		pn.Content = contentOf(l, &pn)
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

// compile compiles the expressions of a node.
func (pn *PlanNode) compile(s *shape) (err error) {
	n := pn.Spec
	add := func(to **Program, at, src string, compile func(string) (*Program, error)) {
		if err != nil || src == "" {
			return
		}
		if *to, err = compile(src); err != nil {
			err = fault.Wrap("", "nodes."+n.Name+"."+at, err, "compile")
			return
		}
		for _, name := range (*to).Reads() {
			if i := s.index[name]; !slices.Contains(pn.Reads, i) {
				pn.Reads = append(pn.Reads, i)
			}
		}
	}
	if n.Input != nil {
		add(&pn.Input, "input", string(n.Input.Raw), func(raw string) (*Program, error) { return CompileMapping([]byte(raw)) })
	}
	if n.Foreach != nil {
		add(&pn.Items, "foreach.items", n.Foreach.Items, CompileExpression)
	}
	if n.Cache != nil {
		add(&pn.Key, "cache.key", n.Cache.Key, CompileExpression)
	}
	add(&pn.Idem, "idempotency_key", n.IdempotencyKey, CompileExpression)
	return err
}

// contentOf returns the digest of what the output of a node depends on besides
// its input and the state.
func contentOf(l *Locked, pn *PlanNode) [32]byte {
	n := pn.Spec
	var assets []string
	for _, name := range n.Assets {
		i := slices.IndexFunc(l.Assets, func(a AssetLock) bool { return a.Name == name })
		if i >= 0 {
			assets = append(assets, name+"="+l.Assets[i].Digest)
		}
	}
	of := map[string]any{"type": pn.Type.Name, "module": pn.Type.Digest, "native": n.Native,
		"config": n.Config, "assets": assets, "grant": n.Grant}
	if n.Wait != nil {
		of["wait"] = n.Wait
	}
	return sha256.Sum256(canonicalOf(of))
}
