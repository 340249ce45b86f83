package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/plugins/backends/otlp"
	"github.com/sparkrsi/spark/plugins/backends/postgres"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/plugins/nodes"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	testpg "github.com/sparkrsi/spark/testkit/postgres"
)

// TestMain lets the test binary be the plugin process that a host starts, and the
// host that a test kills.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "plugin" && os.Args[2] == "serve" {
		if err := map[string]func() error{"sqlite": sqlite.Serve, "postgres": postgres.Serve, "memory": memory.Serve, "otlp": otlp.Serve}[os.Args[3]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(victimDir); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
		return
	}
	testpg.Main(m)
}

func stock(t testing.TB) [][]byte {
	t.Helper()
	wasm, err := nodes.Stock()
	if err != nil {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
	return [][]byte{wasm}
}

// open opens a host on dir; with volatile telemetry unless cfg says otherwise.
func open(t testing.TB, dir string, cfg Config) *Host {
	t.Helper()
	cfg.DataDir = dir
	if cfg.Stock == nil {
		cfg.Stock = stock(t)
	}
	if cfg.Telemetry == nil {
		b, err := memory.New(memory.Config{})
		if err != nil {
			t.Fatal(err)
		}
		p := telemetry.Defaults()
		p.Backend = "ram"
		cfg.Telemetry = map[string]telemetry.Config{"default": p}
		cfg.Backends = map[string]backend.Writer{"ram": b}
	}
	h, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// doc is a graph of three steps whose answer names the version that gave it.
func doc(version string) Document {
	return Document{GraphFile: "greet.yaml", Graph: []byte(fmt.Sprintf(`
graph: greet
version: %[1]s
start: first
nodes:
  first:  {module: template@^1, config: {template: "%[1]s {{name}}"}}
  second: {module: template@^1, config: {template: "{{text}} %[1]s"}}
  third:  {module: template@^1, config: {template: "{{text}} %[1]s"}}
edges:
  - {from: first, to: second}
  - {from: second, to: third}
`, version))}
}

func apply(t testing.TB, h *Host, d Document) *Applied {
	t.Helper()
	a, err := h.Apply(t.Context(), d)
	if err != nil {
		t.Fatalf("apply: %v: %s", err, fault.HintOf(err))
	}
	return a
}

func TestApplyRunAndReopen(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Config{})
	a := apply(t, h, doc("1.0.0"))
	if !a.Changed || a.Version != "1.0.0" || a.Previous != "" {
		t.Fatalf("%+v", a)
	}
	res, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"Ada"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if string(res.Output) != `{"text":"1.0.0 Ada 1.0.0 1.0.0"}` || res.Steps != 3 || res.Version != "1.0.0" {
		t.Fatalf("%+v %s", res, res.Output)
	}
	if again := apply(t, h, doc("1.0.0")); again.Changed {
		t.Fatal("the same document made a second version")
	}
	b := apply(t, h, doc("2.0.0"))
	if !b.Changed || b.Previous != "1.0.0" {
		t.Fatalf("%+v", b)
	}
	if old := apply(t, h, doc("1.0.0")); old.Changed || old.Version != "2.0.0" {
		t.Fatalf("a document of an ancestor replaced the active version: %+v", old)
	}
	if res, err = h.Run(t.Context(), Request{Graph: "greet", Version: "1.0.0", Input: json.RawMessage(`{"name":"B"}`)}); err != nil || res.Version != "1.0.0" {
		t.Fatal(res, err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir, Config{})
	if res, err = h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"C"}`)}); err != nil || string(res.Output) != `{"text":"2.0.0 C 2.0.0 2.0.0"}` {
		t.Fatalf("after reopening: %+v %v", res, err)
	}
}

// TestBadDocuments proves that a document that cannot run names what, where and
// what to do, and leaves the active version serving.
func TestBadDocuments(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	apply(t, h, doc("1.0.0"))
	good := string(doc("2.0.0").Graph)
	for name, c := range map[string]struct {
		doc  string
		want string
	}{
		"malformed":             {"graph: [", "greet.yaml"},
		"unknown key":           {strings.Replace(good, "start:", "stat:", 1), "start"},
		"module":                {strings.Replace(good, "template@^1", "tempalte@^1", 1), "nodes.first.module"},
		"config type":           {strings.Replace(good, `config: {template: "2.0.0 {{name}}"}`, `config: {template: 7}`, 1), "nodes.first.config.template"},
		"cycle":                 {good + "  - {from: third, to: first}\noutput: [third]\n", "max_visits"},
		"missing asset":         {strings.Replace(good, "start: first", "assets: {corpus: nowhere.jsonl}\nstart: first", 1), "corpus"},
		"refused by the module": {strings.Replace(good, `"2.0.0 {{name}}"`, `"2.0.0 {{name"`, 1), "nodes.first"},
	} {
		_, err := h.Apply(t.Context(), Document{GraphFile: "greet.yaml", Graph: []byte(c.doc)})
		if err == nil || fault.ExitStatus(err) != 2 || !strings.Contains(err.Error()+fault.HintOf(err), c.want) {
			t.Errorf("%s: exit %d: %v (hint %q), want %q", name, fault.ExitStatus(err), err, fault.HintOf(err), c.want)
		}
	}
	vs, err := h.Store().Versions(t.Context(), "greet")
	if err != nil || len(vs) != 1 {
		t.Fatalf("a bad document left a version: %v %v", vs, err)
	}
	if res, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)}); err != nil || res.Version != "1.0.0" {
		t.Fatal(res, err)
	}
	for name, req := range map[string]Request{"no graph": {Graph: "nope"}, "no version": {Graph: "greet", Version: "7"}, "no JSON": {Graph: "greet", Input: json.RawMessage("{")}} {
		if _, err := h.Run(t.Context(), req); fault.ExitStatus(err) != 2 || name != "no JSON" && fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSwapUnderLoad swaps versions while runs come without pause: none fails and
// none sees two versions.
func TestSwapUnderLoad(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	apply(t, h, doc("1.0.0"))
	ctx, stop := context.WithCancel(t.Context())
	var runs atomic.Int64
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("w%d-%d", w, i)
				in, _ := json.Marshal(map[string]string{"name": name})
				res, err := h.Run(context.WithoutCancel(ctx), Request{Graph: "greet", Input: in})
				if err != nil {
					t.Errorf("run: %v", err)
					return
				}
				want := fmt.Sprintf(`{"text":"%[1]s %[2]s %[1]s %[1]s"}`, res.Version, name)
				if string(res.Output) != want {
					t.Errorf("mixed: %s, want %s", res.Output, want)
					return
				}
				runs.Add(1)
			}
		})
	}
	for v := 2; v <= 12; v++ {
		before := runs.Load()
		apply(t, h, doc(fmt.Sprintf("%d.0.0", v)))
		for runs.Load() < before+5 && !t.Failed() {
			time.Sleep(time.Millisecond) // polls until the new version has served
		}
	}
	stop()
	wg.Wait()
	res, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"z"}`)})
	if err != nil || res.Version != "12.0.0" {
		t.Fatal(res, err)
	}
}

