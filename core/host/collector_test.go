package host

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// kept is a backend that outlives its host.
type kept struct{ *memory.Backend }

func (kept) Close(context.Context) error { return nil }

const (
	secret    = "4111-1111-1111-1111"
	collects  = "graph: collect\nversion: 1.0.0\nstart: redact\nnodes: {redact: {native: redact}}\n"
	collects2 = "graph: collect\nversion: 2.0.0\nstart: failed\nnodes: {failed: {native: failed}}\n"
	aims      = "policy: collect\nobjectives: {latency: {weight: 1, direction: minimize}}\n"
	silence   = aims + "telemetry: off\n"
)

// collecting opens a host whose profile sends everything through graph collect.
// Version 1 takes captured texts out of a batch, version 2 all that went well.
func collecting(t *testing.T, dir string, to backend.Writer, batches *atomic.Int64) *Host {
	t.Helper()
	change := func(f func(doc map[string]any)) engine.NodeRunner {
		return engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
			batches.Add(1)
			var doc map[string]any
			if err := json.Unmarshal(s.Input, &doc); err != nil {
				return nil, err
			}
			f(doc)
			return json.Marshal(doc)
		})
	}
	each := func(doc map[string]any, key string, f func(map[string]any)) {
		list, _ := doc[key].([]any)
		for _, x := range list {
			f(x.(map[string]any))
		}
	}
	profile := telemetry.Defaults()
	profile.Backend, profile.Collector, profile.CaptureInputs, profile.ExportInterval, profile.RetentionDays = "here", "collect", true, 0, 36500
	return open(t, dir, Config{Telemetry: map[string]telemetry.Config{"default": profile}, Backends: map[string]backend.Writer{"here": to},
		Natives: map[string]engine.NodeRunner{
			"pay": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
				if strings.Contains(string(s.Input), "fail") {
					return nil, fault.New(fault.Rejected, "", "no money")
				}
				return s.Input, nil
			}),
			"redact": change(func(doc map[string]any) {
				each(doc, "traces", func(x map[string]any) {
					delete(x, "attributes")
					each(x, "spans", func(s map[string]any) { delete(s, "attributes") })
				})
			}),
			"failed": change(func(doc map[string]any) {
				kept := []any{}
				each(doc, "traces", func(x map[string]any) {
					if x["status"] != "ok" {
						kept = append(kept, x)
					}
				})
				doc["traces"] = kept
			}),
		}})
}

func put(t *testing.T, h *Host, graph, policy string) {
	t.Helper()
	doc := Document{Graph: []byte(graph), GraphFile: "g.yaml", PolicyFile: "g.policy.yaml"}
	if policy != "" {
		doc.Policy = []byte(policy)
	}
	if _, err := h.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
}

const pays = "graph: pays\nversion: 1.0.0\nstart: pay\nnodes: {pay: {native: pay}}\n"

func pay(t *testing.T, h *Host, input string) {
	t.Helper()
	_, err := h.Run(t.Context(), Request{Graph: "pays", Input: json.RawMessage(input)})
	if fails := strings.Contains(input, "fail"); fails != (err != nil) {
		t.Fatalf("%s: %v", input, err)
	}
}

// all returns what a backend holds, as text.
func all(t *testing.T, b *memory.Backend) (n int, text string) {
	t.Helper()
	for x, err := range b.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		n, text = n+1, text+string(body)
	}
	return n, text
}

func TestCollectorGraph(t *testing.T) {
	store, dir := volatile(t), t.TempDir()
	var batches atomic.Int64
	h := collecting(t, dir, kept{store}, &batches)
	put(t, h, collects, silence)
	put(t, h, pays, "")
	pay(t, h, `{"card": "`+secret+`"}`)
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, text := all(t, store)
	if n != 1 || strings.Contains(text, secret) || !strings.Contains(text, "pays") || batches.Load() == 0 {
		t.Fatalf("%d traces, %d batches: %s", n, batches.Load(), text)
	}
	// A new version collects from its first batch on.
	put(t, h, collects2, "")
	pay(t, h, `{"card": "fine"}`)
	pay(t, h, `{"card": "fail"}`)
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, text := all(t, store); n != 2 || !strings.Contains(text, "no money") {
		t.Fatalf("%d traces: %s", n, text)
	}
	// What others send goes the same way.
	samples := backendtest.Samples(0, 21)
	bad, err := h.Receive(t.Context(), "", &backend.Batch{ID: backendtest.ID(1), Traces: samples})
	if err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	want := 2
	for _, x := range samples {
		if x.Status != backend.OK {
			want++
		}
	}
	if n, _ := all(t, store); n != want || want == 2 {
		t.Errorf("%d traces, want %d", n, want)
	}
	// What waits when the host closes is collected, too, also by a host that has
	// not collected yet.
	before := batches.Load()
	pay(t, h, `{"card": "fail again"}`)
	if err := h.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n, _ := all(t, store); n != want+1 || batches.Load() == before {
		t.Errorf("%d traces after Close, want %d", n, want+1)
	}
	h = collecting(t, dir, kept{store}, &batches)
	pay(t, h, `{"card": "fail after a restart"}`)
	pay(t, h, `{"card": "fine"}`)
	if err := h.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n, _ := all(t, store); n != want+2 {
		t.Errorf("%d traces after a restart, want %d", n, want+2)
	}
}

