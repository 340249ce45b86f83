package backend

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// Client is a backend in another process. It implements Writer, Querier and
// Retention, and answers with a Denied fault what the backend cannot do.
// Methods other than Write are safe for concurrent use.
type Client struct {
	rpc    proto.BackendClient
	info   Info
	sent   grpc.CallOption // how batches are sent
	packed Packed          // of Write, as are the following
	blocks []byte          // of packed
	buf    []byte          // what is sent; nil when a failed call may still read it
}

// Remote is what a host may ask of a backend in another process. What the backend
// cannot do answers with a Denied fault.
type Remote interface {
	Writer
	PackedWriter
	Querier
	Retention
	Describer
}

var _ Remote = (*Client)(nil)

// NewClient opens the backend behind conn with a configuration and returns it;
// a nil configuration is for a connection whose backend was opened already, as
// core/plughost does at every start of the process. The connection stays the
// caller's: Close closes the backend only.
func NewClient(ctx context.Context, conn grpc.ClientConnInterface, config []byte) (*Client, error) {
	c := &Client{rpc: proto.NewBackendClient(conn), sent: grpc.ForceCodecV2(newBatchCodec())}
	if config != nil {
		if _, err := c.rpc.Open(ctx, &proto.OpenRequest{ConfigJson: config}); err != nil {
			return nil, plugin.FromStatus(err)
		}
	}
	info, err := c.rpc.Info(ctx, &proto.InfoRequest{})
	if err != nil {
		return nil, plugin.FromStatus(err)
	}
	can := func(name string) bool { return slices.Contains(info.Capabilities, name) }
	c.info = Info{Name: info.Name, Version: info.Version, Capabilities: Capabilities{
		Persistent: can("persistent"), Idempotent: can("idempotent"), Queryable: can("queryable"), Retention: can("retention"), Filters: can("filters"), OTLP: can("otlp")}}
	return c, nil
}

// Describe returns what the backend said of itself when it was opened.
func (c *Client) Describe() Info { return c.info }

// Write sends b in parts of about 1 MiB; see Writer. When a part fails the
// parts before it are stored: sending b again stores only the rest.
func (c *Client) Write(ctx context.Context, b *Batch) ([]Quarantined, error) {
	c.blocks = c.packed.pack(c.blocks[:0], b)
	bad, err := c.WritePacked(ctx, &c.packed)
	for i := range bad {
		bad[i].Record = b.Traces[bad[i].Index].Name()
	}
	return bad, err
}

// WritePacked is Write for traces that are encoded already.
func (c *Client) WritePacked(ctx context.Context, p *Packed) ([]Quarantined, error) {
	var bad []Quarantined
	part := Packed{ID: p.ID}
	var at []int // position in p of each block of the part
	size, n := 0, 0
	send := func() error {
		if n > 0 && len(part.Blocks)+len(part.Sketches) == 0 {
			return nil
		}
		part.ID = partID(p.ID, n)
		n++
		q, err := c.send(ctx, &part)
		for _, x := range q {
			if x.Index >= 0 && x.Index < len(at) {
				x.Index = at[x.Index]
				bad = append(bad, x)
			}
		}
		part.Blocks, part.Sketches, at, size = part.Blocks[:0], nil, at[:0], 0
		return err
	}
	for i, block := range p.Blocks {
		if len(block) > MaxBlock {
			bad = append(bad, Quarantine(i, nil, fault.New(fault.Limit, "", "%d bytes exceed the limit of %d", len(block), MaxBlock)))
			continue
		}
		if size > 0 && size+len(block) > partBytes {
			if err := send(); err != nil {
				return bad, err
			}
		}
		part.Blocks, at = append(part.Blocks, block), append(at, i)
		size += len(block)
	}
	for i := range p.Sketches {
		if size > 0 && size+len(p.Sketches[i].Data) > partBytes {
			if err := send(); err != nil {
				return bad, err
			}
		}
		part.Sketches = append(part.Sketches, p.Sketches[i])
		size += len(p.Sketches[i].Data) + 64
	}
	return bad, send()
}

// partID derives the id of the nth part of a batch, so that a repeated batch has
// the same parts.
func partID(id ID, n int) ID {
	tail := binary.BigEndian.Uint64(id[8:])
	binary.BigEndian.PutUint64(id[8:], tail+uint64(n))
	return id
}

