package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// open returns the API of a host whose nodes are Go functions: upper, fails, waits
// and panics.
func open(t *testing.T) http.Handler {
	t.Helper()
	store, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	profile := telemetry.Defaults()
	profile.Backend = "here"
	h, err := host.Open(t.Context(), host.Config{
		DataDir: t.TempDir(), Telemetry: map[string]telemetry.Config{"default": profile},
		Backends: map[string]backend.Writer{"here": store},
		Natives: map[string]engine.NodeRunner{
			"upper": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) { return bytes.ToUpper(s.Input), nil }),
			"fails": engine.Func(func(context.Context, *run.Step) ([]byte, error) {
				return nil, fault.New(fault.Rejected, "", "not today").WithHint("come back tomorrow")
			}),
			"waits": engine.Func(func(ctx context.Context, _ *run.Step) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return api.New(h, api.Options{Version: "test"})
}

func document(name, version, native string) api.Document {
	return api.Document{Graph: fmt.Sprintf("graph: %s\nversion: %s\nstart: a\nnodes: {a: {native: %s}}\n", name, version, native), GraphFile: name + ".yaml"}
}

func apply(t *testing.T, c *api.Client, d api.Document) {
	t.Helper()
	if _, findings, err := c.Apply(t.Context(), d); err != nil {
		t.Fatal(err, findings)
	}
}

// transports are the ways to a host; every client test runs over each.
func transports(t *testing.T, test func(t *testing.T, c *api.Client)) {
	t.Run("in process", func(t *testing.T) { test(t, api.InProcess(open(t))) })
	t.Run("unix", func(t *testing.T) {
		dir := t.TempDir()
		l, err := api.Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: open(t)}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		c := api.Unix(dir, func(ctx context.Context) (net.Conn, error) { return api.Dial(ctx, dir) })
		t.Cleanup(c.Close)
		test(t, c)
	})
	t.Run("tcp", func(t *testing.T) {
		s := httptest.NewServer(api.Guard(open(t), "secret"))
		t.Cleanup(s.Close)
		c := api.TCP(strings.TrimPrefix(s.URL, "http://"), "secret")
		t.Cleanup(c.Close)
		test(t, c)
	})
}

func TestClient(t *testing.T) {
	transports(t, func(t *testing.T, c *api.Client) {
		ctx := t.Context()
		if h, err := c.Health(ctx); err != nil || h.Status != "ok" || h.Version != "test" || h.PID != os.Getpid() {
			t.Errorf("%+v, %v", h, err)
		}
		apply(t, c, document("g", "1.0.0", "upper"))
		d := document("g", "1.1.0", "upper")
		d.Graph += "output: [a]\n"
		apply(t, c, d)

		list, err := c.Graphs(ctx)
		if err != nil || len(list) != 1 || list[0].Version != "1.1.0" || !list[0].Active {
			t.Errorf("%+v, %v", list, err)
		}
		versions, err := c.Versions(ctx, "g")
		if err != nil || len(versions) != 2 || versions[1].Parent != versions[0].ID {
			t.Errorf("%+v, %v", versions, err)
		}
		v, err := c.Version(ctx, "g", "1.0.0")
		if err != nil || v.Active || v.Locked.Graph.Nodes[0].Native != "upper" {
			t.Errorf("%+v, %v", v, err)
		}
		diff, err := c.Diff(ctx, "g", "1.0.0", "1.1.0")
		if err != nil || len(diff.Changes) != 2 || !strings.Contains(diff.Text(), "output") {
			t.Errorf("%+v, %v", diff, err)
		}
		res, err := c.Run(ctx, api.Run{Graph: "g", Input: json.RawMessage(`"hello"`)})
		if err != nil || string(res.Output) != `"HELLO"` || res.Version != "1.1.0" {
			t.Errorf("%+v, %v", res, err)
		}
		res, err = c.Run(ctx, api.Run{Graph: "g", Version: "1.0.0", Input: json.RawMessage(`"x"`),
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
		if err != nil || res.Version != "1.0.0" {
			t.Errorf("%+v, %v", res, err)
		}
		page, err := c.Traces(ctx, backend.Filter{Graph: "g", TraceID: "0af7651916cd43dd8448eb211c80319c"})
		if err != nil || len(page.Rows) != 1 || page.Rows[0].Version != "1.0.0" || page.Next != 0 {
			t.Errorf("%+v, %v", page, err)
		}
		page, err = c.Traces(ctx, backend.Filter{Limit: 1})
		if err != nil || len(page.Rows) != 1 || page.Next != 1 {
			t.Errorf("%+v, %v", page, err)
		}
		if spans, err := c.Spans(ctx, backend.Filter{Node: "a"}); err != nil || len(spans.Rows) != 2 {
			t.Errorf("%+v, %v", spans, err)
		}
		if events, err := c.Events(ctx, backend.Filter{Type: "graph_started"}); err != nil || len(events.Rows) != 2 {
			t.Errorf("%+v, %v", events, err)
		}
		if metrics, err := c.Metrics(ctx, backend.Filter{Name: "graph.duration"}); err != nil || len(metrics.Rows) != 2 {
			t.Errorf("%+v, %v", metrics, err)
		}
		stats, err := c.Stats(ctx, "")
		if err != nil || stats.Stored == nil || stats.Stored.Traces != 2 || stats.Recorder.Traces != 2 {
			t.Errorf("%+v, %v", stats, err)
		}
		if mods, err := c.Modules(ctx); err != nil || mods == nil || len(mods) != 0 {
			t.Errorf("%+v, %v", mods, err)
		}
		a, err := c.Analyze(ctx, api.Analyze{Graph: "g", Version: "1.0.0", AllowVolatile: true})
		if err != nil || a.Summary.Recorded != 1 || a.Version != "1.0.0" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// TestFaults proves that what goes wrong arrives with kind, place and hint.
func TestFaults(t *testing.T) {
	transports(t, func(t *testing.T, c *api.Client) {
		ctx := t.Context()
		apply(t, c, document("fails", "1.0.0", "fails"))
		res, err := c.Run(ctx, api.Run{Graph: "fails"})
		if !fault.Is(err, fault.Rejected) || fault.HintOf(err) != "come back tomorrow" || res == nil || len(res.RunID) != 32 {
			t.Errorf("%+v, %v", res, err)
		}
		if _, err := c.Run(ctx, api.Run{Graph: "nobody"}); !fault.Is(err, fault.NotFound) || fault.HintOf(err) == "" {
			t.Error(err)
		}
		_, findings, err := c.Apply(ctx, api.Document{Graph: "graph: x\nstart: b\nnodes: {a: {}}\n", GraphFile: "x.yaml"})
		if !fault.Is(err, fault.Invalid) || !findings.HasErrors() {
			t.Errorf("%v, %v", findings, err)
		}
		if l, err := c.Lint(ctx, api.Document{Graph: "graph: x"}); err != nil || l.OK || len(l.Findings) == 0 {
			t.Errorf("%+v, %v", l, err)
		}
		if _, err := c.Push(ctx, []byte("no module"), "test"); !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
		if _, err := c.Module(ctx, "nosuch@^1"); !fault.Is(err, fault.NotFound) {
			t.Error(err)
		}
		if _, err := c.Traces(ctx, backend.Filter{Limit: 10_001}); !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
		if _, err := c.Analyze(ctx, api.Analyze{Graph: "fails"}); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Error(err) // the backend forgets
		}
		if _, err := c.Cycle(ctx, api.Cycle{Graph: "fails"}, nil); !fault.Is(err, fault.NotFound) {
			t.Error(err) // no policy
		}
	})
}

// TestCancel proves that a client that goes away ends its run.
func TestCancel(t *testing.T) {
	transports(t, func(t *testing.T, c *api.Client) {
		apply(t, c, document("waits", "1.0.0", "waits"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.Run(ctx, api.Run{Graph: "waits"})
			ended <- err
		}()
		for underWay := int64(0); underWay == 0; {
			h, err := c.Health(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			underWay = h.Runs
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Cancelled) {
			t.Errorf("%v", err)
		}
		for underWay := int64(1); underWay != 0; {
			h, err := c.Health(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			underWay = h.Runs
		}
		page, err := c.Traces(t.Context(), backend.Filter{Status: "cancelled"})
		if err != nil || len(page.Rows) != 1 {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

// TestCycleStream proves that progress comes before the report, and that too
// little data is a verdict.
func TestCycleStream(t *testing.T) {
	transports(t, func(t *testing.T, c *api.Client) {
		dir := t.TempDir()
		var data strings.Builder
		for i := range 40 {
			fmt.Fprintf(&data, "{\"id\": \"e%d\", \"input\": %d}\n", i, i)
		}
		if err := os.WriteFile(filepath.Join(dir, "eval.jsonl"), []byte(data.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		d := document("g", "1.0.0", "upper")
		d.PolicyFile = filepath.Join(dir, "g.policy.yaml")
		d.Policy = "policy: g\nobjectives: {latency: {weight: 1, direction: minimize}}\nevaluation: {dataset: eval.jsonl}\nrsi: {allow_volatile: true}\n"
		apply(t, c, d)
		var phases []string
		r, err := c.Cycle(t.Context(), api.Cycle{Graph: "g", Seed: 5}, func(p rsi.Progress) { phases = append(phases, p.Phase) })
		if err != nil || r.Seed != 5 || r.ImprovementsDeployed || !strings.Contains(r.Reason, "insufficient data") {
			t.Errorf("%+v, %v", r, err)
		}
		if len(phases) == 0 || phases[0] != "analyze" {
			t.Errorf("phases %v", phases)
		}
	})
}

// TestRefuse proves that requests that do not fit are refused and answered in
// one form.
func TestRefuse(t *testing.T) {
	h := open(t)
	huge := `{"graph":"` + strings.Repeat("x", api.MaxBody) + `"}`
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
	}{
		{"POST", "/v1/runs", "application/json", `{"graph":"g","inptu":1}`, 400},
		{"POST", "/v1/runs", "application/json", `{"graph":"g"} {}`, 400},
		{"POST", "/v1/runs", "application/json", `{"graph":"g","graph":"h"}`, 400},
		{"POST", "/v1/runs", "application/json", `{"graph":7}`, 400},
		{"POST", "/v1/runs", "application/json", ``, 400},
		{"POST", "/v1/runs", "application/json", "{\"graph\":\"\xff\"}", 400},
		{"POST", "/v1/runs", "application/json", strings.Repeat("[", 10_000), 400},
		{"POST", "/v1/runs", "text/plain", `{"graph":"g"}`, 400},
		{"POST", "/v1/runs", "application/json", huge, 413},
		{"POST", "/v1/modules", "application/json", `{}`, 400},
		{"POST", "/v1/runs", "application/json", `{"graph":"nobody"}`, 404},
		{"GET", "/v1/graphs/nobody", "", "", 404},
		{"GET", "/v1/nowhere", "", "", 404},
		{"DELETE", "/v1/graphs", "", "", 404},
		{"GET", "/v1/telemetry/traces?limit=0", "", "", 400},
		{"GET", "/v1/telemetry/traces?limt=1", "", "", 400},
		{"GET", "/v1/telemetry/traces?from=yesterday", "", "", 400},
		{"GET", "/v1/telemetry/traces?offset=-1", "", "", 400},
		{"POST", "/v1/rsi/cycle", "application/json", `{"grph":1}`, 400},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var got struct{ Error api.Error }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s %s %.40s: %v in %s", c.method, c.path, c.body, err, w.Body)
		}
		if w.Code != c.status || got.Error.Kind == "" || got.Error.Message == "" {
			t.Errorf("%s %s %.40s: %d %+v, want %d", c.method, c.path, c.body, w.Code, got.Error, c.status)
		}
	}
}

func TestGuard(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in") })
	for _, c := range []struct {
		what, token, host string
		header            map[string]string
		status            int
	}{
		{"right token", "s", "example.com", map[string]string{"Authorization": "Bearer s"}, 200},
		{"no token", "s", "127.0.0.1", nil, 401},
		{"wrong token", "s", "127.0.0.1", map[string]string{"Authorization": "Bearer t"}, 401},
		{"other scheme", "s", "127.0.0.1", map[string]string{"Authorization": "Basic s"}, 401},
		{"loopback", "", "127.0.0.1:80", nil, 200},
		{"loopback 6", "", "[::1]:80", nil, 200},
		{"localhost", "", "localhost:80", nil, 200},
		{"a name bound to loopback", "", "evil.example:80", nil, 403},
		{"a page of another origin", "", "127.0.0.1:80", map[string]string{"Origin": "http://evil.example"}, 403},
		{"a page, by fetch metadata", "", "127.0.0.1:80", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
	} {
		r := httptest.NewRequest("POST", "/v1/runs", nil)
		r.Host = c.host
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		api.Guard(ok, c.token).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", c.what, w.Code, c.status)
		}
	}
}

// TestUnreachable proves that a host that is gone, or none at all, is Unavailable
// with a hint.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if _, err := api.TCP(address, "").Health(t.Context()); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Error(err)
	}
	for what, h := range map[string]http.HandlerFunc{
		"another program": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hello", http.StatusTeapot) },
		"half an answer":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"status":`) },
		"a broken connection": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
	} {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.Start()
		if _, err := api.TCP(strings.TrimPrefix(s.URL, "http://"), "").Health(t.Context()); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
		s.Close()
		if _, err := api.InProcess(h).Health(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s in process: %v", what, err)
		}
	}
}

// TestSocket proves that a socket left behind is no daemon, that a new one takes
// its place for this user alone, and that a path too long for an address works.
func TestSocket(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long", 40))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Dial(t.Context(), dir); !fault.Is(err, fault.NotFound) {
			t.Errorf("without a socket: %v", err)
		}
		path := filepath.Join(dir, api.SocketName)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Dial(t.Context(), dir); !fault.Is(err, fault.NotFound) {
			t.Errorf("on a dead socket: %v", err)
		}
		l, err := api.Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		c, err := api.Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket stays: %v", err)
		}
	}
}

// TestInProcessStreams proves that parts of an answer arrive before it ends, and
// that closing it ends the handler.
func TestInProcessStreams(t *testing.T) {
	next := make(chan struct{})
	ended := make(chan struct{})
	c := api.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for i := range 3 {
			fmt.Fprintf(w, `{"progress":{"Phase":"p%d"}}`+"\n", i)
			<-next
		}
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	var phases []string
	var once sync.Once
	_, err := c.Cycle(ctx, api.Cycle{Graph: "g"}, func(p rsi.Progress) {
		phases = append(phases, p.Phase)
		if len(phases) == 3 {
			once.Do(cancel)
		}
		next <- struct{}{}
	})
	if !fault.Is(err, fault.Cancelled) || strings.Join(phases, " ") != "p0 p1 p2" {
		t.Errorf("%v, %v", phases, err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the handler goes on")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("POST", "/v1/graphs", `{"graph":"graph: g"}`, "")
	f.Add("POST", "/v1/graphs/lint", `{"graph":"{"}`, "")
	f.Add("POST", "/v1/runs", `{"graph":"g","input":{"a":[1]}}`, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("GET", "/v1/telemetry/spans?limit=5&from=2026-01-01T00:00:00Z&newest=true", "", "")
	f.Add("GET", "/v1/modules/abcdef", "", "")
	f.Add("POST", "/v1/rsi/analyze", `{"graph":"g","window_seconds":1e308}`, "")
	here, err := host.Open(context.Background(), host.Config{DataDir: f.TempDir(), DefaultProfile: "off",
		Telemetry: map[string]telemetry.Config{"off": {}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { here.Close(context.Background()) })
	h := api.New(here, api.Options{})
	f.Fuzz(func(t *testing.T, method, path, body, trace string) {
		r, err := http.NewRequest(method, "http://spark"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI = path
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("traceparent", trace)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s %q: %s", method, path, body, w.Body)
		}
		if w.Code/100 != 3 && !json.Valid(w.Body.Bytes()) && !strings.HasPrefix(w.Header().Get("Content-Type"), "application/x-ndjson") {
			t.Errorf("%s %s %q: the answer is no JSON: %q", method, path, body, w.Body)
		}
	})
}
