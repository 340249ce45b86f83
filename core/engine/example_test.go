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

// A node can be another graph. Nest locks it, Compile makes one plan of all levels
// and Build one program; limits, steps and the observer are those of the run.
func ExampleBuild() {
	outer, _ := graph.Decode([]byte(`
graph: report
start: summaries
nodes:
  summaries: {graph: summarise@^1, foreach: {items: input.texts}, input: {text: "=item"}}
  join:      {native: join}
edges: [{from: summaries, to: join}]
`), "report.yaml")
	inner, _ := graph.Decode([]byte(`
graph: summarise
version: 1.4.0
start: cut
nodes: {cut: {native: cut}}
`), "summarise.yaml")
	l := &graph.Locked{Graph: outer}
	err := graph.Nest(l, nil, func(ref string) (*graph.NestedLock, error) {
		return &graph.NestedLock{Version: inner.Version, Locked: &graph.Locked{Graph: inner}}, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := graph.Compile(l)
	if err != nil {
		fmt.Println(err)
		return
	}
	natives := map[string]engine.Func{
		"cut": func(_ context.Context, s *run.Step) ([]byte, error) {
			return []byte(`"` + string(s.Input[9:12]) + `"`), nil
		},
		"join": func(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil },
	}
	p, err := engine.Build(plan, func(path string, _ *graph.Plan, n *graph.PlanNode) (engine.NodeRunner, error) {
		fmt.Println("node", path)
		return natives[n.Spec.Native], nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := engine.Run(context.Background(), p, []byte(`{"texts":["first text","second text"]}`), engine.Options{})
	fmt.Println(string(res.Output), res.Steps, err)
	// Output:
	// node summaries/cut
	// node join
	// ["fir","sec"] 6 <nil>
}
