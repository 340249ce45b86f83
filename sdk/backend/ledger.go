package backend

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
)

// Ledger holds of the runs of one graph version what an Aggregator asks for, in a
// tenth of the bytes of their blocks. A backend that keeps one beside some
// hundred traces answers Aggregate without reading them. NewLedger makes one. Not
// safe for concurrent use.
//
//	ledger   = 0x01 words graph version shapes count {run} crc32c
//	words, string, uvarint, varint, float and crc32c: as in a block
//	shapes   = count {count {string}}: the nodes of the steps of a run, in order
//	run      = flags run-kind start duration [status] [probability] then, unless
//	           cancelled, shape [marks of all steps] {step} [failures] [metrics]
//	start    = varint, difference to the run before; duration = uvarint, nanoseconds
//	step     = duration slack [retries] [tokens] [cost], or nothing when cancelled
//	slack    = varint, its share of the critical path less its duration
//	failures = trace-id count {node type message}
//	metrics  = count {name aggregation unit value}
//
// Marks, one byte a step, are written when any is not zero. A step beside the
// critical path has a mark instead of a slack.
type Ledger struct {
	First, Last int64 // the earliest start and the latest end of its runs

	e              encoder // of the runs; its words are the ledger's
	graph, version string
	shapes         []byte
	shapeOf        map[string]uint64 // by the references of the nodes
	nodes          []string          // of the run before
	shape          uint64            // of the run before
	runs           uint64
	start          int64 // of the run before
	words, text    int   // whose lengths were added up, and the sum
	key, marks     []byte
	path           criticalPath
	points         runMetrics
}

const ledgerVersion = 1

// maxLedger is the length of the longest ledger that is read: one that a block of
// MaxBlock was added to.
const maxLedger = 2 * MaxBlock

const (
	runStatus = 1 << iota
	runSampled
	runMarks
	runFailures
	runPoints
)

// The marks of a step; the lowest two bits are its outcome.
const (
	stepFailed    = 1
	stepCancelled = 2
	stepOutcome   = 3
	stepAside     = 1 << iota // not on the critical path
	stepCacheHit
	stepRetries
	stepTokens
	stepCost
)

// NewLedger returns an empty ledger of a version.
func NewLedger(graph, version string) *Ledger {
	l := &Ledger{First: math.MaxInt64, Last: math.MinInt64, graph: graph, version: version, shapeOf: map[string]uint64{}}
	l.e.ref(graph)
	l.e.ref(version)
	return l
}

// Len returns about how many bytes Encode adds.
func (l *Ledger) Len() int {
	for ; l.words < len(l.e.words); l.words++ {
		l.text += len(l.e.words[l.words]) + 2
	}
	return len(l.e.body) + len(l.shapes) + l.text
}

// Add enters t, of which a Scanner reads enough. Nothing of t is kept but
// strings. T must be of the ledger's graph and version and pass Check.
func (l *Ledger) Add(t *Trace) {
	e := &l.e
	l.runs++
	l.First, l.Last = min(l.First, t.Start), max(l.Last, t.End)
	at := len(e.body)
	e.byte(0)
	e.str(t.RunKind)
	e.int(t.Start - l.start)
	l.start = t.Start
	e.uint(uint64(t.End - t.Start))
	var flags byte
	if t.Status != OK {
		flags |= runStatus
		e.byte(byte(t.Status))
	}
	if t.Probability != 1 {
		flags |= runSampled
		e.num(t.Probability)
	}
	if t.Status != Cancelled {
		flags |= l.steps(t.Spans)
		flags |= l.failures(t)
		flags |= l.metrics(t.Metrics)
	}
	e.body[at] = flags
}

