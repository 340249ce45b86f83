package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// oneTrace flushes r and returns the only trace of mem.
func oneTrace(t *testing.T, r *Recorder, mem backend.Querier) *backend.Trace {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := collect(t, mem, backend.Filter{})
	if len(all) != 1 {
		t.Fatalf("%d traces", len(all))
	}
	return all[0]
}

// A native node records through its context, from several goroutines, beside what
// it leaves in its Trail.
func TestRecordingFromANativeNode(t *testing.T) {
	mem := memoryBackend(t)
	r := newRecorder(t, Defaults(), mem)
	in := info(0)
	x := r.Begin(in)
	ctx := x.Context(t.Context())
	RecordMetric(ctx, "requests.paid", 1)
	RecordEvent(ctx, "audit", "accepted", run.String("by", "test"))
	s := &run.Step{Info: in, Node: "answer", Seq: 4, Trail: &run.Trail{}}
	sctx, end := WithStep(ctx, s)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { RecordMetric(sctx, "score", float64(i), Histogram("1"), With(run.Int("i", int64(i)))) })
	}
	wg.Wait()
	RecordMetric(sctx, "quality", .5, Gauge("1"))
	RecordMetric(sctx, "quality", .75, Gauge("1"))
	RecordEvent(sctx, "agent_step", "think")
	parent := TraceParent(sctx)
	cctx, child := StartSpan(sctx, "parse", run.Int("n", 3))
	gctx, grand := StartSpan(cctx, "fetch")
	grand.Client().Set(run.String("url", "u"))
	inner := TraceParent(gctx)
	grand.End(errors.New("no route"))
	child.End(nil)
	child.End(errors.New("ended before"))
	end()
	RecordMetric(sctx, "quality", 99, Gauge("1")) // too late: the step is over
	x.Observe(&run.Observation{Phase: run.StepFinished, Info: in, Node: "answer", Seq: 4, After: -1, Start: in.Started, End: in.Started.Add(time.Second), Trail: s.Trail})
	x.Observe(&run.Observation{Phase: run.RunFinished, Info: in, End: in.Started.Add(time.Second)})
	RecordMetric(ctx, "requests.paid", 1) // likewise the run

	got := oneTrace(t, r, mem)
	step := got.Spans[2]
	if step.Node != "answer" || parent != "00-"+in.TraceID.String()+"-"+hex.EncodeToString(step.ID[:])+"-01" {
		t.Errorf("traceparent %q of step %x", parent, step.ID)
	}
	f, c := got.Spans[0], got.Spans[1]
	if c.Parent != step.ID || f.Parent != c.ID || f.Kind != 3 || c.Kind != 1 || f.Status != backend.Failed || c.Status != backend.OK ||
		c.Seq != -1 || c.NodeType != "span" || c.Node != "answer" || c.Attrs[0].Str != "parse" || c.Attrs[1].Num != 3 || f.Attrs[1].Str != "u" {
		t.Errorf("spans %+v", got.Spans)
	}
	if !strings.Contains(inner, hex.EncodeToString(f.ID[:])) {
		t.Errorf("traceparent %q within %x", inner, f.ID)
	}
	if len(got.Events) != 2 || got.Events[0].Type != "audit" || got.Events[0].Span != (backend.SpanID{}) || got.Events[1].Span != step.ID || got.Dropped != 1 {
		t.Errorf("events %+v, %d dropped", got.Events, got.Dropped)
	}
	a, err := mem.Aggregate(t.Context(), backend.Filter{Graph: in.Graph})
	if err != nil {
		t.Fatal(err)
	}
	if m := a.Metrics; m["quality"].Mean != .75 || m["score"].Mean != 4.5 || m["requests.paid"].Mean != 1 || m["quality"].Agg != "gauge" {
		t.Errorf("objectives %+v", a.Metrics)
	}
	if a.Nodes["answer"].Count != 1 || len(a.Nodes) != 1 {
		t.Errorf("spans within a step count as steps: %+v", a.Nodes)
	}
}

// A program without the engine: spans of a trace are steps of a run.
func TestTraceOfOnesOwn(t *testing.T) {
	mem := memoryBackend(t)
	r := newRecorder(t, Defaults(), mem)
	caller := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx, tr := r.StartTrace(t.Context(), TraceOptions{Graph: "batch", Version: "7", TraceParent: caller})
	one, load := StartSpan(ctx, "load")
	RecordMetric(one, "rows", 12)
	_, deep := StartSpan(one, "open")
	deep.End(nil)
	load.End(nil)
	_, save := StartSpan(ctx, "save", run.String("to", "disk"))
	save.End(fault.New(fault.Timeout, "disk", "too slow"))
	RecordMetric(ctx, "quality", .5, Gauge("1"))
	tr.End(nil)
	tr.End(errors.New("ended before"))
	got := oneTrace(t, r, mem)
	if got.TraceID != (backend.ID{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}) || got.RunID != backend.ID(tr.ID()) ||
		hex.EncodeToString(got.ParentSpan[:]) != "b7ad6b7169203331" || got.Status != backend.OK || got.Graph != "batch" || got.RunKind != "production" {
		t.Errorf("trace %+v", got)
	}
	if len(got.Spans) != 3 || got.Spans[1].Node != "load" || got.Spans[1].Seq != 0 || got.Spans[1].After != -1 || got.Spans[2].Node != "save" ||
		got.Spans[2].After != 0 || got.Spans[2].ErrorType != "timeout" || got.Spans[0].Parent != got.Spans[1].ID || got.Spans[2].Attrs[0].Str != "disk" {
		t.Errorf("spans %+v", got.Spans)
	}
	a, _ := mem.Aggregate(t.Context(), backend.Filter{})
	if a.Nodes["load"].Count != 1 || a.Nodes["save"].Failures != 1 || a.Metrics["rows"].Mean != 12 || a.Metrics["quality"].Mean != .5 {
		t.Errorf("aggregate %+v %+v", a.Nodes, a.Metrics)
	}
}

