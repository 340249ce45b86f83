package telemetry

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

var errOff = fault.New(fault.Denied, "telemetry", "telemetry is off").WithHint("set telemetry.enabled to true")

func at(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func millis(ns int64) float64 { return float64(ns) / 1e6 }

func spanID(id backend.SpanID) string {
	if id == (backend.SpanID{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// values returns attributes as string, int64, float64 and bool; numbers that
// JSON cannot write become text.
func values(attrs []backend.Attr) map[string]any {
	if len(attrs) == 0 {
		return nil
	}
	out := make(map[string]any, len(attrs))
	for i := range attrs {
		out[attrs[i].Key] = value(&attrs[i])
	}
	return out
}

func value(a *backend.Attr) any {
	switch a.Kind {
	case backend.KindInt:
		return int64(a.Num)
	case backend.KindBool:
		return a.Num != 0
	case backend.KindFloat:
		v := math.Float64frombits(a.Num)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return v
	}
	return a.Str
}

// number is a float that JSON can always write: NaN, +Inf and -Inf as text.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	v := float64(n)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.AppendQuote(nil, strconv.FormatFloat(v, 'g', -1, 64)), nil
	}
	return json.Marshal(v)
}

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil {
		return fault.Wrap(fault.Invalid, "value", err, "a number or NaN, +Inf, -Inf is wanted")
	}
	*n = number(v)
	return nil
}

// plainMetric is a MetricRow without its methods.
type plainMetric MetricRow

// metricJSON puts a number before the Value of a row.
type metricJSON struct {
	*plainMetric
	Value number `json:"value"`
}

// MarshalJSON writes the row with its keys as they stand in the struct.
func (m MetricRow) MarshalJSON() ([]byte, error) {
	return json.Marshal(metricJSON{(*plainMetric)(&m), number(m.Value)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *MetricRow) UnmarshalJSON(b []byte) error {
	x := metricJSON{plainMetric: (*plainMetric)(m)}
	err := json.Unmarshal(b, &x)
	m.Value = float64(x.Value)
	return err
}

func traceRow(t *backend.Trace) TraceRow {
	row := TraceRow{
		TraceID: hex.EncodeToString(t.TraceID[:]), RunID: hex.EncodeToString(t.RunID[:]),
		Graph: t.Graph, Version: t.Version, VersionID: t.VersionID, GraphType: t.GraphType, Environment: t.Environment,
		RunKind: t.RunKind, Start: at(t.Start), DurationMS: millis(t.End - t.Start), Status: t.Status.String(),
		ErrorType: t.ErrorType, Error: t.Error, Probability: t.Probability,
		Spans: len(t.Spans), Events: t.EventCount(), Metrics: t.MetricCount(), Dropped: t.Dropped,
		Attributes: values(t.Attrs), ResourceAttrs: values(t.Resource),
	}
	row.Cost = t.Cost()
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Seq >= 0 {
			row.Tokens += s.Tokens
		}
	}
	return row
}

// spanKinds are OpenTelemetry's names of span kinds, by number.
var spanKinds = [...]string{"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"}

func spanRow(t *backend.Trace, s *backend.Span) SpanRow {
	kind := spanKinds[0]
	if int(s.Kind) < len(spanKinds) {
		kind = spanKinds[s.Kind]
	}
	return SpanRow{
		TraceID: hex.EncodeToString(t.TraceID[:]), SpanID: spanID(s.ID), ParentID: spanID(s.Parent),
		Graph: t.Graph, Version: t.Version, Name: s.Name(), Node: s.Node, NodeType: s.NodeType, TypeVersion: s.TypeVersion, Digest: s.Digest,
		Kind: kind, Start: at(s.Start), DurationMS: millis(s.End - s.Start), WaitMS: millis(s.Wait),
		Status: s.Status.String(), Success: s.Status == backend.OK, ErrorType: s.ErrorType, Error: s.Error,
		Seq: s.Seq, After: s.After, Retries: s.Retries, InputSize: s.InputSize, OutputSize: s.OutputSize,
		CacheHit: s.CacheHit, Tokens: s.Tokens, Cost: s.Cost, Attributes: values(s.Attrs),
	}
}

func eventRow(t *backend.Trace, e *backend.Event, node string) EventRow {
	return EventRow{Type: e.Type, Name: e.Name, Time: at(e.Time), TraceID: hex.EncodeToString(t.TraceID[:]),
		SpanID: spanID(e.Span), Node: node, Graph: t.Graph, Version: t.Version, Attributes: values(e.Attrs)}
}

func metricRow(t *backend.Trace, p *backend.Metric) MetricRow {
	return MetricRow{Name: p.Name, Value: p.Value, Unit: p.Unit, Aggregation: p.Agg, Time: at(p.Time),
		TraceID: hex.EncodeToString(t.TraceID[:]), SpanID: spanID(p.Span), Node: p.Node, Graph: t.Graph, Version: t.Version, Attributes: values(p.Attrs)}
}
