package engine

import (
	"context"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
)

// program compiles a document of native nodes and gives each the runner of its
// function's name.
func program(t testing.TB, doc string, runners map[string]Func) *Program {
	t.Helper()
	g, fs := graph.Decode([]byte(doc), "test.yaml")
	if fs.HasErrors() {
		t.Fatal(fs)
	}
	plan, err := graph.Compile(&graph.Locked{Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	p := &Program{Plan: plan}
	for _, n := range g.Nodes {
		f, ok := runners[n.Native]
		if !ok {
			t.Fatalf("no runner %q", n.Native)
		}
		p.Runners = append(p.Runners, f)
	}
	return p
}

func echo(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil }

// counter counts observations by phase.
type counter [4]int

func (c *counter) Observe(o *run.Observation) { c[o.Phase]++ }

const tenEchoes = `graph: ten
start: n0
nodes: {n0: {native: echo}, n1: {native: echo}, n2: {native: echo}, n3: {native: echo}, n4: {native: echo},
  n5: {native: echo}, n6: {native: echo}, n7: {native: echo}, n8: {native: echo}, n9: {native: echo}}
edges: [{from: n0, to: n1}, {from: n1, to: n2}, {from: n2, to: n3}, {from: n3, to: n4}, {from: n4, to: n5},
  {from: n5, to: n6}, {from: n6, to: n7}, {from: n7, to: n8}, {from: n8, to: n9}]
`

func BenchmarkTenEchoes(b *testing.B) {
	p := program(b, tenEchoes, map[string]Func{"echo": echo})
	input := []byte(`{"text":"hello"}`)
	info := &run.Info{ID: run.NewID(), Graph: "ten"}
	var c counter
	b.ReportAllocs()
	for b.Loop() {
		r, err := Run(context.Background(), p, input, Options{Info: info, Observer: &c})
		if err != nil || r.Steps != 10 {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/step")
}

func TestTenEchoes(t *testing.T) {
	p := program(t, tenEchoes, map[string]Func{"echo": echo})
	var c counter
	r, err := Run(t.Context(), p, []byte(`[1]`), Options{Observer: &c})
	if err != nil || string(r.Output) != "[1]" || r.OutputNode != "n9" || r.Steps != 10 {
		t.Fatalf("%+v, %v", r, err)
	}
	if c != (counter{run.RunStarted: 1, run.StepFinished: 10, run.RunFinished: 1}) {
		t.Errorf("observations %v", c)
	}
}

const diamond = `graph: diamond
start: a
nodes: {a: {native: echo}, b: {native: echo}, c: {native: echo}, d: {native: echo}, e: {native: echo}}
edges:
  - {from: a, to: b}
  - {from: a, to: c}
  - {from: a, to: d, when: "output.x > 5"}
  - {from: b, to: e}
  - {from: c, to: e}
  - {from: d, to: e}
`

func TestDiamond(t *testing.T) {
	p := program(t, diamond, map[string]Func{"echo": echo})
	for _, parallel := range []int{1, 2, 8} {
		for in, want := range map[string]string{
			`{"x":1}`: `{"b":{"x":1},"c":{"x":1}}`,
			`{"x":9}`: `{"b":{"x":9},"c":{"x":9},"d":{"x":9}}`,
		} {
			r, err := Run(t.Context(), p, []byte(in), Options{Parallel: parallel})
			if err != nil || string(r.Output) != want {
				t.Errorf("parallel %d, %s: %+v, %v", parallel, in, r, err)
			}
		}
	}
}
