package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
)

// A run that asks a person survives the program: another one, on the same data
// folder, finds it and answers.
func ExampleHost_Answer() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "spark-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	cfg := host.Config{
		DataDir: dir,
		Natives: map[string]engine.NodeRunner{"pay": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
			return fmt.Appendf(nil, `{"paid": %s}`, s.Input), nil
		})},
		Telemetry: map[string]telemetry.Config{"default": {}}, // off
	}

	h, err := host.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = h.Apply(ctx, host.Document{GraphFile: "invoice.yaml", Graph: []byte(`
graph: invoice
start: approve
nodes:
  approve: {wait: {prompt: "Pay this?", choices: ["yes", "no"]}}
  pay: {native: pay, input: "=input.amount"}
edges: [{from: approve, to: pay, when: "output == 'yes'"}]
output: [pay, approve]
`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := h.Run(ctx, host.Request{Graph: "invoice", Input: json.RawMessage(`{"amount": 120}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Status, res.Waiting[0].ID, res.Waiting[0].Prompt)
	if err := h.Close(ctx); err != nil {
		fmt.Println(err)
		return
	}

	if h, err = host.Open(ctx, cfg); err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close(ctx)
	res, err = h.Answer(ctx, res.RunID, "approve", json.RawMessage(`"yes"`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Status, string(res.Output))
	// Output:
	// waiting approve Pay this?
	// finished {"paid": 120}
}
