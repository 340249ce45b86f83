package backend

import (
	"strings"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Filter selects traces or, with Of, traces that hold at least one span, event or
// metric point it selects; which of them those are Match tells. Zero fields select
// all, several fields select what all of them do.
//
// Graph, Version, RunKind and TraceID always speak of the run. The others speak of
// what Of names: a trace is called by its graph, a span by its node (a span that
// code opened by the name it got there), an event and a metric by their own name.
// From and To are about the start of a trace or span and the time of an event or
// point; a run that has the record must overlap them, too.
//
// Traces come in the order in which they arrived unless Sort says otherwise;
// Limit and Offset follow that order and count traces. Sketches know Graph,
// Version, Node, From, To, Newest, Limit and Offset; an Aggregate is of the traces
// selected.
type Filter struct {
	Of        string    `json:"of,omitempty"` // traces (the default), spans, events or metrics
	Graph     string    `json:"graph,omitempty"`
	Version   string    `json:"version,omitempty"`
	RunKind   string    `json:"run_kind,omitempty"`
	TraceID   string    `json:"trace_id,omitempty"`    // 32 hex digits; also matches the run id
	Name      string    `json:"name,omitempty"`        // exactly
	Like      string    `json:"like,omitempty"`        // a pattern of the name; see Glob
	Type      string    `json:"type,omitempty"`        // of an event; node type of a span
	Kind      string    `json:"kind,omitempty"`        // of a span: internal, server, client, producer, consumer
	Agg       string    `json:"aggregation,omitempty"` // of a metric: counter, gauge, histogram
	Status    string    `json:"status,omitempty"`      // of a trace or span: ok, error, cancelled, unset
	Node      string    `json:"node,omitempty"`        // traces with a span or metric of this node; records of it
	SpanID    string    `json:"span_id,omitempty"`     // 16 hex digits, of a span, event or metric
	ParentID  string    `json:"parent_id,omitempty"`   // 16 hex digits, of a span
	Attrs     []Cond    `json:"attrs,omitempty"`       // at most 32
	From      time.Time `json:"from,omitzero"`         // inclusive
	To        time.Time `json:"to,omitzero"`           // exclusive
	MinMillis float64   `json:"min_millis,omitempty"`  // traces or spans at least this long
	MaxMillis float64   `json:"max_millis,omitempty"`  // traces or spans at most this long; 0 is any
	Sort      string    `json:"sort,omitempty"`        // start, duration or cost, smallest first; with a leading - the whole order is turned
	Newest    bool      `json:"newest,omitempty"`      // the order of arrival turned; not beside Sort
	Limit     int       `json:"limit,omitempty"`       // 0 is all
	Offset    int       `json:"offset,omitempty"`
}

// What Filter.Of may name.
const (
	OfTraces  = "traces"
	OfSpans   = "spans"
	OfEvents  = "events"
	OfMetrics = "metrics"
)

// Bounds of a Filter; what lies beyond is an Invalid fault.
const (
	maxConds   = 32
	maxPattern = 1024    // bytes
	maxRows    = 1 << 40 // of Limit and Offset
)

// Cond is a condition on an attribute. The kind of the attribute decides how Value
// is read: a text equals it byte by byte, a bool as true or false, a number as a
// number (3, 3.0 and 3e0 are equal). <, <=, > and >= compare numbers and select
// no text. Of several attributes with one key in one list the last counts.
//
// A record has its own attributes and those that the resource, the custom
// attributes and its own fields give it: graph_id, graph_version, version_id,
// graph_type, environment and run_kind everywhere; success (with a status ok or
// error) and error_type of traces and spans; node_name, node_type and retry_count
// of spans; node_name of events and metrics. One that satisfies the condition is
// enough.
type Cond struct {
	Key   string `json:"key"`
	Op    string `json:"op"` // =, <, <=, > or >=
	Value string `json:"value"`
}

// String returns what ParseCond reads.
func (c Cond) String() string { return c.Key + c.Op + c.Value }

// ParseCond reads KEY=VALUE, KEY<VALUE, KEY<=VALUE, KEY>VALUE or KEY>=VALUE, split at
// the first of these signs. An Invalid fault when there is none.
func ParseCond(s string) (Cond, error) {
	i := strings.IndexAny(s, "=<>")
	if i < 1 {
		return Cond{}, fault.New(fault.Invalid, "attrs", "%q is no condition", s).WithHint("write KEY=VALUE, or KEY>NUMBER, likewise >=, <, <=")
	}
	n := 1
	if s[i] != '=' && strings.HasPrefix(s[i+1:], "=") {
		n = 2
	}
	c := Cond{Key: s[:i], Op: s[i : i+n], Value: s[i+n:]}
	_, err := c.compile()
	return c, err
}

// extended returns the JSON name of a field of f that a backend without the
// capability filters does not know, "" when there is none.
func (f *Filter) extended() string {
	for _, x := range [...]struct {
		on   bool
		name string
	}{
		{f.Of != "" && f.Of != OfTraces, "of"}, {f.Name != "", "name"}, {f.Like != "", "like"}, {f.Type != "", "type"}, {f.Kind != "", "kind"},
		{f.Agg != "", "aggregation"}, {f.SpanID != "", "span_id"}, {f.ParentID != "", "parent_id"}, {len(f.Attrs) > 0, "attrs"},
		{f.MaxMillis != 0, "max_millis"}, {f.Sort != "", "sort"},
	} {
		if x.on {
			return x.name
		}
	}
	return ""
}
