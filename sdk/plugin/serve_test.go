package plugin

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/proto"
)

// backend misbehaves on purpose.
type backend struct {
	proto.UnimplementedBackendServer
}

func (backend) Info(context.Context, *proto.InfoRequest) (*proto.BackendInfo, error) {
	return &proto.BackendInfo{Name: "odd"}, nil
}

func (backend) Write(_ context.Context, r *proto.WriteRequest) (*proto.WriteResponse, error) {
	if len(r.Batch) > 0 {
		return &proto.WriteResponse{Accepted: int64(len(r.Batch))}, nil
	}
	panic("no batch")
}

func (backend) Query(_ *proto.QueryRequest, s grpc.ServerStreamingServer[proto.QueryRows]) error {
	if err := s.Send(&proto.QueryRows{Rows: []byte("one")}); err != nil {
		return err
	}
	panic("second row")
}

func (backend) Prune(context.Context, *proto.PruneRequest) (*proto.PruneResponse, error) {
	return nil, fault.New(fault.Denied, "prune", "no retention").WithHint("use another backend")
}

// dial serves c in process and returns a connection to it.
func dial(t *testing.T, c Config, version int32) *grpc.ClientConn {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	var negotiated atomic.Int32
	negotiated.Store(version)
	server := grpc.NewServer(serverOptions(&negotiated)...)
	c.register(server)
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(2*MaxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop(); <-served })
	return conn
}

func TestServerContainsPanicsAndKeepsFaults(t *testing.T) {
	ctx := t.Context()
	client := proto.NewBackendClient(dial(t, Config{Backend: backend{}}, 3))

	info, err := client.Info(ctx, &proto.InfoRequest{})
	if err != nil || info.Protocol != 3 {
		t.Fatalf("Info: %v, %v; want the negotiated protocol 3", info, err)
	}
	if _, err = client.Write(ctx, &proto.WriteRequest{}); !fault.Is(FromStatus(err), fault.Internal) || !strings.Contains(err.Error(), "no batch") {
		t.Errorf("a panic in a call gave %v", err)
	}
	rows, err := client.Query(ctx, &proto.QueryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := rows.Recv(); err != nil || string(r.Rows) != "one" {
		t.Errorf("first part: %v, %v", r, err)
	}
	if _, err = rows.Recv(); !fault.Is(FromStatus(err), fault.Internal) || !strings.Contains(err.Error(), "second row") {
		t.Errorf("a panic in a stream gave %v", err)
	}
	_, err = client.Prune(ctx, &proto.PruneRequest{})
	if err = FromStatus(err); !fault.Is(err, fault.Denied) || fault.HintOf(err) != "use another backend" {
		t.Errorf("Prune: %v", err)
	}
	if _, err = client.Flush(ctx, &proto.FlushRequest{}); !fault.Is(FromStatus(err), fault.Invalid) {
		t.Errorf("a call that is not served gave %v", err)
	}
}

func TestServerMessageSizes(t *testing.T) {
	client := proto.NewBackendClient(dial(t, Config{Backend: backend{}}, 1))
	if resp, err := client.Write(t.Context(), &proto.WriteRequest{Batch: make([]byte, MaxMessage-64)}); err != nil || resp.Accepted != MaxMessage-64 {
		t.Errorf("a batch just below the limit: %v, %v", resp, err)
	}
	if _, err := client.Write(t.Context(), &proto.WriteRequest{Batch: make([]byte, MaxMessage+1)}); !fault.Is(FromStatus(err), fault.Limit) {
		t.Errorf("a batch above the limit gave %v", err)
	}
}

func TestServeRefusesMisuse(t *testing.T) {
	t.Setenv(CookieKey, "")
	for name, c := range map[string]Config{
		"nothing":           {},
		"two kinds":         {Backend: backend{}, Model: proto.UnimplementedModelServer{}},
		"started by a user": {Backend: backend{}},
	} {
		if err := Serve(c); !fault.Is(err, fault.Invalid) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv(CookieKey, CookieValue)
	t.Setenv(ParentFD, "1")
	if err := Serve(Config{Backend: backend{}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("parent descriptor 1: %v", err)
	}
}
