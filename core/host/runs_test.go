package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// counted is a native node that counts its calls and hands its input on.
func counted(n *atomic.Int64) engine.Func {
	return func(_ context.Context, s *run.Step) ([]byte, error) {
		n.Add(1)
		return append([]byte(nil), s.Input...), nil
	}
}

// question is a graph that asks a person between two steps.
func question(wait string) Document {
	return Document{GraphFile: "approval.yaml", Graph: fmt.Appendf(nil, `
graph: approval
version: 1.0.0
start: draft
nodes:
  draft: {native: count}
  ask:   {wait: %s}
  send:  {native: count, input: {text: "=nodes.draft.output", verdict: "=output"}}
edges: [{from: draft, to: ask}, {from: ask, to: send}]
`, wait)}
}

func traces(t *testing.T, h *Host, name string) (list []*backend.Trace) {
	t.Helper()
	q, err := h.Query(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for tr, err := range q.Raw(t.Context(), backend.Filter{Graph: name}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tr)
	}
	return list
}

// shut closes a host before the end of its test.
func shut(t *testing.T, h *Host) {
	t.Helper()
	if err := h.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// ended waits for the execution of a run, if there is one, and returns the run.
func ended(t *testing.T, h *Host, id string) *RunState {
	t.Helper()
	if l := h.lives.find(id); l != nil {
		<-l.done
	}
	s, err := h.ShowRun(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const yesNo = `{prompt: "Send it?", choices: ["yes", "no"]}`

// A run that waits survives its host, is continued by an answer on its own version,
// runs no recorded step again and leaves one trace, from its first start.
func TestAnswer(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	var n atomic.Int64
	cfg := Config{Natives: map[string]engine.NodeRunner{"count": counted(&n)}}
	h := open(t, dir, cfg)
	apply(t, h, question(yesNo))
	trace := run.NewID()
	res, err := h.Run(ctx, Request{Graph: "approval", Input: json.RawMessage(`"hello"`), TraceID: trace, Parent: [8]byte{1, 2}})
	if err != nil || res.Status != store.RunWaiting || len(res.Waiting) != 1 || res.Waiting[0].Prompt != "Send it?" || string(res.Waiting[0].Input) != `"hello"` {
		t.Fatalf("%+v %v", res, err)
	}
	if got := traces(t, h, "approval"); len(got) != 0 {
		t.Fatalf("%d traces of a run that has not ended", len(got))
	}
	if h.lives.get(mustID(t, res.RunID)) != nil {
		t.Fatal("a waiting run holds an execution")
	}
	shut(t, h)
	h = open(t, dir, cfg)
	// Another version must not be taken for the one that the run began with.
	other := question(yesNo)
	other.Graph = []byte(strings.Replace(string(other.Graph), "=nodes.draft.output", "=1", 1))
	if a := apply(t, h, other); !a.Changed {
		t.Fatal(a)
	}
	list, err := h.Runs(ctx, store.RunFilter{Status: store.RunWaiting})
	if err != nil || len(list) != 1 || list[0].ID != res.RunID || list[0].Live || !list[0].Durable {
		t.Fatalf("%+v %v", list, err)
	}
	for _, bad := range []struct {
		question, answer string
		kind             fault.Kind
	}{{"ask", `"perhaps"`, fault.Invalid}, {"ask", `yes`, fault.Invalid}, {"other", `"yes"`, fault.NotFound}} {
		if _, err := h.Answer(ctx, res.RunID, bad.question, json.RawMessage(bad.answer)); !fault.Is(err, bad.kind) || fault.HintOf(err) == "" && bad.answer != "yes" {
			t.Errorf("%v: %v, %s", bad, err, fault.HintOf(err))
		}
	}
	if s := ended(t, h, res.RunID); s.Status != store.RunWaiting {
		t.Fatalf("after bad answers the run is %s", s.Status)
	}
	done, err := h.Answer(ctx, res.RunID[:8], "ask", json.RawMessage(`"yes"`))
	if err != nil || done.Status != store.RunFinished || string(done.Output) != `{"text":"hello","verdict":"yes"}` || done.Version != "1.0.0" || done.RunID != res.RunID {
		t.Fatalf("%+v %s %v", done, done.Output, err)
	}
	if n.Load() != 2 {
		t.Errorf("%d calls, want 2", n.Load())
	}
	got := traces(t, h, "approval")
	if len(got) != 1 || len(got[0].Spans) != 3 || run.ID(got[0].TraceID) != trace || got[0].ParentSpan != [8]byte{1, 2} ||
		run.ID(got[0].RunID).String() != res.RunID || got[0].Start != list[0].Created.UnixNano() || got[0].Status != backend.OK {
		t.Fatalf("%d traces, %+v", len(got), got)
	}
	s := ended(t, h, res.RunID)
	if s.Status != store.RunFinished || s.Input != nil || s.Waiting != nil || string(s.Output) != string(done.Output) {
		t.Errorf("%+v", s)
	}
	if rows, err := h.store.Journal(ctx, res.RunID); err != nil || len(rows) != 0 {
		t.Errorf("%d rows of journal are left, %v", len(rows), err)
	}
	if _, err := h.Answer(ctx, res.RunID, "ask", json.RawMessage(`"yes"`)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second answer: %v", err)
	}
}

func mustID(t testing.TB, s string) run.ID {
	t.Helper()
	id, err := run.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Two people may answer two questions of one run at the same moment.
func TestAnswersTogether(t *testing.T) {
	var n atomic.Int64
	h := open(t, t.TempDir(), Config{Natives: map[string]engine.NodeRunner{"count": counted(&n)}})
	apply(t, h, Document{GraphFile: "two.yaml", Graph: []byte(`
graph: two
start: begin
nodes:
  begin: {native: count}
  a: {wait: {prompt: "a?"}}
  b: {wait: {prompt: "b?"}}
  end: {native: count}
edges: [{from: begin, to: a}, {from: begin, to: b}, {from: a, to: end}, {from: b, to: end}]
`)})
	res, err := h.Run(t.Context(), Request{Graph: "two"})
	if err != nil || len(res.Waiting) != 2 {
		t.Fatalf("%+v %v", res, err)
	}
	var wg sync.WaitGroup
	var finished atomic.Int64
	for _, q := range []string{"a", "b"} {
		wg.Go(func() {
			r, err := h.Answer(t.Context(), res.RunID, q, json.RawMessage(`"`+q+`"`))
			if err != nil {
				t.Error(err)
			} else if r.Status == store.RunFinished {
				finished.Add(1)
			}
		})
	}
	wg.Wait()
	if s := ended(t, h, res.RunID); finished.Load() != 1 || string(s.Output) != `{"a":"a","b":"b"}` {
		t.Errorf("%d finished, %+v", finished.Load(), s)
	}
}

// A question that nobody answers in time goes on by itself, also when the time
// passed while no host was open.
func TestDeadline(t *testing.T) {
	var n atomic.Int64
	sent := make(chan string, 2)
	cfg := Config{Natives: map[string]engine.NodeRunner{"count": engine.Func(func(ctx context.Context, s *run.Step) ([]byte, error) {
		if s.Node == "send" {
			sent <- string(s.Input)
		}
		return counted(&n)(ctx, s)
	})}}
	dir := t.TempDir()
	h := open(t, dir, cfg)
	apply(t, h, question(`{prompt: "Send it?", choices: ["yes", "no"], timeout: 20ms, on_timeout: default, default: "no"}`))
	res, err := h.Run(t.Context(), Request{Graph: "approval", Input: json.RawMessage(`1`)})
	if err != nil || res.Status != store.RunWaiting {
		t.Fatalf("%+v %v", res, err)
	}
	if got := <-sent; got != `{"text":1,"verdict":"no"}` {
		t.Errorf("sent %s", got)
	}
	if s := ended(t, h, res.RunID); s.Status != store.RunFinished {
		t.Errorf("%+v", s)
	}
	shut(t, h)
	leave := cfg
	leave.LeaveRuns = true
	h = open(t, dir, leave)
	if res, err = h.Run(t.Context(), Request{Graph: "approval", Input: json.RawMessage(`2`)}); err != nil || res.Status != store.RunWaiting {
		t.Fatalf("%+v %v", res, err)
	}
	shut(t, h)
	open(t, dir, cfg)
	if got := <-sent; got != `{"text":2,"verdict":"no"}` {
		t.Errorf("sent %s", got)
	}
}

// blocking is a durable graph whose second step blocks until its host closes, as
// long as hold is true.
func blocking(first *atomic.Int64, hold *atomic.Bool, reached chan<- struct{}) (Document, Config) {
	cfg := Config{Natives: map[string]engine.NodeRunner{"count": counted(first), "block": engine.Func(func(ctx context.Context, s *run.Step) ([]byte, error) {
		if hold.Load() {
			reached <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return append([]byte(nil), s.Input...), nil
	})}}
	return Document{GraphFile: "slow.yaml", Graph: []byte(`
graph: slow
version: 1.0.0
durable: true
start: a
nodes: {a: {native: count}, b: {native: block}, c: {native: count}}
edges: [{from: a, to: b}, {from: b, to: c}]
`)}, cfg
}

// A host that closes leaves its runs where they are; the next one takes them up.
func TestTakeUp(t *testing.T) {
	var n atomic.Int64
	var hold atomic.Bool
	hold.Store(true)
	reached := make(chan struct{})
	d, cfg := blocking(&n, &hold, reached)
	dir := t.TempDir()
	h := open(t, dir, cfg)
	apply(t, h, d)
	type outcome struct {
		res *Result
		err error
	}
	came := make(chan outcome)
	go func() {
		res, err := h.Run(context.Background(), Request{Graph: "slow", Input: json.RawMessage(`7`)})
		came <- outcome{res, err}
	}()
	<-reached
	list, err := h.Runs(t.Context(), store.RunFilter{})
	if err != nil || len(list) != 1 || !list[0].Live || fmt.Sprint(list[0].Nodes) != "[b]" || list[0].Checkpoints != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	shut(t, h)
	o := <-came
	if !fault.Is(o.err, fault.Unavailable) || o.res == nil || o.res.Status != store.RunRunning || fault.HintOf(o.err) == "" {
		t.Fatalf("%+v %v", o.res, o.err)
	}

	// A host for a moment leaves it alone and can show it.
	quiet := cfg
	quiet.LeaveRuns = true
	h = open(t, dir, quiet)
	if s := ended(t, h, o.res.RunID); s.Status != store.RunRunning || s.Live {
		t.Fatalf("%+v", s)
	}
	shut(t, h)

	hold.Store(false)
	h = open(t, dir, cfg)
	<-h.takenUp
	if s := ended(t, h, o.res.RunID); s.Status != store.RunFinished || string(s.Output) != "7" || s.Error != "" {
		t.Fatalf("%+v", s)
	}
	if n.Load() != 2 {
		t.Errorf("count ran %d times, want once for a and once for c", n.Load())
	}
	if got := traces(t, h, "slow"); len(got) != 1 || len(got[0].Spans) != 3 || got[0].Status != backend.OK {
		t.Errorf("%d traces", len(got))
	}
}

// Resume continues one interrupted run for a host that leaves runs alone.
func TestResumeOne(t *testing.T) {
	var n atomic.Int64
	var hold atomic.Bool
	hold.Store(true)
	reached := make(chan struct{})
	d, cfg := blocking(&n, &hold, reached)
	cfg.LeaveRuns = true
	dir := t.TempDir()
	h := open(t, dir, cfg)
	apply(t, h, d)
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-reached; leave() }()
	res, err := h.Run(ctx, Request{Graph: "slow"})
	if !fault.Is(err, fault.Cancelled) || res.Status != store.RunRunning {
		t.Fatalf("a caller that leaves got %+v %v", res, err)
	}
	if _, err := h.Resume(t.Context(), res.RunID); !fault.Is(err, fault.Conflict) {
		t.Errorf("resume of a run that executes: %v", err)
	}
	shut(t, h)
	hold.Store(false)
	h = open(t, dir, cfg)
	got, err := h.Resume(t.Context(), res.RunID)
	if err != nil || got.Status != store.RunFinished || n.Load() != 2 {
		t.Errorf("%+v %v, %d calls", got, err, n.Load())
	}
	if _, err := h.Resume(t.Context(), res.RunID); !fault.Is(err, fault.Conflict) {
		t.Errorf("resume of a run that is over: %v", err)
	}
}

// A run whose version cannot be prepared any more has failed, with the reason, and
// the host serves the others.
func TestLostVersion(t *testing.T) {
	var n atomic.Int64
	cfg := Config{Natives: map[string]engine.NodeRunner{"count": counted(&n)}}
	dir := t.TempDir()
	h := open(t, dir, cfg)
	apply(t, h, question(yesNo))
	res, err := h.Run(t.Context(), Request{Graph: "approval"})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, h)
	h = open(t, dir, Config{Natives: map[string]engine.NodeRunner{"other": counted(&n)}})
	apply(t, h, Document{GraphFile: "o.yaml", Graph: []byte("graph: o\nstart: a\nnodes: {a: {native: other}}\n")})
	if _, err := h.Answer(t.Context(), res.RunID, "ask", json.RawMessage(`"yes"`)); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "nodes.draft.native") {
		t.Errorf("answer: %v", err)
	}
	s := ended(t, h, res.RunID)
	if s.Status != store.RunFailed || !strings.Contains(s.Error, `no Go function "count"`) {
		t.Errorf("%+v", s)
	}
	if got := traces(t, h, "approval"); len(got) != 1 || got[0].Status != backend.Failed {
		t.Errorf("%+v", got)
	}
	if _, err := h.Run(t.Context(), Request{Graph: "o"}); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	var n atomic.Int64
	var hold atomic.Bool
	hold.Store(true)
	reached := make(chan struct{})
	d, cfg := blocking(&n, &hold, reached)
	cfg.LeaveRuns = true
	dir, ctx := t.TempDir(), t.Context()
	h := open(t, dir, cfg)
	apply(t, h, d)
	plain := d
	plain.Graph = []byte(strings.NewReplacer("slow", "plain", "durable: true\n", "").Replace(string(d.Graph)))
	apply(t, h, plain)
	apply(t, h, question(yesNo))
	start := func(name string) <-chan error {
		failed := make(chan error, 1)
		go func() {
			_, err := h.Run(context.Background(), Request{Graph: name, Listed: true})
			failed <- err
		}()
		<-reached
		return failed
	}
	// One that executes, with checkpoints and without.
	for _, name := range []string{"slow", "plain"} {
		failed := start(name)
		list, err := h.Runs(ctx, store.RunFilter{Graph: name, Status: store.RunRunning})
		if err != nil || len(list) != 1 || !list[0].Live || list[0].Durable != (name == "slow") {
			t.Fatalf("%s: %+v %v", name, list, err)
		}
		if err := h.Cancel(ctx, list[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !fault.Is(err, fault.Cancelled) {
			t.Errorf("%s ended with %v", name, err)
		}
		if tr := traces(t, h, name); len(tr) != 1 || tr[0].Status != backend.Cancelled {
			t.Errorf("%s: %d traces", name, len(tr))
		}
		if name == "slow" {
			if s := ended(t, h, list[0].ID); s.Status != store.RunCancelled {
				t.Errorf("%+v", s)
			}
			if err := h.Cancel(ctx, list[0].ID); !fault.Is(err, fault.Conflict) {
				t.Errorf("a second time: %v", err)
			}
		} else if err := h.Cancel(ctx, list[0].ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("a run without checkpoints that is over: %v", err)
		}
	}
	// One that waits: its trace tells of the steps it had.
	res, err := h.Run(ctx, Request{Graph: "approval"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Cancel(ctx, res.RunID); err != nil {
		t.Fatal(err)
	}
	if s := ended(t, h, res.RunID); s.Status != store.RunCancelled {
		t.Errorf("%+v", s)
	}
	if tr := traces(t, h, "approval"); len(tr) != 1 || tr[0].Status != backend.Cancelled || len(tr[0].Spans) < 1 || tr[0].Spans[0].Node != "draft" {
		t.Errorf("%d traces", len(tr))
	}
	// One that was interrupted.
	failed := start("slow")
	list, err := h.Runs(ctx, store.RunFilter{Status: store.RunRunning})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	shut(t, h)
	<-failed
	h = open(t, dir, cfg)
	if err := h.Cancel(ctx, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if s := ended(t, h, list[0].ID); s.Status != store.RunCancelled {
		t.Errorf("%+v", s)
	}
	if err := h.Cancel(ctx, "abcdef0123"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such run: %v", err)
	}
}

// A failed durable run says why, and its checkpoints are gone.
func TestDurableFailure(t *testing.T) {
	cfg := Config{Natives: map[string]engine.NodeRunner{"bad": engine.Func(func(context.Context, *run.Step) ([]byte, error) {
		return nil, errors.New("out of paper")
	})}}
	h := open(t, t.TempDir(), cfg)
	apply(t, h, Document{GraphFile: "g.yaml", Graph: []byte("graph: g\ndurable: true\nstart: a\nnodes: {a: {native: bad}}\n")})
	res, err := h.Run(t.Context(), Request{Graph: "g"})
	if err == nil || res.Status != store.RunFailed {
		t.Fatalf("%+v %v", res, err)
	}
	if s := ended(t, h, res.RunID); s.Status != store.RunFailed || !strings.Contains(s.Error, "out of paper") || s.Input != nil {
		t.Errorf("%+v", s)
	}
}

// Runs that ended are forgotten after their retention; those that wait are not.
func TestForget(t *testing.T) {
	var n atomic.Int64
	cfg := Config{Natives: map[string]engine.NodeRunner{"count": counted(&n)}}
	dir := t.TempDir()
	h := open(t, dir, cfg)
	apply(t, h, question(yesNo))
	var ids []string
	for range 2 {
		res, err := h.Run(t.Context(), Request{Graph: "approval"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, res.RunID)
	}
	if err := h.Cancel(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	shut(t, h)
	cfg.RunRetention = 1
	h = open(t, dir, cfg)
	for {
		if _, err := h.ShowRun(t.Context(), ids[0]); fault.Is(err, fault.NotFound) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if s := ended(t, h, ids[1]); s.Status != store.RunWaiting {
		t.Errorf("%+v", s)
	}
}

// No id, and no part of one that is too short, names a run that executes.
func TestShortID(t *testing.T) {
	var n atomic.Int64
	var hold atomic.Bool
	hold.Store(true)
	reached := make(chan struct{})
	d, cfg := blocking(&n, &hold, reached)
	d.Graph = []byte(strings.Replace(string(d.Graph), "durable: true\n", "", 1))
	h := open(t, t.TempDir(), cfg)
	apply(t, h, d)
	failed := make(chan error)
	go func() {
		_, err := h.Run(context.Background(), Request{Graph: "slow", Listed: true})
		failed <- err
	}()
	<-reached
	list, err := h.Runs(t.Context(), store.RunFilter{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	for _, id := range []string{"", list[0].ID[:5]} {
		if err := h.Cancel(t.Context(), id); !fault.Is(err, fault.Invalid) {
			t.Errorf("cancel %q: %v", id, err)
		}
	}
	if s, err := h.ShowRun(t.Context(), list[0].ID[:6]); err != nil || s.Durable || !s.Live {
		t.Errorf("%+v %v", s, err)
	}
	if err := h.Cancel(t.Context(), list[0].ID[:6]); err != nil {
		t.Error(err)
	}
	if err := <-failed; !fault.Is(err, fault.Cancelled) {
		t.Error(err)
	}
}

// A graph that collects telemetry has no checkpoints and waits for nobody.
func TestCollectorWaits(t *testing.T) {
	cfg := capturing(t, func(c *telemetry.Config) { c.Collector = "approval" })
	var n atomic.Int64
	cfg.Natives = map[string]engine.NodeRunner{"count": counted(&n)}
	h := open(t, t.TempDir(), cfg)
	d := question(yesNo)
	d.Policy, d.PolicyFile = []byte("policy: approval\ntelemetry: off\n"), "approval.policy.yaml"
	if _, err := h.Apply(t.Context(), d); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "have no checkpoints") {
		t.Error(err)
	}
}
