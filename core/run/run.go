// Package run holds the nouns of one execution that several parts of Spark
// share: ids, the kind of a run, and what a step leaves behind (attributes,
// metrics, events, model usage). It does no I/O and knows no policy.
package run

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// ID is the 16-byte identity of a run. It is random except that it is never
// all zero. Its text form is 32 lower-case hex digits.
type ID [16]byte

// NewID returns a fresh random id. Safe for concurrent use.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	return id
}

// ParseID returns the id written as 32 hex digits, or an Invalid fault.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 32 {
		return id, fault.New(fault.Invalid, "run", "run id %q has %d characters, want 32 hex digits", s, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil || id == (ID{}) {
		return ID{}, fault.New(fault.Invalid, "run", "run id %q is not 32 hex digits", s)
	}
	return id, nil
}

// String returns the id as 32 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Kind says why a run happens. Analysis and sketches count Production only.
type Kind string

// The kinds of run.
const (
	Production Kind = "production"
	Experiment Kind = "experiment"
	Shadow     Kind = "shadow"
	Replay     Kind = "replay"
)

// Info identifies a run to everything that serves it. It is written once before
// the run starts and only read after that.
type Info struct {
	ID           ID
	TraceID      ID      // inherited from the caller or equal to ID
	ParentSpan   [8]byte // the caller's span, zero when there is none
	Graph        string  // graph name: graph_id of telemetry
	Version      string  // label of the version: graph_version
	VersionID    string  // digest of the version
	GraphType    string  // sequential, branching, parallel, cyclic
	Kind         Kind
	Started      time.Time
	TelemetryOff bool // true for graphs whose telemetry profile is off
	Propagate    bool // requests of steps to other services carry the trace, as W3C traceparent
}

// ValueKind says which field of a Value is set.
type ValueKind uint8

// The kinds of attribute value.
const (
	StringValue ValueKind = iota
	IntValue
	FloatValue
	BoolValue
)

// Value is an attribute value without allocation: Str for strings, Num for
// ints and bools (0, 1) and for the bits of a float (math.Float64bits).
type Value struct {
	Kind ValueKind
	Num  uint64
	Str  string
}

// Attr is one named value.
type Attr struct {
	Key   string
	Value Value
}

// Aggregation says how the points of one metric combine within a run.
type Aggregation string

// The aggregations: counters are summed, gauges keep the last point, histograms
// are averaged.
const (
	Counter   Aggregation = "counter"
	Gauge     Aggregation = "gauge"
	Histogram Aggregation = "histogram"
)

// Metric is one point recorded during a step or a run.
type Metric struct {
	Name  string
	Value float64
	Unit  string
	Agg   Aggregation
	Time  time.Time
	Attrs []Attr
}

// Event is one happening during a step or a run.
type Event struct {
	Type  string // node_retry, llm_api_call or any custom type
	Name  string
	Time  time.Time
	Attrs []Attr
}

// Usage is what model calls cost. Tokens are counts, Cost is in US dollars.
type Usage struct {
	Calls        int
	InputTokens  int64
	OutputTokens int64
	Cost         float64
}

// Add adds o to u.
func (u *Usage) Add(o Usage) {
	u.Calls += o.Calls
	u.InputTokens += o.InputTokens
	u.OutputTokens += o.OutputTokens
	u.Cost += o.Cost
}

// ModelCall is one finished call to a model, made by a step.
type ModelCall struct {
	Provider, Model string
	Start, End      time.Time
	Usage           Usage
	Cached          bool
	Err             error // nil when the model answered
}

// Trail is what a step left behind besides its output. The step's runner owns
// it until the step returns; after that it belongs to the run.
type Trail struct {
	Attrs   []Attr
	Metrics []Metric
	Events  []Event
	Calls   []ModelCall
	Logs    []Log
}

// Log is one line written by a node.
type Log struct {
	Level string // debug, info, warn, error
	Msg   string
	Time  time.Time
}

// Reset empties t and keeps its memory.
func (t *Trail) Reset() {
	clear(t.Attrs)
	clear(t.Metrics)
	clear(t.Events)
	clear(t.Calls)
	clear(t.Logs)
	t.Attrs, t.Metrics, t.Events = t.Attrs[:0], t.Metrics[:0], t.Events[:0]
	t.Calls, t.Logs = t.Calls[:0], t.Logs[:0]
}

// Usage returns the sum over all model calls of the trail.
func (t *Trail) Usage() Usage {
	var u Usage
	for i := range t.Calls {
		u.Add(t.Calls[i].Usage)
	}
	return u
}
