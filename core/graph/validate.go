package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// The bounds of a graph.
const (
	MaxNodes = 1024
	MaxEdges = 8192
)

// Option changes what Validate demands.
type Option func(*validator)

// StepsLimited says that a policy limits the steps of a run, so that a cycle
// needs no max_visits.
func StepsLimited() Option { return func(v *validator) { v.stepsLimited = true } }

// Validate returns everything that is wrong or doubtful in g, in document order
// where positions are known. Known returns the node type that a module reference
// names; its error becomes the finding. When known is nil, configurations and
// references are only checked for their form.
func (g *Graph) Validate(known func(ref string) (*abi.NodeType, error), opts ...Option) Findings {
	v := &validator{g: g, s: shapeOf(g), known: known}
	for _, o := range opts {
		o(v)
	}
	v.names()
	v.stateKeys()
	v.edges()
	for _, n := range g.Nodes {
		v.node(n)
	}
	v.structure()
	v.flow()
	v.schemas()
	v.assets()
	return sortFindings(v.fs)
}

type validator struct {
	g            *Graph
	s            *shape
	known        func(ref string) (*abi.NodeType, error)
	nested       func(ref string) (*NestedLock, error)
	stepsLimited bool
	fs           Findings
}

func (v *validator) add(severity, path, hint, format string, args ...any) {
	at := v.g.pos.find(path)
	v.fs = append(v.fs, Finding{Severity: severity, Path: path, Line: at.line, Column: at.column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (v *validator) errorf(path, hint, format string, args ...any) {
	v.add(SeverityError, path, hint, format, args...)
}

func (v *validator) warnf(path, hint, format string, args ...any) {
	v.add(SeverityWarning, path, hint, format, args...)
}

// didYouMean suggests a node.
func (v *validator) didYouMean(name string) string {
	names := make([]string, 0, len(v.g.Nodes))
	for _, n := range v.g.Nodes {
		names = append(names, n.Name)
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "declare it under nodes"
}

// names checks what the document as a whole refers to.
func (v *validator) names() {
	g := v.g
	if !validName.MatchString(g.Name) {
		v.errorf("graph", nameHint, "%q is not a name", g.Name)
	}
	if len(g.Nodes) == 0 || len(g.Nodes) > MaxNodes {
		v.errorf("nodes", "", "the graph has %d nodes, must have 1 to %d", len(g.Nodes), MaxNodes)
	}
	if len(g.Edges) > MaxEdges {
		v.errorf("edges", "", "the graph has %d edges, the limit is %d", len(g.Edges), MaxEdges)
	}
	for i, n := range g.Nodes {
		if !validName.MatchString(n.Name) {
			v.errorf("nodes."+n.Name, nameHint, "%q is not a name", n.Name)
		}
		if v.s.index[n.Name] != i {
			v.errorf("nodes."+n.Name, "rename one of them", "two nodes are called %q", n.Name)
		}
	}
	if v.s.start < 0 {
		v.errorf("start", v.didYouMean(g.Start), "node %q does not exist", g.Start)
	}
	for i, name := range g.Output {
		if _, ok := v.s.index[name]; !ok {
			v.errorf(index("output", i), v.didYouMean(name), "node %q does not exist", name)
		}
	}
	if len(g.Output) == 0 && !slices.ContainsFunc(v.s.out, func(out []int) bool { return len(out) == 0 }) {
		v.errorf("output", "list the nodes whose output is the result",
			"every node has outgoing edges, so the output must be named")
	}
}

func (v *validator) edges() {
	seen := map[string]int{}
	for i, e := range v.g.Edges {
		path := index("edges", i)
		if v.s.from[i] < 0 {
			v.errorf(path+".from", v.didYouMean(e.From), "node %q does not exist", e.From)
		}
		if v.s.to[i] < 0 {
			v.errorf(path+".to", v.didYouMean(e.To), "node %q does not exist", e.To)
		}
		modes := 0
		for _, set := range []bool{e.When != "", e.Otherwise, len(e.OnError) > 0} {
			if set {
				modes++
			}
		}
		if modes > 1 {
			v.errorf(path, "make an edge of each", "an edge has only one of when, otherwise and on_error")
		}
		key, _ := json.Marshal(e)
		if first, twice := seen[string(key)]; twice {
			v.errorf(path, "remove one of them", "the edge repeats edges[%d]", first)
		} else {
			seen[string(key)] = i
		}
		for _, k := range e.OnError {
			if _, ok := fault.ParseKind(string(k)); !ok {
				v.errorf(path+".on_error", oneOf(string(k), kindNames()), "%q is not a kind of error", k)
			}
		}
		if e.When != "" {
			p, err := CompileCondition(e.When)
			if v.expression(path+".when", p, err); err == nil {
				v.itemless(p, path+".when")
			}
		}
		if e.Otherwise && v.s.from[i] >= 0 && !slices.ContainsFunc(v.s.out[v.s.from[i]], func(o int) bool {
			return v.g.Edges[o].When != ""
		}) {
			v.errorf(path+".otherwise", "add an edge with when, or remove otherwise",
				"no other edge from %q has a condition", e.From)
		}
	}
}

// expression reports why a program did not compile and what it cannot read.
func (v *validator) expression(path string, p *Program, err error) {
	if err != nil {
		var f *fault.Error
		msg, sub := err.Error(), ""
		if errors.As(err, &f) {
			msg, sub = f.Msg, f.Path
		}
		if sub != "" {
			path = join(path, sub)
		}
		v.errorf(path, fault.HintOf(err), "%s", msg)
		return
	}
	v.declared(path, p)
	for _, name := range p.Reads() {
		if _, ok := v.s.index[name]; !ok {
			v.errorf(path, v.didYouMean(name), "node %q does not exist", name)
		}
	}
}

// structure checks cycles, reachability and joins.
func (v *validator) structure() {
	if !v.stepsLimited {
		c := v.s.cycle(func(i int) bool { return v.g.Nodes[i].MaxVisits > 0 })
		if c != nil {
			var names []string
			for _, i := range append(c, c[0]) {
				names = append(names, v.g.Nodes[i].Name)
			}
			v.errorf("nodes."+names[0], "set max_visits on one of its nodes, or limits.steps in the policy",
				"the cycle %s has no bound", strings.Join(names, " -> "))
		}
	}
	for i, n := range v.g.Nodes {
		path := "nodes." + n.Name
		if v.s.start >= 0 && !v.s.reached[i] && v.s.index[n.Name] == i {
			v.warnf(path, "add an edge to it or remove it", "no way leads here from the start")
		}
		if n.Join == JoinAny {
			v.reconverging(i, path)
		}
	}
}

// reconverging warns when a join of kind any lies where a fan-out meets again:
// it runs once for each branch, in the order in which they happen to end.
func (v *validator) reconverging(join int, path string) {
	if len(v.s.in[join]) < 2 {
		return
	}
	for f := range v.g.Nodes {
		if !v.s.forks(v.g, f) {
			continue
		}
		meets := map[int]bool{}
		for _, e := range v.s.out[f] {
			if t := v.s.to[e]; len(v.g.Edges[e].OnError) == 0 && v.s.reach(t, join)[join] {
				meets[t] = true
			}
		}
		if len(meets) > 1 {
			v.warnf(path+".join", "use join: all to run once with what all branches gave",
				"the branches of %q meet here, so the node runs once a branch", v.g.Nodes[f].Name)
			return
		}
	}
}

func (v *validator) assets() {
	used := map[string]bool{}
	for _, n := range v.g.Nodes {
		for _, a := range n.Assets {
			used[a] = true
		}
	}
	names := make([]string, 0, len(v.g.Assets))
	for name := range v.g.Assets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := "assets." + name
		if file := v.g.Assets[name]; !filepath.IsLocal(file) {
			v.errorf(path, "put the file beside the document or below it", "%q is not a relative path inside the document's folder", file)
		}
		if !used[name] {
			v.warnf(path, "list it in the assets of the node that reads it, or remove it", "no node uses the asset")
		}
	}
}
