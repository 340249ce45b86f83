package backend

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"sync"
)

// The block encoding, version 1. A block is one whole trace, so a backend can
// store it unchanged as one row and read it without anything else.
//
//	block  = 0x01 body crc32c(0x01 body, little-endian)
//	body   = words head resource attrs spans events metrics
//	uvarint, varint (zigzag): as in Protocol Buffers
//	float  = uvarint of the byte-reversed IEEE 754 bits, so round numbers are short
//	string = uvarint reference: 0 is empty, odd r is word r>>1 of the static
//	         dictionary, even r is word r>>1 - 1 of the block's own
//	words  = count {length} bytes-of-all
//	attr   = (string<<2 | kind) value
//
// Spans, events and metrics are stored by columns. A leading column of flags
// says which rarely set fields a record has, and such a column holds entries
// only for the records that have it. Ids and times are differences to the record
// before. The attributes of spans come last, after their length in bytes (four,
// little-endian): most questions skip them. Vectors:
// testkit/telemetry/vectors.json.
const blockVersion = 1

const (
	spanKind = 1 << iota
	spanFailure
	spanRetries
	spanWait
	spanCacheHit
	spanTokens
	spanCost
	spanAttrs
	spanParent
)

const (
	eventSpan = 1 << iota
	eventName
	eventAttrs
)

const (
	metricSpan = 1 << iota
	metricAttrs
)

