package rsi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Telemetry answers what analysis asks of the backend that a graph writes to.
type Telemetry interface {
	// Source describes the backend that graph writes to. NotFound when there is
	// no such graph; Invalid when its telemetry is off.
	Source(ctx context.Context, graph string) (Source, error)
	// Flush returns once every record of runs that ended before the call can be
	// queried.
	Flush(ctx context.Context, graph string) error
	// Aggregate summarises the traces that f selects; f.Graph is always set.
	Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error)
}

// Source is what a telemetry backend can do.
type Source struct {
	Backend    string // name for messages, such as sqlite
	Persistent bool   // keeps records over a restart
	Queryable  bool   // answers queries
}

// Lab runs graphs as experiments: the run kind is run.Experiment, no experiment
// run is sampled out, and effects of the outside world are the host's to refuse.
type Lab interface {
	// Prepare makes g runnable. A node whose module reference is the same in
	// base keeps base's lock, so that preparing base.Graph gives exactly base;
	// other references are resolved anew. Many arms are opened and closed in a
	// cycle, up to Config.OpenArms at a time and most of them differing in
	// configuration only, so this should share compiled modules and idle
	// instances. Invalid, NotFound, Conflict and Denied faults mean that g is at
	// fault and cost g its place; any other error ends the cycle.
	Prepare(ctx context.Context, base *graph.Locked, g *graph.Graph) (Arm, error)
}

// Arm is one runnable version in an experiment. Run is called by one goroutine
// at a time.
type Arm interface {
	// Locked is what runs: the version that a release would activate.
	Locked() *graph.Locked
	// Run executes one input under the policy's limits. A run that fails is an
	// Outcome with Err set; the error says that the run could not take place
	// (cancelled, host failure) and ends the cycle.
	Run(ctx context.Context, input []byte) (Outcome, error)
	Close()
}

// Outcome is what one experiment run gave.
type Outcome struct {
	Output  []byte        // JSON, nil when Err is set
	Latency time.Duration // wall time of the run, without queueing for the host
	Usage   run.Usage
	Err     error // the run's failure; nil for success
	Metrics map[string]Metric
}

// Metric is one metric of a run: counters summed, gauges last, histograms
// averaged. Nodes are the names of the nodes that emitted it.
type Metric struct {
	Value float64
	Nodes []string
}

// Scorer grades an output. It is no part of any version.
type Scorer interface {
	// Name appears in messages, such as mrr.
	Name() string
	// Score returns a score in [0,1] and a remark, which may be empty. expected
	// is nil when the example has none.
	Score(ctx context.Context, input, expected, output []byte) (score float64, comment string, err error)
}

// Catalog knows the manifests of modules.
type Catalog interface {
	// NodeType returns the manifest entry of the node type that l pins.
	NodeType(ctx context.Context, l graph.Lock) (*abi.NodeType, error)
}

// Releaser makes a candidate the active version.
type Releaser interface {
	// Release stores the candidate as a version whose parent is r.Base and rolls
	// it out by r.Strategy. Conflict when the active version is no longer r.Base;
	// then nothing has changed.
	Release(ctx context.Context, r Release) (Released, error)
}

// Release is what is asked of a Releaser.
type Release struct {
	Graph    string // name
	Base     string // id of the version that the cycle started from
	Version  *graph.Locked
	Label    string // of the new version, also in Version.Graph.Version
	Strategy string // of the policy, empty for direct
	Author   string // hypothesis:ID
	Evidence json.RawMessage
}

// Released is a version that Release made active.
type Released struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

// Record is one entry of the ledger.
type Record struct {
	Kind  string          `json:"kind"` // one of the Kind constants
	ID    string          `json:"id"`   // unique within its kind
	Graph string          `json:"graph"`
	Time  time.Time       `json:"time"` // set by the ledger
	Body  json.RawMessage `json:"body"`
}

// The kinds of record and the types of their bodies.
const (
	KindHypothesis = "hypothesis" // Hypothesis
	KindExperiment = "experiment" // Evidence, with every pair
	KindRelease    = "release"    // Promotion: released, waiting for a person, or refused
	KindExperience = "experience" // Experience
	KindCycle      = "cycle"      // Report
)

// Ledger keeps what cycles did, for ever. Append is durable when it returns;
// List is in the order of appending.
type Ledger interface {
	Append(ctx context.Context, r Record) error
	List(ctx context.Context, kind, graph string) ([]Record, error)
}
