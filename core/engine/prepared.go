package engine

import (
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Build returns the program of a plan and of the graphs nested in it. Runner is
// asked once for each node that is neither a graph nor waits for a person, with the plan it belongs to (whose
// Locked holds its lock and assets) and its path, such as outer/inner; its first
// error is returned.
func Build(plan *graph.Plan, runner func(path string, plan *graph.Plan, n *graph.PlanNode) (NodeRunner, error)) (*Program, error) {
	return build(plan, "", runner)
}

func build(plan *graph.Plan, prefix string, runner func(string, *graph.Plan, *graph.PlanNode) (NodeRunner, error)) (*Program, error) {
	p := &Program{Plan: plan, Runners: make([]NodeRunner, len(plan.Nodes)), Nested: make([]*Program, len(plan.Nodes))}
	for i := range plan.Nodes {
		pn := &plan.Nodes[i]
		path := prefix + pn.Spec.Name
		var err error
		switch {
		case pn.Wait != nil:
		case pn.Nested != nil:
			p.Nested[i], err = build(pn.Nested, path+"/", runner)
		default:
			p.Runners[i], err = runner(path, plan, pn)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// prepared is what scheduling needs to know about a plan beyond the plan.
type prepared struct {
	plan     *graph.Plan
	runners  []NodeRunner
	nested   []*prepared    // by node, nil for a node that is no graph
	prefix   string         // of names: outer/ in a nested graph
	names    []string       // as observed, by node
	policies []policies     // by node
	plain    []bool         // by node: neither cached nor limited
	budgets  bool           // some node, here or nested, has a budget
	paths    []string       // nodes.NAME, by node
	index    map[string]int // node name -> index
	gather   []bool         // by node: join all over several edges
	keyed    []bool         // by node: gathers from several predecessors, so its input names them
	bad      error          // why the program cannot run
	gathers  bool           // any node gathers
	waits    bool           // a node, here or nested, waits for a person
	endless  bool           // a cycle has no max_visits, so only a limit on steps ends it
	reach    []bits         // by edge into a gathering node: the nodes from which a token can still take it
}

func prepare(pr *Program, prefix string) *prepared {
	p := pr.Plan
	n := len(p.Nodes)
	r := &prepared{plan: p, runners: pr.Runners, prefix: prefix, nested: make([]*prepared, n), names: make([]string, n),
		policies: make([]policies, n), plain: make([]bool, n), index: make(map[string]int, n), paths: make([]string, n), gather: make([]bool, n),
		keyed: make([]bool, n), reach: make([]bits, len(p.Edges))}
	if len(pr.Runners) != n {
		r.bad = fault.New(fault.Internal, "", "program has %d runners for %d nodes", len(pr.Runners), n)
		return r
	}
	// Compile left no other error than a cycle without a bound.
	r.waits = p.Waits()
	r.endless = p.Type == graph.TypeCyclic && p.Graph.Validate(nil).HasErrors()
	for i := range p.Nodes {
		pn := &p.Nodes[i]
		r.index[pn.Spec.Name] = i
		r.names[i] = prefix + pn.Spec.Name
		r.paths[i] = "nodes." + r.names[i]
		r.policies[i] = policiesOf(pn.Spec)
		r.plain[i] = pn.Spec.Cache == nil && pn.Spec.RateLimit == nil
		r.budgets = r.budgets || pn.Spec.Budget != nil
		switch {
		case pn.Nested != nil && (len(pr.Nested) != n || pr.Nested[i] == nil || pr.Nested[i].Plan != pn.Nested):
			r.bad = fault.New(fault.Internal, r.paths[i], "program lacks the nested graph")
			return r
		case pn.Nested != nil:
			sub := prepare(pr.Nested[i], r.names[i]+"/")
			if r.nested[i] = sub; sub.bad != nil {
				r.bad = sub.bad
				return r
			}
			r.endless, r.budgets = r.endless || sub.endless, r.budgets || sub.budgets
		case pr.Runners[i] == nil && pn.Wait == nil:
			r.bad = fault.New(fault.Internal, r.paths[i], "program has no runner")
			return r
		}
		if pn.Join == graph.JoinAny || len(pn.In) < 2 {
			continue
		}
		r.gather[i], r.gathers = true, true
		for _, e := range pn.In {
			if p.Edges[e].From != p.Edges[pn.In[0]].From {
				r.keyed[i] = true
			}
			r.reach[e] = upstream(p, e)
		}
	}
	return r
}
