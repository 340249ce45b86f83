package backend

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"

	"github.com/sparkrsi/spark/sdk/fault"
)

// MaxBlock is the size in bytes of the longest block: it has to fit into one
// message to a plugin. A longer trace is quarantined.
const MaxBlock = 8 << 20

// The fewest bytes a record can take. They bound what a decoder allocates to a
// fixed multiple (about 40) of the bytes it was given.
const (
	minSpan   = 12
	minEvent  = 3
	minMetric = 7
	minAttr   = 2
)

// DecodeTrace returns the trace of a block, whole or not at all: damage is a
// Corrupt fault, an encoding or word of a later Spark a Newer one. The trace
// shares no memory with block. It never panics, and allocates at most a fixed
// multiple of the block's length.
func DecodeTrace(block []byte) (*Trace, error) {
	d := decoder{}
	t := &Trace{}
	if err := d.block(block, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Decoder decodes block after block into memory that it reuses: a scan over many
// traces allocates little. The trace that Decode returned is valid until the
// next call. Not safe for concurrent use; the zero value is ready.
type Decoder struct {
	d decoder
	t Trace
}

// Decode is DecodeTrace into the Decoder's own memory. Strings stay valid.
func (x *Decoder) Decode(block []byte) (*Trace, error) {
	x.d.pool = x.d.pool[:0]
	x.t = Trace{Spans: x.t.Spans[:0], Events: x.t.Events[:0], Metrics: x.t.Metrics[:0]}
	if err := x.d.block(block, &x.t); err != nil {
		return nil, err
	}
	return &x.t, nil
}

// decoder reads one body. After the first damage every read returns zero and
// err stays set.
type decoder struct {
	b     []byte
	words []string
	pool  []Attr   // all attributes of the trace
	flags []uint64 // of its spans
	err   error
}

func corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, "block", format, args...)
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = corrupt(format, args...)
		d.b = nil
	}
}

func (d *decoder) block(block []byte, t *Trace) error {
	body, err := unwrap(block, "block", blockVersion, MaxBlock)
	if err != nil {
		return err
	}
	d.b, d.err, d.words = body, nil, d.words[:0]
	d.dictionary()
	d.trace(t)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	return d.err
}

// unwrap returns the body of a block, or of a ledger, whose checksum and version
// are right.
func unwrap(block []byte, what string, version byte, limit int) ([]byte, error) {
	switch {
	case len(block) < 5:
		return nil, fault.New(fault.Corrupt, what, "%d bytes are too few", len(block))
	case len(block) > limit:
		return nil, fault.New(fault.Limit, what, "%d bytes exceed the limit of %d", len(block), limit)
	}
	body, sum := block[:len(block)-4], binary.LittleEndian.Uint32(block[len(block)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fault.New(fault.Corrupt, what, "checksum does not match")
	}
	if body[0] != version {
		return nil, fault.New(fault.Newer, what, "encoding version %d, this Spark reads %d", body[0], version).
			WithHint("use the Spark that wrote it, or a later one")
	}
	return body[1:], nil
}

func (d *decoder) dictionary() {
	n := d.count(1)
	if n == 0 {
		return
	}
	if cap(d.words) < n {
		d.words = make([]string, 0, n)
	}
	lengths, total := d.b, 0
	for range n {
		l := d.uint()
		if l > uint64(len(d.b)) {
			d.fail("word of %d bytes in %d", l, len(d.b))
			return
		}
		total += int(l)
	}
	if d.err != nil {
		return
	}
	if total > len(d.b) {
		d.fail("words of %d bytes in %d", total, len(d.b))
		return
	}
	text := string(d.b[:total])
	d.b = d.b[total:]
	for range n {
		l, k := binary.Uvarint(lengths)
		lengths = lengths[k:]
		d.words = append(d.words, text[:l])
		text = text[l:]
	}
}

func (d *decoder) uint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("number cut short")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	u := d.uint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("record cut short")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) fixed(dst []byte) {
	if len(d.b) < len(dst) {
		d.fail("id cut short")
		return
	}
	copy(dst, d.b)
	d.b = d.b[len(dst):]
}