// Without a recorder, a run or a span every call does nothing.
func TestRecordingNowhere(t *testing.T) {
	var none *Recorder
	for _, r := range []*Recorder{none, newRecorder(t, Config{}, nil)} {
		ctx, tr := r.StartTrace(t.Context(), TraceOptions{Graph: "g"})
		ctx, s := StartSpan(ctx, "x")
		s.Client().Set(run.Int("a", 1))
		RecordMetric(ctx, "m", 1)
		RecordEvent(ctx, "e", "e")
		if p := TraceParent(ctx); p != "" {
			t.Errorf("traceparent %q", p)
		}
		s.End(nil)
		tr.End(nil)
	}
	ctx, end := WithStep((*Run)(nil).Context(t.Context()), &run.Step{Node: "n"})
	RecordMetric(ctx, "m", 1)
	end()
}

func TestContextIsNotPropagatedWhenOff(t *testing.T) {
	cfg := Defaults()
	cfg.PropagateContext = false
	mem := memoryBackend(t)
	r := newRecorder(t, cfg, mem)
	ctx, tr := r.StartTrace(t.Context(), TraceOptions{Graph: "g", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	if p := TraceParent(ctx); p != "" {
		t.Errorf("given away: %q", p)
	}
	tr.End(nil)
	if got := oneTrace(t, r, mem); got.TraceID != got.RunID || got.ParentSpan != (backend.SpanID{}) {
		t.Errorf("taken over: %x %x", got.TraceID, got.ParentSpan)
	}
}

func TestParseTraceParent(t *testing.T) {
	good := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, h := range []string{good, strings.Replace(good, "00-", "cc-", 1) + "-more"} {
		id, span, err := ParseTraceParent(h)
		if err != nil || id.String() != "0af7651916cd43dd8448eb211c80319c" || hex.EncodeToString(span[:]) != "b7ad6b7169203331" {
			t.Errorf("%s: %s %x %v", h, id, span, err)
		}
	}
	for _, h := range []string{"", "00", good[:54], good + "-more", strings.ToUpper(good), strings.Replace(good, "00-", "ff-", 1), strings.Replace(good, "0af7", "xxxx", 1),
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "é" + good[2:]} {
		if _, _, err := ParseTraceParent(h); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want an invalid fault", h, err)
		}
	}
}

func FuzzParseTraceParent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Fuzz(func(t *testing.T, h string) {
		id, span, err := ParseTraceParent(h)
		if err == nil && (id == (run.ID{}) || span == ([8]byte{}) || !strings.Contains(h, id.String()+"-"+hex.EncodeToString(span[:]))) {
			t.Errorf("%q: %s %x", h, id, span)
		}
	})
}

// What would name the password shows stars, in every form that a log or an error
// could take, and only the backend gets it.
func TestConnectionStringIsMasked(t *testing.T) {
	const password = "hunter2-marker"
	c, err := ParseConfig(fmt.Appendf(nil, `{"connection_string": "postgres://u:%s@h/db", "backend_config": {"max_connections": 7}}`, password))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "config", c, "string", c.ConnectionString)
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "config", c, "string", c.ConnectionString)
	shown, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&log, "%s %v %+v %#v %s %q", shown, c, c, c, c.ConnectionString, c.ConnectionString)
	if strings.Contains(log.String(), password) || !strings.Contains(log.String(), masked) {
		t.Errorf("shown:\n%s", &log)
	}
	var given map[string]any
	if err := json.Unmarshal(c.BackendConfig(), &given); err != nil || given["connection_string"] != "postgres://u:"+password+"@h/db" || given["max_connections"] != 7.0 {
		t.Errorf("the backend gets %v, %v", given, err)
	}
	if _, err := ParseConfig([]byte(`{"connection_string": "a", "backend_config": {"connection_string": "b"}}`)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "backend_config.connection_string") {
		t.Errorf("given twice: %v", err)
	}
}

func TestOverheadIsMeasured(t *testing.T) {
	r := newRecorder(t, Defaults(), memoryBackend(t))
	for n := range 3000 {
		drive(r, info(n), []int{1, 2, 3, 4, 5}, nil)
	}
	if err := r.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.OverheadRatio < .02 || s.OverheadRatio > 1 {
		t.Errorf("overhead %v of a process that does little else", s.OverheadRatio)
	}
}