// Batches wait in memory until the graph that collects them is there: nothing that
// it would take out reaches the disk.
func TestCollectorGraphComesLater(t *testing.T) {
	store, dir := volatile(t), t.TempDir()
	var batches atomic.Int64
	h := collecting(t, dir, kept{store}, &batches)
	defer h.Close(context.Background())
	put(t, h, pays, "")
	pay(t, h, `{"card": "`+secret+`"}`)
	if err := h.Flush(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("flush: %v", err)
	}
	if n, _ := all(t, store); n != 0 {
		t.Fatalf("%d traces went past the graph", n)
	}
	found := 0
	if err := filepath.WalkDir(filepath.Join(dir, "spool"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		found++
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), secret) {
			t.Errorf("%s holds what was not collected", path)
		}
		return err
	}); err != nil || found == 0 {
		t.Fatal(found, err)
	}
	put(t, h, collects, silence)
	for h.Flush(t.Context()) != nil && !t.Failed() {
		time.Sleep(time.Millisecond) // until the exporter tries again
	}
	if n, text := all(t, store); n != 1 || strings.Contains(text, secret) {
		t.Errorf("%d traces: %s", n, text)
	}
}

func TestCollectorGraphIsNotRecorded(t *testing.T) {
	var batches atomic.Int64
	h := collecting(t, t.TempDir(), kept{volatile(t)}, &batches)
	defer h.Close(context.Background())
	for _, policy := range []string{"", aims, aims + "telemetry: default\n"} {
		doc := Document{Graph: []byte(collects), GraphFile: "g.yaml", Policy: []byte(policy), PolicyFile: "p.yaml"}
		if _, err := h.Apply(t.Context(), doc); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "its own must be off") ||
			fault.HintOf(err) != "set telemetry: off in its policy" {
			t.Errorf("policy %q: %v (%s)", policy, err, fault.HintOf(err))
		}
		if list, err := h.Lint(t.Context(), doc); err != nil || !list.HasErrors() {
			t.Errorf("policy %q: lint finds %v, %v", policy, list, err)
		}
	}
	put(t, h, collects, silence)
	if _, err := h.Apply(t.Context(), Document{Graph: []byte(collects), GraphFile: "g.yaml", Policy: []byte(aims + "telemetry: default\n"), PolicyFile: "p.yaml"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a policy that switches telemetry on: %v", err)
	}
}

// A graph that was applied before it was named as a collector is refused when the
// profile is opened.
func TestCollectorGraphOfOldSettings(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Config{Natives: map[string]engine.NodeRunner{"redact": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil })}})
	put(t, h, collects, "")
	if err := h.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	var batches atomic.Int64
	h = collecting(t, dir, kept{volatile(t)}, &batches)
	defer h.Close(context.Background())
	if err := h.FlushProfile(t.Context(), ""); !fault.Is(err, fault.Conflict) || !strings.Contains(fault.HintOf(err), "telemetry: off") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}

// tight refuses a batch of more than four documents, and one trace for ever.
type tight struct {
	*memory.Backend
	calls int
}

func (w *tight) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	w.calls++
	for _, x := range b.Traces {
		if len(b.Traces)+len(b.Sketches) > 4 || x.TraceID == backendtest.ID(13) {
			return nil, fault.New(fault.Limit, "", "the document is too large")
		}
	}
	return w.Backend.Write(ctx, b)
}

func TestLargeBatchesAreCollectedInParts(t *testing.T) {
	w := &tight{Backend: volatile(t)}
	b := &backend.Batch{ID: backendtest.ID(7), Traces: backendtest.Samples(0, 21),
		Sketches: []backend.Sketch{{Epoch: backendtest.ID(1), Graph: "g", Hour: 1, Seq: 1, Data: []byte("rows")}}}
	for range 2 { // the second time nothing is new
		bad, err := inHalves(w).Write(t.Context(), b)
		if err != nil || len(bad) != 1 || bad[0].Index != 13 || !strings.Contains(bad[0].Reason, "too large") {
			t.Fatalf("%+v, %v", bad, err)
		}
	}
	n, err := w.Count(t.Context())
	if err != nil || n.Traces != 20 || n.Sketches != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := inHalves(w).Write(t.Context(), &backend.Batch{ID: backendtest.ID(8), Traces: backendtest.Samples(30, 33)}); err != nil {
		t.Error(err)
	}
}
