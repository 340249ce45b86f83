package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	testpg "github.com/sparkrsi/spark/testkit/postgres"
)

const (
	inputMarker  = "marker-input-4711"
	outputMarker = "marker-output-4712"
	errorMarker  = "marker-error-4713"
)

// locked is a buffer that several write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// hunt looks for markers.
type hunt struct {
	password string
	found    map[string][]string // places by marker
}

func (h *hunt) in(place string, b []byte) {
	for _, marker := range []string{inputMarker, outputMarker, errorMarker, h.password} {
		if bytes.Contains(b, []byte(marker)) || bytes.Contains(b, []byte(hex.EncodeToString([]byte(marker)))) {
			h.found[marker] = append(h.found[marker], place)
		}
	}
}

func (h *hunt) files(t *testing.T, dir string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		h.in(strings.TrimPrefix(path, dir), b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// processes looks at what anyone may see of any process, and at the environment of
// the plugin.
func (h *hunt) processes(t *testing.T, plugin int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, path := range append(all, fmt.Sprintf("/proc/%d/environ", plugin)) {
		b, err := os.ReadFile(path)
		if err != nil && path == fmt.Sprintf("/proc/%d/environ", plugin) {
			t.Fatal(err)
		}
		h.in(path, b)
	}
}

// TestMarkers sends a marker in an input, an output and an error through a host and
// a real plugin process of each backend, while that answers and while it is stopped.
// With captures off none of them, nor the password of the connection, is in the
// backend, any file of the host, its log, what it says of its state, or the list of
// processes. With captures on all but the password are found by the same search.
func TestMarkers(t *testing.T) {
	server := testpg.Start(t)
	dump := func(t *testing.T, schema string) []byte {
		cmd := exec.CommandContext(t.Context(), filepath.Join(server.Bin, "pg_dump"), "-h", server.Host, "-p", strconv.Itoa(server.Port),
			"-U", server.User, "-d", server.Database, "--schema", schema)
		cmd.Env = server.Psql(t.Context()).Env
		out, err := cmd.Output()
		if err != nil || !bytes.Contains(out, []byte("COPY "+schema)) {
			t.Fatalf("%v: %v: %d bytes", cmd.Args, err, len(out))
		}
		return out
	}
	for _, name := range []string{"memory", "sqlite", "postgres rows", "postgres packed", "otlp"} {
		for _, captured := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s captured=%v", name, captured), func(t *testing.T) {
				markers(t, name, captured, server, dump)
			})
		}
	}
}