const (
	headCaller = 1 << iota
	headOwnRunID
	headSampled
	headFailure
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder encodes one block. It is reused through a pool; the zero value is ready.
type encoder struct {
	dictionary
	body []byte
}

var encoders = sync.Pool{New: func() any { return &encoder{} }}

// EncodeTrace appends the block of t to dst and returns the longer slice. It
// keeps nothing of t. Safe for concurrent use.
func EncodeTrace(dst []byte, t *Trace) []byte {
	e := encoders.Get().(*encoder)
	e.trace(t)
	from := len(dst)
	dst = append(dst, blockVersion)
	dst = e.appendWords(dst)
	dst = append(dst, e.body...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
	e.reset()
	e.body = e.body[:0]
	encoders.Put(e)
	return dst
}

func (e *encoder) uint(v uint64)  { e.body = binary.AppendUvarint(e.body, v) }
func (e *encoder) int(v int64)    { e.body = binary.AppendVarint(e.body, v) }
func (e *encoder) byte(v byte)    { e.body = append(e.body, v) }
func (e *encoder) str(s string)   { e.uint(e.ref(s)) }
func (e *encoder) bits(v uint64)  { e.uint(bits.ReverseBytes64(v)) }
func (e *encoder) num(v float64)  { e.bits(math.Float64bits(v)) }
func (e *encoder) span(id SpanID) { e.body = append(e.body, id[:]...) }

func (e *encoder) attrs(attrs []Attr) {
	b := binary.AppendUvarint(e.body, uint64(len(attrs))) // not e.body: a slice in memory is read and written at each append
	for i := range attrs {
		a := &attrs[i]
		b = binary.AppendUvarint(b, e.ref(a.Key)<<2|uint64(a.Kind&3))
		switch a.Kind & 3 {
		case KindString:
			b = binary.AppendUvarint(b, e.ref(a.Str))
		case KindInt:
			b = binary.AppendVarint(b, int64(a.Num))
		case KindFloat:
			b = binary.AppendUvarint(b, bits.ReverseBytes64(a.Num))
		case KindBool:
			b = append(b, byte(a.Num&1))
		}
	}
	e.body = b
}

func (e *encoder) trace(t *Trace) {
	var flags byte
	if t.ParentSpan != (SpanID{}) {
		flags |= headCaller
	}
	if t.RunID != t.TraceID {
		flags |= headOwnRunID
	}
	if t.Probability != 1 {
		flags |= headSampled
	}
	if t.ErrorType != "" || t.Error != "" {
		flags |= headFailure
	}
	e.byte(flags)
	e.body = append(e.body, t.TraceID[:]...)
	if flags&headOwnRunID != 0 {
		e.body = append(e.body, t.RunID[:]...)
	}
	if flags&headCaller != 0 {
		e.span(t.ParentSpan)
	}
	e.span(t.RootSpan)
	for _, s := range [...]string{t.Graph, t.Version, t.VersionID, t.GraphType, t.Environment, t.RunKind} {
		e.str(s)
	}
	e.int(t.Start)
	e.int(t.End - t.Start)
	e.byte(byte(t.Status))
	if flags&headFailure != 0 {
		e.str(t.ErrorType)
		e.str(t.Error)
	}
	if flags&headSampled != 0 {
		e.num(t.Probability)
	}
	e.byte(byte(t.Derive))
	e.uint(uint64(t.Dropped))
	e.uint(uint64(countAttrs(t)))
	e.attrs(t.Resource)
	e.attrs(t.Attrs)
	root := binary.BigEndian.Uint64(t.RootSpan[:])
	e.spans(t.Spans, root, t.Start)
	e.events(t.Events, root, t.Start)
	e.metrics(t.Metrics, root, t.Start)
}

// countAttrs lets the decoder allocate all attributes of a trace at once.
func countAttrs(t *Trace) int {
	n := len(t.Resource) + len(t.Attrs)
	for i := range t.Spans {
		n += len(t.Spans[i].Attrs)
	}
	for i := range t.Events {
		n += len(t.Events[i].Attrs)
	}
	for i := range t.Metrics {
		n += len(t.Metrics[i].Attrs)
	}
	return n
}

func spanFlags(s *Span, root uint64) (f uint64) {
	set := func(on bool, bit uint64) {
		if on {
			f |= bit
		}
	}
	set(s.Kind != 1, spanKind)
	set(s.ErrorType != "" || s.Error != "", spanFailure)
	set(s.Retries != 0, spanRetries)
	set(s.Wait != 0, spanWait)
	set(s.CacheHit, spanCacheHit)
	set(s.Tokens != 0, spanTokens)
	set(s.Cost != 0, spanCost)
	set(len(s.Attrs) > 0, spanAttrs)
	set(binary.BigEndian.Uint64(s.Parent[:]) != root, spanParent)
	return f
}

func (e *encoder) spans(spans []Span, root uint64, start int64) {
	b := binary.AppendUvarint(e.body, uint64(len(spans)))
	for i := range spans {
		b = binary.AppendUvarint(b, spanFlags(&spans[i], root))
	}
	id := root
	for i := range spans {
		next := binary.BigEndian.Uint64(spans[i].ID[:])
		b = binary.AppendVarint(b, int64(next-id))
		id = next
	}
	for i := range spans {
		b = binary.AppendUvarint(b, e.ref(spans[i].Node))
	}
	for i := range spans {
		b = binary.AppendUvarint(b, e.ref(spans[i].NodeType))
	}
	for i := range spans {
		b = binary.AppendUvarint(b, e.ref(spans[i].TypeVersion))
	}
	for i := range spans {
		b = binary.AppendUvarint(b, e.ref(spans[i].Digest))
	}
	for i := range spans {
		b = binary.AppendVarint(b, spans[i].Start-start)
		start = spans[i].Start
	}
	for i := range spans {
		b = binary.AppendVarint(b, spans[i].End-spans[i].Start)
	}
	for i := range spans {
		b = append(b, byte(spans[i].Status))
	}
	seq := int64(-1)
	for i := range spans {
		b = binary.AppendVarint(b, int64(spans[i].Seq)-seq)
		seq = int64(spans[i].Seq)
	}
	for i := range spans {
		b = binary.AppendVarint(b, int64(spans[i].Seq)-int64(spans[i].After))
	}
	for i := range spans {
		b = binary.AppendVarint(b, int64(spans[i].InputSize))
	}
	for i := range spans {
		b = binary.AppendVarint(b, int64(spans[i].OutputSize))
	}
	e.body = b
	for i := range spans {
		e.optional(&spans[i], root)
	}
	e.body = append(e.body, 0, 0, 0, 0)
	from := len(e.body)
	for i := range spans {
		if len(spans[i].Attrs) > 0 {
			e.attrs(spans[i].Attrs)
		}
	}
	binary.LittleEndian.PutUint32(e.body[from-4:], uint32(len(e.body)-from))
}

// optional writes the fields that few spans have, record by record.
func (e *encoder) optional(s *Span, root uint64) {
	if s.Kind != 1 {
		e.byte(s.Kind)
	}
	if s.ErrorType != "" || s.Error != "" {
		e.str(s.ErrorType)
		e.str(s.Error)
	}
	if s.Retries != 0 {
		e.int(int64(s.Retries))
	}
	if s.Wait != 0 {
		e.int(s.Wait)
	}
	if s.Tokens != 0 {
		e.int(s.Tokens)
	}
	if s.Cost != 0 {
		e.num(s.Cost)
	}
	if binary.BigEndian.Uint64(s.Parent[:]) != root {
		e.span(s.Parent)
	}
}

func (e *encoder) events(events []Event, root uint64, at int64) {
	e.uint(uint64(len(events)))
	for i := range events {
		ev := &events[i]
		var f byte
		if ev.Span != (SpanID{}) {
			f |= eventSpan
		}
		if ev.Name != "" {
			f |= eventName
		}
		if len(ev.Attrs) > 0 {
			f |= eventAttrs
		}
		e.byte(f)
		e.str(ev.Type)
		e.int(ev.Time - at)
		at = ev.Time
		if f&eventSpan != 0 {
			e.int(int64(binary.BigEndian.Uint64(ev.Span[:]) - root))
		}
		if f&eventName != 0 {
			e.str(ev.Name)
		}
		if f&eventAttrs != 0 {
			e.attrs(ev.Attrs)
		}
	}
}

func (e *encoder) metrics(metrics []Metric, root uint64, at int64) {
	e.uint(uint64(len(metrics)))
	for i := range metrics {
		m := &metrics[i]
		var f byte
		if m.Span != (SpanID{}) {
			f |= metricSpan
		}
		if len(m.Attrs) > 0 {
			f |= metricAttrs
		}
		e.byte(f)
		e.str(m.Name)
		e.str(m.Unit)
		e.str(m.Agg)
		e.str(m.Node)
		e.int(m.Time - at)
		at = m.Time
		e.num(m.Value)
		if f&metricSpan != 0 {
			e.int(int64(binary.BigEndian.Uint64(m.Span[:]) - root))
		}
		if f&metricAttrs != 0 {
			e.attrs(m.Attrs)
		}
	}
}
