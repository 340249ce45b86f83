package otlp

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/sparkrsi/spark/plugins/backends/otlp"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// collector is a Collector's receiver with sinks behind it.
type collector struct {
	grpc, http string
	traces     consumertest.TracesSink
	metrics    consumertest.MetricsSink
	logs       consumertest.LogsSink
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a receiver; refuse, when set, may refuse what it received.
func start(t *testing.T, refuse func(ptrace.Traces) error) *collector {
	t.Helper()
	c := &collector{grpc: free(t), http: free(t)}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": c.grpc}, "http": map[string]any{"endpoint": c.http}}}).Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	next, err := consumer.NewTraces(func(ctx context.Context, x ptrace.Traces) error {
		if refuse != nil {
			if err := refuse(x); err != nil {
				return err
			}
		}
		return c.traces.ConsumeTraces(ctx, x)
	})
	if err != nil {
		t.Fatal(err)
	}
	settings := receivertest.NewNopSettings(factory.Type())
	traces, err1 := factory.CreateTraces(t.Context(), settings, config, next)
	metrics, err2 := factory.CreateMetrics(t.Context(), settings, config, &c.metrics)
	logs, err3 := factory.CreateLogs(t.Context(), settings, config, &c.logs)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, r := range []receiver.Traces{traces, metrics, logs} {
		if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return c
}

// open returns the backend for each protocol and compression in turn.
func (c *collector) open(t *testing.T, protocol, compression string) backend.Writer {
	t.Helper()
	endpoint := c.grpc
	if protocol != "grpc" {
		endpoint = c.http
	}
	config, err := json.Marshal(otlp.Config{Endpoint: "http://" + endpoint, Protocol: protocol, Compression: compression, RetryFor: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	w, err := otlp.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	return w
}

func text(m pcommon.Map, key string) string {
	v, ok := m.Get(key)
	if !ok {
		return ""
	}
	return v.AsString()
}

func each(t *testing.T, f func(t *testing.T, protocol, compression string)) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for _, compression := range []string{"none", "gzip"} {
			t.Run(protocol+" "+compression, func(t *testing.T) { f(t, protocol, compression) })
		}
	}
}

// The Collector sees the same spans, points and records that were written.
func TestCollectorTakesEverything(t *testing.T) {
	samples := append(backendtest.Samples(0, 500), backendtest.Odd())
	each(t, func(t *testing.T, protocol, compression string) {
		c := start(t, nil)
		bad, err := c.open(t, protocol, compression).Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: samples})
		if err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		spans, events, tokens := 0, 0, 0.
		for _, x := range samples {
			spans += len(x.Spans) + 1
			events += x.EventCount()
			for _, m := range x.AllMetrics() {
				if m.Name == "node.tokens" {
					tokens += m.Value
				}
			}
		}
		if n := c.traces.SpanCount(); n != spans {
			t.Errorf("%d spans, want %d", n, spans)
		}
		if n := c.logs.LogRecordCount(); n != events {
			t.Errorf("%d log records, want %d", n, events)
		}
		got := 0.
		for _, m := range c.metrics.AllMetrics() {
			for _, rm := range m.ResourceMetrics().All() {
				for _, sm := range rm.ScopeMetrics().All() {
					for _, x := range sm.Metrics().All() {
						if x.Name() == "node.tokens" {
							for _, p := range x.Sum().DataPoints().All() {
								got += p.DoubleValue()
							}
						}
					}
				}
			}
		}
		if got != tokens || tokens == 0 {
			t.Errorf("%v tokens, want %v", got, tokens)
		}
		first := c.traces.AllTraces()[0].ResourceSpans().At(0)
		root := first.ScopeSpans().At(0).Spans().At(0)
		if text(first.Resource().Attributes(), "service.name") != "spark" || root.TraceID() != pcommon.TraceID(samples[0].TraceID) ||
			root.ParentSpanID() != pcommon.SpanID(samples[0].ParentSpan) || text(root.Attributes(), "graph_id") != samples[0].Graph ||
			root.Status().Code() != ptrace.StatusCodeOk || root.StartTimestamp() != pcommon.Timestamp(samples[0].Start) {
			t.Errorf("root %v", root.Attributes().AsRaw())
		}
		if state := root.TraceState().AsRaw(); samples[0].Probability != .25 || !strings.HasPrefix(state, "ot=th:c;rv:") {
			t.Errorf("a quarter of the runs was kept, the trace state is %q", state)
		}
	})
}

// What the pipeline refuses for good costs the trace it is refused for, and what
// it cannot take now is kept by the caller.
func TestCollectorRefuses(t *testing.T) {
	poison := backendtest.Sample(13)
	each(t, func(t *testing.T, protocol, compression string) {
		later := false
		c := start(t, func(x ptrace.Traces) error {
			if later {
				return errors.New("the exporter's queue is full")
			}
			for _, rs := range x.ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					for _, s := range ss.Spans().All() {
						if s.TraceID() == pcommon.TraceID(poison.TraceID) {
							return consumererror.NewPermanent(errors.New("poison"))
						}
					}
				}
			}
			return nil
		})
		w := c.open(t, protocol, compression)
		samples := backendtest.Samples(0, 40)
		bad, err := w.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: samples})
		if err != nil || len(bad) != 1 || bad[0].Index != 13 || !strings.Contains(bad[0].Reason, "poison") {
			t.Fatalf("%+v, %v", bad, err)
		}
		want := 0
		for i, x := range samples {
			if i != 13 {
				want += len(x.Spans) + 1
			}
		}
		if n := c.traces.SpanCount(); n != want {
			t.Errorf("%d spans, want %d", n, want)
		}
		later = true
		if _, err := w.Write(t.Context(), &backend.Batch{ID: backendtest.ID(2), Traces: samples}); !slices.Contains([]fault.Kind{fault.Unavailable, fault.Transient}, fault.KindOf(err)) {
			t.Errorf("%v", err)
		}
	})
}

// More than a Collector's limit of 4 MiB goes in parts.
func TestCollectorTakesMuch(t *testing.T) {
	samples := backendtest.Samples(0, 800)
	for _, x := range samples {
		x.Attrs = append(x.Attrs, backend.Attr{Key: "text", Str: strings.Repeat("größe ", 1500)})
	}
	c := start(t, nil)
	bad, err := c.open(t, "grpc", "none").Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: samples})
	if err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	spans := 0
	for _, x := range samples {
		spans += len(x.Spans) + 1
	}
	if n := c.traces.SpanCount(); n != spans || len(c.traces.AllTraces()) < 4 {
		t.Errorf("%d spans of %d in %d requests", n, spans, len(c.traces.AllTraces()))
	}
}
