package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// hash is the deterministic behaviour of random nodes: a digit of what they are
// and got.
func hash(name string, visit int, input []byte) int {
	h := fnv.New32a()
	fmt.Fprint(h, name, visit)
	h.Write(input)
	return int(h.Sum32()>>8) % 10
}

// randomNode yields now and then, so that workers interleave, and fails on the
// digit 0.
func randomNode(r *atomic.Uint64) Func {
	return func(_ context.Context, s *run.Step) ([]byte, error) {
		for range r.Add(0x9e3779b97f4a7c15) >> 62 {
			runtime.Gosched()
		}
		n := hash(s.Node, s.Visit, s.Input)
		if n == 0 {
			return nil, fault.New(fault.Rejected, "", "zero")
		}
		return fmt.Appendf(nil, `{"n":%d}`, n), nil
	}
}

// randomDocument draws a graph of n nodes. Without cycles, edges lead forward.
func randomDocument(r *rand.Rand, n int, cyclic bool) string {
	var b strings.Builder
	b.WriteString("graph: random\nstart: n0\nnodes:\n")
	for i := range n {
		route, visits := "", ""
		if r.IntN(4) == 0 {
			route = ", route: first"
		}
		if cyclic {
			visits = ", max_visits: 6"
		}
		fmt.Fprintf(&b, "  n%d: {native: f%s%s}\n", i, route, visits)
	}
	b.WriteString("edges:\n")
	for i := range n {
		conditional := false
		seen := map[int]bool{}
		for range 1 + r.IntN(5) {
			to := i + 1 + r.IntN(4)
			if cyclic && r.IntN(4) == 0 {
				to = r.IntN(n)
			}
			if to >= n || seen[to] {
				continue
			}
			seen[to] = true
			switch r.IntN(3) {
			case 0:
				fmt.Fprintf(&b, "  - {from: n%d, to: n%d}\n", i, to)
			case 1:
				fmt.Fprintf(&b, "  - {from: n%d, to: n%d, when: \"output.n > %d\"}\n", i, to, r.IntN(7))
				conditional = true
			case 2:
				if conditional {
					fmt.Fprintf(&b, "  - {from: n%d, to: n%d, otherwise: true}\n", i, to)
				}
			}
		}
		fmt.Fprintf(&b, "  - {from: n%d, to: n%d, on_error: [rejected]}\n", i, n)
	}
	fmt.Fprintf(&b, "  - {from: n0, to: n%d}\n", n)
	doc := strings.Replace(b.String(), "edges:", fmt.Sprintf("  n%d: {native: f}\nedges:", n), 1)
	return doc + fmt.Sprintf("output: [n%d, n%d, n0]\n", n-1, n)
}

// order keeps what each node got, visit by visit, whatever the order between
// nodes was.
type order map[string][]string

func (o order) Observe(ob *run.Observation) {
	if ob.Phase == run.StepFinished {
		o[ob.Node] = append(o[ob.Node], fmt.Sprintf("%d %s %s", ob.Visit, ob.Input, ob.Output))
	}
}

