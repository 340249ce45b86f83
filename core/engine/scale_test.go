package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/run"
)

// count is a native node that adds one, for loops.
func count(_ context.Context, s *run.Step) ([]byte, error) {
	return fmt.Appendf(nil, `{"n":%d}`, s.Visit+1), nil
}

// looped is a graph that visits a node n times.
func looped(n int) string {
	return fmt.Sprintf(`graph: looped
start: a
nodes: {a: {native: count, join: any, max_visits: %d}, z: {native: echo}}
edges: [{from: a, to: a, when: "output.n < %d"}, {from: a, to: z, otherwise: true}]
`, n, n)
}

// spread is a graph of n branches beside each other, between two steps.
func spread(n int) string {
	var nodes, edges strings.Builder
	for i := range n {
		fmt.Fprintf(&nodes, "  b%d: {native: echo}\n", i)
		fmt.Fprintf(&edges, "  - {from: a, to: b%d}\n  - {from: b%d, to: z}\n", i, i)
	}
	return "graph: spread\nstart: a\nnodes:\n  a: {native: echo}\n" + nodes.String() + "  z: {native: echo, join: all, input: 1}\nedges:\n" + edges.String()
}

// A loop of a hundred thousand visits and a fan-out over a thousand edges end as
// small ones do.
func TestScale(t *testing.T) {
	natives := map[string]Func{"echo": echo, "count": count}
	for _, parallel := range []int{1, 4} {
		res, err := Run(t.Context(), program(t, looped(100_000), natives), []byte("0"), Options{Parallel: parallel})
		if err != nil || string(res.Output) != `{"n":100000}` || res.Steps != 100_001 {
			t.Errorf("loop: %+v %v", res, err)
		}
		res, err = Run(t.Context(), program(t, spread(1000), natives), []byte("7"), Options{Parallel: parallel})
		if err != nil || string(res.Output) != "1" || res.Steps != 1002 {
			t.Errorf("fan-out: %+v %v", res, err)
		}
	}
}

// BenchmarkScale shows what an item costs at 1x, 10x and 100x: a visit of a loop, an
// item of a foreach, a branch of a fan-out over edges with its join.
func BenchmarkScale(b *testing.B) {
	natives := map[string]Func{"echo": echo, "count": count, "f": echo}
	for _, c := range []struct {
		name  string
		doc   func(n int) string
		input func(n int) []byte
		sizes []int
	}{
		{"loop", looped, func(int) []byte { return []byte("0") }, []int{1000, 10_000, 100_000}},
		{"foreach", func(int) string { return fmt.Sprintf(each, 8) }, numbers, []int{1000, 10_000, 100_000}},
		{"edges", spread, func(int) []byte { return []byte("7") }, []int{10, 100, 1000}},
	} {
		for _, n := range c.sizes {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				p, in := program(b, c.doc(n), natives), c.input(n)
				o := Options{Info: &run.Info{ID: run.NewID()}, Parallel: 2}
				if _, err := Run(context.Background(), p, in, o); err != nil { // prepares the program
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Run(context.Background(), p, in, o); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/item")
			})
		}
	}
}
