package backend

// Tallies holds the tally of the runs and of every node of them. It is the part
// of an aggregate that sketches carry. The zero value is ready. Not safe for
// concurrent use.
type Tallies struct {
	Run   Tally
	Nodes map[string]*Tally
	path  criticalPath
	memo  []named // the node of the span at each position of the trace before
}

// named spares looking up a node: runs of one graph have their steps in about the
// same order.
type named struct {
	name string
	n    *Tally
}

// Add counts t with weight w. Cancelled runs and steps are counted as such and
// nowhere else: how long a caller waited before giving up says nothing about the
// graph.
func (x *Tallies) Add(t *Trace, w float64) {
	if t.Status == Cancelled {
		x.Run.Cancelled += w
		return
	}
	x.Run.Recorded++
	x.Run.Durations.Add(t.End-t.Start, w)
	if t.Status == Failed {
		x.Run.Failures += w
	}
	chained := chain(t.Spans)
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Seq < 0 {
			continue // a model call; its step carries its tokens and cost
		}
		n := x.at(i, s.Node)
		if s.Status == Cancelled {
			n.Cancelled += w
			continue
		}
		if chained {
			from := s.Start
			if i > 0 {
				from = t.Spans[i-1].End
			}
			n.Blame += w * float64(max(s.End-from, 0))
		}
		n.Recorded++
		n.Durations.Add(s.End-s.Start, w)
		if s.Status == Failed {
			n.Failures += w
		}
		if s.CacheHit {
			n.CacheHits += w
			x.Run.CacheHits += w
		}
		if s.Retries != 0 {
			n.Retries += w * float64(s.Retries)
			x.Run.Retries += w * float64(s.Retries)
		}
		if s.Tokens != 0 || s.Cost != 0 {
			n.Tokens += w * float64(s.Tokens)
			n.Cost += w * s.Cost
			x.Run.Tokens += w * float64(s.Tokens)
			x.Run.Cost += w * s.Cost
		}
	}
	if chained {
		return
	}
	x.path.walk(t.Spans, func(i int, ns int64) {
		if s := &t.Spans[i]; s.Status != Cancelled {
			x.at(i, s.Node).Blame += w * float64(ns)
		}
	})
}

// at is Node for the span at position i.
func (x *Tallies) at(i int, name string) *Tally {
	if i < len(x.memo) && x.memo[i].name == name && x.memo[i].n != nil {
		return x.memo[i].n
	}
	n := x.Node(name)
	for len(x.memo) <= i && i < maxMemo {
		x.memo = append(x.memo, named{})
	}
	if i < maxMemo {
		x.memo[i] = named{name, n}
	}
	return n
}

const maxMemo = 64

// Node returns the tally of one node, empty at first.
func (x *Tallies) Node(name string) *Tally {
	n := x.Nodes[name]
	if n == nil {
		if x.Nodes == nil {
			x.Nodes = map[string]*Tally{}
		}
		n = &Tally{}
		x.Nodes[name] = n
	}
	return n
}

// Aggregate returns the figures of all tallies.
func (x *Tallies) Aggregate() *Aggregate {
	g := &Aggregate{Runs: x.Run.Stats(nil), Cancelled: x.Run.Cancelled, Nodes: make(map[string]*Stats, len(x.Nodes))}
	for name, n := range x.Nodes {
		s := n.Stats(&x.Run)
		g.Nodes[name] = &s
	}
	return g
}

// criticalPath finds the chain of steps that determined when a run ended: from
// the step that ended last back along Span.After, the step whose end enabled it.
type criticalPath struct {
	at []int32 // index of the span with a Seq, plus one
}

// walk calls f for each step on the path, last first, by its index, with the nanoseconds
// between the end of its enabler (its own start when there is none) and its own
// end; waiting for a worker is so blamed on the step that waited.
func (c *criticalPath) walk(spans []Span, f func(i int, ns int64)) {
	bound, last := 4*len(spans)+64, -1
	c.at = grow(c.at, bound)
	for i := range spans {
		if spans[i].Seq < 0 {
			continue
		}
		if seq := spans[i].Seq; seq < bound {
			c.at[seq] = int32(i) + 1
		}
		if last < 0 || spans[i].End > spans[last].End {
			last = i
		}
	}
	if last < 0 {
		return
	}
	for i := last; ; {
		s, from := &spans[i], spans[i].Start
		next := -1
		if s.After >= 0 && s.After < s.Seq && s.After < bound {
			next = int(c.at[s.After]) - 1
		}
		if next >= 0 {
			from = spans[next].End
		}
		f(i, max(s.End-from, 0))
		if next < 0 {
			return
		}
		i = next
	}
}

// chain reports whether spans are the steps of a run one after the other, as most
// runs are: then all of them are the path.
func chain(spans []Span) bool {
	for i := range spans {
		s := &spans[i]
		if s.Seq != i || s.After != i-1 || i > 0 && s.End <= spans[i-1].End {
			return false
		}
	}
	return len(spans) > 0
}
