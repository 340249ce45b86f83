package graph

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Apply returns a copy of g with the changes made, in order; g stays as it is.
// The result is not validated. It fails, with the target as the path, with
// Conflict when an Old is not what the graph has, NotFound when a target does not
// exist, Denied for grants, assets, the name of the graph and its policy, and
// Invalid for a malformed change. A key that a config does not have conflicts
// with no Old: what it stands for is the default of a schema that only its
// module knows.
func Apply(g *Graph, changes ...Change) (*Graph, error) {
	out := g.Clone()
	for _, c := range changes {
		if err := out.apply(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (g *Graph) apply(c Change) error {
	var err error
	if c.Old, err = canonicalOrNil(c.Old); err == nil {
		c.New, err = canonicalOrNil(c.New)
	}
	if err != nil {
		return fault.Wrap("", c.Target, err, "%s", c.Kind)
	}
	switch c.Kind {
	case NodeConfigUpdate, NodeModuleUpdate, NodePolicyUpdate:
		return g.updateNode(c)
	case NodeAdd:
		return g.addNode(c)
	case NodeRemove:
		return g.removeNode(c)
	case EdgeAdd:
		return g.addEdge(c)
	case EdgeRemove, EdgeModify:
		return g.changeEdge(c)
	case GraphUpdate:
		return g.update(c)
	case NodeGrantUpdate, GraphGrantUpdate:
		return fault.New(fault.Denied, c.Target, "%s: %s cannot be changed by a change", c.Kind, c.Path).
			WithHint("edit the document and apply it as a person")
	}
	return fault.New(fault.Invalid, c.Target, "%q is no kind of change", c.Kind)
}

// canonicalOrNil keeps what is absent absent.
func canonicalOrNil(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	return Canonical(raw)
}

// stale refuses a change whose Old is not what the graph has. Null may stand for
// what is absent.
func stale(c Change, has json.RawMessage) error {
	if bytes.Equal(c.Old, has) || len(has) == 0 && string(c.Old) == "null" {
		return nil
	}
	show := func(v json.RawMessage) string {
		if len(v) == 0 {
			return "nothing"
		}
		return string(v)
	}
	return fault.New(fault.Conflict, c.Target, "%s %s expects %s, the graph has %s", c.Kind, c.Path, show(c.Old), show(has)).
		WithHint("make the change anew from the current version")
}

func (g *Graph) updateNode(c Change) error {
	i := slices.IndexFunc(g.Nodes, func(n *Node) bool { return n.Name == c.Target })
	if i < 0 {
		return fault.New(fault.NotFound, c.Target, "%s: node %q does not exist", c.Kind, c.Target)
	}
	f := fieldsOf(g.Nodes[i])
	switch {
	case c.Kind == NodeConfigUpdate:
		config, err := setConfig(c, f["config"], configKeys(c.Path))
		if err != nil {
			return err
		}
		f["config"] = config
	case c.Kind == NodeModuleUpdate && slices.Contains(moduleFields, c.Path),
		c.Kind == NodePolicyUpdate && slices.Contains(policyFields, c.Path):
		if err := stale(c, f[c.Path]); err != nil {
			return err
		}
		f[c.Path] = c.New
	default:
		return fault.New(fault.Invalid, c.Target, "%s does not reach %q", c.Kind, c.Path)
	}
	n, err := nodeOf(f)
	if err != nil {
		return fault.Wrap("", c.Target, err, "%s %s", c.Kind, c.Path)
	}
	g.Nodes[i] = n
	return nil
}

// setConfig returns value with c.New at keys, making objects on the way.
func setConfig(c Change, value json.RawMessage, keys []string) (json.RawMessage, error) {
	if len(keys) == 0 {
		if len(value) == 0 {
			return c.New, nil
		}
		return c.New, stale(c, value)
	}
	m := map[string]json.RawMessage{}
	if len(value) > 0 && json.Unmarshal(value, &m) != nil {
		return nil, fault.New(fault.Conflict, c.Target, "%s %s goes through %s, which is no object", c.Kind, c.Path, value)
	}
	v, err := setConfig(c, m[keys[0]], keys[1:])
	if err != nil {
		return nil, err
	}
	if m[keys[0]] = v; len(v) == 0 {
		delete(m, keys[0])
	}
	return canonicalOf(m), nil
}

// nodeOf decodes a node strictly and brings it into its one form.
func nodeOf(f map[string]json.RawMessage) (*Node, error) {
	for k, v := range f {
		if len(v) == 0 {
			delete(f, k)
		}
	}
	var n Node
	if err := decodeStrict(canonicalOf(f), &n); err != nil {
		return nil, err
	}
	if len(n.Config) > 0 && n.Config[0] != '{' {
		return nil, fault.New(fault.Invalid, "", "config is %s, want an object", n.Config)
	}
	n.normalise()
	return &n, nil
}

// normalise writes defaults in one way, so that spelling them out changes no
// digest.
func (n *Node) normalise() {
	if n.Join == JoinAll {
		n.Join = ""
	}
	if n.Route == RouteAll {
		n.Route = ""
	}
	if n.State == StateIsolated {
		n.State = ""
	}
	if n.Isolation == IsolationPooled {
		n.Isolation = ""
	}
	if f := n.Foreach; f != nil {
		if f.OnItemError == ItemFail {
			f.OnItemError = ""
		}
		if f.Concurrency == DefaultConcurrency {
			f.Concurrency = 0
		}
	}
	if w := n.Wait; w != nil {
		if w.OnTimeout == TimeoutFail {
			w.OnTimeout = ""
		}
		if string(w.Schema) == "{}" {
			w.Schema = nil
		}
	}
	if b := n.Budget; b != nil && *b == (NodeBudget{}) {
		n.Budget = nil
	}
	if n.Grant != nil && n.Grant.empty() {
		n.Grant = nil
	}
	if string(n.Config) == "{}" {
		n.Config = nil
	}
}

func decodeStrict(raw json.RawMessage, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return fault.Wrap(fault.Invalid, "", d.Decode(to), "malformed value")
}

func (g *Graph) addNode(c Change) error {
	if g.Node(c.Target) != nil {
		return fault.New(fault.Conflict, c.Target, "%s: node %q exists", c.Kind, c.Target)
	}
	f := map[string]json.RawMessage{}
	if err := decodeStrict(c.New, &f); err != nil {
		return fault.Wrap("", c.Target, err, "%s", c.Kind)
	}
	n, err := nodeOf(f)
	if err != nil {
		return fault.Wrap("", c.Target, err, "%s", c.Kind)
	}
	if n.Name == "" {
		n.Name = c.Target
	}
	switch {
	case n.Name != c.Target || !validName.MatchString(n.Name):
		return fault.New(fault.Invalid, c.Target, "%s: the node is called %q", c.Kind, n.Name).WithHint(nameHint)
	case n.Grant != nil || len(n.Assets) > 0:
		return fault.New(fault.Denied, c.Target, "%s: a new node can have neither grants nor assets", c.Kind).
			WithHint("edit the document and apply it as a person")
	case n.Validate == ValidateOff:
		return fault.New(fault.Denied, c.Target, "%s: a new node cannot turn validation off", c.Kind).
			WithHint("edit the document and apply it as a person")
	}
	g.Nodes = append(g.Nodes, n)
	return nil
}

func (g *Graph) removeNode(c Change) error {
	n := g.Node(c.Target)
	if n == nil {
		return fault.New(fault.NotFound, c.Target, "%s: node %q does not exist", c.Kind, c.Target)
	}
	if err := stale(c, canonicalOf(n)); err != nil {
		return err
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(m *Node) bool { return m == n })
	return nil
}

func (g *Graph) edgeOf(c Change) (*Edge, error) {
	var e Edge
	if err := decodeStrict(c.New, &e); err != nil {
		return nil, fault.Wrap("", c.Target, err, "%s", c.Kind)
	}
	if between, _, _ := strings.Cut(c.Target, "#"); between != e.From+"->"+e.To {
		return nil, fault.New(fault.Invalid, c.Target, "%s: the edge leads from %q to %q", c.Kind, e.From, e.To)
	}
	return &e, nil
}

func (g *Graph) addEdge(c Change) error {
	e, err := g.edgeOf(c)
	if err != nil {
		return err
	}
	g.Edges = append(g.Edges, e)
	if order := edgeOrder(g); order[len(order)-1] != c.Target {
		return fault.New(fault.Conflict, c.Target, "%s: the new edge would be %s", c.Kind, order[len(order)-1])
	}
	return nil
}

func (g *Graph) changeEdge(c Change) error {
	i := slices.Index(edgeOrder(g), c.Target)
	if i < 0 {
		return fault.New(fault.NotFound, c.Target, "%s: the edge does not exist", c.Kind)
	}
	if err := stale(c, canonicalOf(g.Edges[i])); err != nil {
		return err
	}
	if c.Kind == EdgeRemove {
		g.Edges = slices.Delete(g.Edges, i, i+1)
		return nil
	}
	e, err := g.edgeOf(c)
	if err != nil {
		return err
	}
	g.Edges[i] = e
	return nil
}

func (g *Graph) update(c Change) error {
	switch c.Path {
	case "nodes":
		return reorder(c, &g.Nodes, nodeOrder(g))
	case "edges":
		return reorder(c, &g.Edges, edgeOrder(g))
	case "version", "summary", "durable", "state", "start", "output":
	default:
		return fault.New(fault.Invalid, c.Target, "%s does not reach %q", c.Kind, c.Path)
	}
	if err := stale(c, fieldsOf(g)[c.Path]); err != nil {
		return err
	}
	to := map[string]any{"version": &g.Version, "summary": &g.Summary, "durable": &g.Durable, "start": &g.Start, "output": &g.Output, "state": &g.State}[c.Path]
	if len(c.New) > 0 {
		switch c.Path {
		case "output":
			g.Output = nil
		case "state":
			g.State = nil
		}
		err := decodeStrict(c.New, to)
		for _, k := range g.State {
			if k == nil {
				return fault.New(fault.Invalid, c.Target, "%s: a key of the state is null", c.Kind)
			}
			k.normalise()
		}
		return err
	}
	switch to := to.(type) {
	case *string:
		*to = ""
	case *bool:
		*to = false
	case *[]string:
		*to = nil
	case *map[string]*Key:
		*to = nil
	}
	return nil
}

// reorder brings items, which are called names, into the order of c.New.
func reorder[T any](c Change, items *[]T, names []string) error {
	if err := stale(c, canonicalOf(names)); err != nil {
		return err
	}
	var want []string
	if err := decodeStrict(c.New, &want); err != nil {
		return fault.Wrap("", c.Path, err, "%s", c.Kind)
	}
	var out []T
	used := make([]bool, len(names))
	for _, name := range want {
		i := slices.Index(names, name)
		if i < 0 || used[i] {
			return fault.New(fault.Invalid, c.Path, "%s: %s is listed twice or does not exist", c.Kind, strconv.Quote(name))
		}
		used[i] = true
		out = append(out, (*items)[i])
	}
	if len(out) != len(names) {
		return fault.New(fault.Invalid, c.Path, "%s lists %d of %d", c.Kind, len(out), len(names))
	}
	*items = out
	return nil
}
