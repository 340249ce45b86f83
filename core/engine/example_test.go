package engine_test

import (
	"context"
	"fmt"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
)

// A graph of native nodes needs no modules: decode, compile, run.
func ExampleRun() {
	g, findings := graph.Decode([]byte(`
graph: greet
start: greet
nodes:
  greet: {native: greet, input: {name: "=input.name"}}
  shout: {native: shout}
  calm:  {native: calm}
edges:
  - {from: greet, to: shout, when: "input.loud"}
  - {from: greet, to: calm, otherwise: true}
`), "greet.yaml")
	if findings.HasErrors() {
		fmt.Print(findings)
		return
	}
	plan, err := graph.Compile(&graph.Locked{Graph: g})
	if err != nil {
		fmt.Println(err)
		return
	}
	say := func(suffix string) engine.Func {
		return func(_ context.Context, s *run.Step) ([]byte, error) {
			return fmt.Appendf(nil, `{"got":%s,"say":"hello%s"}`, s.Input, suffix), nil
		}
	}
	p := &engine.Program{Plan: plan, Runners: []engine.NodeRunner{say(""), say("!"), say(".")}}
	res, err := engine.Run(context.Background(), p, []byte(`{"name":"Ada","loud":true}`), engine.Options{})
	fmt.Println(string(res.Output), res.OutputNode, res.Steps, err)
	// Output: {"got":{"got":{"name":"Ada"},"say":"hello"},"say":"hello!"} shout 2 <nil>
}
