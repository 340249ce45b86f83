package telemetry

import (
	"context"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Tree is one run with what was recorded of it, each record below what it belongs
// to. What spans imply, such as node_started or node.duration, is left out.
type Tree struct {
	Trace   TraceRow    `json:"trace"`
	Spans   []*SpanTree `json:"spans"`             // the steps, in their order
	Events  []EventRow  `json:"events,omitempty"`  // of the run
	Metrics []MetricRow `json:"metrics,omitempty"` // of the run
}

// SpanTree is one span with the events and metrics of it, and the spans below it:
// the model calls of a step, and what its code opened.
type SpanTree struct {
	SpanRow
	OffsetMS float64     `json:"offset_ms"` // since the start of the run
	Events   []EventRow  `json:"events,omitempty"`
	Metrics  []MetricRow `json:"metrics,omitempty"`
	Spans    []*SpanTree `json:"spans,omitempty"`
}

// maxTrees bounds the runs that share one trace.
const maxTrees = 100

// Trees returns the runs with a trace or run id, 32 hex digits, in the order in
// which they arrived; a trace that a caller began may have several, of which the
// first 100 are returned. NotFound when there is none.
func (q *Query) Trees(ctx context.Context, id string) ([]*Tree, error) {
	if id == "" {
		return nil, fault.New(fault.Invalid, "trace_id", "no trace is named").WithHint("give 32 hex digits")
	}
	var out []*Tree
	for t, err := range q.Raw(ctx, backend.Filter{TraceID: id, Limit: maxTrees}) {
		if err != nil {
			return nil, err
		}
		out = append(out, tree(t))
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "trace "+id, "no run has this trace or run id").
			WithHint("runs that were sampled out or pruned are gone; those of another profile are found by naming it")
	}
	return out, nil
}

func tree(t *backend.Trace) *Tree {
	all := make([]SpanTree, len(t.Spans))
	at := make(map[backend.SpanID]int, len(t.Spans))
	for i := range t.Spans {
		s := &t.Spans[i]
		all[i] = SpanTree{SpanRow: spanRow(t, s), OffsetMS: millis(s.Start - t.Start)}
		if _, twice := at[s.ID]; !twice {
			at[s.ID] = i
		}
	}
	x := &Tree{Trace: traceRow(t), Spans: []*SpanTree{}}
	for i := range t.Spans {
		if up, ok := parent(t, at, i); ok {
			all[up].Spans = append(all[up].Spans, &all[i])
		} else {
			x.Spans = append(x.Spans, &all[i])
		}
	}
	nodes := t.Nodes()
	for i := range t.Events {
		e := &t.Events[i]
		row := eventRow(t, e, nodes[e.Span])
		if s, ok := at[e.Span]; ok {
			all[s].Events = append(all[s].Events, row)
		} else {
			x.Events = append(x.Events, row)
		}
	}
	for i := range t.Metrics {
		p := &t.Metrics[i]
		if s, ok := at[p.Span]; ok {
			all[s].Metrics = append(all[s].Metrics, metricRow(t, p))
		} else {
			x.Metrics = append(x.Metrics, metricRow(t, p))
		}
	}
	return x
}

// parent returns the index of the span above the ith. Spans of others may name
// each other in a circle: such a chain stands below nothing.
func parent(t *backend.Trace, at map[backend.SpanID]int, i int) (int, bool) {
	up, ok := at[t.Spans[i].Parent]
	if !ok {
		return 0, false
	}
	for above, n := up, 0; ; n++ {
		if above == i || n > len(t.Spans) {
			return 0, false
		}
		if above, ok = at[t.Spans[above].Parent]; !ok {
			return up, true
		}
	}
}
