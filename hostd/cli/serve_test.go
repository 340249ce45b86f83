package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// process is a `spark serve` under test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string // data folder
	logs chan map[string]any
	done chan struct{}
	err  error
}

// serve starts a daemon on the folder root, whose graphs lie in root/graphs, and
// waits until it answers.
func serve(t *testing.T, root string) *process {
	t.Helper()
	return serveDraining(t, root, "20s")
}

// serveDraining is serve with a drain timeout.
func serveDraining(t *testing.T, root, drain string) *process {
	t.Helper()
	return launch(t, root, []string{"SPARK_DRAIN_TIMEOUT=" + drain})
}

// launch is serve with more environment and flags.
func launch(t *testing.T, root string, env []string, flags ...string) *process {
	t.Helper()
	p := &process{t: t, dir: filepath.Join(root, "data"), logs: make(chan map[string]any, 1000), done: make(chan struct{})}
	p.cmd = exec.Command("spark", append([]string{"serve", "--data-dir", p.dir, "--graphs", filepath.Join(root, "graphs")}, flags...)...)
	p.cmd.Env = append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			var line map[string]any
			if json.Unmarshal(s.Bytes(), &line) != nil {
				line = map[string]any{"msg": s.Text()}
			}
			p.logs <- line
		}
		p.err = p.cmd.Wait()
		close(p.logs)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	p.log("ready")
	if err := answers(p.dir); err != nil {
		t.Fatal(err)
	}
	return p
}

// log returns the next line with this message, skipping others.
func (p *process) log(msg string) map[string]any {
	p.t.Helper()
	deadline := time.After(time.Minute)
	var seen []string
	for {
		select {
		case line, ok := <-p.logs:
			if !ok {
				p.t.Fatalf("the daemon ended (%v) before it logged %q; it logged %q", p.err, msg, seen)
			}
			if line["msg"] == msg {
				return line
			}
			seen = append(seen, fmt.Sprint(line))
		case <-deadline:
			p.t.Fatalf("the daemon did not log %q; it logged %q", msg, seen)
		}
	}
}

func (p *process) client() *api.Client {
	c := api.Unix(p.dir, func(ctx context.Context) (net.Conn, error) { return api.Dial(ctx, p.dir) })
	p.t.Cleanup(c.Close)
	return c
}

// end sends a signal and returns the exit status.
func (p *process) end(s os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatal("the daemon does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// root makes a folder with the graph greet that says word.
func root(t *testing.T, word string) string {
	t.Helper()
	dir := t.TempDir()
	if err := warmCache(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "graphs"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "graphs", "greet.yaml"), greet("1.0.0", word))
	return dir
}

func greet(version, word string) string {
	return fmt.Sprintf(`graph: greet
version: %s
start: first
nodes:
  first: {module: echo@^1}
  say: {module: template@^1, config: {template: "%s {{name}}"}}
edges:
  - {from: first, to: say}
`, version, word)
}

// write replaces a file as editors do: a new one beside it, renamed over it.
func write(t *testing.T, path, body string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), ".edit~")
	if err := os.WriteFile(tmp, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

const input = `{"name": "you"}`

// say runs greet once and returns its version and text.
func say(t *testing.T, c *api.Client) (version, text string) {
	t.Helper()
	r, err := c.Run(t.Context(), api.Run{Graph: "greet", Input: json.RawMessage(input)})
	if err != nil {
		t.Fatal(err)
	}
	return r.Version, textOf(t, r.Output)
}

func textOf(t *testing.T, output json.RawMessage) string {
	var out struct{ Text string }
	if err := json.Unmarshal(output, &out); err != nil {
		t.Error(err)
	}
	return out.Text
}

// TestSwapUnderLoad changes a graph file while runs keep coming: none fails, and
// each run's output belongs to the version that it names.
func TestSwapUnderLoad(t *testing.T) {
	dir := root(t, "hello")
	p := serve(t, dir)
	c := p.client()
	words := map[string]string{"1.0.0": "hello you", "1.1.0": "hi you", "1.2.0": "ahoy you"}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := c.Run(context.Background(), api.Run{Graph: "greet", Input: json.RawMessage(input)})
				if err != nil {
					t.Error(err)
					return
				}
				if got := textOf(t, r.Output); got != words[r.Version] {
					t.Errorf("version %s said %q, want %q", r.Version, got, words[r.Version])
				}
				mu.Lock()
				seen[r.Version]++
				mu.Unlock()
			}
		})
	}
	file := filepath.Join(dir, "graphs", "greet.yaml")
	write(t, file, greet("1.1.0", "hi"))
	if l := p.log("graph swapped in"); l["version"] != "1.1.0" || l["previous"] != "1.0.0" {
		t.Errorf("logged %v", l)
	}

	// A bad file keeps the old version, and is explained once.
	write(t, file, strings.Replace(greet("1.9.0", "never"), "template@^1", "tmplate@^1", 1))
	l := p.log("graph refused")
	if l["where"] != "nodes.say.module" || l["hint"] == "" || l["serving"] != "1.1.0" || l["file"] != file {
		t.Errorf("logged %v", l)
	}
	if v, text := say(t, c); v != "1.1.0" || text != "hi you" {
		t.Errorf("after a bad file, version %s says %q", v, text)
	}

	// Written in place and slowly, as some editors do.
	if err := os.WriteFile(file, []byte(greet("1.2.0", "ahoy")), 0o644); err != nil {
		t.Fatal(err)
	}
	if l := p.log("graph swapped in"); l["version"] != "1.2.0" || l["previous"] != "1.1.0" {
		t.Errorf("logged %v", l)
	}
	if v, _ := say(t, c); v != "1.2.0" {
		t.Errorf("version %s is active", v)
	}
	close(stop)
	wg.Wait()
	for v := range words {
		if v != "1.2.0" && seen[v] == 0 {
			t.Errorf("no run took version %s: %v", v, seen)
		}
	}

	// A file that goes away leaves its graph serving.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if l := p.log("a graph file is gone; its graph keeps serving"); l["graph"] != "greet" {
		t.Errorf("logged %v", l)
	}
	if v, _ := say(t, c); v != "1.2.0" {
		t.Errorf("version %s is active", v)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if n := left(t, p.dir); n != "" {
		t.Errorf("left behind: %s", n)
	}
}

