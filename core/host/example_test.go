package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
)

// A program that embeds Spark: a Go function as a node, telemetry kept in memory,
// a hundred runs, and what they show.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "spark-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	kept, err := memory.New(memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	profile := telemetry.Defaults()
	profile.Backend = "ram"
	double := func(_ context.Context, s *run.Step) ([]byte, error) {
		var in struct{ N int }
		if err := json.Unmarshal(s.Input, &in); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]int{"n": 2 * in.N})
	}

	h, err := host.Open(ctx, host.Config{
		DataDir:   dir,
		Natives:   map[string]engine.NodeRunner{"double": engine.Func(double)},
		Telemetry: map[string]telemetry.Config{"default": profile},
		Backends:  map[string]backend.Writer{"ram": kept},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close(ctx)

	_, err = h.Apply(ctx, host.Document{GraphFile: "twice.yaml", Graph: []byte(`
graph: twice
version: 1.0.0
start: first
nodes:
  first: {native: double}
  second: {native: double}
edges: [{from: first, to: second}]
`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 100 {
		res, err := h.Run(ctx, host.Request{Graph: "twice", Input: fmt.Appendf(nil, `{"n": %d}`, i)})
		if err != nil {
			fmt.Println(err)
			return
		}
		if i == 10 {
			fmt.Println(string(res.Output))
		}
	}

	// Telemetry in memory is gone with the process, so analysis wants to be told
	// that this is meant.
	a, err := h.RSI().Analyze(ctx, "twice", rsi.AnalyzeOptions{AllowVolatile: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Verdict, a.Summary.Executions, "runs of", len(a.Nodes), "nodes")
	// Output:
	// {"n":40}
	// ready 100 runs of 2 nodes
}
