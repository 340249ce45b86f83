// Package nodesuite holds a module of node types against the contract of
// docs/ABI.md, whatever language it was made in: that it is admitted, takes and
// refuses configurations, never crashes, answers in JSON that fits its own schemas,
// and keeps what its manifest promises.
//
// Start with Run. What a module calls outside is answered by stand-ins: models
// answer and fail in turn, servers cannot be reached.
package nodesuite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Options say what the node types of the module need.
type Options struct {
	Configs  map[string]json.RawMessage // settings by node type; {} where there are none
	Assets   map[string]wasmhost.Asset  // given to node types that want assets
	Inputs   []json.RawMessage          // tried on every node type, beside those made of its schema
	Trusted  bool                       // admit it as a module of the operator's own
	CacheDir string                     // of compiled code; empty compiles anew
	Timeout  time.Duration              // of one call; default 5s
}

// Part is the outcome of one part of the suite.
type Part struct {
	Name    string  `json:"name"` // admission, or TYPE/PART
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
	Output  string  `json:"output,omitempty"` // why it did not pass
}

// Result is the outcome of the suite.
type Result struct {
	Parts    []Part
	NotAsked []string // node types that need something the options do not give, and what
}

// nowhere is the only server that nodes may reach: there is none.
const nowhere = "http://127.0.0.1:9"

// Run runs the suite on a module. The error is for what kept it from running.
func Run(ctx context.Context, wasm []byte, o Options) (*Result, error) {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	h, err := wasmhost.Open(ctx, wasmhost.Config{Instances: 1, ModelInstances: 1, Generator: &model{}, CacheDir: o.CacheDir, PrivateOrigins: []string{nowhere}})
	if err != nil {
		return nil, err
	}
	r := &Result{NotAsked: []string{}}
	from := time.Now()
	m, err := h.Admit(wasm, o.Trusted)
	r.add("admission", from, err)
	if err == nil {
		for i := range m.Manifest().Nodes {
			s := &suite{result: r, host: h, module: m, typ: &m.Manifest().Nodes[i], o: o}
			s.run(ctx)
		}
		m.Release()
	}
	return r, h.Close(context.WithoutCancel(ctx))
}

func (r *Result) add(name string, from time.Time, err error) {
	p := Part{Name: name, Passed: err == nil, Seconds: time.Since(from).Seconds()}
	if err != nil {
		if p.Output = err.Error(); fault.HintOf(err) != "" {
			p.Output += "\n" + fault.HintOf(err)
		}
	}
	r.Parts = append(r.Parts, p)
}

// Passed reports whether every part did.
func (r *Result) Passed() bool {
	return !slices.ContainsFunc(r.Parts, func(p Part) bool { return !p.Passed })
}

// suite is the parts for one node type.
type suite struct {
	result *Result
	host   *wasmhost.Host
	module *wasmhost.Module
	typ    *abi.NodeType
	o      Options
	node   *wasmhost.Node
	output *graph.Schema
	inputs []json.RawMessage
	hung   bool // a call did not end
}

// part runs one part, unless an earlier one never ended: then the others would
// not, either.
func (s *suite) part(name string, f func() error) bool {
	if s.hung {
		return false
	}
	from := time.Now()
	err := f()
	s.hung = errors.Is(err, context.DeadlineExceeded)
	s.result.add(s.typ.Type+"/"+name, from, err)
	return err == nil
}

