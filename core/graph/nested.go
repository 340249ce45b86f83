package graph

import (
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The bounds of nesting.
const (
	MaxNesting     = 8    // graphs inside graphs
	MaxNestedNodes = 8192 // nodes of all levels together
)

// Nested gives Validate the versions that graph references name, as Nest takes
// them.
func Nested(resolve func(ref string) (*NestedLock, error)) Option {
	return func(v *validator) { v.nested = resolve }
}

// Nest locks every nested graph of l: resolve answers with the version that a
// reference names, its Locked complete; Nest fills in node and digest. A node
// whose reference is the same in base keeps base's version; base may be nil. It
// fails with Invalid when a graph would hold itself.
func Nest(l, base *Locked, resolve func(ref string) (*NestedLock, error)) error {
	l.Nested = nil
	for _, n := range l.Graph.Nodes {
		if n.Graph == "" {
			continue
		}
		if k := keptNested(base, n); k != nil {
			l.Nested = append(l.Nested, *k)
			continue
		}
		k, err := resolve(n.Graph)
		if err != nil {
			return fault.Wrap("", "nodes."+n.Name+".graph", err, "resolve %s", n.Graph)
		}
		c := *k
		c.Node, c.Digest = n.Name, Digest(k.Locked)
		l.Nested = append(l.Nested, c)
	}
	return nesting(l, nil)
}

func keptNested(base *Locked, n *Node) *NestedLock {
	if base == nil {
		return nil
	}
	if old := base.Graph.Node(n.Name); old == nil || old.Graph != n.Graph {
		return nil
	}
	return base.nested(n.Name)
}

// nested returns the lock of a node, or nil.
func (l *Locked) nested(node string) *NestedLock {
	i := slices.IndexFunc(l.Nested, func(k NestedLock) bool { return k.Node == node })
	if i < 0 {
		return nil
	}
	return &l.Nested[i]
}

// nesting refuses graphs that hold themselves and too many levels or nodes.
// Around are the names of the graphs around l.
func nesting(l *Locked, around []string) error {
	total := 0
	var walk func(l *Locked, around []string) error
	walk = func(l *Locked, around []string) error {
		name := l.Graph.Name
		if slices.Contains(around, name) {
			return fault.New(fault.Invalid, "", "graph %s holds itself: %s", name, strings.Join(append(around, name), " -> ")).
				WithHint("use max_visits and an edge back to loop")
		}
		if len(around) > MaxNesting {
			return fault.New(fault.Invalid, "", "graphs nest deeper than %d levels: %s", MaxNesting, strings.Join(append(around, name), " -> "))
		}
		if total += len(l.Graph.Nodes); total > MaxNestedNodes {
			return fault.New(fault.Invalid, "", "the graph and those nested in it have more than %d nodes", MaxNestedNodes)
		}
		around = append(slices.Clip(around), name)
		for i := range l.Nested {
			k := &l.Nested[i]
			if k.Locked == nil || k.Locked.Graph == nil {
				return fault.New(fault.Corrupt, "nodes."+k.Node, "the lock of the nested graph has no graph")
			}
			if err := walk(k.Locked, around); err != nil {
				return fault.Wrap("", "nodes."+k.Node+".graph", err, "nested graph")
			}
		}
		return nil
	}
	return walk(l, around)
}

// compileNested returns the plan of a node that is a graph.
func compileNested(l *Locked, n *Node) (*Plan, *NestedLock, error) {
	k := l.nested(n.Name)
	if k == nil {
		return nil, nil, fault.New(fault.Invalid, "nodes."+n.Name, "graph %s is not locked", n.Graph)
	}
	if ref, _ := ParseRef(n.Graph); ref.Type != k.Locked.Graph.Name {
		return nil, nil, fault.New(fault.Invalid, "nodes."+n.Name, "graph %s is locked to %s", n.Graph, k.Locked.Graph.Name)
	}
	if err := sharesState(l.Graph, k.Locked.Graph, n); err != nil {
		return nil, nil, err
	}
	p, err := compile(k.Locked)
	if err != nil {
		return nil, nil, fault.Wrap("", "nodes."+n.Name+".graph", err, "nested graph")
	}
	return p, k, nil
}
