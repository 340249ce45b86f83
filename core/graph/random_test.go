package graph

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/sparkrsi/spark/sdk/fault"
)

// randomGraph draws a graph of the document's whole vocabulary. It need not be
// valid: names of nodes in edges and outputs come from a small set.
func randomGraph(r *rand.Rand) *Graph {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	g := &Graph{Name: pick("g", "h"), Version: pick("", "1.0.0", "on"), Summary: pick("", "a: b # c\n d"), Start: pick("n0", "n1")}
	for _, i := range r.Perm(6)[:1+r.IntN(5)] {
		n := &Node{Name: fmt.Sprint("n", i), Timeout: Duration(r.IntN(2) * 2500000), MaxVisits: r.IntN(3)}
		switch r.IntN(4) {
		case 0:
			n.Module = pick("a@^1", "b@*")
		case 1:
			n.Graph, n.State = pick("g", "h@^1"), StateScope(pick("", "shared"))
		case 2:
			n.Wait = &Wait{Prompt: pick("ok?", "a: b # c\n d"), Timeout: Duration(r.IntN(2) * 2500000)}
			if r.IntN(2) == 0 {
				n.Wait.Choices, n.Wait.Schema = []string{"yes", "no"}, json.RawMessage(`{"type":"string"}`)
			}
			if r.IntN(2) == 0 {
				n.Wait.OnTimeout, n.Wait.Default = TimeoutDefault, json.RawMessage(pick(`"no"`, "null", "0"))
			}
		default:
			n.Native = pick("f", "true", "0x1")
		}
		if r.IntN(2) == 0 {
			n.Config = randomJSON(r, 0, true)
			if string(n.Config) == "{}" {
				n.Config = nil
			}
		}
		if r.IntN(3) == 0 {
			n.Retry = &Retry{Attempts: 1 + r.IntN(3), Kinds: []fault.Kind{fault.Kinds()[r.IntN(4)]}}
		}
		if r.IntN(3) == 0 {
			n.Join = JoinAny
		}
		if r.IntN(3) == 0 {
			n.Route = RouteFirst
		}
		if r.IntN(4) == 0 {
			n.Foreach = &Foreach{Items: pick("output", "[1, 2]"), Concurrency: r.IntN(3), OnItemError: OnItemError(pick("", "skip", "null"))}
		}
		if r.IntN(3) == 0 {
			if raw := randomJSON(r, 0, false); string(raw) != "null" {
				n.Input = &Mapping{Raw: raw}
			}
		}
		switch r.IntN(6) {
		case 0:
			n.Cache = &Cache{TTL: Duration(r.IntN(2) * 1e9), Key: pick("", "output.q"), Force: r.IntN(2) == 0}
		case 1:
			n.RateLimit = &RateLimit{Rate: 2.5, Per: Duration(r.IntN(2) * 6e10), Burst: r.IntN(3)}
		case 2:
			n.CircuitBreaker = &CircuitBreaker{Failures: 1 + r.IntN(3), Kinds: []fault.Kind{fault.Kinds()[r.IntN(4)]}}
		case 3:
			n.Budget = &NodeBudget{CostUSD: .25, Tokens: int64(r.IntN(2))}
		case 4:
			n.IdempotencyKey = "run.id"
		}
		g.Nodes = append(g.Nodes, n)
	}
	g.Durable = r.IntN(3) == 0
	for i := range r.IntN(3) {
		if g.State == nil {
			g.State = map[string]*Key{}
		}
		g.State[fmt.Sprint("k", i)] = &Key{Schema: json.RawMessage(pick("", `{"type":"number"}`)), Initial: json.RawMessage(pick("", "1", "[1]", "null")),
			Reduce: Reducer(pick("", "sum", "append"))}
	}
	for range r.IntN(8) {
		e := &Edge{From: fmt.Sprint("n", r.IntN(3)), To: fmt.Sprint("n", r.IntN(3))}
		switch r.IntN(4) {
		case 0:
			e.When = pick("output.x > 1", "true", "output.s == \"a\\n\"")
		case 1:
			e.Otherwise = true
		case 2:
			e.OnError = []fault.Kind{fault.Kinds()[r.IntN(4)]}
		}
		g.Edges = append(g.Edges, e)
	}
	for _, i := range r.Perm(4)[:r.IntN(3)] {
		g.Output = append(g.Output, fmt.Sprint("n", i))
	}
	return g
}

func randomJSON(r *rand.Rand, depth int, object bool) json.RawMessage {
	var value func(depth int, object bool) any
	keys := []string{"k", "a.b", "~1", "", "true", "ü", "x y", "1"}
	value = func(depth int, object bool) any {
		kind := r.IntN(9)
		if object {
			kind = 8
		} else if depth > 2 {
			kind = r.IntN(7)
		}
		switch kind {
		case 0:
			return nil
		case 1:
			return r.IntN(2) == 0
		case 2:
			return json.Number(fmt.Sprint(r.IntN(100) - 50))
		case 3:
			return json.Number([]string{"0.5", "1e+30", "-1.25e-9", "9007199254740993", "123456789012345678901234567890"}[r.IntN(5)])
		case 4, 5, 6:
			return []string{"", "null", "~", "yes", "1.0", " a ", "line\nline", "\"q\"", "{x", "=output", "# no", "2001-01-01", "\u2028\u0085\x00"}[r.IntN(13)]
		case 7:
			var s []any
			for range r.IntN(3) {
				s = append(s, value(depth+1, false))
			}
			if s == nil {
				s = []any{}
			}
			return s
		}
		m := map[string]any{}
		for range r.IntN(4) {
			m[keys[r.IntN(len(keys))]] = value(depth+1, false)
		}
		return m
	}
	out, err := Canonical(appendCanonical(nil, value(depth, object)))
	if err != nil {
		panic(err)
	}
	return out
}
