package graph_test

import (
	"encoding/json"
	"fmt"

	"github.com/sparkrsi/spark/core/graph"
)

// Everything wrong with a document comes at once, with its place and a remedy.
func ExampleDecode() {
	_, findings := graph.Decode([]byte(`graph: search
start: retrieve
nodes:
  retrieve: {module: bm25@^1, tiemout: 2s, max_visits: many}
`), "search.yaml")
	fmt.Print(findings)
	// Output:
	// 4:31: error: nodes.retrieve.tiemout: unknown key "tiemout"
	//     hint: did you mean "timeout"?
	// 4:56: error: nodes.retrieve.max_visits: is the string "many", want an integer
}

// A change names what it expects to find, so a stale one is refused.
func ExampleApply() {
	g, _ := graph.Decode([]byte("graph: search\nstart: a\nnodes: {a: {module: bm25@^1, config: {k1: 1.2}}}\n"), "")
	change := graph.Change{Kind: graph.NodeConfigUpdate, Target: "a", Path: "k1", Old: json.RawMessage("1.2"), New: json.RawMessage("1.5")}
	better, err := graph.Apply(g, change)
	fmt.Print(graph.FormatChanges(graph.Diff(g, better)), err, "\n")
	_, err = graph.Apply(better, change)
	fmt.Println(err)
	// Output:
	// ~ nodes.a.config.k1: 1.2 -> 1.5
	// <nil>
	// a: node_config_update k1 expects 1.2, the graph has 1.5
}
