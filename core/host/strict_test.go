package host

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// TestValidate: the input of the run is always held against the schema of the
// node that takes it, unless the document says otherwise.
func TestValidate(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	graph := func(key string) Document {
		return Document{GraphFile: "v.yaml", Graph: []byte("graph: v\nstart: n\nnodes: {n: {module: textnorm@^1" + key + "}}\n")}
	}
	ask := func(in string) error {
		_, err := h.Run(t.Context(), Request{Graph: "v", Input: json.RawMessage(in)})
		return err
	}
	for _, key := range []string{"", ", validate: sample", ", validate: always"} {
		apply(t, h, graph(key))
		for range 3 {
			err := ask(`{"question":["no text"]}`)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "nodes.n: input.question: does not fit the input schema") {
				t.Errorf("validate %q: %v", key, err)
			}
			if err := ask(`{"question":"text"}`); err != nil {
				t.Error(err)
			}
		}
	}
	apply(t, h, graph(", validate: off"))
	if err := ask(`{"question":["no text"]}`); err == nil || strings.Contains(err.Error(), "schema") {
		t.Errorf("off: %v", err)
	}
}

// TestIsolation: a document can ask for more than the host demands, not for less.
func TestIsolation(t *testing.T) {
	for floor, want := range map[string]map[string]int64{"": {"pooled": 1, "reset": 6}, "reset": {"pooled": 6, "reset": 6}} {
		h := open(t, t.TempDir(), Config{Nodes: Nodes{Isolation: floor, Instances: 1}})
		for asks, started := range want {
			before := h.NodeStats().Started
			apply(t, h, Document{GraphFile: "i.yaml", Graph: []byte("graph: i\nstart: n\nnodes: {n: {module: echo@^1, isolation: " + asks + "}}\n")})
			for range 6 {
				if _, err := h.Run(t.Context(), Request{Graph: "i"}); err != nil {
					t.Fatal(err)
				}
			}
			if n := h.NodeStats().Started - before; n != started {
				t.Errorf("host %q, document %s: %d instances started, want %d", floor, asks, n, started)
			}
		}
	}
	if _, err := Open(t.Context(), Config{DataDir: t.TempDir(), Nodes: Nodes{Isolation: "process"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("process: %v", err)
	}
}

// TestDiskCache: an output survives the host.
func TestDiskCache(t *testing.T) {
	var ran atomic.Int64
	natives := map[string]engine.NodeRunner{"count": engine.Func(func(context.Context, *run.Step) ([]byte, error) {
		ran.Add(1)
		return []byte(`{"text":"x"}`), nil
	})}
	doc := Document{GraphFile: "c.yaml", Graph: []byte(`
graph: c
start: native
nodes:
  native: {native: count, cache: {ttl: 1h, force: true}}
  module: {module: template@^1, config: {template: "{{text}}"}, cache: {ttl: 1h}}
edges: [{from: native, to: module}]
`)}
	dir := t.TempDir()
	for i, mib := range []int{8, 8, 0} {
		h, err := Open(t.Context(), Config{DataDir: dir, Stock: stock(t), Natives: natives, Nodes: Nodes{DiskCacheMiB: mib}, DefaultProfile: "off"})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, h, doc)
		for range 2 {
			if _, err := h.Run(t.Context(), Request{Graph: "c"}); err != nil {
				t.Fatal(err)
			}
		}
		// The module runs in the first host, and in the third, which does not look at
		// the disk; a Go function may be another one in every process.
		if calls, want := h.NodeStats().Calls, []int64{1, 0, 1}[i]; calls != want {
			t.Errorf("host %d: the module ran %d times, want %d", i, calls, want)
		}
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := ran.Load(); n != 2 {
		t.Errorf("the Go function ran %d times, want once in this process and again without the disk", n)
	}
}

// TestCheckAfter: the steps of an experiment are checked when its run is over, each
// element of a list for itself.
func TestCheckAfter(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	apply(t, h, Document{GraphFile: "e.yaml", Graph: []byte(`
graph: e
start: parts
nodes:
  parts: {module: split@^1, config: {by: lines}}
  words: {module: textnorm@^1, foreach: {items: "output.items", on_item_error: "null"}, input: {question: "=item"}}
  free:  {module: echo@^1, validate: off}
edges: [{from: parts, to: words}, {from: words, to: free}]
`)})
	v, err := h.store.Active(t.Context(), "e")
	if err != nil {
		t.Fatal(err)
	}
	candidate, err := lab{h}.Prepare(t.Context(), v.Locked, v.Locked.Graph)
	if err != nil {
		t.Fatal(err)
	}
	defer candidate.Close()
	out, err := candidate.Run(t.Context(), []byte(`{"text":"a\nb"}`))
	if err != nil || out.Err != nil {
		t.Fatal(err, out.Err)
	}
	d := candidate.(*arm).d
	for _, c := range []struct{ node, input, output, want string }{
		{"parts", `{}`, `{"items":[],"count":0}`, ""},
		{"parts", `{}`, `{"items":[],"count":"0"}`, "nodes.parts: output.count"},
		{"words", `[]`, `[{"question":"a","terms":[]},null]`, ""},
		{"words", `[]`, `[null,{"question":"a"}]`, "nodes.words: output.terms"},
		{"free", `1`, `2`, ""},
	} {
		err := d.check([]seen{{c.node, []byte(c.input), []byte(c.output)}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gave %s: %v, want %q", c.node, c.output, err, c.want)
		}
	}
}
