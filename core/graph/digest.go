package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
)

// Digest returns the identity of a version: the hex sha256 of the canonical JSON
// of the graph, its locks, its assets and the digests of its nested graphs. The label and the summary are for
// people and are left out; the order of nodes and edges counts, because routes
// and outputs follow it.
func Digest(l *Locked) string {
	c := *l
	g := *l.Graph
	g.Version, g.Summary = "", ""
	c.Graph = &g
	c.Nested = slices.Clone(l.Nested)
	for i := range c.Nested { // what is nested counts by its own digest, its label not at all
		k := &c.Nested[i]
		k.Version, k.Digest, k.Locked = "", Digest(k.Locked), nil
	}
	sum := sha256.Sum256(canonicalOf(&c))
	return hex.EncodeToString(sum[:])
}

// canonicalOf returns the canonical JSON of one of the types of this package.
func canonicalOf(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("graph: " + err.Error()) // only a Config that was never JSON
	}
	out, err := Canonical(raw)
	if err != nil {
		panic("graph: " + err.Error())
	}
	return out
}

// Clone returns a deep copy of g without the positions of its document.
func (g *Graph) Clone() *Graph {
	c := *g
	c.pos = nil
	c.Assets = maps.Clone(g.Assets)
	c.State = maps.Clone(g.State)
	for name, k := range c.State {
		c.State[name] = &Key{Schema: slices.Clone(k.Schema), Initial: slices.Clone(k.Initial), Reduce: k.Reduce}
	}
	c.Output = slices.Clone(g.Output)
	c.Nodes = slices.Clone(g.Nodes)
	for i, n := range c.Nodes {
		c.Nodes[i] = n.clone()
	}
	c.Edges = slices.Clone(g.Edges)
	for i, e := range c.Edges {
		x := *e
		x.OnError = slices.Clone(e.OnError)
		c.Edges[i] = &x
	}
	return &c
}

func (n *Node) clone() *Node {
	c := *n
	c.Config = slices.Clone(n.Config)
	c.Assets = slices.Clone(n.Assets)
	c.Foreach, c.Grant, c.Cache, c.RateLimit, c.Budget = copied(n.Foreach), copied(n.Grant), copied(n.Cache), copied(n.RateLimit), copied(n.Budget)
	if c.Retry = copied(n.Retry); c.Retry != nil {
		c.Retry.Kinds = slices.Clone(c.Retry.Kinds)
	}
	if c.CircuitBreaker = copied(n.CircuitBreaker); c.CircuitBreaker != nil {
		c.CircuitBreaker.Kinds = slices.Clone(c.CircuitBreaker.Kinds)
	}
	if c.Wait = copied(n.Wait); c.Wait != nil {
		c.Wait.Choices, c.Wait.Schema, c.Wait.Default = slices.Clone(n.Wait.Choices), slices.Clone(n.Wait.Schema), slices.Clone(n.Wait.Default)
	}
	if n.Input != nil {
		c.Input = &Mapping{Raw: slices.Clone(n.Input.Raw)}
	}
	return &c
}

func copied[T any](v *T) *T {
	if v == nil {
		return nil
	}
	c := *v
	return &c
}

// Node returns the node called name, or nil.
func (g *Graph) Node(name string) *Node {
	for _, n := range g.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}
