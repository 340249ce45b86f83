package graph

import "slices"

// shape is the structure of a graph by index: what is found without looking at
// modules, configurations or expressions.
type shape struct {
	index   map[string]int // node name -> index; the first of duplicate names
	from    []int          // of each edge, -1 when unknown
	to      []int
	in, out [][]int // edges of each node, in document order
	start   int     // -1 when unknown
	back    []bool  // of each edge: it closes a cycle
	level   []int   // of each node: longest way from a root, back edges ignored
	reached []bool  // of each node: a way leads there from start
}

func shapeOf(g *Graph) *shape {
	s := &shape{index: make(map[string]int, len(g.Nodes)), start: -1}
	for i, n := range g.Nodes {
		if _, twice := s.index[n.Name]; !twice {
			s.index[n.Name] = i
		}
	}
	at := func(name string) int {
		if i, ok := s.index[name]; ok {
			return i
		}
		return -1
	}
	s.start = at(g.Start)
	s.in, s.out = make([][]int, len(g.Nodes)), make([][]int, len(g.Nodes))
	for i, e := range g.Edges {
		f, t := at(e.From), at(e.To)
		s.from, s.to = append(s.from, f), append(s.to, t)
		if f >= 0 && t >= 0 {
			s.out[f] = append(s.out[f], i)
			s.in[t] = append(s.in[t], i)
		}
	}
	s.walk(len(g.Nodes))
	return s
}

// walk marks back edges and reached nodes and computes levels, by one depth-first
// search from the start and then from every node not seen yet.
func (s *shape) walk(n int) {
	s.back, s.level, s.reached = make([]bool, len(s.from)), make([]int, n), make([]bool, n)
	const (
		unseen = iota
		open
		done
	)
	mark := make([]int, n)
	order := make([]int, 0, n) // finished nodes, last first
	type frame struct{ node, next int }
	visit := func(root int) {
		stack := []frame{{root, 0}}
		mark[root] = open
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(s.out[f.node]) {
				mark[f.node] = done
				order = append(order, f.node)
				stack = stack[:len(stack)-1]
				continue
			}
			e := s.out[f.node][f.next]
			f.next++
			switch t := s.to[e]; mark[t] {
			case open:
				s.back[e] = true
			case unseen:
				mark[t] = open
				stack = append(stack, frame{t, 0})
			}
		}
	}
	if s.start >= 0 {
		visit(s.start)
		for _, i := range order {
			s.reached[i] = true
		}
	}
	for i := range n {
		if mark[i] == unseen {
			visit(i)
		}
	}
	for _, i := range slices.Backward(order) {
		for _, e := range s.out[i] {
			if t := s.to[e]; !s.back[e] {
				s.level[t] = max(s.level[t], s.level[i]+1)
			}
		}
	}
}

// cycle returns the nodes of one cycle that avoids the nodes for which bounded
// is true, in order, or nil when there is none.
func (s *shape) cycle(bounded func(node int) bool) []int {
	mark := make([]uint8, len(s.in))
	var path []int
	var visit func(i int) []int
	visit = func(i int) []int {
		mark[i] = 1
		path = append(path, i)
		for _, e := range s.out[i] {
			t := s.to[e]
			if bounded(t) {
				continue
			}
			if mark[t] == 1 {
				return path[slices.Index(path, t):]
			}
			if mark[t] == 0 {
				if c := visit(t); c != nil {
					return c
				}
			}
		}
		mark[i] = 2
		path = path[:len(path)-1]
		return nil
	}
	for i := range s.in {
		if mark[i] == 0 && !bounded(i) {
			if c := visit(i); c != nil {
				return c
			}
		}
	}
	return nil
}

// reach marks every node to which a way leads from node i, i included, without
// leaving node avoid (-1 avoids none).
func (s *shape) reach(i, avoid int) []bool {
	seen := make([]bool, len(s.in))
	todo := []int{i}
	seen[i] = true
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == avoid {
			continue
		}
		for _, e := range s.out[n] {
			if t := s.to[e]; !seen[t] {
				seen[t] = true
				todo = append(todo, t)
			}
		}
	}
	return seen
}

// forks reports whether a success of node i certainly or probably fires several
// edges: one has no condition, and another leads elsewhere with none or with a
// condition of its own.
func (s *shape) forks(g *Graph, i int) bool {
	if g.Nodes[i].Route == RouteFirst {
		return false
	}
	plain := -1
	for _, e := range s.out[i] {
		if x := g.Edges[e]; x.When == "" && !x.Otherwise && len(x.OnError) == 0 {
			plain = s.to[e]
			break
		}
	}
	return plain >= 0 && slices.ContainsFunc(s.out[i], func(e int) bool {
		return s.to[e] != plain && len(g.Edges[e].OnError) == 0 && !g.Edges[e].Otherwise
	})
}

// kind derives the type of the graph.
func (s *shape) kind(g *Graph) string {
	if slices.Contains(s.back, true) {
		return TypeCyclic
	}
	for i := range g.Nodes {
		if s.forks(g, i) {
			return TypeParallel
		}
	}
	for _, e := range g.Edges {
		if e.When != "" || e.Otherwise || len(e.OnError) > 0 {
			return TypeBranching
		}
	}
	return TypeSequential
}
