package backend

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"sync"
	"time"

	"google.golang.org/grpc/experimental"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// Opener makes a Writer of a configuration, a JSON object; empty means the
// defaults. It refuses unknown keys with an Invalid fault.
type Opener func(config []byte) (Writer, error)

// Serve runs a backend as a plugin process until the host ends it; call it from
// main. Info answers for the backend before it is opened. It gives gRPC in this
// process buffers that fit batches.
func Serve(info Info, open Opener) error {
	pool, err := buffers()
	if err != nil {
		return err
	}
	experimental.SetDefaultBufferPool(pool)
	return plugin.Serve(plugin.Config{Backend: NewServer(info, open)})
}

// NewServer returns the gRPC service of a backend, for Serve and for tests of
// the wire.
func NewServer(info Info, open Opener) proto.BackendServer {
	return &server{info: info, open: open}
}

// partBytes is where batches and answers are split.
const partBytes = 1 << 20

type server struct {
	proto.UnimplementedBackendServer
	open Opener

	writing sync.Mutex // Write is called by one goroutine at a time

	mu   sync.Mutex // guards the fields below
	info Info
	w    Writer
}

func (s *server) Info(context.Context, *proto.InfoRequest) (*proto.BackendInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.info.Capabilities
	out := &proto.BackendInfo{Name: s.info.Name, Version: s.info.Version}
	for _, x := range []struct {
		on   bool
		name string
	}{{c.Persistent, "persistent"}, {c.Idempotent, "idempotent"}, {c.Queryable, "queryable"}, {c.Retention, "retention"}, {c.Filters, "filters"}} {
		if x.on {
			out.Capabilities = append(out.Capabilities, x.name)
		}
	}
	return out, nil
}

func (s *server) Open(_ context.Context, r *proto.OpenRequest) (*proto.OpenResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w != nil {
		return nil, fault.New(fault.Conflict, "backend "+s.info.Name, "it is open already")
	}
	w, err := s.open(r.ConfigJson)
	if err != nil {
		return nil, err
	}
	s.w, s.info = w, Describe(w)
	return &proto.OpenResponse{}, nil
}

// writer returns the open backend.
func (s *server) writer() (Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return nil, fault.New(fault.Invalid, "backend "+s.info.Name, "it is not open")
	}
	return s.w, nil
}

func (s *server) Write(ctx context.Context, r *proto.WriteRequest) (*proto.WriteResponse, error) {
	w, err := s.writer()
	if err != nil {
		return nil, err
	}
	if r.Signal != "" {
		return nil, fault.New(fault.Invalid, "signal", "this backend takes batches, not %s in OpenTelemetry's encoding", r.Signal)
	}
	p, err := DecodeBatch(r.Batch)
	if err != nil {
		return nil, err
	}
	if string(p.ID[:]) != string(r.BatchId) {
		return nil, fault.New(fault.Corrupt, "batch", "its id %x is not the id %x it was sent with", p.ID, r.BatchId)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	bad, err := WritePacked(ctx, w, p)
	if err != nil {
		return nil, err
	}
	out := &proto.WriteResponse{Accepted: int64(len(p.Blocks) - len(bad) + len(p.Sketches))}
	for _, q := range bad {
		out.Quarantined = append(out.Quarantined, &proto.Quarantined{Record: int64(q.Index), Reason: q.Reason})
	}
	return out, nil
}

func (s *server) Query(r *proto.QueryRequest, stream proto.Backend_QueryServer) error {
	w, err := s.writer()
	if err != nil {
		return err
	}
	q, err := AsQuerier(w)
	if err != nil {
		return err
	}
	var f Filter
	if len(r.QueryJson) > 0 {
		d := json.NewDecoder(bytes.NewReader(r.QueryJson))
		d.DisallowUnknownFields() // a condition that is not understood must not widen the answer
		if err := d.Decode(&f); err != nil {
			return fault.Wrap(fault.Invalid, "query_json", err, "read the filter")
		}
	}
	out := &rowSender{stream: stream}
	ctx := stream.Context()
	switch r.Kind {
	case "traces":
		for t, err := range q.Traces(ctx, f) {
			if err != nil {
				return err
			}
			if err := out.row(EncodeTrace(out.scratch[:0], t)); err != nil {
				return err
			}
		}
	case "sketches":
		for x, err := range q.Sketches(ctx, f) {
			if err != nil {
				return err
			}
			if err := out.row(EncodeSketch(out.scratch[:0], x)); err != nil {
				return err
			}
		}
	case "aggregate":
		a, err := q.Aggregate(ctx, f)
		if err != nil {
			return err
		}
		return out.json(a)
	case "stats":
		c, err := q.Count(ctx)
		if err != nil {
			return err
		}
		return out.json(c)
	default:
		return fault.New(fault.Invalid, "kind", "%q is none of traces, sketches, aggregate, stats", r.Kind)
	}
	return out.send()
}

// rowSender gathers rows, each preceded by its length, into messages.
type rowSender struct {
	stream       proto.Backend_QueryServer
	buf, scratch []byte
}

func (o *rowSender) row(b []byte) error {
	o.scratch = b
	if len(o.buf) > 0 && len(o.buf)+len(b) > partBytes {
		if err := o.send(); err != nil {
			return err
		}
	}
	o.buf = binary.AppendUvarint(o.buf, uint64(len(b)))
	o.buf = append(o.buf, b...)
	return nil
}

func (o *rowSender) send() error {
	if len(o.buf) == 0 {
		return nil
	}
	err := o.stream.Send(&proto.QueryRows{Rows: o.buf})
	o.buf = nil // the message may still be on its way
	return err
}

func (o *rowSender) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, "query", err, "encode the answer")
	}
	for len(b) > 0 {
		n := min(len(b), partBytes)
		if err := o.stream.Send(&proto.QueryRows{Rows: b[:n]}); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (s *server) Prune(ctx context.Context, r *proto.PruneRequest) (*proto.PruneResponse, error) {
	w, err := s.writer()
	if err != nil {
		return nil, err
	}
	p, err := AsRetention(w)
	if err != nil {
		return nil, err
	}
	n, err := p.Prune(ctx, time.Unix(0, r.BeforeUnixNanos))
	return &proto.PruneResponse{Removed: n}, err
}

func (s *server) Flush(ctx context.Context, _ *proto.FlushRequest) (*proto.FlushResponse, error) {
	w, err := s.writer()
	if err != nil {
		return nil, err
	}
	return &proto.FlushResponse{}, w.Flush(ctx)
}

func (s *server) Close(ctx context.Context, _ *proto.CloseRequest) (*proto.CloseResponse, error) {
	s.mu.Lock()
	w := s.w
	s.w = nil
	s.mu.Unlock()
	if w == nil {
		return &proto.CloseResponse{}, nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	return &proto.CloseResponse{}, w.Close(ctx)
}
