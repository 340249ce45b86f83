// Package backend is the contract of a telemetry backend: the records Spark
// writes, the queries it asks, and how a backend is served as a plugin process.
//
// The data model is OpenTelemetry's: a trace per run, a span per step, events
// and metric points tied to them. An author implements Writer, and Querier and
// Retention where the backend can; Serve makes a plugin of it.
package backend

import (
	"context"
	"iter"
	"time"
)

// ID is a 16-byte trace, run or batch id.
type ID [16]byte

// SpanID is an 8-byte span id.
type SpanID [8]byte

// Kind is the type of an attribute value.
type Kind uint8

// The kinds of value.
const (
	KindString Kind = iota
	KindInt
	KindFloat
	KindBool
)

// Attr is one named value. Num holds ints, bools (0, 1) and the bits of floats.
type Attr struct {
	Key  string
	Kind Kind
	Num  uint64
	Str  string
}

// Status is the outcome of a trace or span.
type Status uint8

// The outcomes.
const (
	Unset Status = iota
	OK
	Failed
	Cancelled
)

// Trace is one run with everything recorded of it. Times are Unix nanoseconds.
type Trace struct {
	TraceID, RunID   ID
	ParentSpan       SpanID // of the caller, zero when there is none
	RootSpan         SpanID
	Graph, Version   string // graph_id and graph_version; empty is unattributed
	VersionID        string
	GraphType        string
	Environment      string
	RunKind          string // production, experiment, shadow, replay
	Start, End       int64
	Status           Status
	ErrorType, Error string
	Probability      float64 // with which this trace was kept, in (0,1]
	Derive           Derive  // what readers derive from the spans; see AllEvents and AllMetrics
	Resource         []Attr  // of the process that ran it: service.name, host.name, ...
	Attrs            []Attr
	Spans            []Span
	Events           []Event
	Metrics          []Metric
	Dropped          int // spans, events and metrics beyond a limit
}

// Derive says which records of a trace are not stored because its spans imply them.
type Derive uint8

// The flags of Derive.
const (
	DeriveEvents  Derive = 1 << iota // graph_started ... node_failed
	DeriveMetrics                    // node.duration ... graph.cost
)

// Span is one step, or one model call of a step. Node is the node's name in the
// graph. What happens within a step has Seq -1, the step as Parent and its Seq as
// After: a model call, a client span of type model whose Tokens and Cost the
// step's include, and a span that the node's own code opened, of type span with
// its name in the attribute span.name.
type Span struct {
	ID, Parent       SpanID
	Node, NodeType   string
	TypeVersion      string
	Digest           string
	Kind             uint8 // OpenTelemetry span kind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer
	Start, End       int64
	Status           Status
	ErrorType, Error string
	Seq, After       int // After is the Seq of the enabling step, -1 at the start
	Retries          int
	Wait             int64 // nanoseconds between ready and started
	InputSize        int
	OutputSize       int
	CacheHit         bool
	Tokens           int64
	Cost             float64
	Attrs            []Attr
}

// Event is one happening. Span is zero for an event of the run.
type Event struct {
	Type, Name string
	Span       SpanID
	Time       int64
	Attrs      []Attr
}

// Metric is one point. Agg is counter, gauge or histogram.
type Metric struct {
	Name, Unit, Agg string
	Node            string // empty for a metric of the run
	Span            SpanID
	Time            int64
	Value           float64
	Attrs           []Attr
}

// Sketch is the state of one cumulative row of statistics; see core/telemetry.
// The row with the highest Seq of an (Epoch, Graph, Version, Hour, Node) counts.
type Sketch struct {
	Epoch          ID // of the host that wrote it
	Graph, Version string
	VersionID      string
	Hour           int64  // Unix hours
	Node           string // empty for the whole run
	Seq            uint64
	Data           []byte
}

// Batch is what is written at once. ID makes writing it twice harmless.
type Batch struct {
	ID       ID
	Traces   []*Trace
	Sketches []Sketch
}