func (s *suite) run(ctx context.Context) {
	if slices.Contains(s.typ.Capabilities, abi.CapAsset) && len(s.o.Assets) == 0 {
		s.result.NotAsked = append(s.result.NotAsked, s.typ.Type+" not asked: it wants assets")
		return
	}
	config := s.o.Configs[s.typ.Type]
	if vs, err := graph.CheckSchema(s.typ.Config, config); err == nil && len(vs) > 0 && config == nil {
		s.result.NotAsked = append(s.result.NotAsked, fmt.Sprintf("%s not asked: it needs settings: %s", s.typ.Type, vs[0].Message))
		return
	}
	if !s.part("schemas", s.schemas) || !s.part("configure", func() (err error) { s.node, err = s.open(ctx, config); return err }) {
		return
	}
	defer s.node.Close()
	s.inputs = append(slices.Clone(s.o.Inputs), samples(s.typ.Input)...)
	s.part("unknown settings", func() error { return s.unknown(ctx, config) })
	s.part("malformed input", func() error { return s.malformed(ctx) })
	s.part("output", func() error { return s.outputs(ctx) })
	if s.typ.Deterministic {
		s.part("deterministic", func() error { return s.deterministic(ctx) })
	}
	s.part("large input", func() error { return s.large(ctx) })
	s.part("cancelled", func() error { return s.cancelled(ctx) })
}

func (s *suite) schemas() (err error) {
	for name, schema := range map[string]json.RawMessage{"config": s.typ.Config, "input": s.typ.Input, "output": s.typ.Output} {
		c, cerr := graph.CompileSchema(schema)
		if cerr != nil {
			err = errors.Join(err, fault.Wrap("", name, cerr, "schema"))
		}
		if name == "output" {
			s.output = c
		}
	}
	return err
}

// open makes a node with all that its type wants.
func (s *suite) open(ctx context.Context, config json.RawMessage) (*wasmhost.Node, error) {
	return s.host.Node(ctx, s.module, wasmhost.NodeSpec{Type: s.typ.Type, Config: config, Assets: s.o.Assets, Timeout: s.o.Timeout,
		Grant: wasmhost.Grant{Clock: true, Random: true, Generate: true, HTTP: []string{nowhere}}})
}

// unknown holds the node to refusing a setting that no schema names.
func (s *suite) unknown(ctx context.Context, config json.RawMessage) error {
	settings := map[string]json.RawMessage{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &settings); err != nil {
			return err
		}
	}
	settings["no such setting"] = json.RawMessage("1")
	doc, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	n, err := s.open(ctx, doc)
	if err == nil {
		n.Close()
		return errors.New("a setting that does not exist was taken: a node refuses what it does not know")
	}
	return s.sound(err)
}

// sound returns err when it is none that a node may give: it crashed, did not end,
// or failed without a reason.
func (s *suite) sound(err error) error {
	switch kind := fault.KindOf(err); {
	case kind == fault.Trap || kind == fault.Internal:
		return fmt.Errorf("a failure is given by fail, with a kind that says whose it is: %w", err)
	case strings.Contains(err.Error(), noMemory):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no end after %v: %w", s.o.Timeout, err)
	case strings.Contains(err.Error(), "without saying why"), strings.Contains(err.Error(), noJSON):
		return err
	}
	return nil
}

// call gives the node one input. A failure by its own word is no error.
func (s *suite) call(ctx context.Context, n *wasmhost.Node, input []byte) (out []byte, failed, err error) {
	info := &run.Info{ID: run.NewID(), Graph: "suite", Version: "1", Kind: run.Production, Started: time.Now()}
	out, failed = n.RunNode(ctx, &run.Step{Info: info, Node: "node", Input: input, State: &state{}, Trail: &run.Trail{}})
	if failed != nil {
		if err = s.sound(failed); err != nil {
			err = fmt.Errorf("input %.80s: %w", input, err)
		}
	}
	return out, failed, err
}

// malformed gives the node what is no document.
func (s *suite) malformed(ctx context.Context) error {
	for _, in := range []string{"", " ", "{", "nul", `{"a":}`, "[1,]", "\"\xff\"", "\x00", "{}{}", strings.Repeat("[", 65) + strings.Repeat("]", 65), `"\ud800"`, "1e999"} {
		// A node need not look at what it hands on.
		if _, failed, err := s.call(ctx, s.node, []byte(in)); err != nil && !strings.Contains(failed.Error(), noJSON) {
			return err
		}
	}
	return nil
}

// What the host says of an output that is none, and of a guest without measure.
const (
	noJSON   = "is not JSON in UTF-8"
	noMemory = "of memory while"
)