func (d *decoder) bits() uint64 { return bits.ReverseBytes64(d.uint()) }
func (d *decoder) num() float64 { return math.Float64frombits(d.bits()) }
func (d *decoder) str() string  { return d.word(d.uint()) }

func (d *decoder) word(ref uint64) string {
	i := ref >> 1
	switch {
	case ref == 0:
		return ""
	case ref&1 == 1 && i < uint64(len(words)):
		return words[i]
	case ref&1 == 1:
		if d.err == nil {
			d.err = fault.New(fault.Newer, "block", "word %d of the dictionary, this Spark knows %d", i, len(words)).
				WithHint("use the Spark that wrote it, or a later one")
			d.b = nil
		}
		return ""
	case i-1 < uint64(len(d.words)):
		return d.words[i-1]
	}
	d.fail("word %d of %d", i-1, len(d.words))
	return ""
}

// count reads how many records follow, each at least size bytes long.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail("%d records in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) attrs() []Attr {
	n := d.count(minAttr)
	if n == 0 {
		return nil
	}
	from := len(d.pool)
	for range n {
		key := d.uint()
		a := Attr{Key: d.word(key >> 2), Kind: Kind(key & 3)}
		switch a.Kind {
		case KindString:
			a.Str = d.str()
		case KindInt:
			a.Num = uint64(d.int())
		case KindFloat:
			a.Num = d.bits()
		case KindBool:
			a.Num = uint64(d.byte() & 1)
		}
		d.pool = append(d.pool, a)
	}
	return d.pool[from:len(d.pool):len(d.pool)]
}

func (d *decoder) trace(t *Trace) {
	flags := d.byte()
	d.fixed(t.TraceID[:])
	t.RunID = t.TraceID
	if flags&headOwnRunID != 0 {
		d.fixed(t.RunID[:])
	}
	if flags&headCaller != 0 {
		d.fixed(t.ParentSpan[:])
	}
	d.fixed(t.RootSpan[:])
	for _, s := range [...]*string{&t.Graph, &t.Version, &t.VersionID, &t.GraphType, &t.Environment, &t.RunKind} {
		*s = d.str()
	}
	t.Start = d.int()
	t.End = t.Start + d.int()
	t.Status = Status(d.byte())
	if flags&headFailure != 0 {
		t.ErrorType = d.str()
		t.Error = d.str()
	}
	t.Probability = 1
	if flags&headSampled != 0 {
		t.Probability = d.num()
	}
	t.Derive = Derive(d.byte())
	t.Dropped = int(d.uint())
	if n := d.count(minAttr); cap(d.pool) < n {
		d.pool = make([]Attr, 0, n)
	}
	t.Resource = d.attrs()
	t.Attrs = d.attrs()
	root := binary.BigEndian.Uint64(t.RootSpan[:])
	t.Spans = d.spans(t.Spans, root, t.Start)
	t.Events = d.events(t.Events, root, t.Start)
	t.Metrics = d.metrics(t.Metrics, root, t.Start)
}

