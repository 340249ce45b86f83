// Package batchjson writes a batch of telemetry as JSON and reads it back: the
// input and output of a collector graph, whose nodes may filter, redact or add up
// what a host recorded before it reaches a backend.
//
// Encode makes the input, Decode takes the output, Through does both around a
// backend. The document:
//
//	{"batch": "32 hex digits",                 // Decode: may be left out
//	 "traces": [{
//	    "trace_id": "32 hex", "run_id": "32 hex", "parent_span": "16 hex", "root_span": "16 hex",
//	    "graph_id": "docsearch", "graph_version": "1.0.0", "version_id": "sha256:...",
//	    "graph_type": "sequential", "environment": "prod", "run_kind": "production",
//	    "start_unix_nano": "1772366400000000000", "duration_nano": 1500000,
//	    "status": "ok",                        // ok, error, cancelled, unset
//	    "error_type": "timeout", "error": "no answer within 2s",
//	    "probability": 1, "derive": ["events", "metrics"], "dropped": 0,
//	    "resource": {"service.name": "spark"}, "attributes": {"team": "search"},
//	    "spans": [{
//	       "span_id": "16 hex", "parent_span": "16 hex", "node_name": "retrieve", "node_type": "bm25",
//	       "type_version": "1.2.0", "digest": "sha256:...", "kind": 1,
//	       "start_unix_nano": "1772366400000000000", "duration_nano": 700000,
//	       "status": "ok", "error_type": "", "error": "", "seq": 0, "after": -1, "retry_count": 0,
//	       "wait_nano": 0, "input_size": 12, "output_size": 34, "cache_hit": false,
//	       "tokens": 0, "cost": 0, "attributes": {}}],
//	    "events": [{"type": "node_retry", "name": "retrieve", "span_id": "16 hex", "time_unix_nano": "...", "attributes": {}}],
//	    "metrics": [{"name": "quality", "unit": "1", "aggregation": "gauge", "node_name": "answer",
//	       "span_id": "16 hex", "time_unix_nano": "...", "value": 0.9, "attributes": {}}]}],
//	 "sketches": [{"epoch": "32 hex", "graph_id": "docsearch", "graph_version": "1.0.0", "version_id": "...",
//	    "hour": 492324, "node_name": "", "seq": "12", "data": "base64"}]}
//
// Fields with their zero value are left out by Encode and may be by whoever
// writes one, except that the ids of a trace must be there. Times are text, as
// their digits exceed what a double holds; durations are whole numbers of
// nanoseconds. An attribute is a text, a boolean or a number: without a point or
// exponent an int, else a float. NaN and the infinities are {"float": "NaN"},
// {"float": "Infinity"} and {"float": "-Infinity"} as attributes and the bare texts
// elsewhere. Texts that are not UTF-8 are mended; of attributes with one name the
// first is kept. Derive says which events and metrics are not listed because
// readers derive them from the spans: a node that removes spans removes those too.
//
// Decode is strict: unknown, repeated or differently spelled keys, wrong types and
// ids of a wrong length are faults. What the values mean is the backend's to judge
// (backend.Trace.Check).
package batchjson

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

type batch struct {
	Batch    id       `json:"batch,omitzero"`
	Traces   []trace  `json:"traces"`
	Sketches []sketch `json:"sketches,omitempty"`
}

type trace struct {
	TraceID     id       `json:"trace_id"`
	RunID       id       `json:"run_id"`
	ParentSpan  spanID   `json:"parent_span,omitzero"`
	RootSpan    spanID   `json:"root_span,omitzero"`
	Graph       text     `json:"graph_id,omitzero"`
	Version     text     `json:"graph_version,omitzero"`
	VersionID   text     `json:"version_id,omitzero"`
	GraphType   text     `json:"graph_type,omitzero"`
	Environment text     `json:"environment,omitzero"`
	RunKind     text     `json:"run_kind,omitzero"`
	Start       nanos    `json:"start_unix_nano"`
	Duration    int64    `json:"duration_nano"`
	Status      status   `json:"status,omitzero"`
	ErrorType   text     `json:"error_type,omitzero"`
	Error       text     `json:"error,omitzero"`
	Probability float    `json:"probability"`
	Derive      derive   `json:"derive,omitzero"`
	Dropped     int      `json:"dropped,omitzero"`
	Resource    attrs    `json:"resource,omitzero"`
	Attrs       attrs    `json:"attributes,omitzero"`
	Spans       []span   `json:"spans,omitempty"`
	Events      []event  `json:"events,omitempty"`
	Metrics     []metric `json:"metrics,omitempty"`
}

