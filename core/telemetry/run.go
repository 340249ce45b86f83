package telemetry

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Bounds of one trace. What lies beyond is left out and counted in Dropped.
const (
	maxAttrs  = 128      // attributes of a span, event or metric
	maxText   = 16 << 10 // bytes of one text; longer ones are cut
	maxMemory = 6 << 20  // bytes of a trace as estimated here; a block is smaller
	keepSpans = 1 << 12  // a larger run is not kept for reuse

	// What a run takes room for when its first step ends. Before, it holds next to
	// nothing: runs that wait are many.
	firstSpans = 16
	firstAttrs = 96
)

// Run records one run into memory it owns; nothing is shared until the run is
// over. It is the engine's observer of that run. All methods do nothing on a nil
// Run: that is telemetry switched off.
//
//	Begin -> Observe* -> Observe(RunFinished) -> queue -> exporter -> pool
//
// Calls of Observe for one run come one after the other, as the engine makes them;
// beside them code of the run may record through its context. Texts are kept,
// bytes copied.
type Run struct {
	rec *Recorder

	mu    sync.Mutex    // guards the fields below until the run is handed over
	id    run.ID        // zero when no run is being recorded
	t     backend.Trace // its slices keep their memory from run to run
	attrs []backend.Attr
	root  uint64
	calls int
	size  int           // estimate of the memory held
	lean  bool          // never changes: see observeLean
	info  *run.Info     // of a lean run: seldom another pointer to the same
	turn  uint          // observations so far, also of former runs
	done  chan struct{} // closed when the trace was written or given up; nil when nobody waits
}

// Begin returns the recording of one run, nil when the run leaves none. Info must
// not change until the run is over.
func (r *Recorder) Begin(info *run.Info) *Run {
	if r == nil || r.off || info.TelemetryOff {
		return nil
	}
	if r.headOnly && !r.within(backend.ID(info.ID), r.cfg.SamplingRate) {
		return r.beginLean(info)
	}
	x := r.pool.Get().(*Run)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.id = info.ID
	t := &x.t
	t.RunID, t.TraceID = backend.ID(info.ID), backend.ID(r.traceID(info))
	if r.cfg.PropagateContext {
		t.ParentSpan = info.ParentSpan
	}
	x.root = info.ID.RootSpan()
	binary.BigEndian.PutUint64(t.RootSpan[:], x.root)
	t.Graph, t.Version, t.VersionID, t.GraphType = info.Graph, info.Version, info.VersionID, info.GraphType
	t.Environment, t.RunKind = r.opts.Environment, string(info.Kind)
	t.Start = info.Started.UnixNano()
	t.Probability = 1
	t.Resource, t.Attrs = r.resource, r.custom
	t.Derive = r.derive
	return x
}

// Observe records one transition. It never blocks on anything but other steps of
// the same run, except at the end of a run whose profile has async_export off.
// Observations of another run than the one begun are ignored.
func (r *Run) Observe(o *run.Observation) {
	switch {
	case r == nil:
	case r.lean:
		r.observeLean(o)
	default:
		r.observe(o)
	}
}

func (r *Run) observe(o *run.Observation) {
	r.mu.Lock()
	if o.Info == nil || o.Info.ID != r.id {
		r.mu.Unlock()
		return
	}
	if r.turn++; r.turn == measureEvery {
		r.turn = 0
		defer r.rec.meter.observed(time.Now())
	}
	switch o.Phase {
	case run.StepFinished:
		r.step(o)
	case run.StepRetried:
		r.retry(o)
	case run.RunFinished:
		r.finish(o)
		return // the run may belong to someone else by now
	}
	r.mu.Unlock()
}

// full reports whether another record of size bytes must be left out.
func (r *Run) full(size int) bool {
	if r.size+size > maxMemory {
		r.t.Dropped++
		return true
	}
	r.size += size
	return false
}

func (r *Run) spanID(seq, item int) backend.SpanID { return run.StepSpan(r.root, seq, item) }

