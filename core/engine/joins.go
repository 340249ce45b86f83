package engine

import "github.com/sparkrsi/spark/core/graph"

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
func (f *frame) deliver(e int, data []byte, seq, depth int) {
	to := f.prep.plan.Edges[e].To
	if !f.prep.gather[to] {
		f.enter(to, data, seq, depth+1, f.x.now)
		return
	}
	f.arrived[e] = append(f.arrived[e], arrival{data, depth})
	if !f.waitsAt(to) {
		f.pending = append(f.pending, to)
		f.mark(to)
	}
}

func (f *frame) waitsAt(node int) bool {
	for _, p := range f.pending {
		if p == node {
			return true
		}
	}
	return false
}

// mark brings the live set up to date for one node: a token is there while the
// node is ready, running or waits for a retry, and while it gathers.
func (f *frame) mark(node int) {
	if !f.prep.gathers {
		return
	}
	if f.tokens[node] > 0 || f.waitsAt(node) {
		f.live.set(node)
	} else {
		f.live.clear(node)
	}
}

// settle starts every gathering node that waits for nothing any more: each of
// its edges either brought data or can be reached by no live token. Edges that
// died this way are left out of its input.
func (f *frame) settle(seq int) {
	for i := 0; i < len(f.pending); {
		node := f.pending[i]
		if !f.complete(node) {
			i++
			continue
		}
		if f.gatherAt(node, seq); f.err != nil {
			return
		}
		if i < len(f.pending) && f.pending[i] == node {
			continue // more data waits there: look again
		}
	}
}

// unlock starts the first of several nodes that wait for each other, by level
// and then by document order, and reports whether there was one. Such circles
// exist only in graphs whose cycles have several entries.
func (f *frame) unlock() bool {
	if len(f.pending) == 0 {
		return false
	}
	best := f.pending[0]
	levels := f.prep.plan.Levels
	for _, n := range f.pending[1:] {
		if levels[n] < levels[best] || levels[n] == levels[best] && n < best {
			best = n
		}
	}
	f.gatherAt(best, f.x.last)
	return true
}

// complete reports whether no edge of node can still bring data that it lacks.
// The data that waits at node is no token, but a step of node itself is one.
func (f *frame) complete(node int) bool {
	if f.tokens[node] == 0 {
		f.live.clear(node)
		defer f.live.set(node)
	}
	for _, e := range f.prep.plan.Nodes[node].In {
		if len(f.arrived[e]) == 0 && f.prep.reach[e].meets(f.live) {
			return false
		}
	}
	return true
}

// gatherAt takes the oldest data of each edge into node and makes it ready.
func (f *frame) gatherAt(node, seq int) {
	plan := f.prep.plan
	var data []byte
	more, depth := false, 0
	if f.prep.keyed[node] {
		data = append(data, '{')
	}
	var taken []int // predecessors, few
	for _, e := range plan.Nodes[node].In {
		q := f.arrived[e]
		if len(q) == 0 {
			continue
		}
		from := plan.Edges[e].From
		depth = max(depth, q[0].depth)
		first := true
		for _, t := range taken {
			first = first && t != from
		}
		if first {
			taken = append(taken, from)
			if !f.prep.keyed[node] {
				data = q[0].data
			} else {
				if len(taken) > 1 {
					data = append(data, ',')
				}
				data = append(data, '"') // names need no escapes
				data = append(data, plan.Nodes[from].Spec.Name...)
				data = append(data, '"', ':')
				data = append(data, q[0].data...)
			}
		}
		copy(q, q[1:])
		q[len(q)-1] = arrival{}
		f.arrived[e] = q[:len(q)-1]
		more = more || len(f.arrived[e]) > 0
	}
	if f.prep.keyed[node] {
		data = append(data, '}')
	}
	if !more {
		for i, p := range f.pending {
			if p == node {
				f.pending = append(f.pending[:i], f.pending[i+1:]...)
				break
			}
		}
	}
	f.enter(node, data, seq, depth+1, f.x.now)
	f.mark(node)
}