// outputs holds what the node gives against its schema.
func (s *suite) outputs(ctx context.Context) error {
	for range 2 { // models answer, then fail
		for _, in := range s.inputs {
			out, failed, err := s.call(ctx, s.node, in)
			if err != nil {
				return err
			}
			if failed != nil {
				continue
			}
			vs, err := s.output.Check(out)
			if err != nil {
				return fmt.Errorf("input %.80s: output %.80s: %w", in, out, err)
			}
			if len(vs) > 0 {
				return fmt.Errorf("input %.80s: output %.200s breaks the output schema: %s %s", in, out, vs[0].Path, vs[0].Message)
			}
		}
	}
	return nil
}

// deterministic compares what the node gives the second time, after other inputs,
// and in a fresh instance.
func (s *suite) deterministic(ctx context.Context) error {
	again := func(n *wasmhost.Node) (all [][]byte, err error) {
		for _, in := range s.inputs {
			out, _, err := s.call(ctx, n, in)
			if err != nil {
				return nil, err
			}
			all = append(all, out)
		}
		return all, nil
	}
	first, err := again(s.node)
	if err != nil {
		return err
	}
	fresh, err := s.host.Node(ctx, s.module, wasmhost.NodeSpec{Type: s.typ.Type, Config: s.o.Configs[s.typ.Type], Assets: s.o.Assets, Timeout: s.o.Timeout, Reset: true,
		Grant: wasmhost.Grant{Clock: true, Random: true, Generate: true, HTTP: []string{nowhere}}})
	if err != nil {
		return err
	}
	defer fresh.Close()
	for what, n := range map[string]*wasmhost.Node{"the second time": s.node, "in a fresh instance": fresh} {
		second, err := again(n)
		if err != nil {
			return err
		}
		for i := range first {
			if !bytes.Equal(first[i], second[i]) {
				return fmt.Errorf("input %.80s gives %.80s, and %.80s %s: the manifest says deterministic", s.inputs[i], first[i], second[i], what)
			}
		}
	}
	return nil
}

// large gives the node a document of 1 MiB and then a small one.
func (s *suite) large(ctx context.Context) error {
	big, err := json.Marshal(map[string]string{"text": strings.Repeat("word ", 1<<20/5)})
	if err != nil {
		return err
	}
	for _, in := range [][]byte{big, []byte(`{"text":"small"}`)} {
		if _, failed, err := s.call(ctx, s.node, in); err != nil && !fault.Is(failed, fault.Limit) {
			return err
		}
	}
	return nil
}

// cancelled calls the node for somebody who has gone, and then for somebody else.
func (s *suite) cancelled(ctx context.Context) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, failed, _ := s.call(gone, s.node, []byte(`{}`)); !errors.Is(failed, context.Canceled) {
		return fmt.Errorf("a cancelled call ended with %v", failed)
	}
	_, _, err := s.call(ctx, s.node, []byte(`{}`))
	return err
}

// model answers every other request.
type model struct{ calls atomic.Int64 }

func (m *model) Generate(_ context.Context, _ []byte, trail *run.Trail) ([]byte, error) {
	if m.calls.Add(1)%2 == 0 {
		return nil, fault.New(fault.Unavailable, "model", "the stand-in for a model fails every other time")
	}
	trail.Calls = append(trail.Calls, run.ModelCall{Model: "stand-in", Usage: run.Usage{Calls: 1, InputTokens: 1, OutputTokens: 1}})
	return json.Marshal(abi.GenerateResponse{Text: `{"text": "stand-in"}`, Model: "stand-in", FinishReason: "stop", InputTokens: 1, OutputTokens: 1})
}

// state is the state of one run.
type state struct{ values map[string][]byte }

func (s *state) Get(key string) ([]byte, bool) {
	v, ok := s.values[key]
	return v, ok
}

func (s *state) Set(key string, value []byte) error {
	if !json.Valid(value) {
		return fault.New(fault.Invalid, key, "is not JSON")
	}
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[key] = bytes.Clone(value)
	return nil
}