func (r *Run) step(o *run.Observation) {
	if r.rec.nodes != nil && !r.rec.nodes[o.Node] {
		return
	}
	if len(r.t.Spans) >= r.rec.cfg.MaxSpansPerTrace || r.full(320) {
		r.t.Dropped++
		return
	}
	s := r.next()
	s.ID, s.Parent = r.spanID(o.Seq, o.Item), r.t.RootSpan
	if o.Parent > 0 {
		s.Parent = r.spanID(o.Parent-1, 0)
	}
	s.Node, s.NodeType, s.TypeVersion, s.Digest = o.Node, o.Type.Name, o.Type.Version, o.Type.Digest
	s.Kind = 1
	s.Start = o.Start.UnixNano()
	s.End = s.Start + max(int64(o.End.Sub(o.Start)), 0)
	s.Seq, s.After, s.Retries, s.Wait = o.Seq, o.After, o.Retries, int64(o.Wait)
	s.InputSize, s.OutputSize, s.CacheHit = len(o.Input), len(o.Output), o.CacheHit
	s.Status = backend.OK
	if o.Err != nil {
		s.Status, s.ErrorType, s.Error = r.failure(o.Err)
	}
	from := len(r.attrs)
	if o.Trail != nil {
		r.addAttrs(o.Trail.Attrs)
	}
	if o.Visit > 0 {
		r.attrs = append(r.attrs, backend.Attr{Key: "visit", Kind: backend.KindInt, Num: uint64(o.Visit)})
	}
	r.capture(o)
	r.exception(o.Err)
	s.Attrs = r.attrs[from:len(r.attrs):len(r.attrs)]
	if o.Trail != nil {
		r.trail(o, s)
	}
}

// next returns a further span, empty. Memory behind the end of r.t.Spans is clear.
func (r *Run) next() *backend.Span {
	n := len(r.t.Spans)
	if n == cap(r.t.Spans) {
		if n == 0 && !r.lean {
			r.attrs = slices.Grow(r.attrs, firstAttrs)
		}
		r.t.Spans = slices.Grow(r.t.Spans, max(n, firstSpans))
	}
	r.t.Spans = r.t.Spans[:n+1]
	return &r.t.Spans[n]
}

// failure returns how err is recorded.
func (r *Run) failure(err error) (backend.Status, string, string) {
	kind := fault.KindOf(err)
	status, text := backend.Failed, ""
	if kind == fault.Cancelled {
		status = backend.Cancelled
	}
	if r.rec.cfg.CaptureErrors {
		text = r.text(err.Error())
	}
	return status, string(kind), text
}

// text returns s cut to maxText and counts its memory.
func (r *Run) text(s string) string {
	s = cut(s)
	r.size += len(s)
	return s
}

// cut returns at most the first maxText bytes of s and never half a character.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > maxText-4 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// addAttrs copies attributes to the end of r.attrs.
func (r *Run) addAttrs(attrs []run.Attr) {
	if len(attrs) > maxAttrs {
		r.t.Dropped += len(attrs) - maxAttrs
		attrs = attrs[:maxAttrs]
	}
	if r.full(48 * len(attrs)) {
		return
	}
	from, text := len(r.attrs), 0
	r.attrs = slices.Grow(r.attrs, len(attrs))[:from+len(attrs)]
	dst := r.attrs[from:]
	for i := range dst {
		a, v := &dst[i], &attrs[i].Value
		a.Key, a.Kind, a.Num, a.Str = attrs[i].Key, backend.Kind(v.Kind), v.Num, v.Str
		if len(v.Str) > maxText {
			a.Str = cut(v.Str)
		}
		text += len(a.Str)
	}
	r.size += text
}

func (r *Run) copied(attrs []run.Attr) []backend.Attr {
	if len(attrs) == 0 {
		return nil
	}
	from := len(r.attrs)
	r.addAttrs(attrs)
	return r.attrs[from:len(r.attrs):len(r.attrs)]
}

func (r *Run) capture(o *run.Observation) {
	c := &r.rec.cfg
	if c.CaptureInputs && o.Input != nil {
		r.payload("input", o.Input)
	}
	if c.CaptureOutputs && o.Output != nil {
		r.payload("output", o.Output)
	}
}

func (r *Run) payload(key string, b []byte) {
	if len(b) > maxText {
		b = b[:maxText]
	}
	if !r.full(48 + len(b)) {
		r.attrs = append(r.attrs, backend.Attr{Key: key, Str: string(b)})
	}
}

// trail records what a step left behind: its metrics, events, logs and calls.
func (r *Run) trail(o *run.Observation, s *backend.Span) {
	id, end := s.ID, s.End
	for i := range o.Trail.Calls {
		u := o.Trail.Calls[i].Usage
		s.Tokens += u.InputTokens + u.OutputTokens
		s.Cost += u.Cost
	}
	r.records(o.Trail, o.Node, id, end)
	for i := range o.Trail.Calls { // last: appending a span moves s
		r.call(o, id, &o.Trail.Calls[i])
	}
}

