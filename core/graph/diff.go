package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind says what a change does.
type Kind string

// The kinds of change. Apply refuses the last two: grants and assets are given
// by a person in a document and are only reported by Diff.
const (
	NodeConfigUpdate Kind = "node_config_update" // Path inside the config
	NodeModuleUpdate Kind = "node_module_update" // Path module, native, graph or wait
	NodePolicyUpdate Kind = "node_policy_update" // Path timeout, retry, join, route, max_visits, input, foreach, state, cache, rate_limit, circuit_breaker, budget or idempotency_key
	NodeAdd          Kind = "node_add"
	NodeRemove       Kind = "node_remove"
	EdgeAdd          Kind = "edge_add"
	EdgeRemove       Kind = "edge_remove"
	EdgeModify       Kind = "edge_modify"
	GraphUpdate      Kind = "graph_update"      // Path version, summary, durable, state, start, output, nodes or edges (their order)
	NodeGrantUpdate  Kind = "node_grant_update" // Path grant, assets, isolation or validate
	GraphGrantUpdate Kind = "graph_grant_update"
)

// Change is one difference between two graphs. Old and New are canonical JSON;
// nil means absent.
type Change struct {
	Kind   Kind            `json:"kind"`
	Target string          `json:"target,omitempty"` // a node, or an edge as from->to, from->to#2 for the second one
	Path   string          `json:"path,omitempty"`   // what of the target; in a config k1 or bm25.k1, with ~1 for a dot and ~0 for ~ in a key
	Old    json.RawMessage `json:"old,omitempty"`
	New    json.RawMessage `json:"new,omitempty"`
}

// place names what a change is about, as it stands in a document.
func (c Change) place() string {
	switch c.Kind {
	case NodeConfigUpdate:
		return strings.TrimSuffix("nodes."+c.Target+".config."+c.Path, ".")
	case NodeModuleUpdate, NodePolicyUpdate, NodeGrantUpdate:
		return "nodes." + c.Target + "." + c.Path
	case NodeAdd, NodeRemove:
		return "nodes." + c.Target
	case EdgeAdd, EdgeRemove, EdgeModify:
		return "edge " + c.Target
	case GraphUpdate, GraphGrantUpdate:
		return c.Path
	}
	return c.Target
}

// String returns the change on one line, such as
// "nodes.retrieve.config.k1: 1.2 -> 1.5".
func (c Change) String() string {
	switch what := c.place(); {
	case len(c.Old) == 0:
		return fmt.Sprintf("+ %s: %s", what, c.New)
	case len(c.New) == 0:
		return fmt.Sprintf("- %s: %s", what, c.Old)
	default:
		return fmt.Sprintf("~ %s: %s -> %s", what, c.Old, c.New)
	}
}

