package host

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// capturing is a profile that keeps what a replay needs, in memory.
func capturing(t *testing.T, change func(*telemetry.Config)) Config {
	t.Helper()
	b, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := telemetry.Defaults()
	p.Backend, p.CaptureInputs, p.CaptureOutputs = "ram", true, true
	if change != nil {
		change(&p)
	}
	return Config{Telemetry: map[string]telemetry.Config{"default": p}, Backends: map[string]backend.Writer{"ram": b}}
}

// steps is a graph of three steps whose last one says word.
func steps(version, word string) Document {
	return Document{GraphFile: "steps.yaml", Graph: fmt.Appendf(nil, `
graph: steps
version: %s
start: a
nodes:
  a: {native: slow}
  b: {native: slow, foreach: {items: "output.list"}}
  c: {native: slow, input: {say: "=%s", list: "=output"}}
edges: [{from: a, to: b}, {from: b, to: c}]
`, version, word)}
}

// A changed node is tried on old traffic: what is unchanged is answered from the
// record, of the recorded run as of hundred, and the rest runs.
func TestReplay(t *testing.T) {
	var n atomic.Int64
	cfg := capturing(t, nil)
	cfg.Natives = map[string]engine.NodeRunner{"slow": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		n.Add(1)
		switch s.Node {
		case "a":
			return fmt.Appendf(nil, `{"list": [1, 2, %s]}`, s.Input), nil
		case "c":
			var in struct{ Say string }
			if json.Unmarshal(s.Input, &in) == nil && in.Say == "fail" {
				return nil, fault.New(fault.Rejected, "", "no")
			}
		}
		return append([]byte(nil), s.Input...), nil
	})}
	h := open(t, t.TempDir(), cfg)
	ctx := t.Context()
	apply(t, h, steps("1.0.0", "'hello'"))
	var first *Result
	for i := range 20 {
		res, err := h.Run(ctx, Request{Graph: "steps", Input: fmt.Appendf(nil, "%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		first = res
	}
	n.Store(0)

	// The same version: everything is answered, nothing runs, nothing differs.
	r, err := h.ReplayRuns(ctx, ReplayRequest{Graph: "steps", Natives: true})
	if err != nil || r.Runs != 20 || r.Same != 20 || r.Differ != 0 || r.Answered != 60 || r.Ran != 0 || n.Load() != 0 || len(r.Skipped) != 0 {
		t.Fatalf("%+v %v, %d calls", r, err, n.Load())
	}

	// A changed node runs, what lies before it is answered.
	apply(t, h, steps("2.0.0", "'good day'"))
	r, err = h.ReplayRuns(ctx, ReplayRequest{Graph: "steps", Limit: 5, Natives: true})
	if err != nil || r.Runs != 5 || r.Differ != 5 || r.Answered != 10 || r.Ran != 5 || n.Load() != 5 || fmt.Sprint(r.Nodes) != "[c]" || r.Version != "2.0.0" {
		t.Fatalf("%+v %v, %d calls", r, err, n.Load())
	}
	one := r.Replays[0]
	if one.Run != first.RunID || string(one.Before) != `{"list":[1,2,19],"say":"hello"}` || string(one.After) != `{"list":[1,2,19],"say":"good day"}` ||
		!strings.Contains(one.Diff, "-   \"say\": \"hello\"\n+   \"say\": \"good day\"\n") || strings.Contains(one.Diff, "[") && strings.Contains(one.Diff, "    1,") {
		t.Errorf("%+v\n%s", one, one.Diff)
	}
	// Without leave, a Go function is held back, for one run by its id as well.
	r, err = h.ReplayRuns(ctx, ReplayRequest{Run: first.RunID})
	if err != nil || r.Runs != 1 || r.Held != 1 || r.Failed != 1 || n.Load() != 5 || !strings.Contains(r.Replays[0].Error, "nodes.c: is held back") {
		t.Fatalf("%+v %v, %d calls", r, err, n.Load())
	}

	// A document can be tried without being applied, and a failure is a difference.
	doc := steps("3.0.0", "'fail'")
	r, err = h.ReplayRuns(ctx, ReplayRequest{Graph: "steps", Limit: 2, Natives: true, Document: &doc})
	if err != nil || r.Differ != 2 || r.Failed != 2 || r.Held != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if v, err := h.store.Versions(ctx, "steps"); err != nil || len(v) != 2 {
		t.Errorf("%d versions, %v", len(v), err)
	}
	// Replays are recorded as such and are no production runs.
	kinds := map[string]int{}
	for _, tr := range traces(t, h, "steps") {
		kinds[tr.RunKind]++
	}
	if kinds["production"] != 20 || kinds["replay"] != 28 {
		t.Errorf("%v", kinds)
	}

	for _, bad := range []struct {
		req  ReplayRequest
		kind fault.Kind
	}{{ReplayRequest{}, fault.Invalid}, {ReplayRequest{Graph: "nowhere"}, fault.NotFound}, {ReplayRequest{Run: "abc"}, fault.Invalid},
		{ReplayRequest{Run: run.NewID().String(), Graph: "steps"}, fault.NotFound}, {ReplayRequest{Graph: "steps", Limit: MaxReplays + 1}, fault.Invalid},
		{ReplayRequest{Graph: "steps", Version: "9.9.9"}, fault.NotFound}} {
		if _, err := h.ReplayRuns(ctx, bad.req); !fault.Is(err, bad.kind) {
			t.Errorf("%+v: %v", bad.req, err)
		}
	}
	if r, err := h.ReplayRuns(ctx, ReplayRequest{Graph: "steps", To: time.Unix(1, 0)}); err != nil || r.Runs != 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// A run that lacks what a replay needs is refused by the name of the setting.
func TestReplayMissing(t *testing.T) {
	for setting, change := range map[string]func(*telemetry.Config){
		"capture_inputs: true":  func(c *telemetry.Config) { c.CaptureInputs = false },
		"capture_outputs: true": func(c *telemetry.Config) { c.CaptureOutputs = false },
		"enable_traces: true":   func(c *telemetry.Config) { c.EnableTraces = false },
	} {
		var n atomic.Int64
		cfg := capturing(t, change)
		cfg.Natives = map[string]engine.NodeRunner{"slow": counted(&n)}
		h := open(t, t.TempDir(), cfg)
		apply(t, h, Document{GraphFile: "steps.yaml", Graph: []byte("graph: steps\nstart: a\nnodes: {a: {native: slow}}\n")})
		res, err := h.Run(t.Context(), Request{Graph: "steps"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.ReplayRuns(t.Context(), ReplayRequest{Run: res.RunID}); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.HintOf(err), setting) {
			t.Errorf("%s: %v, %s", setting, err, fault.HintOf(err))
		}
		r, err := h.ReplayRuns(t.Context(), ReplayRequest{Graph: "steps"})
		if err != nil || r.Runs != 0 || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Hint, setting) || n.Load() != 1 {
			t.Errorf("%s: %+v %v", setting, r, err)
		}
	}
}

// What a person answered is replayed too; a question with another input is not
// answered for them.
func TestReplayAnswer(t *testing.T) {
	var n atomic.Int64
	cfg := capturing(t, nil)
	cfg.Natives = map[string]engine.NodeRunner{"count": counted(&n)}
	h := open(t, t.TempDir(), cfg)
	apply(t, h, question(yesNo))
	res, err := h.Run(t.Context(), Request{Graph: "approval", Input: json.RawMessage(`"x"`)})
	if err == nil {
		res, err = h.Answer(t.Context(), res.RunID, "ask", json.RawMessage(`"no"`))
	}
	if err != nil {
		t.Fatal(err)
	}
	doc := question(yesNo)
	doc.Graph = []byte(strings.Replace(string(doc.Graph), "verdict: ", "decision: ", 1))
	r, err := h.ReplayRuns(t.Context(), ReplayRequest{Run: res.RunID[:8], Document: &doc, Natives: true})
	if err != nil || r.Answered != 2 || r.Ran != 1 || string(r.Replays[0].After) != `{"decision":"no","text":"x"}` {
		t.Fatalf("%+v %v", r, err)
	}
	doc.Graph = []byte(strings.Replace(string(doc.Graph), "Send it?", "Really?", 1))
	if r, err = h.ReplayRuns(t.Context(), ReplayRequest{Run: res.RunID[:8], Document: &doc, Natives: true}); err != nil || r.Held != 1 || r.Ran != 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// No experiment runs a graph that waits for a person.
func TestNoExperimentWaits(t *testing.T) {
	var n atomic.Int64
	h := open(t, t.TempDir(), Config{Natives: map[string]engine.NodeRunner{"count": counted(&n)}})
	apply(t, h, question(yesNo))
	v, err := h.store.Active(t.Context(), "approval")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (lab{h}).Prepare(t.Context(), v.Locked, v.Locked.Graph); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "waits for a person") {
		t.Error(err)
	}
	d, _ := blocking(&n, new(atomic.Bool), nil)
	d.Graph = []byte(strings.Replace(string(d.Graph), "native: block", "native: count", 1))
	apply(t, h, d)
	if v, err = h.store.Active(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	a, err := (lab{h}).Prepare(t.Context(), v.Locked, v.Locked.Graph)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if out, err := a.Run(t.Context(), []byte("1")); err != nil || out.Err != nil || string(out.Output) != "1" {
		t.Errorf("%+v %v", out, err)
	}
	if list, err := h.store.Runs(t.Context(), store.RunFilter{}); err != nil || len(list) != 0 {
		t.Errorf("an experiment left %d runs, %v", len(list), err)
	}
}
