package otel_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func text(key, v string) backend.Attr { return backend.Attr{Key: key, Str: v} }

// rich is a trace that uses every field there is.
func rich() *backend.Trace {
	t := backendtest.Sample(108)
	t.Dropped = 4
	t.Attrs = append(t.Attrs, text("graph_id", "taken"), text("spark.run_id", "taken too"), text("empty", ""),
		backend.Attr{Key: "yes", Kind: backend.KindBool, Num: 1}, backend.Attr{Key: "no", Kind: backend.KindBool})
	s := &t.Spans[0]
	s.Attrs = append(s.Attrs, text("node_name", "mine"), text("größe\x00", "天气\x00"))
	call := backend.Span{ID: backend.SpanID{7}, Parent: s.ID, Node: s.Node, NodeType: "model", Kind: 3, Seq: -1, After: s.Seq,
		Start: s.Start, End: s.End, Status: backend.OK, Tokens: 12, Cost: .5, CacheHit: true,
		Attrs: []backend.Attr{text("gen_ai.operation.name", "chat"), text("gen_ai.provider.name", "p"), text("gen_ai.request.model", "m1")}}
	t.Spans = append(t.Spans, call)
	t.Spans[1].Status, t.Spans[1].ErrorType, t.Spans[1].Error = backend.Cancelled, "cancelled", "given up"
	t.Spans[2].Status = backend.Unset
	t.Events = append(t.Events, backend.Event{Type: "odd", Span: backend.SpanID{99}, Time: t.Start},
		backend.Event{Type: "of the run", Time: t.Start + 1, Attrs: []backend.Attr{text("error", "x")}})
	t.Metrics = append(t.Metrics, backend.Metric{Name: "nan", Agg: "gauge", Time: t.Start, Value: math.NaN()},
		backend.Metric{Name: "of.elsewhere", Agg: "counter", Span: backend.SpanID{98}, Value: 2, Time: t.Start, Attrs: []backend.Attr{text("k", "v")}})
	return t
}

// sorted puts events and metrics into an order of their own: OTLP keeps theirs
// within a span only.
func sorted(t *backend.Trace) *backend.Trace {
	c := t.Clone()
	slices.SortFunc(c.Events, func(a, b backend.Event) int { return cmp.Compare(a.Type+a.Name, b.Type+b.Name) })
	slices.SortFunc(c.Metrics, func(a, b backend.Metric) int { return cmp.Compare(a.Name+a.Node, b.Name+b.Node) })
	for i := range c.Metrics {
		if math.IsNaN(c.Metrics[i].Value) {
			c.Metrics[i].Value = -12345
		}
	}
	return c
}

func same(t testing.TB, got, want []*backend.Trace) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d traces, want %d", len(got), len(want))
	}
	for i := range got {
		if g, w := sorted(got[i]), sorted(want[i]); !reflect.DeepEqual(g, w) {
			t.Fatalf("trace %d\n got %+v\nwant %+v", i, g, w)
		}
	}
}

func one(t testing.TB, s otel.Signal, traces []*backend.Trace, o otel.Options) otel.Request {
	t.Helper()
	r := otel.Requests(s, traces, o)
	if len(r) != 1 {
		t.Fatalf("%d requests for %s, want one", len(r), s)
	}
	return r[0]
}

func TestTracesComeBack(t *testing.T) {
	want := append(backendtest.Samples(0, 50), rich())
	r := one(t, otel.Traces, want, otel.Options{})
	got, err := otel.Read(otel.Traces, r.Body, false)
	if err != nil || got.Rejected != 0 {
		t.Fatalf("%v, %d rejected: %s", err, got.Rejected, got.Reason)
	}
	same(t, got.Batch.Traces, want)
	n := 0
	for _, k := range got.Records {
		n += k
	}
	if n != r.Records || r.Traces != len(want) {
		t.Errorf("%d records counted, %d written", n, r.Records)
	}
	again, _ := otel.Read(otel.Traces, r.Body, false)
	if again.Batch.ID != got.Batch.ID || got.Batch.ID == (backend.ID{}) {
		t.Errorf("batch ids %x and %x of one request", got.Batch.ID, again.Batch.ID)
	}
}

