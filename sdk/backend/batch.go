package backend

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Packed is a batch whose traces are still blocks, as it comes over the wire.
// Its byte slices alias what it was decoded from.
type Packed struct {
	ID       ID
	Blocks   [][]byte
	Sketches []Sketch
}

// PackedWriter is what a Writer implements to store blocks unchanged. Served as
// a plugin it then gets WritePacked instead of Write, with the same meaning. It
// must verify the blocks (see Verifier) and quarantine the bad ones.
type PackedWriter interface {
	WritePacked(ctx context.Context, p *Packed) ([]Quarantined, error)
}

// Pack returns the batch with its traces encoded.
func Pack(b *Batch) *Packed {
	p := &Packed{Blocks: make([][]byte, 0, len(b.Traces))}
	p.pack(nil, b)
	return p
}

// pack makes p the encoding of b; the blocks lie behind buf, which it returns.
func (p *Packed) pack(buf []byte, b *Batch) []byte {
	p.ID, p.Sketches, p.Blocks = b.ID, b.Sketches, p.Blocks[:0]
	for _, t := range b.Traces {
		from := len(buf)
		buf = EncodeTrace(buf, t)
		p.Blocks = append(p.Blocks, buf[from:len(buf):len(buf)])
	}
	return buf
}

// Unpack returns the batch with its traces decoded, and the blocks that did not
// decode.
func (p *Packed) Unpack() (*Batch, []Quarantined) {
	b := &Batch{ID: p.ID, Sketches: p.Sketches}
	var bad []Quarantined
	for i, block := range p.Blocks {
		t, err := DecodeTrace(block)
		if err != nil {
			bad = append(bad, Quarantined{Index: i, Record: "block " + strconv.Itoa(i), Reason: err.Error()})
			continue
		}
		b.Traces = append(b.Traces, t)
	}
	return b, bad
}

// WritePacked writes p to w: as it is when w is a PackedWriter, else decoded. What
// is quarantined is named by its position in p.
func WritePacked(ctx context.Context, w Writer, p *Packed) ([]Quarantined, error) {
	if pw, ok := w.(PackedWriter); ok {
		return pw.WritePacked(ctx, p)
	}
	b, bad := p.Unpack()
	broken := map[int]bool{}
	for _, q := range bad {
		broken[q.Index] = true
	}
	var at []int // position in p of each trace of b
	for i := range p.Blocks {
		if !broken[i] {
			at = append(at, i)
		}
	}
	more, err := w.Write(ctx, b)
	for _, q := range more {
		q.Index = at[q.Index]
		bad = append(bad, q)
	}
	return bad, err
}

// EncodeBatch appends the encoding of b to dst and returns the longer slice:
//
//	batch  = 0x01 id count {length block} count {sketch}
//	sketch = epoch graph version version_id node hour seq data
//
// with counts and lengths as uvarint, hour as varint, strings and data each
// preceded by their length.
func EncodeBatch(dst []byte, b *Batch) []byte {
	return EncodePacked(dst, Pack(b))
}

// EncodePacked is EncodeBatch for traces that are encoded already.
func EncodePacked(dst []byte, p *Packed) []byte {
	dst = append(dst, blockVersion)
	dst = append(dst, p.ID[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(p.Blocks)))
	for _, block := range p.Blocks {
		dst = binary.AppendUvarint(dst, uint64(len(block)))
		dst = append(dst, block...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Sketches)))
	for i := range p.Sketches {
		dst = EncodeSketch(dst, &p.Sketches[i])
	}
	return dst
}

// EncodeSketch appends one row of statistics to dst.
func EncodeSketch(dst []byte, s *Sketch) []byte {
	dst = append(dst, s.Epoch[:]...)
	for _, v := range [...]string{s.Graph, s.Version, s.VersionID, s.Node} {
		dst = binary.AppendUvarint(dst, uint64(len(v)))
		dst = append(dst, v...)
	}
	dst = binary.AppendVarint(dst, s.Hour)
	dst = binary.AppendUvarint(dst, s.Seq)
	dst = binary.AppendUvarint(dst, uint64(len(s.Data)))
	return append(dst, s.Data...)
}