type span struct {
	ID          spanID `json:"span_id,omitzero"`
	Parent      spanID `json:"parent_span,omitzero"`
	Node        text   `json:"node_name,omitzero"`
	NodeType    text   `json:"node_type,omitzero"`
	TypeVersion text   `json:"type_version,omitzero"`
	Digest      text   `json:"digest,omitzero"`
	Kind        uint8  `json:"kind,omitzero"`
	Start       nanos  `json:"start_unix_nano"`
	Duration    int64  `json:"duration_nano"`
	Status      status `json:"status,omitzero"`
	ErrorType   text   `json:"error_type,omitzero"`
	Error       text   `json:"error,omitzero"`
	Seq         int    `json:"seq"`
	After       int    `json:"after"`
	Retries     int    `json:"retry_count,omitzero"`
	Wait        int64  `json:"wait_nano,omitzero"`
	InputSize   int    `json:"input_size,omitzero"`
	OutputSize  int    `json:"output_size,omitzero"`
	CacheHit    bool   `json:"cache_hit,omitzero"`
	Tokens      int64  `json:"tokens,omitzero"`
	Cost        float  `json:"cost,omitzero"`
	Attrs       attrs  `json:"attributes,omitzero"`
}

type event struct {
	Type  text   `json:"type,omitzero"`
	Name  text   `json:"name,omitzero"`
	Span  spanID `json:"span_id,omitzero"`
	Time  nanos  `json:"time_unix_nano"`
	Attrs attrs  `json:"attributes,omitzero"`
}

type metric struct {
	Name  text   `json:"name,omitzero"`
	Unit  text   `json:"unit,omitzero"`
	Agg   text   `json:"aggregation,omitzero"`
	Node  text   `json:"node_name,omitzero"`
	Span  spanID `json:"span_id,omitzero"`
	Time  nanos  `json:"time_unix_nano"`
	Value float  `json:"value"`
	Attrs attrs  `json:"attributes,omitzero"`
}

type sketch struct {
	Epoch     id     `json:"epoch"`
	Graph     text   `json:"graph_id,omitzero"`
	Version   text   `json:"graph_version,omitzero"`
	VersionID text   `json:"version_id,omitzero"`
	Hour      int64  `json:"hour"`
	Node      text   `json:"node_name,omitzero"`
	Seq       number `json:"seq"`
	Data      []byte `json:"data,omitempty"`
}

// Encode returns b as a document. An Internal fault when it cannot, which no
// record causes. Safe for concurrent use.
func Encode(b *backend.Batch) ([]byte, error) {
	d := batch{Batch: id(b.ID), Traces: make([]trace, len(b.Traces))}
	for i, t := range b.Traces {
		d.Traces[i] = fromTrace(t)
	}
	for i := range b.Sketches {
		s := &b.Sketches[i]
		d.Sketches = append(d.Sketches, sketch{id(s.Epoch), text(s.Graph), text(s.Version), text(s.VersionID), s.Hour, text(s.Node), number(s.Seq), s.Data})
	}
	out, err := json.Marshal(d)
	return out, fault.Wrap(fault.Internal, "batch", err, "encode")
}

// Decode returns the batch of a document, its ID zero when there was none. An
// Invalid fault, with the place in the document or the value that is wrong, when
// it does not fit. Safe for concurrent use.
func Decode(data []byte) (*backend.Batch, error) {
	var d batch
	if err := plugin.Decode("", data, &d); err != nil {
		return nil, err
	}
	b := &backend.Batch{ID: backend.ID(d.Batch)}
	for i := range d.Traces {
		t := &d.Traces[i]
		for _, x := range [...]struct {
			name string
			id   id
		}{{"trace_id", t.TraceID}, {"run_id", t.RunID}} {
			if x.id == (id{}) {
				return nil, fault.New(fault.Invalid, "traces."+strconv.Itoa(i)+"."+x.name, "missing or zero")
			}
		}
		b.Traces = append(b.Traces, t.record())
	}
	for _, s := range d.Sketches {
		b.Sketches = append(b.Sketches, backend.Sketch{Epoch: backend.ID(s.Epoch), Graph: string(s.Graph), Version: string(s.Version),
			VersionID: string(s.VersionID), Hour: s.Hour, Node: string(s.Node), Seq: uint64(s.Seq), Data: s.Data})
	}
	return b, nil
}

