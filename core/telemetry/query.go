package telemetry

import (
	"context"
	"encoding/hex"
	"iter"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Query reads records back from a backend as flat rows. It flushes first, so
// that what was recorded before a question is part of its answer. Safe for
// concurrent use.
type Query struct {
	q   backend.Querier
	rec *Recorder // flushed before each question; may be nil
}

// NewQuery returns a Query of w, which r writes to; r may be nil when nothing is
// being recorded. A Denied fault when w cannot be queried.
func NewQuery(w backend.Writer, r *Recorder) (*Query, error) {
	q, err := backend.AsQuerier(w)
	if err != nil {
		return nil, err
	}
	return &Query{q: q, rec: r}, nil
}

// Query returns a Query of the Recorder's own backend. A Denied fault when the
// backend cannot be queried or telemetry is off.
func (r *Recorder) Query() (*Query, error) {
	if r == nil || r.off {
		return nil, errOff
	}
	return NewQuery(r.w, r)
}

// Backend returns the backend the Recorder owns, nil when telemetry is off.
func (r *Recorder) Backend() backend.Writer {
	if r == nil || r.off {
		return nil
	}
	return r.w
}

// Prune removes traces that ended before t and returns how many. A Denied fault
// when the backend cannot prune.
func (r *Recorder) Prune(ctx context.Context, t time.Time) (int64, error) {
	if r == nil || r.off {
		return 0, errOff
	}
	p, err := backend.AsRetention(r.w)
	if err != nil {
		return 0, err
	}
	return p.Prune(ctx, t)
}

// TraceRow is one run.
type TraceRow struct {
	TraceID       string         `json:"trace_id"`
	RunID         string         `json:"run_id"`
	Graph         string         `json:"graph_id"`
	Version       string         `json:"graph_version"`
	VersionID     string         `json:"version_id,omitempty"`
	GraphType     string         `json:"graph_type,omitempty"`
	Environment   string         `json:"environment,omitempty"`
	RunKind       string         `json:"run_kind"`
	Start         time.Time      `json:"start"`
	DurationMS    float64        `json:"duration_ms"`
	Status        string         `json:"status"`
	ErrorType     string         `json:"error_type,omitempty"`
	Error         string         `json:"error,omitempty"`
	Probability   float64        `json:"probability"`
	Spans         int            `json:"spans"`
	Events        int            `json:"events"`
	Metrics       int            `json:"metrics"`
	Dropped       int            `json:"dropped,omitempty"`
	Tokens        int64          `json:"tokens,omitempty"`
	Cost          float64        `json:"cost_usd,omitempty"`
	Attributes    map[string]any `json:"attributes,omitempty"`
	ResourceAttrs map[string]any `json:"resource,omitempty"`
}

// SpanRow is one step or model call.
type SpanRow struct {
	TraceID     string         `json:"trace_id"`
	SpanID      string         `json:"span_id"`
	ParentID    string         `json:"parent_id"`
	Graph       string         `json:"graph_id"`
	Version     string         `json:"graph_version"`
	Node        string         `json:"node_name"`
	NodeType    string         `json:"node_type"`
	TypeVersion string         `json:"node_version,omitempty"`
	Digest      string         `json:"digest,omitempty"`
	Kind        string         `json:"kind"`
	Start       time.Time      `json:"start"`
	DurationMS  float64        `json:"duration_ms"`
	WaitMS      float64        `json:"wait_ms"`
	Status      string         `json:"status"`
	Success     bool           `json:"success"`
	ErrorType   string         `json:"error_type,omitempty"`
	Error       string         `json:"error,omitempty"`
	Seq         int            `json:"seq"`
	After       int            `json:"after"`
	Retries     int            `json:"retry_count"`
	InputSize   int            `json:"input_size"`
	OutputSize  int            `json:"output_size"`
	CacheHit    bool           `json:"cache_hit,omitempty"`
	Tokens      int64          `json:"tokens,omitempty"`
	Cost        float64        `json:"cost_usd,omitempty"`
	Attributes  map[string]any `json:"attributes,omitempty"`
}

// EventRow is one event, stored or implied by a span.
type EventRow struct {
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id,omitempty"`
	Node       string         `json:"node_name,omitempty"`
	Graph      string         `json:"graph_id"`
	Version    string         `json:"graph_version"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// MetricRow is one metric point, stored or implied by a span.
type MetricRow struct {
	Name        string         `json:"name"`
	Value       float64        `json:"value"` // NaN and the infinities are text in JSON
	Unit        string         `json:"unit,omitempty"`
	Aggregation string         `json:"aggregation"`
	Time        time.Time      `json:"time"`
	TraceID     string         `json:"trace_id"`
	SpanID      string         `json:"span_id,omitempty"`
	Node        string         `json:"node_name,omitempty"`
	Graph       string         `json:"graph_id"`
	Version     string         `json:"graph_version"`
	Attributes  map[string]any `json:"attributes,omitempty"`
}

// Raw yields whole traces; see backend.Querier.
func (q *Query) Raw(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Trace, error] {
	return func(yield func(*backend.Trace, error) bool) {
		if err := q.rec.Flush(ctx); err != nil {
			yield(nil, err)
			return
		}
		for t, err := range q.q.Traces(ctx, f) {
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// Traces yields the runs f selects.
func (q *Query) Traces(ctx context.Context, f backend.Filter) iter.Seq2[TraceRow, error] {
	return func(yield func(TraceRow, error) bool) {
		for t, err := range q.Raw(ctx, f) {
			if err != nil {
				yield(TraceRow{}, err)
				return
			}
			if !yield(traceRow(t), nil) {
				return
			}
		}
	}
}

// rows yields the rows of every trace that f selects. Graph, Version, RunKind,
// TraceID, From and To select traces; Status, MinMillis, Node and Name select
// rows, which each asks match about; Limit and Offset count rows. Newest turns
// the order of traces and of the rows within.
func rows[Row any](q *Query, ctx context.Context, f backend.Filter, each func(t *backend.Trace, m *backend.Match) []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var none Row
		m, err := f.Match()
		if err != nil {
			yield(none, err)
			return
		}
		traces, page := f, f.Page()
		traces.Status, traces.MinMillis, traces.Name, traces.Limit, traces.Offset = "", 0, "", 0, 0
		for t, err := range q.Raw(ctx, traces) {
			if err != nil {
				yield(none, err)
				return
			}
			part := each(t, m)
			for i := range part {
				row := part[i]
				if f.Newest {
					row = part[len(part)-1-i]
				}
				if page.Take() && (!yield(row, nil) || page.Full()) {
					return
				}
			}
		}
	}
}

// Spans yields the steps and model calls f selects: Status and MinMillis speak of
// the span.
func (q *Query) Spans(ctx context.Context, f backend.Filter) iter.Seq2[SpanRow, error] {
	return rows(q, ctx, f, func(t *backend.Trace, m *backend.Match) (out []SpanRow) {
		for i := range t.Spans {
			s := &t.Spans[i]
			if f.Node != "" && s.Node != f.Node || f.Status != "" && s.Status != m.Status || s.End-s.Start < m.MinNanos {
				continue
			}
			out = append(out, spanRow(t, s))
		}
		return out
	})
}

// Events yields the events f selects; Name is their type.
func (q *Query) Events(ctx context.Context, f backend.Filter) iter.Seq2[EventRow, error] {
	return rows(q, ctx, f, func(t *backend.Trace, _ *backend.Match) (out []EventRow) {
		node := nodesBySpan(t)
		events := t.AllEvents()
		for i := range events {
			e := &events[i]
			if f.Name != "" && e.Type != f.Name || f.Node != "" && node[e.Span] != f.Node {
				continue
			}
			out = append(out, EventRow{Type: e.Type, Name: e.Name, Time: at(e.Time), TraceID: hex.EncodeToString(t.TraceID[:]),
				SpanID: spanID(e.Span), Node: node[e.Span], Graph: t.Graph, Version: t.Version, Attributes: values(e.Attrs)})
		}
		return out
	})
}

// Metrics yields the metric points f selects.
func (q *Query) Metrics(ctx context.Context, f backend.Filter) iter.Seq2[MetricRow, error] {
	return rows(q, ctx, f, func(t *backend.Trace, _ *backend.Match) (out []MetricRow) {
		metrics := t.AllMetrics()
		for i := range metrics {
			p := &metrics[i]
			if f.Name != "" && p.Name != f.Name || f.Node != "" && p.Node != f.Node {
				continue
			}
			out = append(out, MetricRow{Name: p.Name, Value: p.Value, Unit: p.Unit, Aggregation: p.Agg, Time: at(p.Time),
				TraceID: hex.EncodeToString(t.TraceID[:]), SpanID: spanID(p.Span), Node: p.Node, Graph: t.Graph, Version: t.Version, Attributes: values(p.Attrs)})
		}
		return out
	})
}

// Count returns how much the backend holds.
func (q *Query) Count(ctx context.Context) (backend.Counts, error) {
	if err := q.rec.Flush(ctx); err != nil {
		return backend.Counts{}, err
	}
	return q.q.Count(ctx)
}
