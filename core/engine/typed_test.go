package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Whatever the workers, the declared state ends the same: random graphs write to
// keys of every reducer, and the step after them reads all.
func TestRandomState(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	var yields atomic.Uint64
	writer := Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		for range yields.Add(0x9e3779b97f4a7c15) >> 61 {
			runtime.Gosched()
		}
		n := hash(s.Node, s.Visit, s.Input)
		for key, value := range map[string]string{"log": fmt.Sprintf("%q", s.Node), "sum": fmt.Sprint(float64(n) / 3), "max": fmt.Sprint(n), "last": fmt.Sprintf("%q", s.Node)} {
			if err := s.State.Set(key, []byte(value)); err != nil {
				return nil, err
			}
		}
		if n == 0 {
			return nil, fault.New(fault.Rejected, "", "zero")
		}
		return fmt.Appendf(nil, `{"n":%d}`, n), nil
	})
	const state = "state: {log: {reduce: append, schema: {type: string}}, sum: {reduce: sum}, max: {reduce: max}, last: {}}\n"
	outer := decode(t, "graph: outer\n"+state+`start: a
nodes:
  a: {graph: random, state: shared}
  b: {native: f}
  z: {native: echo, join: any, input: {log: "=state.log", sum: "=state.sum", max: "=state.max", last: "=state.last"}}
edges: [{from: a, to: b}, {from: b, to: z}, {from: a, to: z, on_error: [rejected, invalid]}, {from: b, to: z, on_error: [rejected]}]
`)
	writes := 0
	for round := range 300 {
		inner := decode(t, strings.Replace(randomDocument(r, 3+r.IntN(10), false), "start:", state+"start:", 1))
		l := &graph.Locked{Graph: outer}
		if err := graph.Nest(l, nil, func(string) (*graph.NestedLock, error) {
			return &graph.NestedLock{Locked: &graph.Locked{Graph: inner}}, nil
		}); err != nil {
			t.Fatal(err)
		}
		plan, err := graph.Compile(l)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Build(plan, func(_ string, _ *graph.Plan, n *graph.PlanNode) (NodeRunner, error) {
			if n.Spec.Native == "echo" {
				return Func(echo), nil
			}
			return writer, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var first string
		for _, parallel := range []int{1, 2, 8, 8} {
			res, err := Run(t.Context(), p, []byte("1"), Options{Parallel: parallel})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(res.Output), `"z"`) {
				t.Fatal(string(res.Output))
			}
			if first == "" {
				first = string(res.Output)
				writes += strings.Count(first, "a/")
			}
			// A failing inner graph stops its siblings, and which ones ran depends
			// on timing; else all must agree.
			if failed(p, t) {
				break
			}
			if string(res.Output) != first {
				t.Fatalf("round %d, %d workers: %s, with one %s\n%s", round, parallel, res.Output, first, graph.Encode(inner))
			}
		}
	}
	if writes < 500 {
		t.Errorf("too easy: %d writes", writes)
	}
}

// failed reports whether the nested graph of p fails.
func failed(p *Program, t *testing.T) bool {
	var seen log
	if _, err := Run(t.Context(), p, []byte("1"), Options{Parallel: 1, Observer: &seen}); err != nil {
		t.Fatal(err)
	}
	return seen.of("a")[0].Err != nil
}

func decode(t *testing.T, doc string) *graph.Graph {
	t.Helper()
	g, fs := graph.Decode([]byte(doc), "")
	if fs.HasErrors() {
		t.Fatal(fs, doc)
	}
	return g
}

func TestReduce(t *testing.T) {
	for _, c := range []struct {
		r                graph.Reducer
		had, write, want string
	}{
		{graph.ReduceSum, "1", "2", "3"},
		{graph.ReduceSum, "0.5", "1", "1.5"},
		{graph.ReduceSum, "1e308", "1e308", "1.7976931348623157e+308"},
		{graph.ReduceSum, "4611686018427387904", "4611686018427387904", "9223372036854776000"},
		{graph.ReduceSum, "9007199254740993", "-1", "9007199254740992"},
		{graph.ReduceMax, "2", "10", "10"},
		{graph.ReduceMax, "2", "2.0", "2"},
		{graph.ReduceMax, "", "-5", "-5"},
		{graph.ReduceAppend, "[]", "{}", "[{}]"},
		{graph.ReduceAppend, "[1]", "[2]", "[1,[2]]"},
		{graph.ReduceLast, "1", "null", "null"},
	} {
		got := string(reduce(c.r, []byte(c.had), []byte(c.write)))
		if got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("%s of %s and %s: %s, want %s", c.r, c.had, c.write, got, c.want)
		}
	}
}

// A loop folds its writes at once: what is kept open does not grow with it.
func TestStateOfALoop(t *testing.T) {
	p := program(t, "graph: g\nstate: {n: {reduce: sum}}\nstart: a\nnodes: {a: {native: f}, b: {native: echo, input: \"=state.n\"}}\nedges: [{from: a, to: a, when: state.n < 20000}, {from: a, to: b, otherwise: true}]\n",
		map[string]Func{"echo": echo, "f": func(_ context.Context, s *run.Step) ([]byte, error) {
			if n := len(s.State.(*view).s.open); n > 0 {
				return nil, fmt.Errorf("%d open writes", n)
			}
			return nil, s.State.Set("n", []byte("1"))
		}})
	res, err := Run(t.Context(), p, []byte("1"), Options{Limits: graph.Limits{Steps: 30000}})
	if err != nil || string(res.Output) != "20000" {
		t.Error(string(res.Output), err)
	}
}

func TestStateIsBounded(t *testing.T) {
	p := program(t, "graph: g\nstate: {log: {reduce: append}}\nstart: a\nnodes: {a: {native: f}}\nedges: [{from: a, to: a}]\noutput: [a]\n",
		map[string]Func{"f": func(_ context.Context, s *run.Step) ([]byte, error) {
			return nil, s.State.Set("log", []byte(`"`+strings.Repeat("x", MaxStateValue-2)+`"`))
		}})
	res, err := Run(t.Context(), p, []byte("1"), Options{Limits: graph.Limits{Steps: 100}})
	if !fault.Is(err, fault.Limit) || !strings.Contains(err.Error(), "nodes.a: state.log: the state of the run would have more than") || res.Steps > 17 {
		t.Error(res.Steps, err)
	}
}