func fromTrace(t *backend.Trace) trace {
	d := trace{TraceID: id(t.TraceID), RunID: id(t.RunID), ParentSpan: spanID(t.ParentSpan), RootSpan: spanID(t.RootSpan),
		Graph: text(t.Graph), Version: text(t.Version), VersionID: text(t.VersionID), GraphType: text(t.GraphType),
		Environment: text(t.Environment), RunKind: text(t.RunKind), Start: nanos(t.Start), Duration: t.End - t.Start,
		Status: status(t.Status), ErrorType: text(t.ErrorType), Error: text(t.Error), Probability: float(t.Probability),
		Derive: derive(t.Derive), Dropped: t.Dropped, Resource: t.Resource, Attrs: t.Attrs}
	for i := range t.Spans {
		s := &t.Spans[i]
		d.Spans = append(d.Spans, span{ID: spanID(s.ID), Parent: spanID(s.Parent), Node: text(s.Node), NodeType: text(s.NodeType),
			TypeVersion: text(s.TypeVersion), Digest: text(s.Digest), Kind: s.Kind, Start: nanos(s.Start), Duration: s.End - s.Start,
			Status: status(s.Status), ErrorType: text(s.ErrorType), Error: text(s.Error), Seq: s.Seq, After: s.After, Retries: s.Retries,
			Wait: s.Wait, InputSize: s.InputSize, OutputSize: s.OutputSize, CacheHit: s.CacheHit, Tokens: s.Tokens, Cost: float(s.Cost), Attrs: s.Attrs})
	}
	for i := range t.Events {
		e := &t.Events[i]
		d.Events = append(d.Events, event{text(e.Type), text(e.Name), spanID(e.Span), nanos(e.Time), e.Attrs})
	}
	for i := range t.Metrics {
		m := &t.Metrics[i]
		d.Metrics = append(d.Metrics, metric{text(m.Name), text(m.Unit), text(m.Agg), text(m.Node), spanID(m.Span), nanos(m.Time), float(m.Value), m.Attrs})
	}
	return d
}

func (d *trace) record() *backend.Trace {
	t := &backend.Trace{TraceID: backend.ID(d.TraceID), RunID: backend.ID(d.RunID), ParentSpan: backend.SpanID(d.ParentSpan), RootSpan: backend.SpanID(d.RootSpan),
		Graph: string(d.Graph), Version: string(d.Version), VersionID: string(d.VersionID), GraphType: string(d.GraphType),
		Environment: string(d.Environment), RunKind: string(d.RunKind), Start: int64(d.Start), End: int64(d.Start) + d.Duration,
		Status: backend.Status(d.Status), ErrorType: string(d.ErrorType), Error: string(d.Error), Probability: float64(d.Probability),
		Derive: backend.Derive(d.Derive), Dropped: d.Dropped, Resource: d.Resource, Attrs: d.Attrs}
	for i := range d.Spans {
		s := &d.Spans[i]
		t.Spans = append(t.Spans, backend.Span{ID: backend.SpanID(s.ID), Parent: backend.SpanID(s.Parent), Node: string(s.Node), NodeType: string(s.NodeType),
			TypeVersion: string(s.TypeVersion), Digest: string(s.Digest), Kind: s.Kind, Start: int64(s.Start), End: int64(s.Start) + s.Duration,
			Status: backend.Status(s.Status), ErrorType: string(s.ErrorType), Error: string(s.Error), Seq: s.Seq, After: s.After, Retries: s.Retries,
			Wait: s.Wait, InputSize: s.InputSize, OutputSize: s.OutputSize, CacheHit: s.CacheHit, Tokens: s.Tokens, Cost: float64(s.Cost), Attrs: s.Attrs})
	}
	for i := range d.Events {
		e := &d.Events[i]
		t.Events = append(t.Events, backend.Event{Type: string(e.Type), Name: string(e.Name), Span: backend.SpanID(e.Span), Time: int64(e.Time), Attrs: e.Attrs})
	}
	for i := range d.Metrics {
		m := &d.Metrics[i]
		t.Metrics = append(t.Metrics, backend.Metric{Name: string(m.Name), Unit: string(m.Unit), Agg: string(m.Agg), Node: string(m.Node),
			Span: backend.SpanID(m.Span), Time: int64(m.Time), Value: float64(m.Value), Attrs: m.Attrs})
	}
	return t
}

// fixedHex reads the hex digits of an id of len(dst) bytes.
func fixedHex(dst, src []byte) error {
	if hex.DecodedLen(len(src)) != len(dst) || len(src)%2 == 1 {
		return strconv.ErrSyntax
	}
	_, err := hex.Decode(dst, src)
	return err
}