// records keeps the metrics, events and logs of a step, or of the run when node is
// empty and span zero. End is the time of those that have none.
func (r *Run) records(t *run.Trail, node string, span backend.SpanID, end int64) {
	c := &r.rec.cfg
	if c.EnableMetrics {
		for i := range t.Metrics {
			m := &t.Metrics[i]
			if len(r.t.Metrics) >= c.MaxSpansPerTrace || r.full(160) {
				r.t.Dropped++
				continue
			}
			r.t.Metrics = append(r.t.Metrics, backend.Metric{Name: m.Name, Unit: m.Unit, Agg: string(m.Agg), Node: node,
				Span: span, Time: stamp(m.Time, end), Value: m.Value, Attrs: r.copied(m.Attrs)})
		}
	}
	if !c.EnableEvents {
		return
	}
	left := c.MaxEventsPerSpan
	if span == (backend.SpanID{}) { // of the run: they come one by one
		left = c.MaxSpansPerTrace - len(r.t.Events)
	}
	for i := range t.Events {
		e := &t.Events[i]
		if left--; left < 0 || r.full(96) {
			r.t.Dropped++
			continue
		}
		r.t.Events = append(r.t.Events, backend.Event{Type: e.Type, Name: e.Name, Span: span,
			Time: stamp(e.Time, end), Attrs: r.copied(e.Attrs)})
	}
	for i := range t.Logs {
		l := &t.Logs[i]
		if left--; left < 0 || r.full(96) {
			r.t.Dropped++
			continue
		}
		from := len(r.attrs)
		r.attrs = append(r.attrs, backend.Attr{Key: "level", Str: l.Level}, backend.Attr{Key: "message", Str: r.text(l.Msg)})
		r.t.Events = append(r.t.Events, backend.Event{Type: "log", Name: node, Span: span,
			Time: stamp(l.Time, end), Attrs: r.attrs[from:len(r.attrs):len(r.attrs)]})
	}
}

// stamp returns t, or other when no time was set.
func stamp(t time.Time, other int64) int64 {
	if t.IsZero() {
		return other
	}
	return t.UnixNano()
}

func (r *Run) retry(o *run.Observation) {
	c := &r.rec.cfg
	if !c.EnableEvents || r.rec.nodes != nil && !r.rec.nodes[o.Node] {
		return
	}
	if len(r.t.Events) >= c.MaxSpansPerTrace || r.full(96+3*48) {
		r.t.Dropped++
		return
	}
	from := len(r.attrs)
	r.attrs = append(r.attrs, backend.Attr{Key: "retry_count", Kind: backend.KindInt, Num: uint64(o.Retries)})
	if o.Err != nil {
		_, kind, text := r.failure(o.Err)
		r.attrs = append(r.attrs, backend.Attr{Key: "error_type", Str: kind}, backend.Attr{Key: "error", Str: text})
		r.exception(o.Err)
	}
	r.t.Events = append(r.t.Events, backend.Event{Type: "node_retry", Name: o.Node, Span: r.spanID(o.Seq, o.Item),
		Time: stamp(o.End, o.Start.UnixNano()), Attrs: r.attrs[from:len(r.attrs):len(r.attrs)]})
}

// finish closes the trace, counts it in the sketches, decides whether it is kept
// and hands it over. It releases r.mu.
func (r *Run) finish(o *run.Observation) {
	t := &r.t
	t.End = t.Start + max(int64(o.End.Sub(o.Info.Started)), 0)
	t.Status = backend.OK
	if o.Err != nil {
		t.Status, t.ErrorType, t.Error = r.failure(o.Err)
	}
	if c := &r.rec.cfg; c.CaptureInputs || c.CaptureOutputs {
		from := len(r.attrs)
		r.attrs = append(r.attrs, t.Attrs...)
		r.capture(o)
		t.Attrs = r.attrs[from:len(r.attrs):len(r.attrs)]
	}
	r.id = run.ID{} // later observations are ignored
	rec := r.rec
	if o.Info.Kind == run.Production {
		rec.book.add(t)
	}
	keep := rec.keep(t)
	if keep && !rec.cfg.AsyncExport {
		r.done = make(chan struct{})
	}
	done := r.done
	r.mu.Unlock()
	switch {
	case !keep:
		rec.sampledOut.Add(1)
		rec.recycle(r)
	case rec.offer(r) && done != nil:
		rec.await(done)
	}
}

// Discard ends the recording of a run that pauses, and leaves no trace of it: when
// the run goes on it is recorded anew from its start. R must not be used after it.
func (r *Run) Discard() {
	if r == nil {
		return
	}
	r.mu.Lock()
	recorded := r.id != (run.ID{})
	r.id = run.ID{} // later observations are ignored
	r.mu.Unlock()
	if recorded {
		r.rec.recycle(r)
	}
}

// reset empties r for its next run and keeps its memory.
func (r *Run) reset() {
	t := &r.t
	clear(t.Spans)
	clear(t.Events)
	clear(t.Metrics)
	clear(r.attrs)
	*t = backend.Trace{Spans: t.Spans[:0], Events: t.Events[:0], Metrics: t.Metrics[:0]}
	r.attrs, r.calls, r.size, r.done = r.attrs[:0], 0, 0, nil
}
