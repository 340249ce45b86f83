package telemetry

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Query reads records back from a backend as flat rows. It flushes first, so
// that what was recorded before a question is part of its answer. What a question
// selects says backend.Filter, whose Of each method fills in. Safe for concurrent
// use.
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
	Name        string         `json:"name"`
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

// row is one row with what it sorts by.
type row[Row any] struct {
	row Row
	key int64
}

// rows yields the rows that f selects of the traces that hold any; each returns
// those of one trace. A sequence that is not sorted holds one trace at a time, a
// sorted one keeps no more than a few pages of rows.
func rows[Row any](q *Query, ctx context.Context, f backend.Filter, of string, each func(t *backend.Trace, m *backend.Match) []row[Row]) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var none Row
		if f.Of != "" && f.Of != of {
			yield(none, fault.New(fault.Invalid, "of", "%q is asked for where %s are answered", f.Of, of))
			return
		}
		f.Of = of
		m, err := f.Match()
		if err != nil {
			yield(none, err)
			return
		}
		traces, page := f, f.Page()
		traces.Sort, traces.Offset = "", 0
		if m.By == "" && f.Limit > 0 {
			traces.Limit = f.Offset + f.Limit // every trace has a row
		} else {
			traces.Limit = 0
		}
		var best sorter[Row]
		for t, err := range q.Raw(ctx, traces) {
			if err != nil {
				yield(none, err)
				return
			}
			part := each(t, m)
			if m.By != "" {
				best.add(part, m)
				continue
			}
			for i := range part {
				r := &part[i]
				if m.Desc {
					r = &part[len(part)-1-i]
				}
				if page.Take() && (!yield(r.row, nil) || page.Full()) {
					return
				}
			}
		}
		for _, r := range best.sorted(m) {
			if page.Take() && (!yield(r.row, nil) || page.Full()) {
				return
			}
		}
	}
}

// sorter keeps the first rows of an order, as many as the pages up to the one that
// is asked for have.
type sorter[Row any] struct {
	rows []placed[Row]
	n    int // rows seen
}

type placed[Row any] struct {
	row Row
	key int64
	at  int
}

func (s *sorter[Row]) add(part []row[Row], m *backend.Match) {
	for _, r := range part {
		s.rows = append(s.rows, placed[Row]{r.row, r.key, s.n})
		s.n++
	}
	if need := m.Offset + m.Limit; m.Limit > 0 && len(s.rows) > 2*need+1000 {
		s.sorted(m)
		clear(s.rows[need:])
		s.rows = s.rows[:need]
	}
}

func (s *sorter[Row]) sorted(m *backend.Match) []placed[Row] {
	slices.SortFunc(s.rows, func(x, y placed[Row]) int {
		if m.Desc {
			x, y = y, x
		}
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.at, y.at))
	})
	return s.rows
}

// Spans yields the steps, model calls and spans of code that f selects.
func (q *Query) Spans(ctx context.Context, f backend.Filter) iter.Seq2[SpanRow, error] {
	return rows(q, ctx, f, backend.OfSpans, func(t *backend.Trace, m *backend.Match) (out []row[SpanRow]) {
		for i := range t.Spans {
			if s := &t.Spans[i]; m.SelectsSpan(t, s) {
				out = append(out, row[SpanRow]{spanRow(t, s), m.Key(s.Start, s.End, s.Cost)})
			}
		}
		return out
	})
}

// Events yields the events that f selects.
func (q *Query) Events(ctx context.Context, f backend.Filter) iter.Seq2[EventRow, error] {
	return rows(q, ctx, f, backend.OfEvents, func(t *backend.Trace, m *backend.Match) (out []row[EventRow]) {
		node, events := t.Nodes(), t.AllEvents()
		for i := range events {
			if e := &events[i]; m.SelectsEvent(t, e, node[e.Span]) {
				out = append(out, row[EventRow]{eventRow(t, e, node[e.Span]), e.Time})
			}
		}
		return out
	})
}

// Metrics yields the metric points that f selects.
func (q *Query) Metrics(ctx context.Context, f backend.Filter) iter.Seq2[MetricRow, error] {
	return rows(q, ctx, f, backend.OfMetrics, func(t *backend.Trace, m *backend.Match) (out []row[MetricRow]) {
		metrics := t.AllMetrics()
		for i := range metrics {
			if p := &metrics[i]; m.SelectsMetric(t, p) {
				out = append(out, row[MetricRow]{metricRow(t, p), p.Time})
			}
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
