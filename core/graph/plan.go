package graph

import (
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The types of a graph, derived from its edges.
const (
	TypeSequential = "sequential" // one step after the other
	TypeBranching  = "branching"  // conditions choose the way
	TypeParallel   = "parallel"   // some node sends to several at once
	TypeCyclic     = "cyclic"     // some way leads back
)

// Plan is a compiled graph: names resolved to indices, conditions and mappings
// to programs. It is immutable and safe for concurrent use.
type Plan struct {
	Graph  *Graph
	Locked *Locked // what was compiled
	Type   string  // sequential, branching, parallel or cyclic
	Nodes  []PlanNode
	Edges  []PlanEdge
	Start  int                 // index into Nodes
	Output []int               // indices into Nodes
	State  map[string]*PlanKey // declared keys, nil when the document declares none
	Levels []int               // a topological level of each node, back edges ignored
}

// PlanKey is one declared key of the state.
type PlanKey struct {
	Schema  *Schema
	Initial []byte // nil when the key has no value at the start
	Reduce  Reducer
}

// PlanNode is one node of a plan.
type PlanNode struct {
	Spec    *Node
	Type    run.NodeType // filled from the lock, native, graph or wait
	In, Out []int        // indices into Edges, in document order
	Join    Join
	Wait    *PlanWait // of a node that waits for a person, else nil
	Nested  *Plan     // of a node that is a graph, else nil
	Input   *Program  // nil takes the incoming data as it is
	Items   *Program  // list of a foreach, nil outside of one
	Key     *Program  // of the cache, nil for the whole input
	Idem    *Program  // idempotency key, nil when none is given
	Content [32]byte  // sha256 of what the output depends on besides the input: module, config, assets, grants
	Reads   []int     // nodes whose output the programs name, indices into Nodes
}

// PlanEdge is one edge of a plan.
type PlanEdge struct {
	From, To  int
	When      *Program // nil when unconditional
	Otherwise bool
	OnError   []fault.Kind
	Back      bool // closes a cycle
}

// Scope is what conditions and mappings see. A nil field reads as null.
type Scope struct {
	Input  []byte                   // of the run
	Output []byte                   // of the edge's source, or the incoming data of a mapping
	Nodes  func(name string) []byte // last output of a node, nil when it did not run
	State  run.State                // may be nil
	Info   *run.Info                // may be nil
	Item   []byte                   // of a foreach
	Index  int                      // of Item in its list
}
