package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/node/abi"
)

// linter compares what nodes say they give with what conditions, mappings and the
// next nodes expect. It only speaks where a schema tells.
type linter struct {
	*validator
	types  []*abi.NodeType // by node, nil where unknown
	out    []*typing       // output of each step
	always []bool          // by node: runs in every run that does not fail
}

// schemas runs the checks that need the schemas of node types.
func (v *validator) schemas() {
	if v.known == nil {
		return
	}
	l := &linter{validator: v, types: make([]*abi.NodeType, len(v.g.Nodes)), out: make([]*typing, len(v.g.Nodes))}
	for i, n := range v.g.Nodes {
		if n.Wait != nil && n.Foreach == nil {
			if l.out[i] = typingOf(n.Wait.Schema); len(n.Wait.Choices) > 0 {
				l.out[i] = &typing{class: "string"}
			}
		}
		if n.Module == "" {
			continue
		}
		t, err := v.known(n.Module)
		if err != nil {
			continue // reported with the node
		}
		l.types[i], l.out[i] = t, typingOf(t.Output)
		if n.Foreach != nil {
			l.out[i] = &typing{class: "array", items: l.out[i]}
			if n.Foreach.OnItemError == ItemNull {
				l.out[i].items = nil
			}
		}
	}
	l.certain()
	for i, e := range v.g.Edges {
		from := v.s.from[i]
		if e.When == "" || from < 0 {
			continue
		}
		if _, err := CompileCondition(e.When); err == nil { // else reported with the edge
			x := l.expressions(index("edges", i)+".when", vars{output: l.out[from], of: fmt.Sprintf("the output of %q", v.g.Nodes[from].Name)})
			x.condition(e.When)
		}
	}
	for i, n := range v.g.Nodes {
		l.inputs(i, n)
	}
}

// certain finds the nodes that run in every run without failures.
func (l *linter) certain() {
	l.always = make([]bool, len(l.g.Nodes))
	if l.s.start < 0 {
		return
	}
	todo := []int{l.s.start}
	l.always[l.s.start] = true
	for len(todo) > 0 {
		i := todo[0]
		todo = todo[1:]
		for k, e := range l.s.out[i] {
			if to := l.s.to[e]; l.g.Edges[e].plain() && (l.g.Nodes[i].Route != RouteFirst || k == 0) && !l.always[to] {
				l.always[to] = true
				todo = append(todo, to)
			}
		}
	}
}

// plain reports whether an edge fires on every success.
func (e *Edge) plain() bool { return e.When == "" && !e.Otherwise && len(e.OnError) == 0 }

// incoming returns what reaches node i before any mapping, and its name.
func (l *linter) incoming(i int) (*typing, string) {
	in := l.s.in[i]
	if i == l.s.start || len(in) == 0 {
		return nil, ""
	}
	from := map[int]bool{}
	for _, e := range in {
		if len(l.g.Edges[e].OnError) > 0 {
			return nil, ""
		}
		from[l.s.from[e]] = true
	}
	if len(from) == 1 {
		f := l.s.from[in[0]]
		return l.out[f], fmt.Sprintf("the output of %q", l.g.Nodes[f].Name)
	}
	if l.g.Nodes[i].Join == JoinAny {
		return nil, ""
	}
	t := &typing{class: "object", props: map[string]*typing{}, closed: true, required: []string{}}
	for _, e := range in {
		f := l.s.from[e]
		name := l.g.Nodes[f].Name
		t.props[name] = l.out[f]
		if l.always[f] && l.g.Edges[e].plain() && l.g.Nodes[f].Route != RouteFirst {
			t.required = append(t.required, name)
		}
	}
	if len(t.required) == 0 { // so that what comes is told apart from what need not
		t.required = []string{""}
	}
	return t, fmt.Sprintf("what %q gathers", l.g.Nodes[i].Name)
}