// jsonOf turns a request into OTLP's JSON form, whose ids are hex digits.
func jsonOf(t testing.TB, s otel.Signal, body []byte) []byte {
	t.Helper()
	m := [...]proto.Message{&tracepb.TracesData{}, &metricspb.MetricsData{}, &logspb.LogsData{}}[s]
	if err := proto.Unmarshal(body, m); err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case []any:
			for _, e := range x {
				walk(e)
			}
		case map[string]any:
			for k, e := range x {
				if k == "traceId" || k == "spanId" || k == "parentSpanId" {
					var raw []byte
					q, _ := json.Marshal(e)
					if err := json.Unmarshal(q, &raw); err != nil {
						t.Fatal(err)
					}
					x[k] = strings.ToUpper(hex.EncodeToString(raw))
				} else {
					walk(e)
				}
			}
		}
	}
	walk(v)
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJSONFormIsTheSame(t *testing.T) {
	want := append(backendtest.Samples(0, 20), rich())
	r := one(t, otel.Traces, want, otel.Options{})
	got, err := otel.Read(otel.Traces, jsonOf(t, otel.Traces, r.Body), true)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Batch.Traces, want)
	got, err = otel.Read(otel.Traces, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
		"spanId":"eee19b7ec3c1b174","name":"n","kind":2,"startTimeUnixNano":"5","endTimeUnixNano":9,"later":{"x":[1]}}]}]}]}`), true)
	if err != nil || len(got.Batch.Traces) != 1 {
		t.Fatal(got, err)
	}
	if x := got.Batch.Traces[0]; hex.EncodeToString(x.TraceID[:]) != "5b8efff798038103d269b633813fc60c" || x.Spans[0].Kind != 2 || x.Start != 5 || x.End != 9 {
		t.Errorf("%+v", x)
	}
}

func get(kvs []*commonpb.KeyValue, key string) *commonpb.AnyValue {
	for _, kv := range kvs {
		if kv.GetKey() == key {
			return kv.GetValue()
		}
	}
	return nil
}

// The official types read the span tree as a tracing system would.
func TestSpansAsOthersReadThem(t *testing.T) {
	x := rich()
	var m tracepb.TracesData
	if err := proto.Unmarshal(one(t, otel.Traces, []*backend.Trace{x}, otel.Options{}).Body, &m); err != nil {
		t.Fatal(err)
	}
	if n := len(m.ProtoReflect().GetUnknown()); n > 0 {
		t.Errorf("%d bytes nobody knows", n)
	}
	rs := m.ResourceSpans[0]
	if get(rs.Resource.Attributes, "service.name").GetStringValue() != "spark" || rs.ScopeSpans[0].Scope.Name != otel.Scope {
		t.Errorf("resource %v, scope %v", rs.Resource, rs.ScopeSpans[0].Scope)
	}
	spans := rs.ScopeSpans[0].Spans
	root := spans[0]
	if root.Name != x.Graph || !bytes.Equal(root.ParentSpanId, x.ParentSpan[:]) || !bytes.Equal(root.SpanId, x.RootSpan[:]) ||
		root.StartTimeUnixNano != uint64(x.Start) || root.EndTimeUnixNano != uint64(x.End) {
		t.Errorf("root %v", root)
	}
	if root.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || root.Status.GetMessage() != x.Error ||
		get(root.Attributes, "error.type").GetStringValue() != "timeout" || get(root.Attributes, "success").GetBoolValue() {
		t.Errorf("outcome of the root %v", root)
	}
	keys := map[string]bool{}
	for _, s := range spans {
		if get(s.Attributes, "graph_id").GetStringValue() != x.Graph || get(s.Attributes, "graph_version").GetStringValue() != x.Version {
			t.Errorf("span %s is unattributed", s.Name)
		}
		clear(keys)
		for _, kv := range s.Attributes {
			if keys[kv.Key] {
				t.Errorf("attribute %s twice", kv.Key)
			}
			keys[kv.Key] = true
		}
	}
	step := spans[1]
	if step.Name != "n0" || !bytes.Equal(step.ParentSpanId, root.SpanId) || step.Kind != tracepb.Span_SPAN_KIND_INTERNAL ||
		get(step.Attributes, "node_type").GetStringValue() != "echo" {
		t.Errorf("step %v", step)
	}
	call := spans[len(spans)-1]
	if call.Name != "chat m1" || call.Kind != tracepb.Span_SPAN_KIND_CLIENT || !bytes.Equal(call.ParentSpanId, step.SpanId) ||
		get(call.Attributes, "gen_ai.request.model").GetStringValue() != "m1" {
		t.Errorf("call %v", call)
	}
	if s := spans[2]; s.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("a cancelled step has status %v", s.Status)
	}
}

func TestMetricsAsOthersReadThem(t *testing.T) {
	traces := backendtest.Samples(0, 40)
	r := one(t, otel.Metrics, traces, otel.Options{})
	var m metricspb.MetricsData
	if err := proto.Unmarshal(r.Body, &m); err != nil {
		t.Fatal(err)
	}
	var wantSum, sum float64
	var wantCount, count, points uint64
	last := map[string]float64{}
	for _, x := range traces {
		for _, p := range x.AllMetrics() {
			switch p.Name {
			case "node.tokens":
				wantSum += p.Value
			case "node.duration":
				wantCount++
			case "quality":
				last[x.Graph+x.Version+x.RunKind+p.Node] = p.Value
			}
		}
	}
	for _, x := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		switch d := x.Data.(type) {
		case *metricspb.Metric_Sum:
			points += uint64(len(d.Sum.DataPoints))
			if d.Sum.AggregationTemporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA || !d.Sum.IsMonotonic {
				t.Errorf("%s: %v", x.Name, d.Sum)
			}
			for _, p := range d.Sum.DataPoints {
				if p.StartTimeUnixNano == 0 || p.TimeUnixNano < p.StartTimeUnixNano {
					t.Errorf("%s: from %d to %d", x.Name, p.StartTimeUnixNano, p.TimeUnixNano)
				}
				if x.Name == "node.tokens" {
					sum += p.GetAsDouble()
				}
			}
		case *metricspb.Metric_Histogram:
			points += uint64(len(d.Histogram.DataPoints))
			for _, p := range d.Histogram.DataPoints {
				if x.Name == "node.duration" {
					count += p.Count
				}
				n := uint64(0)
				for i, k := range p.BucketCounts {
					n += k
					if k > 0 && i < len(p.ExplicitBounds) && p.GetMin() > p.ExplicitBounds[i] {
						t.Errorf("%s: %d values up to %v, the least being %v", x.Name, k, p.ExplicitBounds[i], p.GetMin())
					}
				}
				if n != p.Count || len(p.BucketCounts) != len(p.ExplicitBounds)+1 || p.GetSum() < p.GetMax() || len(p.Exemplars) != 1 || x.Unit != "s" {
					t.Errorf("%s: %v", x.Name, p)
				}
			}
		case *metricspb.Metric_Gauge:
			points += uint64(len(d.Gauge.DataPoints))
			for _, p := range d.Gauge.DataPoints {
				key := get(p.Attributes, "graph_id").GetStringValue() + get(p.Attributes, "graph_version").GetStringValue() +
					get(p.Attributes, "run_kind").GetStringValue() + get(p.Attributes, "node_name").GetStringValue()
				if v, ok := last[key]; !ok || v != p.GetAsDouble() {
					t.Errorf("%s of %s is %v, want %v", x.Name, key, p.GetAsDouble(), v)
				}
			}
		}
	}
	if sum != wantSum || count != wantCount || wantSum == 0 || points != uint64(r.Records) {
		t.Errorf("tokens %v, want %v; durations %d, want %d; points %d, said %d", sum, wantSum, count, wantCount, points, r.Records)
	}
}

func TestLogsAsOthersReadThem(t *testing.T) {
	x := backendtest.Sample(3)
	x.Events = append(x.Events, backend.Event{Type: "log", Name: "n0", Span: x.Spans[0].ID, Time: x.Start,
		Attrs: []backend.Attr{text("level", "warn"), text("message", "look here")}})
	r := one(t, otel.Logs, []*backend.Trace{x}, otel.Options{})
	var m logspb.LogsData
	if err := proto.Unmarshal(r.Body, &m); err != nil {
		t.Fatal(err)
	}
	records := m.ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(records) != x.EventCount() || r.Records != len(records) {
		t.Fatalf("%d records, %d said, of %d events", len(records), r.Records, x.EventCount())
	}
	seen := map[string]*logspb.LogRecord{}
	for _, l := range records {
		seen[l.EventName] = l
		if len(l.TraceId) != 16 || len(l.SpanId) != 8 || get(l.Attributes, "graph_id").GetStringValue() != x.Graph {
			t.Errorf("%v", l)
		}
	}
	if l := seen["graph_failed"]; l.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_ERROR || l.GetBody().GetStringValue() != x.Error ||
		!bytes.Equal(l.GetSpanId(), x.RootSpan[:]) {
		t.Errorf("%v", l)
	}
	if l := seen["log"]; l.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN || l.GetBody().GetStringValue() != "look here" {
		t.Errorf("%v", l)
	}
}

func TestSplitting(t *testing.T) {
	traces := append(backendtest.Samples(0, 30), rich())
	for i := range 40 {
		traces[30].Attrs = append(traces[30].Attrs, text("k"+string(rune('a'+i)), strings.Repeat("x", 50)))
	}
	whole := map[otel.Signal]int{}
	for _, s := range []otel.Signal{otel.Traces, otel.Metrics, otel.Logs} {
		whole[s] = one(t, s, traces, otel.Options{}).Records
	}
	for _, limit := range []int{1, 900, 6000, 40000} {
		for _, s := range []otel.Signal{otel.Traces, otel.Logs} {
			n, at := 0, 0
			for _, r := range otel.Requests(s, traces, otel.Options{MaxBytes: limit}) {
				if len(r.Body) > limit && r.Records > 1 {
					t.Fatalf("%s: a request of %d bytes and %d records, limit %d", s, len(r.Body), r.Records, limit)
				}
				if r.First < at || r.First > at+1 && limit == 1 {
					t.Fatalf("%s: a request for trace %d after %d", s, r.First, at)
				}
				at = r.First + r.Traces - 1
				n += r.Records
			}
			if n != whole[s] || at != len(traces)-1 {
				t.Errorf("%s in parts of %d: %d records, want %d", s, limit, n, whole[s])
			}
		}
	}
	// What no longer has its root is kept, but belongs to no graph.
	var spans, attributed int
	for _, r := range otel.Requests(otel.Traces, traces[:1], otel.Options{MaxBytes: 900}) {
		got, err := otel.Read(otel.Traces, r.Body, false)
		if err != nil || len(got.Batch.Traces) != 1 {
			t.Fatal(got, err)
		}
		x := got.Batch.Traces[0]
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		spans += len(x.Spans)
		if x.Graph != "" {
			attributed++
		}
	}
	if spans != len(traces[0].Spans) || attributed != 1 {
		t.Errorf("%d spans of %d, %d parts attributed", spans, len(traces[0].Spans), attributed)
	}
}

func TestOddValues(t *testing.T) {
	odd := backendtest.Odd()
	for _, s := range []otel.Signal{otel.Traces, otel.Metrics, otel.Logs} {
		for _, r := range otel.Requests(s, []*backend.Trace{odd, backendtest.Sample(1)}, otel.Options{}) {
			got, err := otel.Read(s, r.Body, false)
			if err != nil || got.Rejected > 0 {
				t.Fatalf("%s: %v, %s", s, err, got.Reason)
			}
			if s == otel.Traces && (len(got.Batch.Traces) != 2 || got.Batch.Traces[0].Graph != odd.Graph || got.Batch.Traces[0].End != odd.End) {
				t.Errorf("%+v", got.Batch.Traces[0])
			}
			for _, x := range got.Batch.Traces {
				if err := x.Check(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if r := otel.Requests(otel.Traces, nil, otel.Options{}); len(r) > 0 {
		t.Errorf("%d requests for nothing", len(r))
	}
}

// What repeats the traces is not taken twice; without them it is kept.
func TestRepeatedSignals(t *testing.T) {
	traces := backendtest.Samples(0, 5)
	for _, s := range []otel.Signal{otel.Metrics, otel.Logs} {
		for _, on := range []bool{true, false} {
			r := one(t, s, traces, otel.Options{Repeats: on})
			got, err := otel.Read(s, r.Body, false)
			if err != nil || (len(got.Batch.Traces) == 0) != on {
				t.Errorf("%s repeating %v: %d traces, %v", s, on, len(got.Batch.Traces), err)
			}
			n := 0
			for i, x := range got.Batch.Traces {
				n += got.Records[i]
				if x.Graph != "" || x.Check() != nil || len(x.Spans) > 0 {
					t.Errorf("%+v", x)
				}
			}
			if !on && n != r.Records {
				t.Errorf("%s: %d records kept of %d", s, n, r.Records)
			}
		}
	}
}

func TestStatisticsComeBack(t *testing.T) {
	var rows []backend.Sketch
	for n := range 20 {
		var x backend.Tallies
		x.Add(backendtest.Sample(n), 1)
		rows = append(rows, backend.Sketch{Epoch: backendtest.ID(n), Graph: "g", Version: "1", VersionID: "v", Hour: int64(n), Seq: 3, Data: x.Run.Encode(nil)})
	}
	var got []backend.Sketch
	for _, r := range otel.SketchRequests(rows, 1000) {
		x, err := otel.Read(otel.Logs, r.Body, false)
		if err != nil || len(r.Body) > 1000 && r.Records > 1 {
			t.Fatal(len(r.Body), err)
		}
		got = append(got, x.Batch.Sketches...)
	}
	if !reflect.DeepEqual(got, rows) {
		t.Errorf("%+v", got)
	}
	rows[0].Data = []byte("damaged")
	x, err := otel.Read(otel.Logs, otel.SketchRequests(rows[:2], 0)[0].Body, false)
	if err != nil || x.Rejected != 1 || len(x.Batch.Sketches) != 1 || x.Reason == "" {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestForeign(t *testing.T) {
	str := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
	}
	nested := &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{
		{Key: "a", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{
			{Value: &commonpb.AnyValue_IntValue{IntValue: 1}}, {Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("b")}}, nil}}}}}}}}}
	id := bytes.Repeat([]byte{5}, 16)
	span := func(n byte, parent []byte, start, end uint64) *tracepb.Span {
		return &tracepb.Span{TraceId: id, SpanId: []byte{n, 0, 0, 0, 0, 0, 0, 1}, ParentSpanId: parent, Name: "GET /", Kind: 2, StartTimeUnixNano: start, EndTimeUnixNano: end}
	}
	first, second := span(1, []byte{9, 9, 9, 9, 9, 9, 9, 9}, 100, 900), span(2, []byte{1, 0, 0, 0, 0, 0, 0, 1}, 50, 20)
	first.Attributes = []*commonpb.KeyValue{{Key: "graph_id", Value: str("docsearch")}, {Key: "nested", Value: nested}}
	first.Status = &tracepb.Status{Code: 2, Message: "broken"}
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{
		Spans: []*tracepb.Span{second, first, {Name: "no ids"}, {TraceId: make([]byte, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, 8}}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := otel.Read(otel.Traces, body, false)
	if err != nil || len(got.Batch.Traces) != 1 || got.Rejected != 2 || !strings.Contains(got.Reason, "no ids") {
		t.Fatalf("%+v, %v", got, err)
	}
	x := got.Batch.Traces[0]
	if x.Graph != "" || x.Check() != nil || x.Start != 50 || x.End != 900 || x.Status != backend.Failed || x.Error != "broken" || len(x.Spans) != 2 ||
		x.ParentSpan != (backend.SpanID{9, 9, 9, 9, 9, 9, 9, 9}) || x.Spans[1].Attrs[1].Str != `{"a":[1,"Yg==",null]}` || x.Spans[1].Attrs[0].Str != "docsearch" {
		t.Errorf("%+v", x)
	}
	if _, err := otel.Read(otel.Traces, []byte("hello"), false); !fault.Is(err, fault.Invalid) {
		t.Errorf("no request: %v", err)
	}
	if _, err := otel.Read(otel.Traces, []byte("[1"), true); !fault.Is(err, fault.Invalid) {
		t.Errorf("no JSON: %v", err)
	}
}

func TestForeignMetrics(t *testing.T) {
	number := func(v float64) []*metricspb.NumberDataPoint {
		return []*metricspb.NumberDataPoint{{TimeUnixNano: 7, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: v}}, {Flags: 1}}
	}
	sum, most := 10., 6.
	body, err := proto.Marshal(&metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: []*metricspb.Metric{
		{Name: "g", Unit: "By", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: number(1)}}},
		{Name: "d", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: 1, DataPoints: number(2)}}},
		{Name: "c", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: 2, DataPoints: []*metricspb.NumberDataPoint{{Value: &metricspb.NumberDataPoint_AsInt{AsInt: 3}}}}}},
		{Name: "h", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{DataPoints: []*metricspb.HistogramDataPoint{{Count: 4, Sum: &sum, Max: &most}}}}},
		{Name: "e", Data: &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{DataPoints: []*metricspb.ExponentialHistogramDataPoint{{Count: 5, Sum: &sum}}}}},
		{Name: "s", Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: []*metricspb.SummaryDataPoint{{Count: 2, Sum: 10,
			QuantileValues: []*metricspb.SummaryDataPoint_ValueAtQuantile{{Quantile: .99, Value: 8}}}}}}},
		{Name: "nothing"}, {},
	}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := otel.Read(otel.Metrics, body, false)
	if err != nil || got.Rejected != 2 || len(got.Batch.Traces) != 1 || got.Batch.Traces[0].Check() != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	type point struct {
		name, agg string
		v         float64
		attrs     int
	}
	var have []point
	for _, m := range got.Batch.Traces[0].Metrics {
		have = append(have, point{m.Name, m.Agg, m.Value, len(m.Attrs)})
	}
	want := []point{{"g", "gauge", 1, 0}, {"d", "counter", 2, 0}, {"c", "gauge", 3, 0}, {"h", "histogram", 2.5, 3}, {"e", "histogram", 2, 2}, {"s", "histogram", 5, 3}}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%+v\nwant %+v", have, want)
	}
}

// FuzzRead: whatever is accepted is made of records that go out and come in again.
func FuzzRead(f *testing.F) {
	for _, s := range []otel.Signal{otel.Traces, otel.Metrics, otel.Logs} {
		for _, r := range otel.Requests(s, []*backend.Trace{rich(), backendtest.Odd()}, otel.Options{}) {
			f.Add(uint8(s), r.Body, false)
			f.Add(uint8(s), jsonOf(f, s, r.Body), true)
		}
	}
	f.Fuzz(func(t *testing.T, s uint8, body []byte, json bool) {
		got, err := otel.Read(otel.Signal(s%3), body, json)
		if err != nil {
			return
		}
		var sound []*backend.Trace
		for _, x := range got.Batch.Traces {
			if x.Check() == nil {
				sound = append(sound, x)
			}
		}
		for _, s := range []otel.Signal{otel.Traces, otel.Metrics, otel.Logs} {
			n := 0
			for _, r := range otel.Requests(s, sound, otel.Options{MaxBytes: 4000}) {
				again, err := otel.Read(s, r.Body, false)
				if err != nil {
					t.Fatalf("%s went out but not in: %v", s, err)
				}
				for _, k := range again.Records {
					n += k
				}
			}
			if s == otel.Traces && n < len(sound) {
				t.Fatalf("%d spans of %d traces", n, len(sound))
			}
		}
	})
}

func BenchmarkRequests(b *testing.B) {
	traces := backendtest.Samples(0, 100)
	n := 0
	for _, x := range traces {
		n += len(x.Spans) + 1
	}
	for _, s := range []otel.Signal{otel.Traces, otel.Metrics, otel.Logs} {
		b.Run(s.String(), func(b *testing.B) {
			for b.Loop() {
				otel.Requests(s, traces, otel.Options{})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/span")
		})
	}
}