// grow returns s emptied and n long, reusing its memory when it can.
func grow[T any](s []T, n int) []T {
	if n == 0 {
		return s[:0]
	}
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

func (d *decoder) spans(spans []Span, root uint64, start int64) []Span {
	n := d.count(minSpan)
	spans = grow(spans, n)
	for i := range spans {
		spans[i].Retries = int(d.uint()) // the flags, until the last column is read
	}
	id := root
	for i := range spans {
		id += uint64(d.int())
		binary.BigEndian.PutUint64(spans[i].ID[:], id)
	}
	for i := range spans {
		spans[i].Node = d.str()
	}
	for i := range spans {
		spans[i].NodeType = d.str()
	}
	for i := range spans {
		spans[i].TypeVersion = d.str()
	}
	for i := range spans {
		spans[i].Digest = d.str()
	}
	for i := range spans {
		start += d.int()
		spans[i].Start = start
	}
	for i := range spans {
		spans[i].End = spans[i].Start + d.int()
	}
	for i := range spans {
		spans[i].Status = Status(d.byte())
	}
	seq := int64(-1)
	for i := range spans {
		seq += d.int()
		spans[i].Seq = int(seq)
	}
	for i := range spans {
		spans[i].After = spans[i].Seq - int(d.int())
	}
	for i := range spans {
		spans[i].InputSize = int(d.int())
	}
	for i := range spans {
		spans[i].OutputSize = int(d.int())
	}
	d.flags = d.flags[:0]
	for i := range spans {
		d.flags = append(d.flags, uint64(spans[i].Retries))
		d.optional(&spans[i], root)
	}
	rest := d.section()
	for i := range spans {
		if d.flags[i]&spanAttrs != 0 {
			spans[i].Attrs = d.attrs()
		}
	}
	d.ended(rest)
	if len(spans) == 0 {
		return nil
	}
	return spans
}

// section reads the length of what follows and returns how many bytes come after
// it.
func (d *decoder) section() (rest int) {
	if len(d.b) < 4 {
		d.fail("section cut short")
		return 0
	}
	n := binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	if uint64(n) > uint64(len(d.b)) {
		d.fail("section of %d bytes in %d", n, len(d.b))
		return 0
	}
	return len(d.b) - int(n)
}

// ended makes sure that a section was read to its end.
func (d *decoder) ended(rest int) {
	if d.err == nil && len(d.b) != rest {
		d.fail("section of another length")
	}
}

func (d *decoder) optional(s *Span, root uint64) {
	flags := s.Retries
	s.Kind, s.Retries = 1, 0
	if flags&spanKind != 0 {
		s.Kind = d.byte()
	}
	if flags&spanFailure != 0 {
		s.ErrorType = d.str()
		s.Error = d.str()
	}
	if flags&spanRetries != 0 {
		s.Retries = int(d.int())
	}
	if flags&spanWait != 0 {
		s.Wait = d.int()
	}
	s.CacheHit = flags&spanCacheHit != 0
	if flags&spanTokens != 0 {
		s.Tokens = d.int()
	}
	if flags&spanCost != 0 {
		s.Cost = d.num()
	}
	if flags&spanParent != 0 {
		d.fixed(s.Parent[:])
	} else {
		binary.BigEndian.PutUint64(s.Parent[:], root)
	}
}

func (d *decoder) events(events []Event, root uint64, at int64) []Event {
	n := d.count(minEvent)
	events = grow(events, n)
	for i := range events {
		ev := &events[i]
		f := d.byte()
		ev.Type = d.str()
		at += d.int()
		ev.Time = at
		if f&eventSpan != 0 {
			binary.BigEndian.PutUint64(ev.Span[:], root+uint64(d.int()))
		}
		if f&eventName != 0 {
			ev.Name = d.str()
		}
		if f&eventAttrs != 0 {
			ev.Attrs = d.attrs()
		}
	}
	if len(events) == 0 {
		return nil
	}
	return events
}

func (d *decoder) metrics(metrics []Metric, root uint64, at int64) []Metric {
	n := d.count(minMetric)
	metrics = grow(metrics, n)
	for i := range metrics {
		m := &metrics[i]
		f := d.byte()
		m.Name = d.str()
		m.Unit = d.str()
		m.Agg = d.str()
		m.Node = d.str()
		at += d.int()
		m.Time = at
		m.Value = d.num()
		if f&metricSpan != 0 {
			binary.BigEndian.PutUint64(m.Span[:], root+uint64(d.int()))
		}
		if f&metricAttrs != 0 {
			m.Attrs = d.attrs()
		}
	}
	if len(metrics) == 0 {
		return nil
	}
	return metrics
}
