package otel

import (
	"encoding/hex"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/sparkrsi/spark/sdk/backend"
)

func (r *reader) spans(data *tracepb.TracesData) {
	for _, rs := range data.GetResourceSpans() {
		r.enter(rs.GetResource())
		roots := map[*backend.Trace]bool{}
		from := len(r.got.Batch.Traces)
		for _, ss := range rs.GetScopeSpans() {
			name := ss.GetScope().GetName()
			for _, s := range ss.GetSpans() {
				r.span(name, s, roots)
			}
		}
		for _, t := range r.got.Batch.Traces[from:] {
			if !roots[t] {
				r.foreign(t)
			}
		}
	}
}

// span puts one span where it belongs; roots are the traces whose root was seen.
func (r *reader) span(scope string, s *tracepb.Span, roots map[*backend.Trace]bool) {
	var id, parent backend.SpanID
	var key groupKey
	if !fixed(key.trace[:], s.GetTraceId()) || !fixed(id[:], s.GetSpanId()) {
		r.reject("span %q: its trace id or span id is missing or of a wrong length", s.GetName())
		return
	}
	if len(s.GetParentSpanId()) > 0 && !fixed(parent[:], s.GetParentSpanId()) && parent != (backend.SpanID{}) {
		r.reject("span %q: its parent's id is of a wrong length", s.GetName())
		return
	}
	f := &fields{s.GetAttributes()}
	spark := false
	if scope == Scope {
		if b, err := hex.DecodeString(f.str(keyRunID)); err == nil && fixed(key.run[:], b) {
			spark = true
		}
	}
	start, end := nanos(s.GetStartTimeUnixNano()), nanos(s.GetEndTimeUnixNano())
	if !spark {
		key.run = key.trace
		t := r.trace(key)
		cover(t, start, max(start, end))
		if p, ok := probability(s.GetTraceState()); ok && len(t.Spans) == 0 {
			t.Probability = p
		}
		t.Spans = append(t.Spans, backend.Span{ID: id, Parent: parent, Node: s.GetName(), NodeType: scope, Kind: uint8(s.GetKind()),
			Start: start, End: max(start, end), Status: outcome(s, ""), Error: s.GetStatus().GetMessage(), Seq: -1, After: -1, Attrs: f.rest()})
		happened(t, s, id)
		return
	}
	if f.has(keySeq) {
		t := r.trace(key)
		if !roots[t] {
			cover(t, start, max(start, end)) // until the root sets its times
		}
		t.Spans = append(t.Spans, step(s, f, id, parent, start, end))
		happened(t, s, id)
		return
	}
	if t := r.index[key]; roots[t] {
		r.reject("span %q: a second root of its run", s.GetName())
		return
	}
	t := r.trace(key)
	roots[t] = true
	t.Start, t.End, t.RootSpan, t.ParentSpan = start, end, id, parent
	root(t, s, f)
	happened(t, s, backend.SpanID{})
}

func root(t *backend.Trace, s *tracepb.Span, f *fields) {
	t.Graph, t.Version, t.VersionID = f.str(keyGraph), f.str(keyVersion), f.str(keyVersionID)
	t.GraphType, t.Environment, t.RunKind = f.str(keyGraphType), f.str(keyEnvironment), f.str(keyRunKind)
	if f.has(keyProbability) {
		t.Probability = f.float(keyProbability)
	}
	t.Derive = backend.Derive(f.int(keyDerive))
	t.Dropped = int(f.int(keyDropped))
	t.Status, t.ErrorType, t.Error = ending(s, f)
	t.Attrs = f.rest()
}

func step(s *tracepb.Span, f *fields, id, parent backend.SpanID, start, end int64) backend.Span {
	f.take(keyGraph)
	f.take(keyVersion)
	x := backend.Span{ID: id, Parent: parent, Node: f.str(keyNode), NodeType: f.str(keyNodeType), TypeVersion: f.str(keyTypeVersion),
		Digest: f.str(keyDigest), Kind: uint8(s.GetKind()), Start: start, End: end,
		Seq: int(f.int(keySeq)), After: int(f.int(keyAfter)), Retries: int(f.int(keyRetries)), Wait: f.int(keyWait),
		InputSize: int(f.int(keyInputSize)), OutputSize: int(f.int(keyOutputSize)), CacheHit: f.bool(keyCacheHit),
		Tokens: f.int(keyTokens), Cost: f.float(keyCost)}
	x.Status, x.ErrorType, x.Error = ending(s, f)
	x.Attrs = f.rest()
	return x
}

// ending undoes attrs.outcome and message.status.
func ending(s *tracepb.Span, f *fields) (backend.Status, string, string) {
	f.take(keySuccess)
	f.take(keyStandardError)
	status := outcome(s, f.str(keyStatus))
	text := f.str(keyError)
	if status == backend.Failed {
		text = s.GetStatus().GetMessage()
	}
	return status, f.str(keyErrorType), text
}

func outcome(s *tracepb.Span, word string) backend.Status {
	switch s.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		return backend.OK
	case tracepb.Status_STATUS_CODE_ERROR:
		return backend.Failed
	}
	if word == backend.Cancelled.String() {
		return backend.Cancelled
	}
	return backend.Unset
}

// happened adds the span events of s to t; span is zero for the root.
func happened(t *backend.Trace, s *tracepb.Span, span backend.SpanID) {
	for _, e := range s.GetEvents() {
		f := &fields{e.GetAttributes()}
		at, id := nanos(e.GetTimeUnixNano()), span
		if v := f.str(keyEventSpan); v != "" {
			if b, err := hex.DecodeString(v); err == nil {
				fixed(id[:], b)
			}
		}
		if e.GetName() == metricEvent && f.has(keyMetricName) {
			t.Metrics = append(t.Metrics, backend.Metric{Name: f.str(keyMetricName), Unit: f.str(keyMetricUnit), Agg: f.str(keyMetricAgg),
				Node: f.str(keyMetricNode), Value: f.float(keyMetricValue), Span: id, Time: at, Attrs: f.rest()})
			continue
		}
		t.Events = append(t.Events, backend.Event{Type: e.GetName(), Name: f.str(keyEventName), Span: id, Time: at, Attrs: f.rest()})
	}
}

// foreign finishes a trace without a root of Spark's: its outcome, and who called
// it, are those of the first span whose parent is not here.
func (r *reader) foreign(t *backend.Trace) {
	here := make(map[backend.SpanID]bool, len(t.Spans))
	for i := range t.Spans {
		here[t.Spans[i].ID] = true
	}
	for i := range t.Spans {
		if s := &t.Spans[i]; !here[s.Parent] {
			t.Status, t.ErrorType, t.Error, t.ParentSpan = s.Status, s.ErrorType, s.Error, s.Parent
			return
		}
	}
}