// Quarantined is one trace that a backend could not store.
type Quarantined struct {
	Index  int    `json:"index"`  // in Batch.Traces
	Record string `json:"record"` // such as trace 4bf9...
	Reason string `json:"reason"`
}

// Writer stores records. Write returns once the batch is as durable as the
// backend makes it. A batch id that was stored before is accepted and ignored.
// One bad record must not cost the others: it is returned as quarantined. An
// error means that nothing of the batch counts as stored and the caller may send
// it again. Write is called by one goroutine at a time and keeps no slice or
// pointer of b: the caller reuses its memory (strings may be kept).
//
// Flush returns once everything written survives the loss of power, if the
// backend is persistent at all. Close flushes and releases everything.
type Writer interface {
	Write(ctx context.Context, b *Batch) ([]Quarantined, error)
	Flush(ctx context.Context) error
	Close(ctx context.Context) error
}

// Querier answers questions about what was written. Sequences end after the
// first error; what they yield belongs to the caller. Safe for concurrent use,
// also beside Write.
type Querier interface {
	Traces(ctx context.Context, f Filter) iter.Seq2[*Trace, error] // with spans, events and metrics
	Sketches(ctx context.Context, f Filter) iter.Seq2[*Sketch, error]
	Aggregate(ctx context.Context, f Filter) (*Aggregate, error)
	Count(ctx context.Context) (Counts, error)
}

// Retention removes old records.
type Retention interface {
	// Prune removes what ended before t and returns how many traces that were.
	Prune(ctx context.Context, t time.Time) (int64, error)
}

// Counts is how much a backend holds.
type Counts struct {
	Traces       int64 `json:"traces"`
	Spans        int64 `json:"spans"`
	Events       int64 `json:"events"`
	Metrics      int64 `json:"metrics"`
	Sketches     int64 `json:"sketches"`
	Unattributed int64 `json:"unattributed"`
	Bytes        int64 `json:"bytes"`
}

// Aggregate is what analysis needs of the traces a filter selects, weighted by
// 1/probability. Durations are seconds.
type Aggregate struct {
	Runs         Stats                 `json:"runs"`
	Cancelled    float64               `json:"cancelled,omitempty"` // runs given up by their caller; in no other figure
	Nodes        map[string]*Stats     `json:"nodes"`
	Failures     []Failure             `json:"failures,omitempty"`
	Metrics      map[string]MetricStat `json:"metrics,omitempty"` // per run: counters summed, gauges last, histograms averaged
	First        time.Time             `json:"first,omitzero"`    // start of the first run
	Last         time.Time             `json:"last,omitzero"`     // start of the last run
	Unattributed int64                 `json:"unattributed,omitempty"`
}

// Stats summarises runs or the steps of a node. Counts are weighted, Recorded
// is how many records they rest on.
type Stats struct {
	Recorded  int64   `json:"recorded"`
	Count     float64 `json:"count"`
	Failures  float64 `json:"failures"`
	Mean      float64 `json:"mean_seconds"`
	P50       float64 `json:"p50_seconds"`
	P95       float64 `json:"p95_seconds"`
	P99       float64 `json:"p99_seconds"`
	Max       float64 `json:"max_seconds"`
	Retries   float64 `json:"retries"`
	CacheHits float64 `json:"cache_hits"`
	Tokens    float64 `json:"tokens"`
	Cost      float64 `json:"cost_usd"`
	SelfBlame float64 `json:"critical_share"` // share of the runs' time this node lay on the critical path
}

// Failure is one failure pattern.
type Failure struct {
	Node      string   `json:"node"`
	ErrorType string   `json:"error_type"`
	Count     float64  `json:"count"`
	Samples   []string `json:"samples,omitempty"` // at most 3 messages
	Traces    []string `json:"traces,omitempty"`  // at most 3 trace ids
}

// MetricStat summarises one metric over runs.
type MetricStat struct {
	Runs float64 `json:"runs"`
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
	Agg  string  `json:"aggregation"`
	Unit string  `json:"unit,omitempty"`
}
