package otel

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sparkrsi/spark/sdk/backend"
)

// delta is OTLP's temporality of a point that counts since its start time only: a
// request holds what its traces added, nothing is remembered between requests.
const delta = 1

// bounds of histogram buckets: 1, 2.5 and 5 of each decade from 1e-4 to 1e4, which
// suits seconds from a tenth of a millisecond to hours.
var bounds = func() []float64 {
	var b []float64
	for e := -4; e < 4; e++ {
		for _, m := range [...]string{"1", "2.5", "5"} {
			v, _ := strconv.ParseFloat(m+"e"+strconv.Itoa(e), 64) // literals, so it parses
			b = append(b, v)
		}
	}
	return append(b, 1e4)
}()

// units are the codes of UCUM for Spark's words.
var units = map[string]string{"seconds": "s", "bytes": "By", "tokens": "{token}", "usd": "{USD}"}

// series is one data point in the making: all points of one metric with the same
// attributes.
type series struct {
	trace      *backend.Trace // of the attributes
	node       string
	attrs      []backend.Attr
	start, end int64
	n          uint64
	sum        float64
	min, max   float64
	last       float64
	lastTime   int64
	buckets    []uint64
	of         backend.ID // trace and span of the largest point, for the exemplar
	span       backend.SpanID
	at         int64
}

// metric is the series of one name.
type metric struct {
	name, unit, agg string
	falls           bool // a counter with a negative value
	series          []*series
	index           map[string]*series
}

// encodeMetrics returns an ExportMetricsServiceRequest with what p adds to each
// metric, derived ones included, and how many data points it holds. Counters are
// delta sums, histograms delta histograms, gauges the last value. The figures
// count the traces given: sampling is not made up for.
func encodeMetrics(p []piece, o Options) ([]byte, int) {
	m, n := &message{}, 0
	sameProcess(p, func(p []piece) {
		metrics := gather(p)
		if len(metrics) == 0 {
			return
		}
		m.scoped(p[0].Trace, o.Repeats, func() {
			for _, x := range metrics {
				m.metric(x)
				n += len(x.series)
			}
		})
	})
	return m.b, n
}

// gather adds up the points of p, in the order in which their metrics appear.
func gather(p []piece) []*metric {
	var out []*metric
	index := map[[3]string]*metric{}
	var key []byte
	for _, x := range p {
		points := x.AllMetrics()
		for i := range points {
			v := &points[i]
			if v.Name == "" || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
				continue
			}
			id := [3]string{v.Name, v.Unit, v.Agg}
			m := index[id]
			if m == nil {
				m = &metric{name: v.Name, unit: v.Unit, agg: v.Agg, index: map[string]*series{}}
				index[id] = m
				out = append(out, m)
			}
			key = identity(key[:0], x.Trace, v)
			s := m.index[string(key)]
			if s == nil {
				s = &series{trace: x.Trace, node: v.Node, attrs: v.Attrs, start: x.Start, min: v.Value, max: v.Value, lastTime: math.MinInt64}
				m.index[string(key)] = s
				m.series = append(m.series, s)
			}
			m.falls = m.falls || v.Value < 0
			s.add(x.Trace, v)
		}
	}
	return out
}

// identity appends what makes v a point of its own series.
func identity(b []byte, t *backend.Trace, v *backend.Metric) []byte {
	for _, s := range [...]string{t.Graph, t.Version, t.Environment, t.RunKind, v.Node} {
		b = protowire.AppendString(b, s)
	}
	for i := range v.Attrs {
		a := &v.Attrs[i]
		b = protowire.AppendString(b, a.Key)
		b = append(b, byte(a.Kind))
		b = protowire.AppendFixed64(b, a.Num)
		b = protowire.AppendString(b, a.Str)
	}
	return b
}

func (s *series) add(t *backend.Trace, v *backend.Metric) {
	s.start, s.end = min(s.start, t.Start), max(s.end, v.Time, t.Start)
	if s.n == 0 || v.Value > s.max {
		s.of, s.span, s.at = t.TraceID, v.Span, v.Time
		if v.Span == (backend.SpanID{}) {
			s.span = rootOf(t)
		}
	}
	s.n++
	s.sum += v.Value
	s.min, s.max = min(s.min, v.Value), max(s.max, v.Value)
	if v.Time >= s.lastTime {
		s.last, s.lastTime = v.Value, v.Time
	}
	if v.Agg == "histogram" {
		if s.buckets == nil {
			s.buckets = make([]uint64, len(bounds)+1)
		}
		i, _ := slices.BinarySearch(bounds, v.Value) // a bound is the last value of its bucket
		s.buckets[i]++
	}
}

func (m *message) metric(x *metric) {
	at := m.open(2)
	m.text(1, x.name)
	unit := x.unit
	if u, ok := units[strings.ToLower(unit)]; ok {
		unit = u
	}
	m.text(3, unit)
	switch x.agg {
	case "histogram":
		data := m.open(9)
		for _, s := range x.series {
			m.histogram(s)
		}
		m.uint(2, delta)
		m.close(data)
	case "counter":
		data := m.open(7)
		for _, s := range x.series {
			m.number(s, s.start, s.end, s.sum)
		}
		m.uint(2, delta)
		if !x.falls {
			m.uint(3, 1)
		}
		m.close(data)
	default:
		data := m.open(5)
		for _, s := range x.series {
			m.number(s, 0, s.lastTime, s.last)
		}
		m.close(data)
	}
	m.close(at)
}

func (m *message) number(s *series, start, end int64, v float64) {
	at := m.open(1)
	m.time(2, start)
	m.time(3, end)
	m.member(4, math.Float64bits(v))
	m.identity(s, 7)
	m.close(at)
}

func (m *message) histogram(s *series) {
	at := m.open(1)
	m.time(2, s.start)
	m.time(3, s.end)
	m.fixed(4, s.n)
	m.member(5, math.Float64bits(s.sum))
	packed := make([]byte, 0, 8*len(s.buckets))
	for _, n := range s.buckets {
		packed = protowire.AppendFixed64(packed, n)
	}
	m.bytes(6, packed)
	packed = packed[:0]
	for _, v := range bounds {
		packed = protowire.AppendFixed64(packed, math.Float64bits(v))
	}
	m.bytes(7, packed)
	x := m.open(8) // the exemplar: where the largest point comes from
	m.time(2, s.at)
	m.member(3, math.Float64bits(s.max))
	m.bytes(4, s.span[:])
	m.bytes(5, s.of[:])
	m.close(x)
	m.identity(s, 9)
	m.member(11, math.Float64bits(s.min))
	m.member(12, math.Float64bits(s.max))
	m.close(at)
}

func (m *message) identity(s *series, field protowire.Number) {
	a := attrs{m, field}
	a.str(keyGraph, s.trace.Graph)
	a.str(keyVersion, s.trace.Version)
	a.str(keyEnvironment, s.trace.Environment)
	a.str(keyRunKind, s.trace.RunKind)
	a.str(keyNode, s.node)
	a.of(s.attrs, reserved)
}
