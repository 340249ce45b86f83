package model

import (
	"context"

	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// NewClient returns the provider at the other end of conn. Its errors are faults
// with the kind and hint that the provider gave; a broken connection is
// Unavailable. The caller opens the provider and closes conn.
func NewClient(conn grpc.ClientConnInterface) Provider {
	return &client{rpc: proto.NewModelClient(conn)}
}

// client is a Provider over a connection. It holds no state of its own.
type client struct{ rpc proto.ModelClient }

var (
	_ Provider = (*client)(nil)
	_ Opener   = (*client)(nil)
)

func (c *client) Info(ctx context.Context) (Info, error) {
	w, err := c.rpc.Info(ctx, &proto.InfoRequest{})
	if err != nil {
		return Info{}, plugin.FromStatus(err)
	}
	info := Info{Name: w.Name, Version: w.Version, Protocol: int(w.Protocol)}
	for _, m := range w.Models {
		info.Models = append(info.Models, Model{ID: m.Id, InputCost: m.InputCost, OutputCost: m.OutputCost, Context: m.ContextTokens})
	}
	return info, nil
}

func (c *client) Open(ctx context.Context, config []byte) error {
	_, err := c.rpc.Open(ctx, &proto.OpenRequest{ConfigJson: config})
	return plugin.FromStatus(err)
}

func (c *client) Generate(ctx context.Context, r *Request) (*Response, error) {
	w := &proto.GenerateRequest{
		Model: r.Model, System: r.System, MaxTokens: r.MaxTokens, Temperature: r.Temperature,
		Stop: r.Stop, Seed: r.Seed, Metadata: r.Metadata,
	}
	for _, m := range r.Messages {
		w.Messages = append(w.Messages, &proto.Message{Role: m.Role, Content: m.Content})
	}
	resp, err := c.rpc.Generate(ctx, w)
	if err != nil {
		return nil, plugin.FromStatus(err)
	}
	return &Response{
		Text: resp.Text, FinishReason: resp.FinishReason, InputTokens: resp.InputTokens,
		OutputTokens: resp.OutputTokens, Model: resp.Model, Cached: resp.Cached,
	}, nil
}
