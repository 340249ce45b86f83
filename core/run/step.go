package run

import "time"

// State is the shared state of one run. Methods are safe for concurrent use.
type State interface {
	// Get returns the JSON value of key, or false. The bytes must not be changed.
	Get(key string) ([]byte, bool)
	// Set stores a JSON value. It fails when the value is not JSON or too large.
	Set(key string, value []byte) error
}

// Step is one execution of a node, handed to whatever runs the node. The runner
// may keep nothing of it after it returned.
type Step struct {
	Info    *Info
	Node    string // name of the node in the graph; outer/inner in a nested graph
	Seq     int    // position in the run, from 0; the items of a foreach share it, all else is unique
	Visit   int    // how often this node ran before in this run, or in this run of a nested graph
	Item    int    // 1 + the index of the foreach item the step works on, 0 outside of one
	Attempt int    // 0 for the first try, 1 for the first retry
	Input   []byte // JSON; must not be changed
	State   State
	Trail   *Trail // what the node reports besides its output

	// IdempotencyKey is the same for every attempt of a step whose document gives
	// one, and empty otherwise. A node that changes the world hands it on.
	IdempotencyKey string
}

// NodeType identifies what a node runs.
type NodeType struct {
	Name    string // name of the node type, or native
	Version string // semantic version, empty for native
	Digest  string // sha256 of the module as hex, empty for native
}

// Phase says which transition an Observation tells of.
type Phase uint8

// The phases, in the order in which a run passes them.
const (
	RunStarted Phase = iota
	StepFinished
	StepRetried
	RunFinished
)

// Observation is one transition of a run. It and all it points to are valid
// only during the call that delivers it.
type Observation struct {
	Phase      Phase
	Info       *Info
	Start, End time.Time // of the step or run; End is zero when it only starts
	Err        error     // nil for success; a fault names its kind
	Input      []byte    // of the step or run
	Output     []byte    // of the step or run, nil when it failed

	// Fields of a step.
	Node     string // outer/inner for a step of a nested graph
	Type     NodeType
	Seq      int
	After    int // Seq of the step whose end made this one ready, -1 for the start
	Parent   int // 1 + Seq of the step whose nested graph this one belongs to, 0 at the top
	Item     int // 1 + index of the foreach item the step works on, 0 outside of one
	Visit    int
	Retries  int           // attempts beyond the first so far
	Wait     time.Duration // from being ready to being started
	Trail    *Trail        // nil when nothing was left
	CacheHit bool
}
