package backend

import "math"

// The node types of what happens within a step: a model call, and a span that the
// node's own code opened, with its name in an attribute.
const (
	modelCall = "model"
	codeSpan  = "span"
	codeName  = "span.name"
)

// Name returns what the span is called: its node, or the name that code gave it.
func (s *Span) Name() string {
	if s.NodeType == codeSpan {
		for i := len(s.Attrs) - 1; i >= 0; i-- {
			if a := &s.Attrs[i]; a.Key == codeName && a.Kind == KindString {
				return a.Str
			}
		}
	}
	return s.Node
}

// Nodes returns the node of each span, also of spans of which nothing but metrics
// was recorded.
func (t *Trace) Nodes() map[SpanID]string {
	m := make(map[SpanID]string, len(t.Spans))
	for i := range t.Spans {
		m[t.Spans[i].ID] = t.Spans[i].Node
	}
	for i := range t.Metrics { // all that is left of the spans when enable_traces is off
		if p := &t.Metrics[i]; p.Node != "" {
			m[p.Span] = p.Node
		}
	}
	return m
}

// Cost returns the cost of the run in US dollars: that of all its steps.
func (t *Trace) Cost() (sum float64) {
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Seq >= 0 {
			sum += s.Cost
		}
	}
	return sum
}

// DerivedEvent reports whether spans can imply events of a type.
func DerivedEvent(kind string) bool {
	switch kind {
	case "graph_started", "graph_finished", "graph_failed", "graph_cancelled", "node_started", "node_finished", "node_failed", "llm_api_call":
		return true
	}
	return false
}

// DerivedMetric reports whether spans can imply a metric of this name.
func DerivedMetric(name string) bool {
	switch name {
	case "node.duration", "node.success", "node.error", "node.cache_hit", "node.tokens", "node.cost",
		"graph.duration", "graph.success", "graph.error", "graph.cost":
		return true
	}
	return false
}

// AllEvents returns the events of t in the order of time within each record: those
// stored, and with DeriveEvents those its spans imply: graph_started,
// graph_finished, graph_failed or graph_cancelled for the run, node_started and
// node_finished (duration) or node_failed (error, error_type, duration) a step,
// llm_api_call a model call.
// Deriving them costs nothing to record and nothing to store.
func (t *Trace) AllEvents() []Event {
	if t.Derive&DeriveEvents == 0 {
		return t.Events
	}
	events := make([]Event, 0, t.EventCount())
	events = append(events, Event{Type: "graph_started", Name: t.Graph, Time: t.Start})
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Seq < 0 {
			if s.NodeType == modelCall {
				events = append(events, Event{Type: "llm_api_call", Name: s.Node, Span: s.ID, Time: s.End, Attrs: s.Attrs})
			}
			continue
		}
		events = append(events, Event{Type: "node_started", Name: s.Node, Span: s.ID, Time: s.Start})
		end := Event{Type: "node_finished", Name: s.Node, Span: s.ID, Time: s.End}
		duration := floatAttr("duration", seconds(s.End-s.Start))
		if s.Status == Failed || s.Status == Cancelled {
			end.Type = "node_failed"
			end.Attrs = []Attr{{Key: "error", Str: s.Error}, {Key: "error_type", Str: s.ErrorType}, duration}
		} else {
			end.Attrs = []Attr{duration}
		}
		events = append(events, end)
	}
	events = append(events, t.Events...)
	end := Event{Type: "graph_finished", Name: t.Graph, Time: t.End, Attrs: []Attr{floatAttr("duration", seconds(t.End-t.Start))}}
	switch t.Status {
	case Failed:
		end.Type = "graph_failed"
	case Cancelled:
		end.Type = "graph_cancelled"
	}
	if t.Status == Failed || t.Status == Cancelled {
		end.Attrs = append(end.Attrs, Attr{Key: "error", Str: t.Error}, Attr{Key: "error_type", Str: t.ErrorType})
	}
	return append(events, end)
}

// EventCount returns len(AllEvents()) without making them.
func (t *Trace) EventCount() int {
	if t.Derive&DeriveEvents == 0 {
		return len(t.Events)
	}
	n := len(t.Events) + 2
	for i := range t.Spans {
		switch s := &t.Spans[i]; {
		case s.Seq >= 0:
			n += 2
		case s.NodeType == modelCall:
			n++
		}
	}
	return n
}

// AllMetrics returns the metric points of t: those stored, and with DeriveMetrics
// those its spans imply: node.duration, node.success and node.error of every step,
// node.cache_hit, node.tokens and node.cost of the steps that had them, and
// graph.duration, graph.success, graph.error and graph.cost of the run.
func (t *Trace) AllMetrics() []Metric {
	if t.Derive&DeriveMetrics == 0 {
		return t.Metrics
	}
	metrics := make([]Metric, 0, t.MetricCount())
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Seq < 0 {
			continue
		}
		add := func(name string, v float64, unit, agg string) {
			metrics = append(metrics, Metric{Name: name, Value: v, Unit: unit, Agg: agg, Node: s.Node, Span: s.ID, Time: s.End})
		}
		add("node.duration", seconds(s.End-s.Start), "seconds", "histogram")
		add("node.success", is(s.Status == OK), "", "counter")
		add("node.error", is(s.Status == Failed), "", "counter")
		if s.CacheHit {
			add("node.cache_hit", 1, "", "counter")
		}
		if s.Tokens != 0 {
			add("node.tokens", float64(s.Tokens), "tokens", "counter")
		}
		if s.Cost != 0 {
			add("node.cost", s.Cost, "usd", "counter")
		}
	}
	metrics = append(metrics, t.Metrics...)
	for _, m := range [...]Metric{
		{Name: "graph.duration", Value: seconds(t.End - t.Start), Unit: "seconds", Agg: "histogram", Time: t.End},
		{Name: "graph.success", Value: is(t.Status == OK), Agg: "counter", Time: t.End},
		{Name: "graph.error", Value: is(t.Status == Failed), Agg: "counter", Time: t.End},
		{Name: "graph.cost", Value: t.Cost(), Unit: "usd", Agg: "counter", Time: t.End},
	} {
		metrics = append(metrics, m)
	}
	return metrics
}

// MetricCount returns len(AllMetrics()) without making them.
func (t *Trace) MetricCount() int {
	if t.Derive&DeriveMetrics == 0 {
		return len(t.Metrics)
	}
	n := len(t.Metrics) + 4
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Seq < 0 {
			continue
		}
		n += 3
		if s.CacheHit {
			n++
		}
		if s.Tokens != 0 {
			n++
		}
		if s.Cost != 0 {
			n++
		}
	}
	return n
}

func floatAttr(key string, v float64) Attr {
	return Attr{Key: key, Kind: KindFloat, Num: math.Float64bits(v)}
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