func markers(t *testing.T, name string, captured bool, server *testpg.Server, dump func(*testing.T, string) []byte) {
	kind, layout, _ := strings.Cut(name, " ")
	dir, log, received := t.TempDir(), &locked{}, &locked{}
	h := hunt{password: "marker-password-4714", found: map[string][]string{}}
	p := telemetry.Defaults()
	p.Backend, p.CaptureInputs, p.CaptureOutputs, p.CaptureErrors = kind, captured, captured, captured
	p.BufferSize, p.MaxQueueSize = 1, 4 // to the backend, or the spool, at once
	p.BackendSettings = map[string]any{}
	schema := fmt.Sprintf("markers_%s_%v", layout, captured)
	switch kind {
	case "postgres":
		p.ConnectionString, h.password = telemetry.Secret(server.URL()), server.Password
		p.BackendSettings["layout"], p.BackendSettings["schema"] = layout, schema
	case "otlp":
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != h.password {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			io.Copy(received, r.Body)
			w.Header().Set("Content-Type", "application/x-protobuf")
		}))
		defer receiver.Close()
		p.BackendSettings["endpoint"], p.BackendSettings["protocol"] = receiver.URL, "http/protobuf"
		p.BackendSettings["headers"] = map[string]any{"Authorization": h.password}
	}
	host := open(t, dir, Config{Telemetry: map[string]telemetry.Config{"default": p},
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Natives: map[string]engine.NodeRunner{
			"echo": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil }),
			"answer": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
				return []byte(`{"text":"` + outputMarker + `"}`), nil
			}),
			"fail": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
				return nil, fault.New(fault.Rejected, "", "no use for %s, %s", s.Input, errorMarker)
			}),
			"panic": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
				panic(fmt.Sprintf("%s, %s", s.Input, errorMarker))
			}),
		}})
	graphs := map[string]string{
		"answers": "nodes:\n  a: {native: echo}\n  b: {native: answer}\nedges: [{from: a, to: b}]\n",
		"fails":   "nodes:\n  a: {native: fail, retry: {attempts: 2, backoff: 1ms}}\n",
		"panics":  "nodes:\n  a: {native: panic}\n",
		"refuses": "nodes:\n  a: {native: echo}\n  b: {native: answer}\nedges: [{from: a, to: b, when: input.missing == 1}]\n",
	}
	for g, doc := range graphs {
		apply(t, host, Document{GraphFile: g + ".yaml", Graph: []byte("graph: " + g + "\nversion: 1.0.0\nstart: a\n" + doc)})
	}
	input := json.RawMessage(`{"name":"` + inputMarker + `"}`)
	all := func() {
		t.Helper()
		for g := range graphs {
			res, err := host.Run(t.Context(), Request{Graph: g, Input: input})
			if (g == "answers") != (err == nil) {
				t.Fatalf("%s: %v", g, err)
			}
			if err == nil && !strings.Contains(string(res.Output), outputMarker) {
				t.Fatalf("%s", res.Output)
			}
			if g == "refuses" { // what Spark itself says of a failure
				h.in("an error", []byte(fmt.Sprint(err, fault.HintOf(err))))
			}
		}
	}
	all()
	if err := host.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	profile, err := host.profile(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	pid := profile.plugin.Info().PID
	if pid < 2 || syscall.Kill(pid, syscall.SIGSTOP) != nil {
		t.Fatal("no plugin process")
	}
	for stat := ""; !strings.Contains(stat, ") T "); { // a signal takes a moment
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		stat = string(b)
	}
	all()
	for st := profile.rec.Stats(); st.SpoolTraces < len(graphs); st = profile.rec.Stats() {
		if st.Dropped > 0 {
			t.Fatalf("%+v", st)
		}
		time.Sleep(time.Millisecond)
	}
	h.files(t, filepath.Join(dir, "spool"))
	spooled := len(h.found[inputMarker])
	h.processes(t, pid)
	syscall.Kill(pid, syscall.SIGCONT)
	for host.Flush(t.Context()) != nil {
		time.Sleep(time.Millisecond)
	}
	h.files(t, dir)
	switch kind {
	case "postgres":
		h.in("the database", dump(t, schema))
	case "otlp":
		if len(received.bytes()) < 100*len(graphs) {
			t.Fatalf("%d bytes received", len(received.bytes()))
		}
		h.in("the receiver", received.bytes())
	}
	if kind != "otlp" {
		h.in("a query", asked(t, host, 2*len(graphs)))
	}
	state, err := json.Marshal(map[string]any{"stats": host.Recorders(), "config": host.cfg.Telemetry})
	if err != nil {
		t.Fatal(err)
	}
	h.in("the state of the host", state)
	// What cannot be reached is told without the password.
	if kind == "postgres" {
		bad := telemetry.Defaults()
		bad.Backend, bad.ConnectionString = "postgres", telemetry.Secret(strings.Replace(server.URL(), fmt.Sprint(server.Port), "1", 1))
		other, err := Open(t.Context(), Config{DataDir: t.TempDir(), Stock: stock(t), Telemetry: map[string]telemetry.Config{"default": bad},
			Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.Query(t.Context(), "")
		h.in("the error of a wrong connection", []byte(fmt.Sprint(err, fault.HintOf(err))))
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		other.Close(ctx)
	}
	h.in("the log", log.bytes())
	for marker, places := range h.found {
		if !captured || marker == h.password {
			t.Errorf("%s is in %s", marker, places)
		}
	}
	if captured {
		for _, marker := range []string{inputMarker, outputMarker, errorMarker} {
			if spooled == 0 || len(h.found[marker]) < 2 {
				t.Errorf("%s is captured and found only in %s", marker, h.found[marker])
			}
		}
	}
}

// asked returns all answers of a backend, which holds so many traces.
func asked(t *testing.T, h *Host, traces int) []byte {
	t.Helper()
	q, err := h.Query(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	put := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for x, err := range q.Traces(t.Context(), backend.Filter{}) {
		put(x, err)
		n++
	}
	for x, err := range q.Spans(t.Context(), backend.Filter{}) {
		put(x, err)
	}
	for x, err := range q.Events(t.Context(), backend.Filter{}) {
		put(x, err)
	}
	for x, err := range q.Metrics(t.Context(), backend.Filter{}) {
		put(x, err)
	}
	put(q.Aggregate(t.Context(), backend.Filter{}))
	put(q.Overview(t.Context(), backend.Filter{}))
	put(q.Count(t.Context()))
	if n != traces {
		t.Errorf("%d traces, want %d", n, traces)
	}
	return out.Bytes()
}
