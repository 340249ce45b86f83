package otel

import (
	"math"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/sparkrsi/spark/sdk/backend"
)

// repeats reports whether a scope's records are in Spark's trace requests too.
func repeats(s *commonpb.InstrumentationScope) bool {
	f := &fields{s.GetAttributes()}
	return s.GetName() == Scope && f.bool(keyRepeats)
}

func (r *reader) logs(data *logspb.LogsData) {
	for _, rl := range data.GetResourceLogs() {
		r.enter(rl.GetResource())
		for _, sl := range rl.GetScopeLogs() {
			if repeats(sl.GetScope()) {
				continue
			}
			for _, l := range sl.GetLogRecords() {
				r.log(sl.GetScope().GetName(), l)
			}
		}
	}
}

func (r *reader) log(scope string, l *logspb.LogRecord) {
	if scope == Scope && l.GetEventName() == sketchEvent {
		r.sketch(l)
		return
	}
	var id backend.ID
	var span backend.SpanID
	if !fixed(id[:], l.GetTraceId()) {
		id = r.orphan()
	}
	fixed(span[:], l.GetSpanId())
	at := nanos(l.GetTimeUnixNano())
	if at == 0 {
		at = nanos(l.GetObservedTimeUnixNano())
	}
	e := backend.Event{Type: l.GetEventName(), Span: span, Time: at}
	if e.Type == "" {
		e.Type = "log"
	}
	level := l.GetSeverityText()
	if level == "" {
		level = severity(int32(l.GetSeverityNumber()))
	}
	if level != "" {
		e.Attrs = append(e.Attrs, backend.Attr{Key: "level", Str: level})
	}
	if body := text(l.GetBody()); body != "" {
		e.Attrs = append(e.Attrs, backend.Attr{Key: "message", Str: body})
	}
	e.Attrs = append(e.Attrs, list(l.GetAttributes())...)
	t := r.trace(groupKey{id, id})
	cover(t, at, at)
	t.Events = append(t.Events, e)
}

// severity returns the word of a severity number: OTLP has four numbers a level,
// from 1 for trace.
func severity(n int32) string {
	words := [...]string{"trace", "debug", "info", "warn", "error", "fatal"}
	if n < 1 || int(n-1)/4 >= len(words) {
		return ""
	}
	return words[(n-1)/4]
}

func (r *reader) metrics(data *metricspb.MetricsData) {
	for _, rm := range data.GetResourceMetrics() {
		r.enter(rm.GetResource())
		for _, sm := range rm.GetScopeMetrics() {
			if repeats(sm.GetScope()) {
				continue
			}
			for _, m := range sm.GetMetrics() {
				r.metric(m)
			}
		}
	}
}

func (r *reader) metric(m *metricspb.Metric) {
	if m.GetName() == "" {
		r.reject("a metric without a name")
		return
	}
	switch d := m.GetData().(type) {
	case *metricspb.Metric_Gauge:
		r.numbers(m, "gauge", d.Gauge.GetDataPoints())
	case *metricspb.Metric_Sum:
		agg := "counter"
		if d.Sum.GetAggregationTemporality() != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
			agg = "gauge" // a running total must not be added up
		}
		r.numbers(m, agg, d.Sum.GetDataPoints())
	case *metricspb.Metric_Histogram:
		for _, p := range d.Histogram.GetDataPoints() {
			r.distribution(m, p, p.GetAttributes(), p.Sum, p.Min, p.Max)
		}
	case *metricspb.Metric_ExponentialHistogram:
		for _, p := range d.ExponentialHistogram.GetDataPoints() {
			r.distribution(m, p, p.GetAttributes(), p.Sum, p.Min, p.Max)
		}
	case *metricspb.Metric_Summary:
		for _, p := range d.Summary.GetDataPoints() {
			sum := p.GetSum()
			attrs := r.distribution(m, p, p.GetAttributes(), &sum, nil, nil)
			for _, q := range p.GetQuantileValues() {
				*attrs = append(*attrs, number("quantile."+strconv.FormatFloat(q.GetQuantile(), 'g', -1, 64), q.GetValue()))
			}
		}
	default:
		r.reject("metric %q: no data, or of a kind unknown here", m.GetName())
	}
}

// noValue is OTLP's flag of a point that says there is nothing to say.
const noValue = 1

func (r *reader) numbers(m *metricspb.Metric, agg string, points []*metricspb.NumberDataPoint) {
	for _, p := range points {
		if p.GetFlags()&noValue != 0 {
			continue
		}
		v := p.GetAsDouble()
		if x, ok := p.GetValue().(*metricspb.NumberDataPoint_AsInt); ok {
			v = float64(x.AsInt)
		}
		r.point(m, agg, p.GetTimeUnixNano(), v, p.GetAttributes())
	}
}

// counted is any point that sums up several values.
type counted interface {
	GetTimeUnixNano() uint64
	GetCount() uint64
	GetFlags() uint32
}

// distribution adds a point with the mean of p and returns its attributes, to be
// added to.
func (r *reader) distribution(m *metricspb.Metric, p counted, kvs []*commonpb.KeyValue, sum, least, most *float64) *[]backend.Attr {
	if p.GetFlags()&noValue != 0 || p.GetCount() == 0 {
		return new([]backend.Attr)
	}
	mean := math.NaN()
	if sum != nil {
		mean = *sum / float64(p.GetCount())
	}
	x := r.point(m, "histogram", p.GetTimeUnixNano(), mean, kvs)
	x.Attrs = append(x.Attrs, backend.Attr{Key: "count", Kind: backend.KindInt, Num: p.GetCount()})
	for _, v := range [...]struct {
		key string
		v   *float64
	}{{"sum", sum}, {"min", least}, {"max", most}} {
		if v.v != nil {
			x.Attrs = append(x.Attrs, number(v.key, *v.v))
		}
	}
	return &x.Attrs
}

func number(key string, v float64) backend.Attr {
	return backend.Attr{Key: key, Kind: backend.KindFloat, Num: math.Float64bits(v)}
}

// point adds one point and returns it, valid until the next one.
func (r *reader) point(m *metricspb.Metric, agg string, at uint64, v float64, kvs []*commonpb.KeyValue) *backend.Metric {
	id := r.orphan()
	t := r.trace(groupKey{id, id})
	cover(t, nanos(at), nanos(at))
	f := &fields{kvs}
	x := backend.Metric{Name: m.GetName(), Unit: m.GetUnit(), Agg: agg, Node: f.str(keyNode), Time: nanos(at), Value: v}
	x.Attrs = f.rest()
	t.Metrics = append(t.Metrics, x)
	return &t.Metrics[len(t.Metrics)-1]
}