// FormatChanges returns one line a change.
func FormatChanges(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Diff returns the changes that make b of a, in an order in which Apply takes
// them. It is empty exactly when the documents say the same.
func Diff(a, b *Graph) []Change {
	d := &differ{}
	was, is := fieldsOf(a), fieldsOf(b)
	for _, key := range []string{"graph", "policy", "assets"} {
		d.field(GraphGrantUpdate, "", key, was[key], is[key])
	}
	for _, key := range []string{"version", "summary", "durable", "state"} {
		d.field(GraphUpdate, "", key, was[key], is[key])
	}
	var nodes []string // order of the nodes once all were added and removed
	for _, n := range a.Nodes {
		if m := b.Node(n.Name); m != nil {
			d.node(n, m)
			nodes = append(nodes, n.Name)
		} else {
			d.add(NodeRemove, n.Name, "", canonicalOf(n), nil)
		}
	}
	for _, n := range b.Nodes {
		if a.Node(n.Name) == nil {
			d.add(NodeAdd, n.Name, "", nil, canonicalOf(n))
			nodes = append(nodes, n.Name)
		}
	}
	edges := d.edges(a, b)
	for _, key := range []string{"start", "output"} {
		d.field(GraphUpdate, "", key, was[key], is[key])
	}
	d.field(GraphUpdate, "", "nodes", canonicalOf(nodes), canonicalOf(nodeOrder(b)))
	d.field(GraphUpdate, "", "edges", canonicalOf(edges), canonicalOf(edgeOrder(b)))
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) add(k Kind, target, path string, was, is json.RawMessage) {
	d.changes = append(d.changes, Change{Kind: k, Target: target, Path: path, Old: was, New: is})
}

func (d *differ) field(k Kind, target, path string, was, is json.RawMessage) {
	if !bytes.Equal(was, is) {
		d.add(k, target, path, was, is)
	}
}

// The fields of a node by the kind of change that reaches them.
var (
	moduleFields = []string{"module", "native", "graph", "wait"}
	policyFields = []string{"timeout", "retry", "join", "route", "max_visits", "input", "foreach", "state",
		"cache", "rate_limit", "circuit_breaker", "budget", "idempotency_key"}
	grantFields = []string{"grant", "assets", "isolation", "validate"}
)

func (d *differ) node(a, b *Node) {
	was, is := fieldsOf(a), fieldsOf(b)
	for _, key := range moduleFields {
		d.field(NodeModuleUpdate, a.Name, key, was[key], is[key])
	}
	d.config(a.Name, "", was["config"], is["config"])
	for _, key := range policyFields {
		d.field(NodePolicyUpdate, a.Name, key, was[key], is[key])
	}
	for _, key := range grantFields {
		d.field(NodeGrantUpdate, a.Name, key, was[key], is[key])
	}
}

// config compares two values and goes into objects that both have.
func (d *differ) config(node, path string, was, is json.RawMessage) {
	if bytes.Equal(was, is) {
		return
	}
	var a, b map[string]json.RawMessage
	if len(was) == 0 || len(is) == 0 || was[0] != '{' || is[0] != '{' ||
		json.Unmarshal(was, &a) != nil || json.Unmarshal(is, &b) != nil {
		d.add(NodeConfigUpdate, node, path, was, is)
		return
	}
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		d.config(node, configPath(path, k), a[k], b[k])
	}
}

// configPath appends one key to a path inside a config. The empty key is written
// as ~2, so that no path ends in nothing.
func configPath(path, key string) string {
	key = strings.NewReplacer("~", "~0", ".", "~1").Replace(key)
	if key == "" {
		key = "~2"
	}
	return join(path, key)
}

// configKeys splits a path inside a config.
func configKeys(path string) []string {
	if path == "" {
		return nil
	}
	keys := strings.Split(path, ".")
	for i, k := range keys {
		keys[i] = strings.NewReplacer("~0", "~", "~1", ".", "~2", "").Replace(k)
	}
	return keys
}

// edges compares the edges pairwise: the first from a to b with the first from a
// to b, and so on. It returns the order of the edges after its changes.
func (d *differ) edges(a, b *Graph) []string {
	was, is := edgesByTarget(a), edgesByTarget(b)
	var order, removed []string
	for _, t := range edgeOrder(a) {
		e, stays := is[t]
		if !stays {
			removed = append(removed, t)
			continue
		}
		order = append(order, t)
		d.field(EdgeModify, t, "", canonicalOf(was[t]), canonicalOf(e))
	}
	// The last of several edges between two nodes goes first, so that the numbers
	// of the others stay.
	for _, t := range slices.Backward(removed) {
		d.add(EdgeRemove, t, "", canonicalOf(was[t]), nil)
	}
	for _, t := range edgeOrder(b) {
		if _, had := was[t]; !had {
			d.add(EdgeAdd, t, "", nil, canonicalOf(is[t]))
			order = append(order, t)
		}
	}
	return order
}

func nodeOrder(g *Graph) []string {
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// edgeOrder returns the target of each edge, in document order.
func edgeOrder(g *Graph) []string {
	var targets []string
	count := map[string]int{}
	for _, e := range g.Edges {
		t := e.From + "->" + e.To
		if count[t]++; count[t] > 1 {
			t += "#" + strconv.Itoa(count[t])
		}
		targets = append(targets, t)
	}
	return targets
}

func edgesByTarget(g *Graph) map[string]*Edge {
	m := map[string]*Edge{}
	for i, t := range edgeOrder(g) {
		m[t] = g.Edges[i]
	}
	return m
}

// fieldsOf returns the canonical JSON of each set field of a graph or node.
func fieldsOf(v any) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	json.Unmarshal(canonicalOf(v), &m) // an object of our own
	return m
}