// TestTelemetryThroughAPlugin records runs in SQLite behind a real process.
func TestTelemetryThroughAPlugin(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Config{Telemetry: map[string]telemetry.Config{"default": telemetry.Defaults()},
		Natives: map[string]engine.NodeRunner{"boom": engine.Func(func(context.Context, *run.Step) ([]byte, error) {
			return nil, fault.New(fault.Transient, "", "no luck")
		})}})
	apply(t, h, doc("1.0.0"))
	apply(t, h, Document{GraphFile: "bad.yaml", Graph: []byte("graph: bad\nversion: 1.0.0\nstart: a\nnodes:\n  a: {native: boom}\n")})
	var id string
	for i := range 20 {
		res, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)})
		if err != nil {
			t.Fatal(err)
		}
		id = res.RunID
		if _, err := h.Run(t.Context(), Request{Graph: "bad"}); !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "nodes.a") {
			t.Fatalf("run %d of the failing graph: %v", i, err)
		}
	}
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := h.Query(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	agg, err := q.Aggregate(t.Context(), backend.Filter{Graph: "greet"})
	if err != nil || agg.Runs.Count != 20 || agg.Runs.Failures != 0 || len(agg.Nodes) != 3 || agg.Nodes["second"].Count != 20 {
		t.Fatalf("%+v %v", agg, err)
	}
	agg, err = q.Aggregate(t.Context(), backend.Filter{Graph: "bad"})
	if err != nil || agg.Runs.Failures != 20 || len(agg.Failures) != 1 || agg.Failures[0].ErrorType != "transient" {
		t.Fatalf("%+v %v", agg, err)
	}
	spans := 0
	for s, err := range q.Spans(t.Context(), backend.Filter{TraceID: id}) {
		if err != nil {
			t.Fatal(err)
		}
		spans++
		if s.Graph != "greet" || s.Version != "1.0.0" {
			t.Fatalf("%+v", s)
		}
	}
	if spans < 3 {
		t.Fatalf("run %s left %d spans", id, spans)
	}
	st, err := h.TelemetryStats(t.Context(), "greet")
	if err != nil || st.Dropped != 0 || st.Traces != 40 {
		t.Fatalf("%+v %v", st, err)
	}
}

