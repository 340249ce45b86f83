package backend

// InLedger reports whether a Ledger holds all that m asks of a trace, so that
// AddLedger answers m.
func (m *Match) InLedger() bool {
	return m.HeadOnly() && m.ID == ID{} && m.Limit == 0 && m.Offset == 0
}

// AddLedger counts the runs of a ledger that m selects and that did not end before
// since, as Add would count their traces. M must be InLedger. Damage is a Corrupt
// fault, an encoding of a later Spark a Newer one: then some runs may have been
// counted.
func (a *Aggregator) AddLedger(ledger []byte, m *Match, since int64) error {
	r := &a.ledger
	graph, version, err := r.begin(ledger)
	if err != nil {
		return err
	}
	if m.Graph != "" && graph != m.Graph || m.Version != "" && version != m.Version {
		return nil
	}
	a.tallies.keep()
	t := Trace{Graph: graph, Version: version}
	for range r.count(minRun) {
		flags := r.run(&t)
		if r.err != nil {
			return r.err
		}
		into := a
		if t.End < since || !m.Head(&t) {
			into = nil
		}
		r.rest(into, &t, flags)
	}
	return r.end()
}

const minRun = 4

// ledgerReader decodes ledgers. All of its memory is used again.
type ledgerReader struct {
	scanner
	nodes  []ledgerNode
	shapes []int // where in nodes each shape ends
}

type ledgerNode struct {
	ref uint64
	n   *Tally // nil until a run of the shape is counted
}

// begin reads what comes before the runs.
func (r *ledgerReader) begin(ledger []byte) (graph, version string, err error) {
	body, err := unwrap(ledger, "ledger", ledgerVersion, maxLedger)
	if err != nil {
		return "", "", err
	}
	if err := r.start(body); err != nil {
		return "", "", err
	}
	graph, version = r.str(), r.str()
	r.nodes, r.shapes = r.nodes[:0], r.shapes[:0]
	for range r.count(1) {
		for range r.count(1) {
			r.nodes = append(r.nodes, ledgerNode{ref: r.uint()})
		}
		r.shapes = append(r.shapes, len(r.nodes))
	}
	return graph, version, r.err
}

// run reads the head of a run into t.
func (r *ledgerReader) run(t *Trace) (flags byte) {
	flags = r.byte()
	t.RunKind = r.str()
	t.Start += r.int()
	t.End = t.Start + int64(r.uint())
	t.Status, t.Probability = OK, 1
	if flags&runStatus != 0 {
		t.Status = Status(r.byte())
	}
	if flags&runSampled != 0 {
		t.Probability = r.num()
	}
	return flags
}

// rest reads what follows the head t of a run and counts it all in a, unless that is
// nil.
func (r *ledgerReader) rest(a *Aggregator, t *Trace, flags byte) {
	w := 1 / t.Probability
	if a != nil {
		a.begun(t.Start, t.Graph)
		a.tallies.run(t.Status, t.End-t.Start, w)
	}
	if t.Status == Cancelled {
		return
	}
	shape := r.uint()
	if shape >= uint64(len(r.shapes)) {
		r.fail("shape %d of %d", shape, len(r.shapes))
		return
	}
	from := 0
	if shape > 0 {
		from = r.shapes[shape-1]
	}
	nodes := r.nodes[from:r.shapes[shape]]
	if a != nil && len(nodes) > 0 && nodes[0].n == nil {
		for i := range nodes {
			nodes[i].n = a.tallies.Node(r.word(nodes[i].ref))
		}
	}
	switch {
	case flags&runMarks != 0:
		r.marked(a, nodes, w)
	case a == nil:
		r.pass(2 * len(nodes))
	default:
		times := r.column(2 * len(nodes))
		for i := range nodes {
			ns := signed(times[2*i])
			nodes[i].n.plain(ns, ns+signed(times[2*i+1]), w)
		}
	}
	if flags&runFailures != 0 {
		r.fixed(t.TraceID[:])
		for range r.count(3) {
			node, kind, msg := r.str(), r.str(), r.str()
			if a != nil && r.err == nil {
				a.failure(t, node, kind, msg, w)
			}
		}
	}
	if flags&runPoints != 0 {
		for range r.count(4) {
			name, agg, unit, v := r.str(), r.str(), r.str(), r.num()
			if a != nil && r.err == nil {
				a.metric(name, agg, unit, v, w)
			}
		}
	}
}

// marked reads the steps of a run that has marks.
func (r *ledgerReader) marked(a *Aggregator, nodes []ledgerNode, w float64) {
	r.passBytes(len(nodes))
	if r.err != nil {
		return
	}
	for i, m := range r.passed {
		s := visit{}
		switch m & stepOutcome {
		case stepFailed:
			s.status = Failed
		case stepCancelled:
			s.status = Cancelled
		}
		if s.status != Cancelled {
			s.duration = r.int()
			if m&stepAside == 0 {
				s.blame = s.duration + r.int()
			}
			s.cacheHit = m&stepCacheHit != 0
			if m&stepRetries != 0 {
				s.retries = r.int()
			}
			if m&stepTokens != 0 {
				s.tokens = r.int()
			}
			if m&stepCost != 0 {
				s.cost = r.num()
			}
		}
		if r.err != nil {
			return
		}
		if a != nil {
			a.tallies.step(nodes[i].n, &s, w)
		}
	}
}