// expect walks an acyclic plan in topological order: a node runs once any of its
// edges fired, on what the fired ones carried. It is the meaning of joins without
// any scheduling.
func expect(p *graph.Plan, input []byte) map[string]string {
	ran := map[string]string{}
	sent := make([][]byte, len(p.Edges))
	for i := range p.Nodes { // edges lead forward, so this order is topological
		pn := &p.Nodes[i]
		data := input
		if i != p.Start {
			var parts []string
			taken, keyed := map[int]bool{}, false
			for _, e := range pn.In {
				keyed = keyed || p.Edges[e].From != p.Edges[pn.In[0]].From
			}
			for _, e := range pn.In {
				from := p.Edges[e].From
				if sent[e] == nil || taken[from] {
					continue
				}
				taken[from] = true
				if data = sent[e]; keyed {
					parts = append(parts, fmt.Sprintf("%q:%s", p.Nodes[from].Spec.Name, sent[e]))
				}
			}
			if len(taken) == 0 {
				continue
			}
			if keyed {
				data = []byte("{" + strings.Join(parts, ",") + "}")
			}
		}
		name := pn.Spec.Name
		n := hash(name, 0, data)
		out := fmt.Appendf(nil, `{"n":%d}`, n)
		met, fired := false, false
		for pass := range 2 {
			for _, e := range pn.Out {
				edge := &p.Edges[e]
				switch {
				case n == 0 && len(edge.OnError) > 0:
					f := failure{Input: data}
					f.Error.Kind, f.Error.Node, f.Error.Message = fault.Rejected, name, "nodes."+name+": zero"
					sent[e], _ = json.Marshal(&f)
				case n == 0 || len(edge.OnError) > 0 || edge.Otherwise != (pass == 1):
				case edge.Otherwise && met, fired && pn.Spec.Route == graph.RouteFirst:
				case edge.When != nil:
					var limit int
					fmt.Sscanf(edge.When.Source(), "output.n > %d", &limit)
					if n > limit {
						sent[e], met, fired = out, true, true
					}
				default:
					sent[e], fired = out, true
				}
			}
		}
		if n == 0 {
			out = nil
		}
		ran[name] = fmt.Sprintf("0 %s %s", data, out)
	}
	return ran
}

func TestRandomJoins(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var yields atomic.Uint64
	joins, dead := 0, 0
	for round := range 400 {
		p := program(t, randomDocument(r, 3+r.IntN(12), false), map[string]Func{"f": randomNode(&yields)})
		for _, in := range []string{"1", `{"q":2}`} {
			want := expect(p.Plan, []byte(in))
			for _, parallel := range []int{1, 2, 8} {
				got := order{}
				res, err := Run(t.Context(), p, []byte(in), Options{Parallel: parallel, Observer: got})
				if err != nil && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Rejected) {
					t.Fatal(err)
				}
				if err != nil && fault.Is(err, fault.Rejected) { // the last node has no error edge
					continue
				}
				if len(got) != len(want) || res.Steps != len(want) {
					t.Fatalf("round %d, %d workers: ran %v, want %v\n%s", round, parallel, got, want, graph.Encode(p.Plan.Graph))
				}
				for node, lines := range got {
					if len(lines) != 1 || lines[0] != want[node] {
						t.Fatalf("round %d, %d workers, %s: got %q, want %q\n%s", round, parallel, node, lines, want[node],
							graph.Encode(p.Plan.Graph))
					}
				}
			}
			joins += strings.Count(fmt.Sprint(want), ",\"n")
			dead += len(p.Plan.Nodes) - len(want)
		}
	}
	if joins < 400 || dead < 500 {
		t.Errorf("too easy: %d joined inputs, %d dead nodes", joins, dead)
	}
}

func TestRandomCycles(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	var yields atomic.Uint64
	again, failed := 0, 0
	for round := range 400 {
		p := program(t, randomDocument(r, 3+r.IntN(8), true), map[string]Func{"f": randomNode(&yields)})
		var first order
		var result string
		for _, parallel := range []int{1, 2, 8, 8} {
			got := order{}
			res, err := Run(t.Context(), p, []byte("1"), Options{Parallel: parallel, Observer: got})
			text := fmt.Sprint(fault.KindOf(err), string(res.Output), res.OutputNode)
			if first == nil {
				first, result = got, text
				for _, lines := range got {
					again += len(lines) - 1
				}
				if err != nil {
					failed++
				}
				continue
			}
			// When a run fails, which steps still ran depends on timing.
			if text != result || err == nil && fmt.Sprint(got) != fmt.Sprint(first) {
				t.Fatalf("round %d, %d workers: %s %v, with one worker %s %v\n%s", round, parallel, text, got, result, first,
					graph.Encode(p.Plan.Graph))
			}
		}
	}
	if again < 500 || failed == 400 {
		t.Errorf("too easy: %d visits beyond the first, %d failed", again, failed)
	}
}
