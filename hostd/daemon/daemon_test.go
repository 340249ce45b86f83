package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

// journal keeps log lines as "message key=value ...".
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	return nil
}

func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }
func (j *journal) WithGroup(string) slog.Handler      { return j }

// take returns the lines since the last call whose message is one of the
// watcher's.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := slices.DeleteFunc(j.lines, func(l string) bool { return strings.HasPrefix(l, "version is active") })
	j.lines = nil
	return lines
}

// rig is a watcher on a folder, driven by hand.
type rig struct {
	*watcher
	t   *testing.T
	log *journal
	dir string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	j := &journal{}
	h, err := host.Open(t.Context(), host.Config{
		DataDir: t.TempDir(), DefaultProfile: "off", Telemetry: map[string]telemetry.Config{"off": {}},
		Natives: map[string]engine.NodeRunner{
			"one": engine.Func(func(context.Context, *run.Step) ([]byte, error) { return []byte("1"), nil }),
			"two": engine.Func(func(context.Context, *run.Step) ([]byte, error) { return []byte("2"), nil }),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	dir := t.TempDir()
	w, err := newWatcher(Config{Host: h, Graphs: dir, Modules: t.TempDir(), Logger: slog.New(j)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return &rig{watcher: w, t: t, log: j, dir: dir}
}

func (r *rig) write(name, body string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(body), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// logs scans and wants one log line for each of want, in this order.
func (r *rig) logs(again bool, want ...string) {
	r.t.Helper()
	r.scan(r.t.Context(), again)
	got := r.log.take()
	if len(got) != len(want) {
		r.t.Fatalf("logged %q, want %q", got, want)
	}
	for i := range want {
		for part := range strings.SplitSeq(want[i], "|") {
			if !strings.Contains(got[i], part) {
				r.t.Errorf("logged %q, want %q in it", got[i], part)
			}
		}
	}
}

// output runs a graph.
func (r *rig) output(graph, want string) {
	r.t.Helper()
	res, err := r.host.Run(r.t.Context(), host.Request{Graph: graph})
	if err != nil || string(res.Output) != want {
		r.t.Errorf("graph %s gave %+v, %v, want %s", graph, res, err, want)
	}
}

func doc(name, native string) string {
	return fmt.Sprintf("graph: %s\nstart: a\nnodes: {a: {native: %s}}\n", name, native)
}

func TestScan(t *testing.T) {
	r := newRig(t)
	r.logs(false)

	// Every good document is served, a bad one beside it is explained.
	r.write("a.yaml", doc("a", "one"))
	r.write("b.json", `{"graph": "b", "start": "a", "nodes": {"a": {"native": "one"}}}`)
	r.write("bad.yml", "graph: bad\nstart: x\nnodes: {b: {}, c: {}}\n")
	r.logs(false, "graph swapped in|a.yaml|version=1.0.0", "graph swapped in|graph=b", "graph refused|bad.yml|where=|line=|hint=|serving=none",
		"graph refused|where=|hint=")
	r.output("a", "1")
	r.output("b", "1")

	// Nothing new is said while nothing changes.
	r.logs(false)
	r.logs(true)

	// A changed document is swapped in; a bad one keeps the old.
	r.write("a.yaml", doc("a", "two"))
	r.logs(false, "graph swapped in|previous=1.0.0")
	r.output("a", "2")
	r.write("a.yaml", doc("a", "nosuch"))
	r.logs(false, "graph refused|a.yaml|nosuch|hint=|serving=1.0.0+2")
	r.logs(true)
	r.output("a", "2")
	r.write("a.yaml", "graph: [")
	r.logs(false, "graph refused|not YAML|serving=1.0.0+2")
	r.output("a", "2")

	// Back to the document that is served.
	r.write("a.yaml", doc("a", "two"))
	r.logs(false, "graph is served|version=1.0.0+2")

	// Files that editors leave about are no documents.
	r.write(".a.yaml", doc("hidden", "one"))
	r.write("a.yaml~", doc("backup", "one"))
	r.write("#a.yaml", doc("lock", "one"))
	r.write("notes.txt", "no document")
	r.logs(false)

	// One graph has one file.
	r.write("z.yaml", doc("a", "one"))
	r.logs(false, "graph refused|z.yaml|already served from a.yaml|hint=")
	r.logs(true)
	r.output("a", "2")

	// A file that goes away leaves the graph; then the other file may have it.
	if err := os.Remove(filepath.Join(r.dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r.logs(true, "a graph file is gone; its graph keeps serving|graph=a")
	r.output("a", "2")
}

func TestPolicy(t *testing.T) {
	r := newRig(t)
	r.write("a.yaml", doc("a", "one"))
	r.write("a.policy.yaml", "policy: a\nobjectives: {latency: {weight: 1, direction: minimize}}\n")
	r.logs(false, "graph swapped in|a.yaml")
	if p, err := r.host.Store().Policy(t.Context(), "a"); err != nil || p.Dir != r.dir {
		t.Fatalf("%+v, %v", p, err)
	}
	r.write("a.policy.yaml", "policy: a\nobjectives: {latency: {weight: -1, direction: minimize}}\n")
	r.logs(false, "graph refused|objectives.latency.weight|hint=|serving=1.0.0")
	r.write("a.policy.yaml", "policy: a\nobjectives: {latency: {weight: 1, direction: minimize}}\nlimits: {steps: 7}\n")
	r.logs(false, "graph is served")
	if p, err := r.host.Store().Policy(t.Context(), "a"); err != nil || p.Policy.Limits.Steps != 7 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestAsset wants a changed asset to make a new version once everything is looked
// at again.
func TestAsset(t *testing.T) {
	r := newRig(t)
	r.write("data.txt", "one")
	r.write("a.yaml", "graph: a\nassets: {d: data.txt}\nstart: a\nnodes: {a: {native: one}}\n")
	r.logs(false, "graph warning|where=assets.d|hint=", "graph swapped in")
	r.logs(true)
	r.write("data.txt", "two")
	r.logs(true, "graph swapped in|previous=1.0.0")
	if err := os.Remove(filepath.Join(r.dir, "data.txt")); err != nil {
		t.Fatal(err)
	}
	r.logs(true, "graph refused|assets.d|hint=put the file|serving=1.0.0+2")
	r.output("a", "1")
}

func TestModules(t *testing.T) {
	r := newRig(t)
	write := func(body string) {
		if err := os.WriteFile(filepath.Join(r.modules, "m.wasm"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("no module")
	r.logs(false, "module refused|m.wasm|kind=invalid")
	r.logs(false)
	r.logs(true)
	write("no module either")
	r.logs(false, "module refused|m.wasm")
	if err := os.Remove(filepath.Join(r.modules, "m.wasm")); err != nil {
		t.Fatal(err)
	}
	r.logs(false, "a module file is gone")
}

// TestFolderGone wants a folder that goes away to be said, and served again when
// it is back.
func TestFolderGone(t *testing.T) {
	r := newRig(t)
	r.write("a.yaml", doc("a", "one"))
	r.logs(false, "graph swapped in")
	away := r.dir + ".away"
	if err := os.Rename(r.dir, away); err != nil {
		t.Fatal(err)
	}
	r.logs(false, "the folder cannot be read")
	r.logs(false)
	r.output("a", "1")
	if err := os.Rename(away, r.dir); err != nil {
		t.Fatal(err)
	}
	r.write("a.yaml", doc("a", "two"))
	r.logs(false, "graph swapped in")
	r.output("a", "2")
}

func TestMissingFolder(t *testing.T) {
	_, err := newWatcher(Config{Graphs: filepath.Join(t.TempDir(), "nowhere")})
	if !fault.Is(err, fault.NotFound) || fault.HintOf(err) == "" {
		t.Error(err)
	}
}

// TestAddressTaken wants a daemon that cannot listen to end with what to do, and
// to leave no socket behind.
func TestAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	h, err := host.Open(t.Context(), host.Config{DataDir: dir, DefaultProfile: "off", Telemetry: map[string]telemetry.Config{"off": {}}})
	if err != nil {
		t.Fatal(err)
	}
	err = Serve(t.Context(), Config{Host: h, Handler: api.New(h, api.Options{}), DataDir: dir, Address: l.Addr().String(), Logger: slog.New(slog.DiscardHandler)})
	if !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, api.SocketName)); err == nil {
		t.Error("the socket stays")
	}
	if _, err := h.Run(t.Context(), host.Request{Graph: "a"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the host is open: %v", err)
	}
}
