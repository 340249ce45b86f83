package backendtest

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// Wire returns an Open that puts the gRPC contract between the suite and the
// backend: the server of sdk/backend, a connection in memory with the limits of a
// plugin, and the client. Config returns the configuration for a folder.
func Wire(info backend.Info, opener backend.Opener, config func(dir string) []byte) Open {
	return func(t *testing.T, dir string) backend.Writer {
		t.Helper()
		listener := bufconn.Listen(1 << 20)
		server := grpc.NewServer(grpc.MaxRecvMsgSize(plugin.MaxMessage),
			grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				resp, err := next(ctx, req)
				return resp, plugin.ToStatus(err)
			}),
			grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				return plugin.ToStatus(next(srv, ss))
			}))
		proto.RegisterBackendServer(server, backend.NewServer(info, opener))
		go server.Serve(listener)
		t.Cleanup(server.Stop)
		conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(plugin.MaxMessage)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c, err := backend.NewClient(t.Context(), conn, config(dir))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}
