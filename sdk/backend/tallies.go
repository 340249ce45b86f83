package backend

import (
	"runtime"
	"sync"
)

import "unsafe"

// Tallies holds the tally of the runs and of every node of them. It is the part
// of an aggregate that sketches carry. The zero value is ready. Not safe for
// concurrent use.
type Tallies struct {
	Run   Tally
	Nodes map[string]*Tally
	spare *int // of all values; nil when they are not kept
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
	if !x.run(t.Status, t.End-t.Start, w) {
		return
	}
	spans, blame := t.Spans, x.path.of(t.Spans)
	for i := range spans {
		s := &spans[i]
		if s.Seq < 0 {
			continue // a model call; its step carries its tokens and cost
		}
		n := x.at(i, s.Node)
		if s.Status == OK && !s.CacheHit && s.Retries == 0 && s.Tokens == 0 && s.Cost == 0 { // nearly all
			n.plain(s.End-s.Start, blame[i], w)
			continue
		}
		x.step(n, &visit{status: s.Status, cacheHit: s.CacheHit, duration: s.End - s.Start, blame: blame[i],
			retries: int64(s.Retries), tokens: s.Tokens, cost: s.Cost}, w)
	}
}

// run counts a run and reports whether its steps count too.
func (x *Tallies) run(status Status, ns int64, w float64) bool {
	if status == Cancelled {
		x.Run.Cancelled += w
		return false
	}
	x.Run.Recorded++
	x.Run.time(ns, w)
	if status == Failed {
		x.Run.Failures += w
	}
	return true
}

// visit is what is counted of one step.
type visit struct {
	status          Status
	cacheHit        bool
	duration, blame int64 // nanoseconds; blame is 0 beside the critical path
	retries, tokens int64
	cost            float64
}

// step counts one step of a node.
func (x *Tallies) step(n *Tally, s *visit, w float64) {
	if s.status == Cancelled {
		n.Cancelled += w
		return
	}
	n.plain(s.duration, s.blame, w)
	if s.status == Failed {
		n.Failures += w
	}
	if s.cacheHit {
		n.CacheHits += w
		x.Run.CacheHits += w
	}
	if s.retries != 0 {
		n.Retries += w * float64(s.retries)
		x.Run.Retries += w * float64(s.retries)
	}
	if s.tokens != 0 || s.cost != 0 {
		n.Tokens += w * float64(s.tokens)
		n.Cost += w * s.cost
		x.Run.Tokens += w * float64(s.tokens)
		x.Run.Cost += w * s.cost
	}
}

// plain counts a step with nothing but its times.
func (t *Tally) plain(duration, blame int64, w float64) {
	t.Recorded++
	t.time(duration, w)
	t.Blame += w * float64(blame)
}

// at is Node for the span at position i.
func (x *Tallies) at(i int, name string) *Tally {
	if i < len(x.memo) {
		if m := &x.memo[i]; unsafe.StringData(m.name) == unsafe.StringData(name) && len(m.name) == len(name) && m.n != nil { // the same text in the same place
			return m.n
		}
	}
	return x.remember(i, name)
}

func (x *Tallies) remember(i int, name string) *Tally {
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

// keep makes the percentiles exact, of what is counted from now on.
func (x *Tallies) keep() {
	if x.spare == nil {
		spare := maxValues
		x.spare = &spare
		x.Run.exact = &values{spare: x.spare}
	}
}

// Node returns the tally of one node, empty at first.
func (x *Tallies) Node(name string) *Tally {
	n := x.Nodes[name]
	if n == nil {
		if x.Nodes == nil {
			x.Nodes = map[string]*Tally{}
		}
		n = &Tally{}
		if x.spare != nil {
			n.exact = &values{spare: x.spare}
		}
		x.Nodes[name] = n
	}
	return n
}

// Aggregate returns the figures of all tallies.
func (x *Tallies) Aggregate() *Aggregate {
	g := &Aggregate{Cancelled: x.Run.Cancelled, Nodes: make(map[string]*Stats, len(x.Nodes))}
	cores := make(chan struct{}, runtime.GOMAXPROCS(0)) // exact percentiles copy what lies near them
	var done sync.WaitGroup
	stats := func(s *Stats, t, runs *Tally) {
		if x.spare == nil {
			*s = t.Stats(runs)
			return
		}
		cores <- struct{}{}
		done.Go(func() {
			*s = t.Stats(runs)
			<-cores
		})
	}
	stats(&g.Runs, &x.Run, nil)
	for name, n := range x.Nodes {
		g.Nodes[name] = &Stats{}
		stats(g.Nodes[name], n, &x.Run)
	}
	done.Wait()
	return g
}

// criticalPath finds the chain of steps that determined when a run ended: from
// the step that ended last back along Span.After, the step whose end enabled it.
type criticalPath struct {
	at    []int32 // index of the span with a Seq, plus one
	blame []int64 // of each span
}

// of returns for each span the nanoseconds between the end of its enabler (its own
// start when there is none) and its own end, or 0 when it is not on the path;
// waiting for a worker is so blamed on the step that waited. The slice is valid
// until the next call.
func (c *criticalPath) of(spans []Span) []int64 {
	if cap(c.blame) < len(spans) {
		c.blame = make([]int64, len(spans))
	}
	c.blame = c.blame[:len(spans)]
	if !c.chain(spans) {
		clear(c.blame)
		c.walk(spans)
	}
	return c.blame
}

func (c *criticalPath) walk(spans []Span) {
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
	for i := last; i >= 0; {
		s, from := &spans[i], spans[i].Start
		next := -1
		if s.After >= 0 && s.After < s.Seq && s.After < bound {
			next = int(c.at[s.After]) - 1
		}
		if next >= 0 {
			from = spans[next].End
		}
		c.blame[i] = max(s.End-from, 0)
		i = next
	}
}

// chain reports whether spans are the steps of a run one after the other, as those
// of most runs are: then all of them are the path, and their blame is noted.
func (c *criticalPath) chain(spans []Span) bool {
	from := int64(0)
	for i := range spans {
		s := &spans[i]
		if s.Seq != i || s.After != i-1 || i > 0 && s.End <= from {
			return false
		}
		if i == 0 {
			from = s.Start
		}
		c.blame[i] = max(s.End-from, 0)
		from = s.End
	}
	return true
}
