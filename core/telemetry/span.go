package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// Trace is a run that a program records by itself, without the engine.
type Trace struct {
	run  *Run
	info *run.Info

	mu    sync.Mutex // guards the fields below
	steps int
	after int // the step that ended last, -1 before
	over  bool
}

// TraceOptions name a trace. Graph and Version are what analysis groups by.
type TraceOptions struct {
	Graph, Version string
	VersionID      string
	GraphType      string
	Kind           run.Kind // empty is production
	TraceParent    string   // of the caller; ignored when it is no W3C traceparent
}

// StartTrace begins a run that a program records by itself, and returns ctx tied
// to it. A span that is started directly below it is a step of that run, as a node
// of a graph is: it counts in the statistics and in analysis by its name. End must
// be called once. A nil or disabled Recorder returns a Trace that records nothing.
func (r *Recorder) StartTrace(ctx context.Context, o TraceOptions) (context.Context, *Trace) {
	id := run.NewID()
	t := &Trace{after: -1, info: &run.Info{ID: id, TraceID: id, Graph: o.Graph, Version: o.Version, VersionID: o.VersionID,
		GraphType: o.GraphType, Kind: o.Kind, Started: time.Now()}}
	if o.Kind == "" {
		t.info.Kind = run.Production
	}
	if trace, span, err := ParseTraceParent(o.TraceParent); err == nil {
		t.info.TraceID, t.info.ParentSpan = trace, span
	}
	if t.run = r.Begin(t.info); t.run == nil {
		return ctx, t
	}
	ctx = t.run.Context(ctx)
	s := *from(ctx)
	s.own = t
	return s.in(ctx), t
}

// End ends the trace: err is nil for success. Spans that are still open are lost.
func (t *Trace) End(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over = true
		t.run.Observe(&run.Observation{Phase: run.RunFinished, Info: t.info, Start: t.info.Started, End: time.Now(), Err: err})
	}
}

// ID returns the id of the run: the key of its rows.
func (t *Trace) ID() run.ID { return t.info.ID }

// Span is a piece of work within a run. A nil Span does nothing.
type Span struct {
	s     *scope
	name  string
	kind  uint8
	start time.Time
	up    backend.SpanID // the span it was started in

	of    *Trace // whose step it is; nil for a span within a step
	after int    // the step before
	trail run.Trail

	mu    sync.Mutex // guards the fields below
	attrs []run.Attr
	over  bool
}

// StartSpan begins a span of the given name in the step or trace that ctx is tied
// to, and returns ctx within it. In a step, or below another span, it is kept as a
// span of type span that belongs to the step's node, its name in the attribute
// span.name. Without a recorded run the Span is nil. End must be called.
func StartSpan(ctx context.Context, name string, attrs ...run.Attr) (context.Context, *Span) {
	s := from(ctx)
	if s == nil || s.run == nil {
		return ctx, nil
	}
	sp := &Span{name: name, kind: 1, start: time.Now(), up: s.span, attrs: attrs}
	in := *s
	if t := s.own; t != nil {
		t.mu.Lock()
		in.seq, sp.after = t.steps, t.after
		t.steps++
		t.mu.Unlock()
		in.node, in.own, in.trail = name, nil, &trail{t: &sp.trail}
		in.span = run.StepSpan(s.root, in.seq, 0)
		sp.s, sp.of = &in, t
		return in.in(ctx), sp
	}
	s.locked(func(r *Run, _ int64) { in.span = r.innerID() })
	sp.s = &in
	return in.in(ctx), sp
}

// Set adds attributes.
func (s *Span) Set(attrs ...run.Attr) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attrs = append(s.attrs[:len(s.attrs):len(s.attrs)], attrs...)
}

// Client marks a call to another service, kind CLIENT; spans are INTERNAL else. It
// returns s.
func (s *Span) Client() *Span {
	if s != nil {
		s.kind = 3
	}
	return s
}

// End ends the span: err is nil for success. A second call does nothing.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	over, attrs := s.over, s.attrs
	s.over = true
	s.mu.Unlock()
	if over {
		return
	}
	end := time.Now()
	if s.of != nil {
		s.step(end, attrs, err)
		return
	}
	s.s.locked(func(r *Run, _ int64) { r.inner(s, end, attrs, err) })
}

// step records s as a step of its Trace.
func (s *Span) step(end time.Time, attrs []run.Attr, err error) {
	t := s.s.trail
	t.mu.Lock()
	t.t = nil
	t.mu.Unlock()
	s.trail.Attrs = attrs
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.over {
		return
	}
	s.of.after = s.s.seq
	s.s.run.Observe(&run.Observation{Phase: run.StepFinished, Info: &run.Info{ID: s.s.id}, Start: s.start, End: end, Err: err,
		Node: s.name, Type: run.NodeType{Name: "native"}, Seq: s.s.seq, After: s.after, Trail: &s.trail})
}

// inner records a span within a step.
func (r *Run) inner(sp *Span, end time.Time, attrs []run.Attr, err error) {
	if r.rec.nodes != nil && sp.s.node != "" && !r.rec.nodes[sp.s.node] {
		return
	}
	if len(r.t.Spans) >= r.rec.cfg.MaxSpansPerTrace || r.full(320) {
		r.t.Dropped++
		return
	}
	s := backend.Span{ID: sp.s.span, Parent: sp.up, Node: sp.s.node, NodeType: "span", Kind: sp.kind, Seq: -1, After: sp.s.seq,
		Start: sp.start.UnixNano(), Status: backend.OK}
	s.End = s.Start + max(int64(end.Sub(sp.start)), 0)
	if err != nil {
		s.Status, s.ErrorType, s.Error = r.failure(err)
	}
	from := len(r.attrs)
	r.attrs = append(r.attrs, backend.Attr{Key: "span.name", Str: r.text(sp.name)})
	r.addAttrs(attrs)
	r.exception(err)
	s.Attrs = r.attrs[from:len(r.attrs):len(r.attrs)]
	r.t.Spans = append(r.t.Spans, s)
}