// TestPolicyComesWithTheGraph proves that limits hold, and that a graph without
// a policy cannot be improved and says why.
func TestPolicyComesWithTheGraph(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	d := doc("1.0.0")
	d.PolicyFile = "greet.policy.yaml"
	d.Policy = []byte("policy: greet\nobjectives: {latency: {weight: 1, direction: minimize}}\nlimits: {steps: 2}\n")
	apply(t, h, d)
	_, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)})
	if !fault.Is(err, fault.Limit) {
		t.Fatalf("three steps under a limit of two: %v", err)
	}
	d.Policy = []byte("policy: greet\nobjectives: {latency: {weight: 1, direction: minimize}}\nlimits: {steps: 3}\n")
	if a := apply(t, h, d); a.Changed {
		t.Fatal("a changed policy made a version")
	}
	if _, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)}); err != nil {
		t.Fatalf("the changed limit does not hold: %v", err)
	}
	d.Policy = []byte("policy: greet\nobjectives: {latency: {weight: 1, direction: minimize}}\nprotected: [nobody]\n")
	if _, err := h.Apply(t.Context(), d); fault.ExitStatus(err) != 2 || !strings.Contains(err.Error(), "nobody") {
		t.Fatal(err)
	}
	if _, err := h.RSI().Cycle(t.Context(), "greet", CycleOptions{}); fault.ExitStatus(err) != 2 || !strings.Contains(err.Error(), "dataset") {
		t.Fatalf("a cycle without a dataset: %v", err)
	}
	other := Document{GraphFile: "o.yaml", Graph: []byte("graph: other\nstart: a\nnodes:\n  a: {module: echo@^1}\n")}
	apply(t, h, other)
	if _, err := h.RSI().Cycle(t.Context(), "other", CycleOptions{}); !fault.Is(err, fault.NotFound) || !strings.Contains(fault.HintOf(err), "graph apply") {
		t.Fatalf("a cycle without a policy: %v", err)
	}
}

