package model

import (
	"bytes"
	"context"

	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// Serve runs p as a plugin process until the host ends it. See plugin.Serve for
// what it returns; call it from main and nothing after.
func Serve(p Provider) error { return plugin.Serve(plugin.Config{Model: &server{provider: p}}) }

// Register adds p to a gRPC server that the caller runs, for tests and for
// programs that serve a provider by other means than a plugin process.
func Register(s grpc.ServiceRegistrar, p Provider) {
	proto.RegisterModelServer(s, &server{provider: p})
}

// Open configures p: through Opener when p has it, else an empty configuration is
// accepted and any other is an Invalid fault.
func Open(ctx context.Context, p Provider, config []byte) error {
	if o, ok := p.(Opener); ok {
		return o.Open(ctx, config)
	}
	if c := bytes.TrimSpace(config); len(c) > 0 && !bytes.Equal(c, []byte("{}")) && !bytes.Equal(c, []byte("null")) {
		return fault.New(fault.Invalid, "config", "this provider takes no configuration").WithHint("remove it")
	}
	return nil
}

// server is a Provider on the wire.
type server struct {
	proto.UnimplementedModelServer
	provider Provider
}

var _ proto.ModelServer = (*server)(nil)

func (s *server) Info(ctx context.Context, _ *proto.InfoRequest) (*proto.ProviderInfo, error) {
	info, err := s.provider.Info(ctx)
	if err != nil {
		return nil, plugin.ToStatus(err)
	}
	w := &proto.ProviderInfo{Name: info.Name, Version: info.Version, Protocol: uint32(info.Protocol)}
	for _, m := range info.Models {
		w.Models = append(w.Models, &proto.ModelInfo{
			Id: m.ID, InputCost: m.InputCost, OutputCost: m.OutputCost, ContextTokens: m.Context,
		})
	}
	return w, nil
}

func (s *server) Open(ctx context.Context, r *proto.OpenRequest) (*proto.OpenResponse, error) {
	if err := Open(ctx, s.provider, r.ConfigJson); err != nil {
		return nil, plugin.ToStatus(err)
	}
	return &proto.OpenResponse{}, nil
}

func (s *server) Generate(ctx context.Context, w *proto.GenerateRequest) (*proto.GenerateResponse, error) {
	r := &Request{
		Model: w.Model, System: w.System, MaxTokens: w.MaxTokens, Temperature: w.Temperature,
		Stop: w.Stop, Seed: w.Seed, Metadata: w.Metadata,
	}
	for _, m := range w.Messages {
		r.Messages = append(r.Messages, Message{Role: m.GetRole(), Content: m.GetContent()})
	}
	if err := r.Validate(); err != nil {
		return nil, plugin.ToStatus(err)
	}
	resp, err := s.provider.Generate(ctx, r)
	if err != nil {
		return nil, plugin.ToStatus(err)
	}
	return &proto.GenerateResponse{
		Text: resp.Text, FinishReason: resp.FinishReason, InputTokens: resp.InputTokens,
		OutputTokens: resp.OutputTokens, Model: resp.Model, Cached: resp.Cached,
	}, nil
}