func (l *Ledger) steps(spans []Span) (flags byte) {
	e := &l.e
	e.uint(l.shapeRef(spans))
	blame := l.path.of(spans)
	l.marks = l.marks[:0]
	var any byte
	for i := range spans {
		if spans[i].Seq >= 0 {
			m := marks(&spans[i], blame[i])
			any |= m
			l.marks = append(l.marks, m)
		}
	}
	if any == 0 {
		for i := range spans {
			if s := &spans[i]; s.Seq >= 0 {
				e.int(s.End - s.Start)
				e.int(blame[i] - (s.End - s.Start))
			}
		}
		return 0
	}
	e.body = append(e.body, l.marks...)
	k := 0
	for i := range spans {
		s := &spans[i]
		if s.Seq < 0 {
			continue
		}
		m := l.marks[k]
		k++
		if m&stepOutcome == stepCancelled {
			continue
		}
		e.int(s.End - s.Start)
		if m&stepAside == 0 {
			e.int(blame[i] - (s.End - s.Start))
		}
		if m&stepRetries != 0 {
			e.int(int64(s.Retries))
		}
		if m&stepTokens != 0 {
			e.int(s.Tokens)
		}
		if m&stepCost != 0 {
			e.num(s.Cost)
		}
	}
	return runMarks
}

func marks(s *Span, blame int64) (m byte) {
	switch s.Status {
	case Failed:
		m = stepFailed
	case Cancelled:
		return stepCancelled
	}
	if blame == 0 && s.End != s.Start {
		m |= stepAside
	}
	if s.CacheHit {
		m |= stepCacheHit
	}
	if s.Retries != 0 {
		m |= stepRetries
	}
	if s.Tokens != 0 {
		m |= stepTokens
	}
	if s.Cost != 0 {
		m |= stepCost
	}
	return m
}

// shapeRef returns the number of the shape of spans, that of the run before when
// the nodes are the same.
func (l *Ledger) shapeRef(spans []Span) uint64 {
	n, same := 0, true
	for i := range spans {
		if s := &spans[i]; s.Seq >= 0 {
			if same = n < len(l.nodes) && l.nodes[n] == s.Node; !same {
				break
			}
			n++
		}
	}
	if same && n == len(l.nodes) && len(l.shapeOf) > 0 {
		return l.shape
	}
	l.nodes, l.key = l.nodes[:0], l.key[:0]
	for i := range spans {
		if s := &spans[i]; s.Seq >= 0 {
			l.nodes = append(l.nodes, s.Node)
			l.key = binary.AppendUvarint(l.key, l.e.ref(s.Node))
		}
	}
	shape, known := l.shapeOf[string(l.key)]
	if !known {
		shape = uint64(len(l.shapeOf))
		l.shapeOf[string(l.key)] = shape
		l.shapes = binary.AppendUvarint(l.shapes, uint64(len(l.nodes)))
		l.shapes = append(l.shapes, l.key...)
	}
	l.shape = shape
	return shape
}

func (l *Ledger) failures(t *Trace) byte {
	e, n := &l.e, uint64(0)
	t.failed(func(_, _, _ string) { n++ })
	if n == 0 {
		return 0
	}
	e.body = append(e.body, t.TraceID[:]...)
	e.uint(n)
	t.failed(func(node, kind, msg string) {
		e.str(node)
		e.str(kind)
		e.str(msg)
	})
	return runFailures
}

func (l *Ledger) metrics(points []Metric) byte {
	e, values := &l.e, l.points.of(points)
	if len(values) == 0 {
		return 0
	}
	e.uint(uint64(len(values)))
	for i := range values {
		m := &values[i]
		e.str(m.name)
		e.str(m.agg)
		e.str(m.unit)
		e.num(m.value)
	}
	return runPoints
}

// Encode appends the ledger to dst and returns the longer slice. More runs may be
// added after.
func (l *Ledger) Encode(dst []byte) []byte {
	dst = slices.Grow(dst, l.Len())
	from := len(dst)
	dst = append(dst, ledgerVersion)
	dst = l.e.appendWords(dst)
	dst = binary.AppendUvarint(dst, l.e.ref(l.graph))
	dst = binary.AppendUvarint(dst, l.e.ref(l.version))
	dst = binary.AppendUvarint(dst, uint64(len(l.shapeOf)))
	dst = append(dst, l.shapes...)
	dst = binary.AppendUvarint(dst, l.runs)
	dst = append(dst, l.e.body...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}