func TestAssetsAreLocked(t *testing.T) {
	folder := t.TempDir()
	corpus := filepath.Join(folder, "corpus.jsonl")
	write := func(doc string) {
		if err := os.WriteFile(corpus, []byte(`{"id":"a.B","pkg":"a","name":"B","kind":"func","sig":"func B()","doc":"`+doc+`"}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := Document{GraphFile: filepath.Join(folder, "find.yaml"), Graph: []byte(`
graph: find
version: 1.0.0
assets: {corpus: corpus.jsonl}
start: terms
nodes:
  terms: {module: textnorm@^1}
  find: {module: bm25@^1, assets: [corpus]}
edges: [{from: terms, to: find}]
`)}
	h := open(t, t.TempDir(), Config{})
	write("finds apples")
	one := apply(t, h, d)
	write("finds pears")
	two := apply(t, h, d)
	if one.ID == two.ID || !two.Changed {
		t.Fatal("other bytes of an asset gave the same version")
	}
	ask := func(version, word string) int {
		res, err := h.Run(t.Context(), Request{Graph: "find", Version: version, Input: json.RawMessage(`{"question":"` + word + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		var out struct{ Hits []json.RawMessage }
		if err := json.Unmarshal(res.Output, &out); err != nil {
			t.Fatal(err)
		}
		return len(out.Hits)
	}
	if ask(two.ID, "pears") != 1 || ask(two.ID, "apples") != 0 || ask(one.ID, "apples") != 1 {
		t.Fatal("a version does not see the bytes it was locked with")
	}
}

// TestUnchangedFilesKeepImprovements applies the file of version 1 again after an
// improvement was released and one of its assets changed: what was improved stays.
func TestUnchangedFilesKeepImprovements(t *testing.T) {
	folder := t.TempDir()
	corpus := filepath.Join(folder, "corpus.jsonl")
	write := func(name string) {
		if err := os.WriteFile(corpus, []byte(`{"id":"a.`+name+`","pkg":"a","name":"`+name+`","kind":"func","sig":"func","doc":"finds apples"}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := Document{GraphFile: filepath.Join(folder, "find.yaml"), Graph: []byte("graph: find\nversion: 1.0.0\nassets: {corpus: corpus.jsonl}\nstart: find\nnodes:\n  find: {module: bm25@^1, assets: [corpus], config: {k1: 1.2}}\n")}
	h := open(t, t.TempDir(), Config{})
	write("One")
	base := apply(t, h, d)
	v, err := h.Store().Active(t.Context(), "find")
	if err != nil {
		t.Fatal(err)
	}
	better := v.Locked.Graph.Clone()
	better.Nodes[0].Config, better.Version = json.RawMessage(`{"k1":0.7}`), "1.0.0+rsi.1"
	locked := *v.Locked
	locked.Graph = better
	rel, err := releaser{h}.Release(t.Context(), rsi.Release{Graph: "find", Base: base.ID, Version: &locked, Label: "1.0.0+rsi.1", Author: "hypothesis:h"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (releaser{h}).Release(t.Context(), rsi.Release{Graph: "find", Base: base.ID, Version: v.Locked, Label: "x"}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("a release from a version that is not active: %v", err)
	}
	if a := apply(t, h, d); a.Changed || a.ID != rel.ID {
		t.Fatalf("the unchanged file replaced the improvement: %+v", a)
	}
	write("Two")
	a := apply(t, h, d)
	if !a.Changed || a.Previous != "1.0.0+rsi.1" {
		t.Fatalf("%+v", a)
	}
	now, err := h.Store().Active(t.Context(), "find")
	if err != nil || string(now.Locked.Graph.Nodes[0].Config) != `{"k1":0.7}` || now.Parent != rel.ID {
		t.Fatalf("%s %v", now.Locked.Graph.Nodes[0].Config, err)
	}
	d.Graph = []byte(strings.Replace(string(d.Graph), "1.2", "1.3", 1))
	if a := apply(t, h, d); !a.Changed {
		t.Fatal("a changed file changed nothing")
	}
}

// TestNestedGraphAndCache runs a graph inside a graph, one of whose nodes caches.
func TestNestedGraphAndCache(t *testing.T) {
	var calls atomic.Int64
	h := open(t, t.TempDir(), Config{Natives: map[string]engine.NodeRunner{"count": engine.Func(func(context.Context, *run.Step) ([]byte, error) {
		return []byte(fmt.Sprintf(`{"name":"call %d"}`, calls.Add(1))), nil
	})}})
	apply(t, h, doc("1.0.0"))
	outer := Document{GraphFile: "outer.yaml", Graph: []byte(`
graph: outer
version: 1.0.0
start: count
nodes:
  count: {native: count, cache: {ttl: 1h, force: true}}
  greet: {graph: greet@^1}
edges: [{from: count, to: greet}]
`)}
	apply(t, h, outer)
	for range 3 {
		res, err := h.Run(t.Context(), Request{Graph: "outer", Input: json.RawMessage(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		if string(res.Output) != `{"text":"1.0.0 call 1 1.0.0 1.0.0"}` {
			t.Fatalf("%s", res.Output)
		}
	}
	if calls.Load() != 1 {
		t.Fatalf("the cached node ran %d times", calls.Load())
	}
	apply(t, h, doc("1.1.0"))
	if res, err := h.Run(t.Context(), Request{Graph: "outer", Input: json.RawMessage(`{}`)}); err != nil || !strings.HasPrefix(string(res.Output), `{"text":"1.0.0`) {
		t.Fatalf("a version changed with the graph that it holds: %s %v", res.Output, err)
	}
	if a := apply(t, h, outer); !a.Changed {
		t.Fatal("a document that holds a changed graph is not a new version")
	}
	if res, err := h.Run(t.Context(), Request{Graph: "outer", Input: json.RawMessage(`{}`)}); err != nil || !strings.HasPrefix(string(res.Output), `{"text":"1.1.0`) {
		t.Fatalf("%s %v", res.Output, err)
	}
	bad := outer
	bad.Graph = []byte(strings.Replace(string(outer.Graph), "greet@^1", "greet@^7", 1))
	if _, err := h.Apply(t.Context(), bad); fault.ExitStatus(err) != 2 || fault.HintOf(err) == "" {
		t.Fatal(err)
	}
}

func TestClosedHost(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	apply(t, h, doc("1.0.0"))
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatalf("a second close: %v", err)
	}
	if _, err := h.Run(t.Context(), Request{Graph: "greet"}); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	if _, err := h.Apply(t.Context(), doc("2.0.0")); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
}

// TestBackendThatIsDown opens a host whose PostgreSQL does not answer: runs go on,
// and what they recorded is there once the server is.
func TestBackendThatIsDown(t *testing.T) {
	server := testpg.New(t, testpg.Options{})
	p := telemetry.Defaults()
	p.Backend, p.ConnectionString = "postgres", telemetry.Secret(server.URL())
	p.BackendSettings = map[string]any{"connect_timeout": 1}
	server.Halt(t, false)
	h := open(t, t.TempDir(), Config{Telemetry: map[string]telemetry.Config{"default": p}})
	apply(t, h, doc("1.0.0"))
	for range 5 {
		if _, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	q, err := h.Query(t.Context(), "greet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Aggregate(t.Context(), backend.Filter{Graph: "greet"}); err == nil {
		t.Fatal("a backend that is down answered")
	}
	server.Resume(t)
	deadline := time.Now().Add(time.Minute)
	for {
		agg, err := q.Aggregate(t.Context(), backend.Filter{Graph: "greet"})
		if err == nil && agg.Runs.Count == 5 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a minute after the server came back: %+v %v", agg, err)
		}
		time.Sleep(50 * time.Millisecond) // polls until the recorder has written
	}
}

// TestTelemetryInPostgreSQL records runs in a real server, through the plugin.
func TestTelemetryInPostgreSQL(t *testing.T) {
	server := testpg.Start(t)
	p := telemetry.Defaults()
	p.Backend, p.ConnectionString = "postgres", telemetry.Secret(server.URL())
	h := open(t, t.TempDir(), Config{Telemetry: map[string]telemetry.Config{"default": p}})
	apply(t, h, doc("1.0.0"))
	for range 5 {
		if _, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	q, err := h.Query(t.Context(), "greet")
	if err != nil {
		t.Fatal(err)
	}
	agg, err := q.Aggregate(t.Context(), backend.Filter{Graph: "greet"})
	if err != nil || agg.Runs.Count != 5 || len(agg.Nodes) != 3 {
		t.Fatalf("%+v %v", agg, err)
	}
}
