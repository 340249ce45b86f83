package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/proto"
)

// service is one protocol version of a plugin, as go-plugin wants it.
type service struct {
	goplugin.NetRPCUnsupportedPlugin
	config     Config
	version    int
	negotiated *atomic.Int32
}

var _ goplugin.GRPCPlugin = (*service)(nil)

// GRPCServer registers the service; go-plugin calls it for the version that was
// negotiated.
func (s *service) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	s.negotiated.Store(int32(s.version))
	s.config.register(server)
	return nil
}

// GRPCClient is for hosts, which use their connection directly.
func (s *service) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

// unary contains panics, turns errors into statuses and states the negotiated
// protocol in answers to Info.
func unary(negotiated *atomic.Int32) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if r := recover(); r != nil {
				resp, err = nil, panicked(call.FullMethod, r)
			}
			err = ToStatus(err)
		}()
		resp, err = next(ctx, req)
		if err != nil {
			return nil, err
		}
		switch info := resp.(type) {
		case *proto.BackendInfo:
			info.Protocol = uint32(negotiated.Load())
		case *proto.ProviderInfo:
			info.Protocol = uint32(negotiated.Load())
		}
		return resp, nil
	}
}

// stream does for streams what unary does for calls.
func stream(server any, ss grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(call.FullMethod, r)
		}
		err = ToStatus(err)
	}()
	return next(server, ss)
}

// panicked logs a panic and returns the fault that the caller gets, with the stack.
func panicked(method string, r any) error {
	f := fault.Panicked(r)
	Logger().Error("panic in a call", "method", method, "panic", r, "stack", f.Trace)
	f.Path, f.Msg = method, fmt.Sprintf("the plugin panicked: %v", r)
	return f.WithHint("the stack is in the log of the host; report it to the author of the plugin")
}
