package engine

import "github.com/sparkrsi/spark/core/graph"

// prepared is what scheduling needs to know about a plan beyond the plan.
type prepared struct {
	paths   []string       // nodes.NAME, by node
	index   map[string]int // node name -> index
	gather  []bool         // by node: join all over several edges
	keyed   []bool         // by node: gathers from several predecessors, so its input names them
	gathers bool           // any node gathers
	endless bool           // a cycle has no max_visits, so only a limit on steps ends it
	reach   []bits         // by edge into a gathering node: the nodes from which a token can still take it
}

// bits is a set of node indices.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bits) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bits) clear(i int)    { b[i>>6] &^= 1 << (i & 63) }

func (b bits) meets(o bits) bool {
	for i := range b {
		if b[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

func prepare(p *graph.Plan) *prepared {
	n := len(p.Nodes)
	r := &prepared{index: make(map[string]int, n), paths: make([]string, n), gather: make([]bool, n),
		keyed: make([]bool, n), reach: make([]bits, len(p.Edges))}
	// Compile left no other error than a cycle without a bound.
	r.endless = p.Type == graph.TypeCyclic && p.Graph.Validate(nil).HasErrors()
	for i := range p.Nodes {
		pn := &p.Nodes[i]
		r.index[pn.Spec.Name] = i
		r.paths[i] = "nodes." + pn.Spec.Name
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

// upstream returns the nodes from which a token can come to take edge e without
// passing through the node that e leads to.
func upstream(p *graph.Plan, e int) bits {
	seen := newBits(len(p.Nodes))
	target := p.Edges[e].To
	todo := []int{p.Edges[e].From}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen.has(n) {
			continue
		}
		seen.set(n)
		if n == target {
			continue // it may start there, but not lead through
		}
		for _, in := range p.Nodes[n].In {
			todo = append(todo, p.Edges[in].From)
		}
	}
	return seen
}

// deliver brings data over edge e, sent by the step with number seq.
func (x *execution) deliver(e int, data []byte, seq int) {
	to := x.p.Plan.Edges[e].To
	if !x.prep.gather[to] {
		x.enter(to, data, seq, x.now)
		return
	}
	x.arrived[e] = append(x.arrived[e], data)
	if !x.waitsAt(to) {
		x.pending = append(x.pending, to)
		x.mark(to)
	}
}

func (x *execution) waitsAt(node int) bool {
	for _, p := range x.pending {
		if p == node {
			return true
		}
	}
	return false
}

// mark brings the live set up to date for one node: a token is there while the
// node is ready, running or waits for a retry, and while it gathers.
func (x *execution) mark(node int) {
	if !x.prep.gathers {
		return
	}
	if x.tokens[node] > 0 || x.waitsAt(node) {
		x.live.set(node)
	} else {
		x.live.clear(node)
	}
}

// settle starts every gathering node that waits for nothing any more: each of
// its edges either brought data or can be reached by no live token. Edges that
// died this way are left out of its input.
func (x *execution) settle(seq int) {
	for i := 0; i < len(x.pending); {
		node := x.pending[i]
		if !x.complete(node) {
			i++
			continue
		}
		if x.gatherAt(node, seq); x.err != nil {
			return
		}
		if i < len(x.pending) && x.pending[i] == node {
			continue // more data waits there: look again
		}
	}
}

// unlock starts the first of several nodes that wait for each other, by level
// and then by document order, and reports whether there was one. Such circles
// exist only in graphs whose cycles have several entries.
func (x *execution) unlock() bool {
	if len(x.pending) == 0 {
		return false
	}
	best := x.pending[0]
	levels := x.p.Plan.Levels
	for _, n := range x.pending[1:] {
		if levels[n] < levels[best] || levels[n] == levels[best] && n < best {
			best = n
		}
	}
	x.gatherAt(best, x.last)
	return true
}

// complete reports whether no edge of node can still bring data that it lacks.
// The data that waits at node is no token, but a step of node itself is one.
func (x *execution) complete(node int) bool {
	if x.tokens[node] == 0 {
		x.live.clear(node)
		defer x.live.set(node)
	}
	for _, e := range x.p.Plan.Nodes[node].In {
		if len(x.arrived[e]) == 0 && x.prep.reach[e].meets(x.live) {
			return false
		}
	}
	return true
}

// gatherAt takes the oldest data of each edge into node and makes it ready.
func (x *execution) gatherAt(node, seq int) {
	plan := x.p.Plan
	var data []byte
	more := false
	if x.prep.keyed[node] {
		data = append(data, '{')
	}
	var taken []int // predecessors, few
	for _, e := range plan.Nodes[node].In {
		q := x.arrived[e]
		if len(q) == 0 {
			continue
		}
		from := plan.Edges[e].From
		first := true
		for _, t := range taken {
			first = first && t != from
		}
		if first {
			taken = append(taken, from)
			if !x.prep.keyed[node] {
				data = q[0]
			} else {
				if len(taken) > 1 {
					data = append(data, ',')
				}
				data = append(data, '"') // names need no escapes
				data = append(data, plan.Nodes[from].Spec.Name...)
				data = append(data, '"', ':')
				data = append(data, q[0]...)
			}
		}
		copy(q, q[1:])
		q[len(q)-1] = nil
		x.arrived[e] = q[:len(q)-1]
		more = more || len(x.arrived[e]) > 0
	}
	if x.prep.keyed[node] {
		data = append(data, '}')
	}
	if !more {
		for i, p := range x.pending {
			if p == node {
				x.pending = append(x.pending[:i], x.pending[i+1:]...)
				break
			}
		}
	}
	x.enter(node, data, seq, x.now)
	x.mark(node)
}
