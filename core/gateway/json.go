package gateway

import (
	"context"
	"encoding/json"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// GenerateJSON is Generate for the host call of node modules: req is an
// abi.GenerateRequest, decoded strictly, the result an abi.GenerateResponse. A
// call that reached a provider is appended to trail.Calls, whether it was
// answered or not.
func (g *Gateway) GenerateJSON(ctx context.Context, req []byte, trail *run.Trail) ([]byte, error) {
	var w abi.GenerateRequest
	if err := plugin.Decode("generate", req, &w); err != nil {
		return nil, err
	}
	r := &model.Request{
		Model: w.Model, System: w.System, MaxTokens: w.MaxTokens, Temperature: w.Temperature, Stop: w.Stop, Seed: w.Seed,
	}
	for _, m := range w.Messages {
		r.Messages = append(r.Messages, model.Message(m))
	}
	resp, call, err := g.Generate(ctx, r)
	if call.Usage.Calls > 0 {
		trail.Calls = append(trail.Calls, call)
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(abi.GenerateResponse{
		Text: resp.Text, Model: call.Model, FinishReason: resp.FinishReason, InputTokens: resp.InputTokens,
		OutputTokens: resp.OutputTokens, CostUSD: call.Usage.Cost, Cached: resp.Cached,
	})
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "generate", err, "answer of %s", call.Model)
	}
	return text, nil
}