func (c *Client) send(ctx context.Context, p *Packed) ([]Quarantined, error) {
	c.buf = EncodePacked(c.buf[:0], p)
	r, err := c.rpc.Write(ctx, &proto.WriteRequest{BatchId: p.ID[:], Batch: c.buf}, c.sent)
	if err != nil {
		c.buf = nil
		return nil, plugin.FromStatus(err)
	}
	var bad []Quarantined
	for _, q := range r.Quarantined {
		bad = append(bad, Quarantined{Index: int(q.Record), Record: "block", Reason: q.Reason})
	}
	return bad, nil
}

// WriteOTLP sends the body of one export request of a signal (traces, metrics or
// logs) to a backend that declares OTLP, and returns why it rejects parts of it,
// empty when it does not. The same id may be sent again. Body must not change until
// it returns, or after it failed.
func (c *Client) WriteOTLP(ctx context.Context, id ID, signal string, body []byte) (rejected string, err error) {
	r, err := c.rpc.Write(ctx, &proto.WriteRequest{BatchId: id[:], Batch: body, Signal: signal}, c.sent)
	if err != nil {
		return "", plugin.FromStatus(err)
	}
	for _, q := range r.Quarantined {
		return cmp.Or(q.Reason, "no reason given"), nil
	}
	return "", nil
}

// Flush returns when everything written is durable.
func (c *Client) Flush(ctx context.Context) error {
	_, err := c.rpc.Flush(ctx, &proto.FlushRequest{})
	return plugin.FromStatus(err)
}

// Close flushes and closes the backend.
func (c *Client) Close(ctx context.Context) error {
	_, err := c.rpc.Close(ctx, &proto.CloseRequest{})
	return plugin.FromStatus(err)
}

// Prune removes what ended before t.
func (c *Client) Prune(ctx context.Context, t time.Time) (int64, error) {
	if !c.info.Capabilities.Retention {
		return 0, cannot(c.info.Name, "retention")
	}
	r, err := c.rpc.Prune(ctx, &proto.PruneRequest{BeforeUnixNanos: t.UnixNano()})
	if err != nil {
		return 0, plugin.FromStatus(err)
	}
	return r.Removed, nil
}

// messages yields the messages that answer one query.
func (c *Client) messages(ctx context.Context, kind string, f Filter) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !c.info.Capabilities.Queryable {
			yield(nil, cannot(c.info.Name, "queries"))
			return
		}
		query, err := json.Marshal(f)
		if err != nil {
			yield(nil, fault.Wrap(fault.Invalid, "filter", err, "encode the filter"))
			return
		}
		ctx, cancel := context.WithCancel(ctx) // ends the stream when the reader stops early
		defer cancel()
		stream, err := c.rpc.Query(ctx, &proto.QueryRequest{Kind: kind, QueryJson: query})
		for err == nil {
			var m *proto.QueryRows
			if m, err = stream.Recv(); err == nil && !yield(m.Rows, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, plugin.FromStatus(err))
		}
	}
}

// rows yields the single rows of messages.
func (c *Client) rows(ctx context.Context, kind string, f Filter) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for m, err := range c.messages(ctx, kind, f) {
			if err != nil {
				yield(nil, err)
				return
			}
			d := decoder{b: m}
			for len(d.b) > 0 {
				row := d.bytes()
				if d.err != nil {
					yield(nil, d.err)
					return
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Traces yields the selected traces; see Querier.
func (c *Client) Traces(ctx context.Context, f Filter) iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		for row, err := range c.rows(ctx, "traces", f) {
			var t *Trace
			if err == nil {
				t, err = DecodeTrace(row)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// Sketches yields the selected rows of statistics.
func (c *Client) Sketches(ctx context.Context, f Filter) iter.Seq2[*Sketch, error] {
	return func(yield func(*Sketch, error) bool) {
		for row, err := range c.rows(ctx, "sketches", f) {
			var s *Sketch
			if err == nil {
				s, err = DecodeSketch(row)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// Aggregate asks the backend to sum up; the traces do not travel.
func (c *Client) Aggregate(ctx context.Context, f Filter) (*Aggregate, error) {
	a := &Aggregate{}
	return a, c.answer(ctx, "aggregate", f, a)
}

// Count asks how much the backend holds.
func (c *Client) Count(ctx context.Context) (Counts, error) {
	var n Counts
	err := c.answer(ctx, "stats", Filter{}, &n)
	return n, err
}

func (c *Client) answer(ctx context.Context, kind string, f Filter, v any) error {
	var b []byte
	for m, err := range c.messages(ctx, kind, f) {
		if err != nil {
			return err
		}
		b = append(b, m...)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fault.Wrap(fault.Corrupt, "backend "+c.info.Name, err, "read the answer to %s", kind)
	}
	return nil
}
