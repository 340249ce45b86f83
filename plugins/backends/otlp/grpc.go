package otlp

import (
	"context"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
)

// methods are the three services of OTLP.
var methods = [...]string{
	otel.Traces:  "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	otel.Metrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
	otel.Logs:    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}

type grpcSender struct {
	conn    *grpc.ClientConn
	headers metadata.MD
	gzip    bool
}

func newGRPC(s *settings) (*grpcSender, error) {
	creds := insecure.NewCredentials()
	if s.tls != nil {
		creds = credentials.NewTLS(s.tls)
	}
	slow := backoff.DefaultConfig
	slow.MaxDelay = lastPause // the default of two minutes would outlast every write
	conn, err := grpc.NewClient("dns:///"+s.target, grpc.WithTransportCredentials(creds), grpc.WithUserAgent("spark-otlp/"+version),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: slow, MinConnectTimeout: lastPause}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "endpoint", err, "not usable")
	}
	return &grpcSender{conn: conn, headers: metadata.New(s.headers), gzip: s.gzip}, nil
}

func (g *grpcSender) close() error { return g.conn.Close() }

// raw hands encoded messages through.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte(nil), b...); return nil }
func (raw) Name() string                    { return "proto" }

func (g *grpcSender) send(ctx context.Context, r *otel.Request) (answer, *failure) {
	var options []grpc.CallOption
	if g.gzip {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	var reply []byte
	if err := g.conn.Invoke(metadata.NewOutgoingContext(ctx, g.headers), methods[r.Signal], &r.Body, &reply, options...); err != nil {
		return answer{}, ofStatus(r, status.Convert(err))
	}
	return parseAnswer(reply), nil
}

// ofStatus sorts the codes as OTLP's specification does. Where it has a client drop
// the data because the receiver is set up wrongly, the data are kept for the
// operator to mend that: the kind is Denied.
func ofStatus(r *otel.Request, s *status.Status) *failure {
	f := &failure{text: s.Code().String() + ": " + s.Message()}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			f.after = max(info.GetRetryDelay().AsDuration(), time.Nanosecond)
		}
	}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		f.kind, f.again = fault.Unavailable, true
	case codes.ResourceExhausted:
		f.kind, f.again = fault.Transient, f.after > 0
		if f.after == 0 && strings.Contains(s.Message(), "larger than max") {
			f.kind, f.hint = fault.Limit, "set max_request_bytes below what the receiver takes"
		}
	case codes.Unauthenticated, codes.PermissionDenied:
		f.kind, f.hint = fault.Denied, "check headers and tls"
	case codes.Unimplemented:
		return unimplemented(r, s.Message())
	default:
		f.kind = fault.Rejected
	}
	return f
}
