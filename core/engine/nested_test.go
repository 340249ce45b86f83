package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// nest compiles outer with the graphs that it and they name and gives every node
// the same function.
func nest(t testing.TB, f Func, outer string, inner ...string) *Program {
	t.Helper()
	byName := map[string]*graph.Graph{}
	for _, doc := range inner {
		g, fs := graph.Decode([]byte(doc), "")
		if fs.HasErrors() {
			t.Fatal(fs, doc)
		}
		byName[g.Name] = g
	}
	var lock func(g *graph.Graph) *graph.Locked
	lock = func(g *graph.Graph) *graph.Locked {
		l := &graph.Locked{Graph: g}
		if err := graph.Nest(l, nil, func(ref string) (*graph.NestedLock, error) {
			return &graph.NestedLock{Locked: lock(byName[ref])}, nil
		}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	g, fs := graph.Decode([]byte(outer), "")
	if fs.HasErrors() {
		t.Fatal(fs, outer)
	}
	plan, err := graph.Compile(lock(g))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Build(plan, func(string, *graph.Plan, *graph.PlanNode) (NodeRunner, error) { return f, nil })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Random graphs inside a foreach inside a graph beside another one give the same
// under any number of workers, with every token accounted for: each run ends, and
// its steps are observed exactly once and in an order that has inner before outer.
func TestRandomNested(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	var yields atomic.Uint64
	outcomes := map[string]int{}
	for round := range 300 {
		mode := []string{"fail", "skip", `"null"`}[r.IntN(3)]
		cyclic := r.IntN(3) == 0
		retry := ""
		if r.IntN(2) == 0 {
			retry = ", retry: {attempts: 2, backoff: 1us, max_backoff: 1us, kinds: [rejected]}"
		}
		outer := fmt.Sprintf(`graph: outer
start: a
nodes:
  a: {graph: middle, foreach: {items: input, concurrency: %d, on_item_error: %s}%s}
  b: {graph: random, input: 7}
  c: {native: f, input: "=nodes.a.output"}
  z: {native: f, join: any, input: "=output.error.kind"}
edges: [{from: a, to: c}, {from: a, to: b, when: size(output) > 1}, {from: b, to: z, on_error: [rejected, invalid, limit]}, {from: a, to: z, on_error: [rejected, invalid, limit]}]
output: [b, c, z]
`, 1+r.IntN(4), mode, retry)
		middle := "graph: middle\nstart: m\nnodes: {m: {native: f}, n: {graph: random}}\nedges: [{from: m, to: n}]\n"
		p := nest(t, randomNode(&yields), outer, middle, randomDocument(r, 3+r.IntN(6), cyclic))
		first := ""
		for _, parallel := range []int{1, 2, 8} {
			seen := map[int]int{}
			order := observed(func(o *run.Observation) {
				if o.Phase != run.StepFinished {
					return
				}
				seen[o.Seq]++
				if o.Parent > 0 && seen[o.Parent-1] > 0 {
					t.Fatalf("round %d: %s ended after the step around it", round, o.Node)
				}
			})
			res, err := Run(t.Context(), p, []byte("[1,2,3,4,5]"), Options{Parallel: parallel, Observer: order})
			for seq, n := range seen {
				if n != 1 {
					t.Fatalf("round %d: step %d was observed %d times", round, seq, n)
				}
			}
			got := fmt.Sprint(err != nil, string(res.Output), res.OutputNode)
			if first == "" {
				first = got
				outcomes[res.OutputNode]++
			}
			// Which of several failing steps of one graph is first is a matter of
			// timing, and with it the kind of error that z gets.
			if got != first && !(res.OutputNode == "z" && strings.HasSuffix(first, "z")) {
				t.Fatalf("round %d, %d workers: %s, with one %s\n%s", round, parallel, got, first, outer)
			}
		}
	}
	if outcomes["b"] < 20 || outcomes["c"] < 5 || outcomes["z"] < 5 {
		t.Errorf("too easy: %v", outcomes)
	}
}

type observed func(o *run.Observation)

func (f observed) Observe(o *run.Observation) { f(o) }

// The context of an inner step ends with the step around it, and says so.
func TestNestedCancel(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			var stopped atomic.Int32
			wait := Func(func(ctx context.Context, s *run.Step) ([]byte, error) {
				if s.Node == "fast" {
					time.Sleep(time.Second)
					return nil, fault.New(fault.Rejected, "", "no")
				}
				<-ctx.Done()
				stopped.Add(1)
				return nil, ctx.Err()
			})
			inner := "graph: inner\nstart: x\nnodes: {x: {native: f}}\n"
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			p := nest(t, wait, "graph: outer\nstart: a\nnodes: {a: {graph: inner, foreach: {items: \"[1, 2, 3]\"}}}\n", inner)
			_, err := Run(ctx, p, []byte("1"), Options{Parallel: parallel})
			if !fault.Is(err, fault.Timeout) || !errors.Is(err, context.DeadlineExceeded) || int(stopped.Load()) != min(parallel, 3) {
				t.Errorf("%d workers: %v, %d stopped", parallel, err, stopped.Load())
			}
		})
	}
}

func BenchmarkNested(b *testing.B) {
	p := nest(b, echo, "graph: outer\nstart: a\nnodes: {a: {graph: inner}}\n", "graph: inner\nstart: x\nnodes: {x: {native: f}}\n")
	o := Options{Info: &run.Info{ID: run.NewID()}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(context.Background(), p, []byte("1"), o); err != nil {
			b.Fatal(err)
		}
	}
}
