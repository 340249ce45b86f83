// Package otel turns Spark's records into OTLP requests and back.
//
// Requests is the way out: a trace becomes a root span for the run, a span per
// step and per model call, span events for what happened in them, delta metrics
// and log records. Read is the way in, for whoever receives OTLP. A trace request
// alone carries everything of a run, so a trace that went out and came in again is
// the same record; metric and log requests repeat parts of it for systems that
// want them and say so in their scope.
//
// The package opens no connection and keeps no state. The encoding is OTLP 1.x
// in Protocol Buffers; Read takes its JSON form as well.
package otel

import "github.com/sparkrsi/spark/sdk/backend"

// Signal is one of the three kinds of OTLP request.
type Signal uint8

// The signals.
const (
	Traces Signal = iota
	Metrics
	Logs
)

// String returns traces, metrics or logs.
func (s Signal) String() string { return [...]string{"traces", "metrics", "logs"}[s] }

// ParseSignal returns the signal that String names, or false.
func ParseSignal(name string) (Signal, bool) {
	for _, s := range [...]Signal{Traces, Metrics, Logs} {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// Scope is the instrumentation scope of everything that Requests makes.
const Scope = "github.com/sparkrsi/spark"

// Names of the attributes that carry a record's fields. The plain ones are
// Spark's published names, those with the prefix spark. serve Read.
const (
	keyGraph       = "graph_id"
	keyVersion     = "graph_version"
	keyGraphType   = "graph_type"
	keyEnvironment = "environment"
	keyRunKind     = "run_kind"
	keyNode        = "node_name"
	keyNodeType    = "node_type"
	keySuccess     = "success"
	keyErrorType   = "error_type"
	keyError       = "error"
	keyRetries     = "retry_count"
	keyInputSize   = "input_size"
	keyOutputSize  = "output_size"
	keyCacheHit    = "cache_hit"
	keyTokens      = "tokens"
	keyCost        = "cost"

	keyStandardError = "error.type" // OpenTelemetry's name for error_type, repeated on failures

	keyRunID       = "spark.run_id"
	keyVersionID   = "spark.version_id"
	keyStatus      = "spark.status" // where OTLP has no word for it: cancelled
	keyProbability = "spark.probability"
	keyDerive      = "spark.derive"
	keyDropped     = "spark.dropped"
	keyTypeVersion = "spark.type_version"
	keyDigest      = "spark.digest"
	keySeq         = "spark.seq"
	keyAfter       = "spark.after"
	keyWait        = "spark.wait_nano"
	keyEventName   = "spark.event_name"
	keyEventSpan   = "spark.event_span" // of an event whose span is not in the trace
	keyMetricName  = "spark.metric.name"
	keyMetricUnit  = "spark.metric.unit"
	keyMetricAgg   = "spark.metric.aggregation"
	keyMetricNode  = "spark.metric.node"
	keyMetricValue = "spark.metric.value"

	keyRepeats = "spark.repeats_traces" // on a scope: the same is in the trace requests

	escape      = "spark.attr." // before an attribute of the user whose name is taken
	metricEvent = "spark.metric"
)

var reserved = func() map[string]bool {
	m := map[string]bool{}
	for _, k := range []string{keyGraph, keyVersion, keyGraphType, keyEnvironment, keyRunKind, keyNode, keyNodeType, keySuccess,
		keyErrorType, keyError, keyRetries, keyInputSize, keyOutputSize, keyCacheHit, keyTokens, keyCost, keyStandardError} {
		m[k] = true
	}
	return m
}()

// Options change what Requests makes.
type Options struct {
	MaxBytes int  // of one request; 0 means no bound. A single span, event or metric may exceed it.
	Repeats  bool // metrics and logs repeat what trace requests carry as well
}

// Request is the body of one export request. It concerns the traces First to
// First+Traces-1 of those given.
type Request struct {
	Signal        Signal
	Body          []byte // ExportTraceServiceRequest, ExportMetricsServiceRequest or ExportLogsServiceRequest
	First, Traces int
	Records       int // spans, data points or log records in it
}

// Requests returns the requests of one signal for traces, in their order and each
// at most o.MaxBytes long where it can be split: between traces, else between the
// spans or log records of one. The same traces give the same requests. Texts that
// are not UTF-8 are mended, attributes without a name and metric points that are
// no finite number are left out. Traces must have passed Trace.Check. Nothing is
// kept of them; safe for concurrent use.
func Requests(s Signal, traces []*backend.Trace, o Options) []Request {
	var out []Request
	pieces := make([]piece, len(traces))
	for i, t := range traces {
		pieces[i] = piece{Trace: t}
	}
	var add func(first int, p []piece)
	add = func(first int, p []piece) {
		body, n := encode(s, p, o)
		if o.MaxBytes > 0 && len(body) > o.MaxBytes {
			if len(p) > 1 {
				half := len(p) / 2
				add(first, p[:half])
				add(first+half, p[half:])
				return
			}
			if a, b, ok := p[0].halve(s); ok {
				add(first, []piece{a})
				add(first, []piece{b})
				return
			}
		}
		if n > 0 {
			out = append(out, Request{Signal: s, Body: body, First: first, Traces: len(p), Records: n})
		}
	}
	if len(pieces) > 0 {
		add(0, pieces)
	}
	return out
}

func encode(s Signal, p []piece, o Options) ([]byte, int) {
	switch s {
	case Metrics:
		return encodeMetrics(p, o)
	case Logs:
		return encodeLogs(p, o)
	}
	return encodeSpans(p)
}

// piece is a trace, or a part of one. Rest means that the root span is in another
// part.
type piece struct {
	*backend.Trace
	rest bool
}

// halve returns two parts of p, or false when p is one record only.
func (p piece) halve(s Signal) (a, b piece, ok bool) {
	x, y := *p.Trace, *p.Trace
	a, b = piece{&x, p.rest}, piece{&y, true}
	if s == Logs {
		events := p.AllEvents()
		x.Derive, y.Derive = 0, 0
		half := len(events) / 2
		x.Events, y.Events = events[:half], events[half:]
		return a, b, half > 0
	}
	half := len(p.Spans) / 2
	if s == Metrics || len(p.Spans) == 0 || half == 0 && p.rest { // data points are sums over the whole already
		return a, b, false
	}
	x.Spans, y.Spans = p.Spans[:half], p.Spans[half:]
	later := map[backend.SpanID]bool{}
	for i := range y.Spans {
		later[y.Spans[i].ID] = true
	}
	x.Events, y.Events, x.Metrics, y.Metrics = nil, nil, nil, nil
	for _, e := range p.Events {
		if later[e.Span] {
			y.Events = append(y.Events, e)
		} else {
			x.Events = append(x.Events, e)
		}
	}
	for _, m := range p.Metrics {
		if later[m.Span] {
			y.Metrics = append(y.Metrics, m)
		} else {
			x.Metrics = append(x.Metrics, m)
		}
	}
	return a, b, true
}

// rootOf returns the id of the span of the run: RootSpan, or one made of the run
// id where that is zero, as OTLP knows no span without an id.
func rootOf(t *backend.Trace) backend.SpanID {
	if t.RootSpan != (backend.SpanID{}) {
		return t.RootSpan
	}
	id := backend.SpanID(t.RunID[8:])
	id[7] |= 1
	return id
}