// left names what a daemon that ended should not leave behind.
func left(t *testing.T, data string) string {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(data, api.SocketName)); err == nil {
		return "the socket"
	}
	return ""
}

// slow is a graph whose run loops until its node's deadline, or is cancelled,
// unless its input is "quick".
func slow(seconds int) string {
	return fmt.Sprintf(`graph: slow
version: 1.0.0
start: first
nodes:
  first: {module: echo@^1}
  quick: {module: echo@^1}
  a: {module: loop@^1, timeout: %ds}
edges:
  - {from: first, to: quick, when: 'output == "quick"'}
  - {from: first, to: a, otherwise: true}
output: [quick, a]
`, seconds)
}

// TestDrain proves that a run under way when the daemon is told to end is waited
// for, and that no new one is taken.
func TestDrain(t *testing.T) {
	dir := root(t, "hello")
	p := serve(t, dir)
	c := p.client()
	push(t, c)
	if _, _, err := c.Apply(t.Context(), api.Document{Graph: slow(2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), api.Run{Graph: "greet", Input: json.RawMessage(input)}); err != nil {
		t.Fatal(err)
	}
	type end struct {
		err  error
		took time.Duration
	}
	ended := make(chan end, 1)
	busy := p.client()
	go func() {
		start := time.Now()
		_, err := busy.Run(context.Background(), api.Run{Graph: "slow"})
		ended <- end{err, time.Since(start)}
	}()
	underWay(t, c)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.log("ending: no new requests are taken")
	select {
	case e := <-ended:
		// It ran to its own deadline of 2 s and was not cut off.
		if !fault.Is(e.err, fault.Timeout) || e.took < 1900*time.Millisecond {
			t.Errorf("the run ended with %v after %v", e.err, e.took)
		}
	case <-time.After(time.Minute):
		t.Fatal("the run does not end")
	}
	p.log("ended")
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	// What was recorded is there.
	out, err := exec.Command("spark", "telemetry", "traces", "--graph", "slow", "--data-dir", p.dir, "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), `"trace_id"`); n != 1 {
		t.Errorf("%d traces, want 1: %s", n, out)
	}
}

func push(t *testing.T, c *api.Client) {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(os.Getenv(fixtures), "faulty.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Push(t.Context(), wasm, "test"); err != nil {
		t.Fatal(err)
	}
}

// underWay returns once the daemon works on a run.
func underWay(t *testing.T, c *api.Client) {
	t.Helper()
	for {
		h, err := c.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h.Runs > 0 {
			return
		}
	}
}

// TestCutOff proves that a run that outlasts the drain is cancelled, recorded as
// that, and that the daemon says so.
func TestCutOff(t *testing.T) {
	dir := root(t, "hello")
	p := serveDraining(t, dir, "100ms")
	c := p.client()
	push(t, c)
	if _, _, err := c.Apply(t.Context(), api.Document{Graph: slow(60)}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	busy := p.client()
	go func() {
		_, err := busy.Run(context.Background(), api.Run{Graph: "slow"})
		ended <- err
	}()
	underWay(t, c)
	if code := p.end(syscall.SIGTERM); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if err := <-ended; err == nil {
		t.Error("the run succeeded")
	}
	said := false
	for line := range p.logs {
		said = said || strings.Contains(fmt.Sprint(line["msg"]), "requests were still under way after 100ms and were cut off")
	}
	if !said {
		t.Error("the daemon does not say what was cut off")
	}
	out, err := exec.Command("spark", "telemetry", "traces", "--status", "cancelled", "--data-dir", p.dir, "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), `"trace_id"`); n != 1 {
		t.Errorf("%d cancelled traces, want 1: %s", n, out)
	}
}

// TestSecondSignal proves that a second signal ends a daemon that drains.
func TestSecondSignal(t *testing.T) {
	dir := root(t, "hello")
	p := serve(t, dir)
	c := p.client()
	push(t, c)
	if _, _, err := c.Apply(t.Context(), api.Document{Graph: slow(60)}); err != nil {
		t.Fatal(err)
	}
	go p.client().Run(context.Background(), api.Run{Graph: "slow"})
	underWay(t, c)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.log("ending: no new requests are taken")
	start := time.Now()
	p.end(syscall.SIGTERM)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the second signal took %v", took)
	}
}

// TestKill proves that a daemon that was killed can be started again on its
// folder, with everything it had acknowledged.
func TestKill(t *testing.T) {
	dir := root(t, "hello")
	p := serve(t, dir)
	c := p.client()
	if _, _, err := c.Apply(t.Context(), api.Document{Graph: "graph: other\nstart: a\nnodes: {a: {module: echo@^1}}\n"}); err != nil {
		t.Fatal(err)
	}
	say(t, c)
	// Asking flushes, so the trace is durable.
	if page, err := c.Traces(t.Context(), backend.Filter{}); err != nil || len(page.Rows) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	p.end(syscall.SIGKILL)
	if left(t, p.dir) == "" {
		t.Error("a killed daemon removed its socket")
	}

	// The command line opens the folder itself, although a socket lies there.
	out, err := exec.Command("spark", "graph", "list", "--data-dir", p.dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "other") {
		t.Fatalf("%v: %s", err, out)
	}
	p = serve(t, dir)
	if _, text := say(t, p.client()); text != "hello you" {
		t.Errorf("it says %q", text)
	}
	if page, err := p.client().Traces(t.Context(), backend.Filter{}); err != nil || len(page.Rows) != 2 {
		t.Errorf("%v, %v", page, err)
	}

	// A second daemon on the same folder is refused.
	cmd := exec.Command("spark", "serve", "--data-dir", p.dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "in use by process "+fmt.Sprint(p.cmd.Process.Pid)) {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if _, text := say(t, p.client()); text != "hello you" {
		t.Errorf("it says %q", text)
	}
}

// TestLongFolder proves that a data folder whose path no socket address holds is
// served all the same.
func TestLongFolder(t *testing.T) {
	dir := filepath.Join(root(t, "hello"), strings.Repeat("long", 30))
	if err := os.MkdirAll(filepath.Join(dir, "graphs"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "graphs", "greet.yaml"), greet("1.0.0", "hello"))
	p := serve(t, dir)
	if _, text := say(t, p.client()); text != "hello you" {
		t.Errorf("it says %q", text)
	}
	info, err := os.Lstat(filepath.Join(p.dir, api.SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestInterruptedRun proves that an interrupt ends a run of the command line, and
// that its trace says so.
func TestInterruptedRun(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := warmCache(data); err != nil {
		t.Fatal(err)
	}
	spark := func(args ...string) *exec.Cmd { return exec.Command("spark", append(args, "--data-dir", data)...) }
	doc := filepath.Join(dir, "slow.yaml")
	write(t, doc, slow(60))
	for _, args := range [][]string{{"module", "push", filepath.Join(os.Getenv(fixtures), "faulty.wasm")}, {"graph", "apply", doc}} {
		if out, err := spark(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	inputs := filepath.Join(dir, "inputs.jsonl")
	write(t, inputs, "\"quick\"\n\"slow\"\n")
	results := filepath.Join(dir, "results.jsonl")
	cmd := spark("run", "slow", "--inputs", inputs, "--out", results)
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The second run begins when the first is written.
	written(t, results)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if out, err := spark("graph", "list").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// written returns once a file has a line.
func written(t *testing.T, path string) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "\n") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("nothing is written to %s", path)
		}
	}
}