// inputs checks the expressions of a node and whether its input fits it.
func (l *linter) inputs(i int, n *Node) {
	path := "nodes." + n.Name
	in, of := l.incoming(i)
	vs := vars{output: in, of: of}
	if n.Foreach != nil {
		x := l.expressions(path+".foreach.items", vs)
		list := x.value(n.Foreach.Items)
		if !list.is("array") {
			l.errorf(path+".foreach.items", "name a list", "gives %s, want a list", list.what())
		}
		if list != nil && list.class == "array" {
			vs.item = list.items
		}
		in, of = vs.item, "an item"
	}
	if n.IdempotencyKey != "" {
		l.expressions(path+".idempotency_key", vs).value(n.IdempotencyKey)
	}
	if n.Cache != nil && n.Cache.Key != "" {
		l.expressions(path+".cache.key", vs).value(n.Cache.Key)
	}
	var want *typing
	if l.types[i] != nil {
		want = typingOf(l.types[i].Input)
	}
	if n.Input == nil {
		l.fit(path, of, in, want, "")
		return
	}
	v, err := decodeJSON(n.Input.Raw)
	if err != nil {
		return // reported with the node
	}
	l.mapping(path+".input", vs, v, want, n.Module)
}

// mapping checks the expressions of a mapping and each of its parts against what
// the node wants there.
func (l *linter) mapping(path string, vs vars, v any, want *typing, module string) {
	switch v := v.(type) {
	case string:
		got := &typing{class: "string"}
		if strings.HasPrefix(v, "=") {
			got = l.expressions(path, vs).value(v[1:])
		}
		l.fit(path, "it", got, want, module)
		return
	case map[string]any:
		if !want.is("object") {
			l.errorf(path, "", "is a mapping, %s wants %s", module, want.what())
			return
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			sub, found, _ := want.key(k)
			if want != nil && !found && want.closed {
				l.errorf(join(path, k), didYouMean(k, want, "remove the key"), "%s takes no input %q", module, k)
			}
			l.mapping(join(path, k), vs, v[k], sub, module)
		}
		for _, k := range requiredOf(want) {
			if _, ok := v[k]; !ok {
				l.errorf(path, fmt.Sprintf("add %q", k), "%s needs the input %q", module, k)
			}
		}
		return
	case []any:
		for i, e := range v {
			var sub *typing
			if want != nil {
				sub = want.items
			}
			l.mapping(index(path, i), vs, e, sub, module)
		}
	}
	l.fit(path, "it", typingOfValue(v), want, module)
}

func requiredOf(t *typing) []string {
	if t == nil || t.class != "" && t.class != "object" {
		return nil
	}
	return t.required
}

// fit reports where got cannot be what want asks for.
func (l *linter) fit(path, of string, got, want *typing, module string) {
	if got == nil || want == nil {
		return
	}
	needs := "this node"
	if module != "" {
		needs = module
	}
	if len(got.any) > 0 || len(want.any) > 0 {
		meet := slices.ContainsFunc(got.forms(), func(f *typing) bool { return f.class == "" || want.is(f.class) })
		switch {
		case !cannot(got, want):
		case !meet:
			l.errorf(path, "map it with input:", "%s is %s, %s wants %s", of, got.what(), needs, want.what())
		default:
			l.errorf(path, "map it with input:", "%s has none of the forms that %s takes", of, needs)
		}
		return
	}
	if got.class != "" && want.class != "" && got.class != want.class {
		l.errorf(path, "map it with input:", "%s is %s, %s wants %s", of, got.what(), needs, want.what())
		return
	}
	for _, k := range requiredOf(want) {
		if _, found, _ := got.key(k); !found && got.closed {
			l.errorf(path, fmt.Sprintf("map it with input: {%s: ...}", k), "%s has no key %q, which %s needs", of, k, needs)
		} else if !found && len(got.props) > 0 && !got.more {
			l.warnf(path, fmt.Sprintf("map it with input: {%s: ...}", k), "the schema of %s names no key %q, which %s needs", of, k, needs)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want.props)) {
		if sub, found, _ := got.key(k); found {
			l.fit(path, strings.TrimSuffix(of, " at "+k)+" at "+k, sub, want.props[k], module)
		}
	}
	if got.class == "array" {
		l.fit(path, "an element of "+of, got.items, want.items, module)
	}
}

func didYouMean(word string, t *typing, other string) string {
	if near := nearest(word, slices.Sorted(maps.Keys(t.props))); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return other
}

// article writes a class with its article.
func article(class string) string {
	switch class {
	case "array", "object":
		return "an " + class
	case "null", "":
		return "null"
	}
	return "a " + class
}
