package otel_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// receiver is a plugin as another language would write it: it knows the calls and
// OpenTelemetry's messages, and nothing of Spark's encodings.
type receiver struct {
	proto.UnimplementedBackendServer

	mu     sync.Mutex
	closed bool
	poison []byte // a request that holds it is refused
	partly bool   // it is refused by quarantined, not by an error
	down   int    // requests that fail before the next one is taken
	taken  map[string]string
	spans  map[string]int // by trace id
	counts [3]int         // requests taken by signal
}

func (r *receiver) Info(context.Context, *proto.InfoRequest) (*proto.BackendInfo, error) {
	return &proto.BackendInfo{Name: "foreign", Version: "1", Capabilities: []string{"otlp", "idempotent"}}, nil
}

func (r *receiver) Open(context.Context, *proto.OpenRequest) (*proto.OpenResponse, error) {
	return &proto.OpenResponse{}, nil
}

func (r *receiver) Flush(context.Context, *proto.FlushRequest) (*proto.FlushResponse, error) {
	return &proto.FlushResponse{}, nil
}

func (r *receiver) Close(context.Context, *proto.CloseRequest) (*proto.CloseResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return &proto.CloseResponse{}, nil
}

func (r *receiver) Write(_ context.Context, w *proto.WriteRequest) (*proto.WriteResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fault.New(fault.Unavailable, "backend", "it is closed")
	}
	if r.down > 0 {
		r.down--
		return nil, fault.New(fault.Unavailable, "backend", "come again")
	}
	if len(r.poison) > 0 && bytes.Contains(w.Batch, r.poison) {
		if r.partly {
			return &proto.WriteResponse{Quarantined: []*proto.Quarantined{{Reason: "poison"}}}, nil
		}
		return nil, fault.New(fault.Rejected, w.Signal, "poison")
	}
	if r.taken == nil {
		r.taken, r.spans = map[string]string{}, map[string]int{}
	}
	if signal, ok := r.taken[string(w.BatchId)]; ok {
		if signal != w.Signal {
			return nil, fault.New(fault.Invalid, "batch_id", "it belonged to %s", signal)
		}
		return &proto.WriteResponse{}, nil
	}
	var err error
	switch w.Signal {
	case "traces":
		var m tracepb.TracesData // on the wire the same as an ExportTraceServiceRequest
		if err = protobuf.Unmarshal(w.Batch, &m); err == nil {
			for _, rs := range m.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					for _, s := range ss.Spans {
						r.spans[string(s.TraceId)]++
					}
				}
			}
			r.counts[0]++
		}
	case "metrics":
		err = protobuf.Unmarshal(w.Batch, &metricspb.MetricsData{})
		r.counts[1]++
	case "logs":
		err = protobuf.Unmarshal(w.Batch, &logspb.LogsData{})
		r.counts[2]++
	default:
		err = fmt.Errorf("signal %q", w.Signal)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "batch", "%v", err)
	}
	r.taken[string(w.BatchId)] = w.Signal
	return &proto.WriteResponse{}, nil
}

// dial connects to a plugin in this process.
func dial(t *testing.T, server proto.BackendServer) backend.Remote {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	g := grpc.NewServer(grpc.MaxRecvMsgSize(plugin.MaxMessage),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			resp, err := next(ctx, req)
			return resp, plugin.ToStatus(err)
		}))
	proto.RegisterBackendServer(g, server)
	go g.Serve(listener)
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c, err := backend.NewClient(t.Context(), conn, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return otel.Over(c)
}

func TestForeignPluginConforms(t *testing.T) {
	backendtest.Run(t, func(t *testing.T, _ string) backend.Writer { return dial(t, &receiver{}) })
}

// TestForeignPlugin proves what arrives: every trace whole, none twice when the
// batch is repeated after a failure, and all but the one that is refused.
func TestForeignPlugin(t *testing.T) {
	for _, partly := range []bool{false, true} {
		r := &receiver{poison: []byte("arsenic"), partly: partly, down: 1}
		w := dial(t, r)
		var traces []*backend.Trace
		for i := range 40 {
			traces = append(traces, backendtest.Sample(i))
		}
		traces[7].Attrs = append(traces[7].Attrs, backend.Attr{Key: "drink", Str: "arsenic"})
		b := &backend.Batch{ID: backend.ID{15: 9}, Traces: traces}
		if _, err := w.Write(t.Context(), b); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a plugin that is down: %v", err)
		}
		r.down = 2
		r.counts = [3]int{}
		for {
			bad, err := w.WritePacked(t.Context(), backend.Pack(b))
			if fault.Is(err, fault.Unavailable) {
				continue
			}
			if err != nil || len(bad) != 1 || bad[0].Index != 7 || bad[0].Reason == "" {
				t.Fatalf("%+v, %v", bad, err)
			}
			break
		}
		for i, x := range traces {
			want := len(x.Spans) + 1 // its root
			if i == 7 {
				want = 0
			}
			if got := r.spans[string(x.TraceID[:])]; got != want {
				t.Errorf("trace %d: %d spans, want %d", i, got, want)
			}
		}
		if r.counts[0] == 0 || r.counts[1] == 0 || r.counts[2] == 0 {
			t.Errorf("requests taken by signal: %v", r.counts)
		}
		counts := r.counts
		if bad, err := w.Write(t.Context(), b); err != nil || len(bad) != 1 || r.counts != counts {
			t.Errorf("once more: %+v, %v, %v", bad, err, r.counts)
		}
	}
}

// A backend of this SDK takes batches only, and says so.
func TestNotAsked(t *testing.T) {
	c := dial(t, backend.NewServer(backend.Info{Name: "plain"}, func([]byte) (backend.Writer, error) { return struct{ backend.Writer }{}, nil }))
	direct, ok := c.(*backend.Client)
	if !ok {
		t.Fatalf("%T", c)
	}
	if _, err := direct.WriteOTLP(t.Context(), backend.ID{1}, "traces", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("requests to a backend that takes batches: %v", err)
	}
}