// DecodeBatch returns the batch of b, its blocks neither copied nor verified:
// they alias b. Damage is a Corrupt fault. It never panics.
func DecodeBatch(b []byte) (*Packed, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != blockVersion {
		return nil, fault.New(fault.Newer, "batch", "encoding version %d, this Spark reads %d", v, blockVersion)
	}
	p := &Packed{}
	d.fixed(p.ID[:])
	if n := d.count(1); n > 0 {
		p.Blocks = make([][]byte, n)
	}
	for i := range p.Blocks {
		p.Blocks[i] = d.bytes()
	}
	if n := d.count(minSketch); n > 0 {
		p.Sketches = make([]Sketch, n)
	}
	for i := range p.Sketches {
		d.sketch(&p.Sketches[i])
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return p, nil
}

// DecodeSketch returns one row of statistics. Its data aliases b.
func DecodeSketch(b []byte) (*Sketch, error) {
	d, s := decoder{b: b}, &Sketch{}
	d.sketch(s)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return s, nil
}

const minSketch = 16 + 4 + 3

func (d *decoder) sketch(s *Sketch) {
	d.fixed(s.Epoch[:])
	for _, v := range [...]*string{&s.Graph, &s.Version, &s.VersionID, &s.Node} {
		*v = string(d.bytes())
	}
	s.Hour = d.int()
	s.Seq = d.uint()
	s.Data = d.bytes()
}

func (d *decoder) bytes() []byte {
	n := d.count(1)
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// Check returns why a backend must not store t: an Invalid fault, or nil. Every
// backend asks it, so that all of them quarantine the same records.
func (t *Trace) Check() error {
	switch {
	case t.TraceID == ID{} || t.RunID == ID{}:
		return fault.New(fault.Invalid, "trace", "the trace or run id is zero")
	case !(t.Probability > 0 && t.Probability <= 1):
		return fault.New(fault.Invalid, "trace "+hex.EncodeToString(t.TraceID[:]), "probability %v lies outside (0,1]", t.Probability)
	case t.End < t.Start || t.Start < 0:
		return fault.New(fault.Invalid, "trace "+hex.EncodeToString(t.TraceID[:]), "it ends before it starts")
	case t.Status > Cancelled:
		return fault.New(fault.Invalid, "trace "+hex.EncodeToString(t.TraceID[:]), "status %d is unknown", t.Status)
	}
	return nil
}

// Name returns how t is called in reports of quarantined records.
func (t *Trace) Name() string { return "trace " + hex.EncodeToString(t.TraceID[:]) }

// Quarantine returns the report that the trace at index i was refused for err.
// T may be nil when the block did not decode.
func Quarantine(i int, t *Trace, err error) Quarantined {
	q := Quarantined{Index: i, Record: "block " + strconv.Itoa(i), Reason: err.Error()}
	if t != nil {
		q.Record = t.Name()
	}
	return q
}

// Counts returns what t adds to a backend.
func (t *Trace) Counts() Counts {
	c := Counts{Traces: 1, Spans: int64(len(t.Spans)), Events: int64(t.EventCount()), Metrics: int64(t.MetricCount())}
	if t.Graph == "" {
		c.Unattributed = 1
	}
	return c
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Traces += o.Traces
	c.Spans += o.Spans
	c.Events += o.Events
	c.Metrics += o.Metrics
	c.Sketches += o.Sketches
	c.Unattributed += o.Unattributed
	c.Bytes += o.Bytes
}

// Clone returns a copy of t that shares nothing with it but strings.
func (t *Trace) Clone() *Trace {
	c := *t
	pool := make([]Attr, 0, countAttrs(t))
	keep := func(attrs []Attr) []Attr {
		if len(attrs) == 0 {
			return nil
		}
		from := len(pool)
		pool = append(pool, attrs...)
		return pool[from:len(pool):len(pool)]
	}
	c.Resource, c.Attrs = keep(t.Resource), keep(t.Attrs)
	c.Spans, c.Events, c.Metrics = slices.Clone(t.Spans), slices.Clone(t.Events), slices.Clone(t.Metrics)
	for i := range c.Spans {
		c.Spans[i].Attrs = keep(c.Spans[i].Attrs)
	}
	for i := range c.Events {
		c.Events[i].Attrs = keep(c.Events[i].Attrs)
	}
	for i := range c.Metrics {
		c.Metrics[i].Attrs = keep(c.Metrics[i].Attrs)
	}
	return &c
}
