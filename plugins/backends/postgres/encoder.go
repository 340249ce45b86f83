package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The tables rows are made for, as indexes of encoder.out; as in tables. A row has
// all columns of its table in their order.
const (
	inTraces = iota
	inSpans
	inEvents
	inMetrics
	inTables
)

const (
	perBatch = 1 << 20 // traces in a batch: the number of the batch and theirs make an id
	maxSteps = 100_000 // steps whose ids are remembered
	fewLooks = 4096    // comparisons that cost less than a map of the spans
)

// stepKey is a row of the table step.
type stepKey struct {
	graph, version, versionID, graphType, environment, runKind string
	node, nodeType, typeVersion, digest                        string
}

func (k *stepKey) texts() [10]string {
	return [10]string{k.graph, k.version, k.versionID, k.graphType, k.environment, k.runKind, k.node, k.nodeType, k.typeVersion, k.digest}
}

// hash returns 64 bits of the SHA-256 of texts, each preceded by its length.
func hash(texts ...string) int64 {
	b := digest(texts)
	return int64(binary.BigEndian.Uint64(b[:8]))
}

func digest(texts []string) [32]byte {
	var b []byte
	for _, s := range texts {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	return sha256.Sum256(b)
}

// nodeID returns the id of a node's name, 0 for none.
func nodeID(name string) int64 {
	if name == "" {
		return 0
	}
	return hash(name)
}

// encoded is where one trace lies in the encoder.
type encoded struct {
	index int // in Packed.Blocks
	name  string
	count backend.Counts
	day   int64
	end   int64
	upto  [inTables]int // where its rows end
}

// step is a row of the table step, known by its key.
type step struct {
	id, node int64
	stored   bool   // for certain
	batch    uint64 // that named it last, of this encoder
}

// encoder makes the rows of one batch after the other. Not safe for concurrent
// use.
type encoder struct {
	rows bool // layout rows

	d      backend.Decoder
	path   backend.CriticalPath
	points points
	spanAt map[backend.SpanID]int // of the trace at hand, when that pays
	steps  map[stepKey]*step

	batch  uint64
	out    [inTables]tuples
	traces []encoded
	bad    []backend.Quarantined
	fresh  []stepKey // of this batch, not stored for certain
	sent   []byte    // room for messages
}

// encode fills e with p, whose traces get ids from number on. Each, which may be
// nil, is called after each trace that has rows; its error ends the work.
func (e *encoder) encode(p *backend.Packed, number int64, each func(*encoded) error) error {
	if len(p.Blocks) > perBatch {
		return fault.New(fault.Limit, "batch", "%d traces exceed the limit of %d", len(p.Blocks), perBatch)
	}
	for i := range e.out {
		e.out[i] = e.out[i][:0]
	}
	e.traces, e.bad, e.fresh = e.traces[:0], nil, e.fresh[:0]
	e.batch++
	if e.steps == nil || len(e.steps) > maxSteps {
		e.steps = map[stepKey]*step{}
	}
	for i, block := range p.Blocks {
		t, err := e.d.Decode(block)
		if err == nil {
			err = t.Check()
		}
		if err != nil {
			e.bad = append(e.bad, backend.Quarantine(i, t, err))
			continue
		}
		e.trace(t, number*perBatch+int64(i), block)
		x := encoded{index: i, name: t.Name(), count: t.Counts(), day: t.Start / dayNanos, end: t.End}
		for k := range e.out {
			x.upto[k] = len(e.out[k])
		}
		e.traces = append(e.traces, x)
		if each != nil {
			if err := each(&x); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *encoder) trace(t *backend.Trace, id int64, block []byte) {
	x := sum(t)
	b := &e.out[inTraces]
	n := t.Counts()
	b.row(30)
	b.int64(id)
	b.time(t.Start)
	b.int64(t.Start)
	b.int64(t.End)
	b.float(1 / t.Probability)
	b.int16(backend.Bucket(t.End - t.Start))
	b.int16(int(t.Status))
	b.int16(int(t.Derive))
	b.bool(x.ownFailure)
	b.int32(int(n.Spans))
	b.int32(int(n.Events))
	b.int32(int(n.Metrics))
	b.int32(t.Dropped)
	b.int64(x.retries)
	b.int64(x.cacheHits)
	b.int64(x.tokens)
	b.float(x.cost)
	b.id(&t.TraceID)
	b.id(&t.RunID)
	for _, s := range [...]string{t.Graph, t.Version, t.VersionID, t.GraphType, t.Environment, t.RunKind} {
		b.text(s)
	}
	b.maybe(t.ErrorType)
	b.maybe(t.Error)
	if e.rows {
		b.attrs(t.Attrs)
		b.attrs(t.Resource)
	} else {
		b.null()
		b.null()
	}
	b.bytes(block)
	if e.rows {
		e.index(t)
		e.spans(t, id)
		e.events(t, id)
		e.metrics(t, id)
	}
}

// step returns the ids of a step of t.
func (e *encoder) step(t *backend.Trace, node, nodeType, typeVersion, digest string) *step {
	k := stepKey{t.Graph, t.Version, t.VersionID, t.GraphType, t.Environment, t.RunKind, node, nodeType, typeVersion, digest}
	s := e.steps[k]
	if s == nil {
		texts := k.texts()
		s = &step{id: hash(texts[:]...), node: nodeID(node)}
		e.steps[k] = s
	}
	if !s.stored && s.batch != e.batch {
		s.batch = e.batch
		e.fresh = append(e.fresh, k)
	}
	return s
}

// stored notes that the steps of the batch are in the database.
func (e *encoder) stored() {
	for _, k := range e.fresh {
		e.steps[k].stored = true
	}
}

func (e *encoder) spans(t *backend.Trace, id int64) {
	share := e.path.Of(t.Spans)
	weight := 1 / t.Probability
	b := &e.out[inSpans]
	for i := range t.Spans {
		s := &t.Spans[i]
		ids := e.step(t, s.Node, s.NodeType, s.TypeVersion, s.Digest)
		b.row(29)
		b.int64(id)
		b.time(t.Start)
		b.int64(ids.node)
		b.int64(s.End - s.Start)
		b.int64(share[i])
		b.float(weight)
		b.int64(cell(t, s, ids.node, weight))
		b.int32(s.Seq)
		b.int16(int(s.Status))
		b.int16(int(t.Status))
		b.bool(s.CacheHit)
		b.bool(s.Retries != 0 || s.Tokens != 0 || s.Cost != 0)
		b.int16(int(s.Kind))
		b.int64(ids.id)
		b.int64(s.Start)
		b.id(&t.TraceID)
		b.span(s.ID)
		b.span(s.Parent)
		b.int32(s.After)
		b.int16(int(t.Derive))
		b.maybeInt32(s.Retries)
		b.maybeInt64(s.Wait)
		b.maybeInt64(int64(s.InputSize))
		b.maybeInt64(int64(s.OutputSize))
		b.maybeInt64(s.Tokens)
		if s.Cost == 0 {
			b.null()
		} else {
			b.float(s.Cost)
		}
		b.maybe(s.ErrorType)
		b.maybe(s.Error)
		b.json(s.Attrs)
	}
}

// named returns the step that a record about a span of t belongs to.
func (e *encoder) named(t *backend.Trace, id backend.SpanID, node string) *step {
	i := e.find(t, id)
	if i >= 0 && (node == "" || t.Spans[i].Node == node) {
		s := &t.Spans[i]
		return e.step(t, s.Node, s.NodeType, s.TypeVersion, s.Digest)
	}
	return e.step(t, node, "", "", "")
}

// find returns the index of the span of t with an id, or -1.
func (e *encoder) find(t *backend.Trace, id backend.SpanID) int {
	if len(e.spanAt) == 0 {
		return slices.IndexFunc(t.Spans, func(s backend.Span) bool { return s.ID == id })
	}
	if i, ok := e.spanAt[id]; ok {
		return i
	}
	return -1
}

// index makes find fast for a trace with many records.
func (e *encoder) index(t *backend.Trace) {
	clear(e.spanAt)
	if len(t.Spans)*(len(t.Events)+len(t.Metrics)) <= fewLooks {
		return
	}
	if e.spanAt == nil {
		e.spanAt = map[backend.SpanID]int{}
	}
	for i := range t.Spans {
		e.spanAt[t.Spans[i].ID] = i
	}
}

func (b *tuples) maybeSpan(id backend.SpanID) {
	if id == (backend.SpanID{}) {
		b.null()
	} else {
		b.span(id)
	}
}

func (e *encoder) events(t *backend.Trace, id int64) {
	b := &e.out[inEvents]
	for i := range t.Events {
		x := &t.Events[i]
		b.row(9)
		b.int64(id)
		b.time(t.Start)
		b.int64(e.named(t, x.Span, "").id)
		b.int64(x.Time)
		b.id(&t.TraceID)
		b.maybeSpan(x.Span)
		b.text(x.Type)
		b.text(x.Name)
		b.attrs(x.Attrs)
	}
}

func (e *encoder) metrics(t *backend.Trace, id int64) {
	b := &e.out[inMetrics]
	e.points.combine(t.Metrics)
	for i := range t.Metrics {
		x := &t.Metrics[i]
		ids := e.named(t, x.Span, x.Node)
		b.row(15)
		b.int64(id)
		b.time(t.Start)
		b.int64(nodeID(x.Node))
		b.float(1 / t.Probability)
		b.float(x.Value)
		if v, ok := e.points.value(i, x); ok {
			b.float(v)
		} else {
			b.null()
		}
		b.int16(int(t.Status))
		b.int64(ids.id)
		b.int64(x.Time)
		b.id(&t.TraceID)
		b.maybeSpan(x.Span)
		b.text(x.Name)
		b.text(x.Unit)
		b.text(x.Agg)
		b.attrs(x.Attrs)
	}
}

// days returns the days of the batch, in order.
func (e *encoder) days() []int64 {
	var days []int64
	for i := range e.traces {
		days = append(days, e.traces[i].day)
	}
	slices.Sort(days)
	return slices.Compact(days)
}

// part returns the rows of the traces from to to-1 for one table.
func (e *encoder) part(table, from, to int) []byte {
	if from == to {
		return nil
	}
	start := 0
	if from > 0 {
		start = e.traces[from-1].upto[table]
	}
	return e.out[table][start:e.traces[to-1].upto[table]]
}
