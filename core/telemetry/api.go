package telemetry

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// maxTrail bounds the metrics and the events that one step may record through a
// context; what lies beyond is left out and counted as dropped.
const maxTrail = 10_000

// trail is what code records into a step.
type trail struct {
	mu sync.Mutex // guards the field below
	t  *run.Trail // nil once the step is over
}

// Context returns ctx tied to the run that r records, for the code that executes
// it: what RecordMetric, RecordEvent and StartSpan get with it belongs to the run.
// A nil Run returns ctx.
func (r *Run) Context(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &scope{run: r, id: r.id, trace: run.ID(r.t.TraceID), root: r.id.RootSpan(), seq: -1} // r.root is not set in a lean one
	binary.BigEndian.PutUint64(s.span[:], s.root)
	return s.in(ctx)
}

// WithStep returns ctx tied to a step, for the native node that executes it, and
// what ends that tie: call it before the node returns. Several goroutines of the
// node may then record at once; Trail is theirs until the end. Spans and the
// traceparent need a context that Run.Context made.
//
//	ctx, end := telemetry.WithStep(ctx, s)
//	defer end()
//	telemetry.RecordMetric(ctx, "agent.output_quality", 0.9, telemetry.Gauge("1"))
func WithStep(ctx context.Context, s *run.Step) (context.Context, func()) {
	if s.Trail == nil {
		s.Trail = &run.Trail{}
	}
	t := &trail{t: s.Trail}
	in := &scope{node: s.Node, seq: s.Seq, trail: t}
	if out := from(ctx); out != nil && s.Info != nil && out.id == s.Info.ID {
		in.run, in.id, in.trace, in.root = out.run, out.id, out.trace, out.root
		in.span = run.StepSpan(out.root, s.Seq, s.Item)
	}
	return in.in(ctx), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.t = nil
	}
}

// MetricOption says more of a metric than its name and value.
type MetricOption func(*run.Metric)

// Counter makes the points of a run sum up: what RecordMetric does unless told.
func Counter(unit string) MetricOption { return aggregation(run.Counter, unit) }

// Gauge makes the last point of a run count.
func Gauge(unit string) MetricOption { return aggregation(run.Gauge, unit) }

// Histogram makes the mean of the points of a run count.
func Histogram(unit string) MetricOption { return aggregation(run.Histogram, unit) }

func aggregation(a run.Aggregation, unit string) MetricOption {
	return func(m *run.Metric) { m.Agg, m.Unit = a, unit }
}

// With adds attributes.
func With(attrs ...run.Attr) MetricOption {
	return func(m *run.Metric) { m.Attrs = append(m.Attrs, attrs...) }
}

// RecordMetric records a point of a business, quality or cost metric in the step,
// or else the run, that ctx is tied to; without one it does nothing. Its name can
// be an objective of the graph's policy. Safe for concurrent use.
func RecordMetric(ctx context.Context, name string, value float64, opts ...MetricOption) {
	m := run.Metric{Name: name, Value: value, Agg: run.Counter, Time: time.Now()}
	for _, o := range opts {
		o(&m)
	}
	record(ctx, func(t *run.Trail) bool {
		if len(t.Metrics) >= maxTrail {
			return false
		}
		t.Metrics = append(t.Metrics, m)
		return true
	}, func(r *Run, end int64) {
		t := run.Trail{Metrics: []run.Metric{m}}
		r.records(&t, "", backend.SpanID{}, end)
	})
}

// RecordEvent records an event in the step, or else the run, that ctx is tied to;
// without one it does nothing. Safe for concurrent use.
func RecordEvent(ctx context.Context, kind, name string, attrs ...run.Attr) {
	e := run.Event{Type: kind, Name: name, Time: time.Now(), Attrs: attrs}
	record(ctx, func(t *run.Trail) bool {
		if len(t.Events) >= maxTrail {
			return false
		}
		t.Events = append(t.Events, e)
		return true
	}, func(r *Run, end int64) {
		t := run.Trail{Events: []run.Event{e}}
		r.records(&t, "", backend.SpanID{}, end)
	})
}

// record gives what is recorded to the step of ctx, or to its run.
func record(ctx context.Context, toStep func(*run.Trail) bool, toRun func(*Run, int64)) {
	s := from(ctx)
	if s == nil {
		return
	}
	if s.trail != nil {
		s.trail.mu.Lock()
		kept := s.trail.t != nil && toStep(s.trail.t)
		s.trail.mu.Unlock()
		if kept {
			return
		}
		toRun = func(r *Run, _ int64) { r.t.Dropped++ }
	}
	s.locked(toRun)
}

// locked calls f with the run of s while it is still being recorded.
func (s *scope) locked(f func(r *Run, now int64)) {
	if s.run == nil || s.run.lean {
		return
	}
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.run.id == s.id {
		f(s.run, time.Now().UnixNano())
	}
}
