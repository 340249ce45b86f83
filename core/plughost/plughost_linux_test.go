package plughost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// quick are deadlines that a test can wait for.
var quick = Timing{Start: 10 * time.Second, Health: time.Hour, Backoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond,
	Drain: 5 * time.Second, Grace: 2 * time.Second}

func spec(args ...string) Spec {
	return Spec{Name: "p", Kind: Backend, Args: args, Timing: quick}
}

func launch(t *testing.T, s Spec) *Plugin {
	t.Helper()
	p, err := Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err, fault.HintOf(err))
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// order has the plugin do what a batch says and returns what it said.
func order(p *Plugin, batch string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	resp, err := proto.NewBackendClient(p.Conn()).Write(ctx, &proto.WriteRequest{Batch: []byte(batch)})
	if err != nil {
		return "", plugin.FromStatus(err)
	}
	return resp.Quarantined[0].Reason, nil
}

func wants(t *testing.T, p *Plugin, batch, want string) {
	t.Helper()
	if got, err := order(p, batch); err != nil || got != want {
		t.Fatalf("%s: %q, %v; want %q", batch, got, err, want)
	}
}

func dead(pid int) bool { return startTime(pid) == "" }

func TestLaunchCallClose(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	folder := t.TempDir()
	s := spec("backend", "one")
	s.Config, s.Folder = []byte("mark "+mark), folder
	p := launch(t, s)
	info := p.Info()
	if info.State != Ready || info.Version != "1.0.0" || info.Protocol != plugin.Protocol || info.Restarts != 0 ||
		info.PID == 0 || info.Started.IsZero() || info.Err != nil || info.Capabilities[0] != "queryable" {
		t.Errorf("info %+v", info)
	}
	wants(t, p, "state", "one mark "+mark+" 1")

	_, err := order(p, "fault")
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.NotFound || f.Path != "batch.7" || f.Msg != "no such record" || f.Hint != "look elsewhere" {
		t.Errorf("a fault crossed the wire as %#v", err)
	}
	rows, err := proto.NewBackendClient(p.Conn()).Query(t.Context(), &proto.QueryRequest{Kind: "spans"})
	n := 0
	for ; err == nil; n++ {
		_, err = rows.Recv()
	}
	if n != 4 {
		t.Errorf("three rows and the end took %d reads: %v", n, err)
	}
	if notes, _ := os.ReadDir(folder); len(notes) != 1 {
		t.Errorf("notes of the process: %v", notes)
	}
	for range 2 {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(mark); err != nil || string(text) != "closed" {
		t.Errorf("the backend was not closed: %v", err)
	}
	if notes, _ := os.ReadDir(folder); len(notes) != 0 || !dead(info.PID) {
		t.Errorf("after Close: notes %v, process dead %v", notes, dead(info.PID))
	}
	if _, err := order(p, "state"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a call after Close gave %v", err)
	}
	if err := p.Replace(t.Context(), s); !fault.Is(err, fault.Conflict) {
		t.Errorf("replacing after Close gave %v", err)
	}
}

func TestNothingIsInherited(t *testing.T) {
	t.Setenv("SPARK_TEST_SECRET", "s3cret")
	s := spec("backend", "one")
	s.Env = []string{"GIVEN=yes"}
	p := launch(t, s)
	env, err := order(p, "env")
	if err != nil || strings.Contains(env, "s3cret") || !strings.Contains(env, "GIVEN=yes") {
		t.Fatalf("environment of the plugin: %v\n%s", err, env)
	}
	_, temp, _ := strings.Cut(env, "TMPDIR=")
	temp, _, _ = strings.Cut(temp, "\n")
	if info, err := os.Stat(temp); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("TMPDIR %q: %v, %v", temp, info, err)
	}
	p.Close(t.Context())
	if _, err := os.Stat(temp); !os.IsNotExist(err) {
		t.Errorf("TMPDIR stayed behind: %v", err)
	}
}

func TestFailedStarts(t *testing.T) {
	folder := t.TempDir()
	script := filepath.Join(folder, "script")
	if err := os.WriteFile(script, []byte("\x7fELFnot really"), 0o700); err != nil {
		t.Fatal(err)
	}
	digest, err := Digest(script)
	if err != nil {
		t.Fatal(err)
	}
	short := quick
	short.Start = 1500 * time.Millisecond
	tests := map[string]struct {
		change func(*Spec)
		kind   fault.Kind
		text   string
	}{
		"hangs":             {func(s *Spec) { s.Args, s.Timing = []string{"hang"}, short }, fault.Timeout, "not ready after 1.5s, waiting for its handshake"},
		"closes stdout":     {func(s *Spec) { s.Args, s.Timing = []string{"silent"}, short }, fault.Unavailable, "before its handshake"},
		"hangs when opened": {func(s *Spec) { s.Config, s.Timing = []byte("slow"), short }, fault.Timeout, "its answer to Open"},
		"dies when opened":  {func(s *Spec) { s.Config = []byte("die") }, fault.Unavailable, "panic: lost my mind"},
		"refuses config":    {func(s *Spec) { s.Config = []byte("refuse") }, fault.Invalid, "no such folder"},
		"ends":              {func(s *Spec) { s.Args = []string{"exit"} }, fault.Unavailable, "exit status 7; its last words: no licence found"},
		"prints":            {func(s *Spec) { s.Args = []string{"stray"} }, fault.Invalid, `"hello from init"`},
		"newer protocol":    {func(s *Spec) { s.Args = []string{"newer"} }, fault.Newer, "speaks protocol 2, this host speaks 1 to 1"},
		"other kind":        {func(s *Spec) { s.Args = []string{"model"} }, fault.Invalid, "unknown service"},
		"wrong pin":         {func(s *Spec) { s.Path, s.SHA256 = script, strings.Repeat("0", 64) }, fault.Corrupt, digest},
		"no program":        {func(s *Spec) { s.Path, s.SHA256 = script, digest }, fault.Invalid, "no program for this machine"},
		"no file":           {func(s *Spec) { s.Path, s.SHA256 = script+"x", digest }, fault.NotFound, "scriptx"},
		"not pinned":        {func(s *Spec) { s.Path = script }, fault.Invalid, "not pinned"},
		"no arguments":      {func(s *Spec) { s.Args = nil }, fault.Invalid, "args"},
		"no kind":           {func(s *Spec) { s.Kind = "" }, fault.Invalid, "kind"},
		"bad name":          {func(s *Spec) { s.Name = "../p" }, fault.Invalid, "name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := spec("backend", "one")
			tt.change(&s)
			p, err := Launch(t.Context(), s)
			if err == nil {
				p.Close(t.Context())
				t.Fatal("it started")
			}
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q: %v; want %q: %s", fault.KindOf(err), err, tt.kind, tt.text)
			}
			if name == "refuses config" && fault.HintOf(err) != "create it" {
				t.Errorf("the hint of the plugin was lost: %v", err)
			}
			eventually(t, "nothing is left", func() bool { return len(children()) == 0 })
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Launch(ctx, spec("hang")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled start gave %v", err)
	}
}

func TestOldAndNewProtocolsMeetAtTheCommonOne(t *testing.T) {
	if got := launch(t, spec("both")).Info().Protocol; got != 1 {
		t.Errorf("negotiated %d, want 1", got)
	}
}

func TestPinnedExecutable(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := spec("backend", "third party")
	s.Path = path
	if s.SHA256, err = Digest(path); err != nil {
		t.Fatal(err)
	}
	wants(t, launch(t, s), "state", "third party  1")
}

func TestRestartAfterKill(t *testing.T) {
	s := spec("backend", "one")
	s.Config = []byte("conf")
	p := launch(t, s)
	for round := 1; round <= 5; round++ {
		pid := p.Info().PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "restarted", func() bool { i := p.Info(); return i.State == Ready && i.Restarts == round && i.PID != pid })
		wants(t, p, "state", "one conf 1")
	}
	if err := p.Info().Err; !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("why the last process ended: %v", err)
	}
	if _, err := order(p, "die"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the call during which the process died gave %v", err)
	}
	eventually(t, "restarted", func() bool { return p.Info().Restarts == 6 })
	if err := p.Info().Err; !strings.Contains(err.Error(), "lost my mind") {
		t.Errorf("why the process ended: %v", err)
	}
}

func TestModelProviderOutlivesItsProcess(t *testing.T) {
	s := spec("model")
	s.Kind, s.Config = Model, []byte(`{"voice":"low"}`)
	p := launch(t, s)
	provider := model.NewClient(p.Conn())
	ask := func(text string) (*model.Response, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return provider.Generate(ctx, &model.Request{Model: "m", Messages: []model.Message{{Role: model.User, Content: text}}})
	}
	if info, err := provider.Info(t.Context()); err != nil || info.Name != "echo" || info.Protocol != plugin.Protocol || p.Info().Version != "2.0.0" {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := ask("die"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the call that ended the process gave %v", err)
	}
	eventually(t, "restarted", func() bool { return p.Info().Restarts == 1 })
	if resp, err := ask("hello"); err != nil || resp.Text != `{"voice":"low"} hello` || resp.OutputTokens != 2 {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestDownUntilTheStartSucceeds(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	s := spec("backend", "one")
	s.Config = []byte("fail-if " + mark)
	p := launch(t, s)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(p.Info().PID, syscall.SIGKILL)
	eventually(t, "a failed restart", func() bool {
		return p.Info().State == Restarting && strings.Contains(p.Info().Err.Error(), "told to fail")
	})
	if _, err := order(p, "state"); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("a call while the plugin is down gave %v", err)
	}
	os.Remove(mark)
	eventually(t, "up again", func() bool { return p.Info().State == Ready })
	wants(t, p, "state", "one fail-if "+mark+" 1")
}

func TestHealthCheckKillsAStoppedProcess(t *testing.T) {
	s := spec("backend", "one")
	s.Timing.Health, s.Timing.HealthLimit = 20*time.Millisecond, 200*time.Millisecond
	p := launch(t, s)
	pid := p.Info().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "restarted", func() bool { i := p.Info(); return i.State == Ready && i.Restarts == 1 })
	if !dead(pid) {
		t.Error("the stopped process lives")
	}
}

func TestCloseOfAStoppedProcess(t *testing.T) {
	s := spec("backend", "one")
	s.Timing.Grace, s.Timing.Drain = 100*time.Millisecond, 100*time.Millisecond
	for name, patience := range map[string]time.Duration{"grace": time.Minute, "context": time.Millisecond} {
		p := launch(t, s)
		pid := p.Info().PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		begin := time.Now()
		err := p.Close(ctx)
		cancel()
		if took := time.Since(begin); took > 2*time.Second || !dead(pid) {
			t.Errorf("%s: Close took %v, process dead %v", name, took, dead(pid))
		}
		if (name == "context") != errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDescendantsDoNotHoldTheHost(t *testing.T) {
	p := launch(t, spec("backend", "one"))
	wants(t, p, "deaf", "ok")
	syscall.Kill(p.Info().PID, syscall.SIGKILL)
	eventually(t, "restarted", func() bool { return p.Info().Restarts == 1 })
	wants(t, p, "state", "one  1")
}

func TestReplace(t *testing.T) {
	folder := t.TempDir()
	gate := filepath.Join(folder, "gate")
	p := launch(t, spec("backend", "old"))
	old := p.Info().PID
	answer := make(chan string, 1)
	go func() {
		got, err := order(p, "wait "+gate)
		if err != nil {
			got = err.Error()
		}
		answer <- got
	}()
	eventually(t, "a call in progress", func() bool { _, err := os.Stat(gate + ".waiting"); return err == nil })

	bad := spec("backend", "bad")
	bad.Config = []byte("refuse")
	if err := p.Replace(t.Context(), bad); !fault.Is(err, fault.Invalid) || p.Info().PID != old || p.Info().State != Ready {
		t.Fatalf("a replacement that cannot start: %v, %+v", err, p.Info())
	}
	other := spec("backend", "other")
	other.Name = "q"
	if err := p.Replace(t.Context(), other); !fault.Is(err, fault.Invalid) {
		t.Errorf("a replacement of another name gave %v", err)
	}
	if err := p.Replace(t.Context(), spec("backend", "new")); err != nil {
		t.Fatal(err)
	}
	wants(t, p, "state", "new  1")
	if dead(old) {
		t.Error("the old process did not wait for its running call")
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got != "old" {
		t.Errorf("the running call was answered by %q", got)
	}
	eventually(t, "the old process is gone", func() bool { return dead(old) })
	if i := p.Info(); i.Restarts != 0 || i.State != Ready {
		t.Errorf("%+v", i)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func TestOutputIsLoggedAndNeverBlocks(t *testing.T) {
	var log lines
	s := spec("backend", "one")
	s.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p := launch(t, s)
	wants(t, p, "shout", "ok")
	eventually(t, "the raw lines", func() bool { return log.count("end of shout") == 2 })
	eventually(t, "the structured line", func() bool { return log.count("level=WARN msg=structured plugin=p size=307200") == 1 })
}

// runHost runs a host with the plugin role in a process of its own. It returns the
// pid of the plugin, and a function that kills the host.
func runHost(t *testing.T, folder, role string) (pid int, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "host", folder, role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &pid); err != nil || dead(pid) {
		t.Fatalf("the host did not launch: pid %d, %v", pid, err)
	}
	return pid, func() { cmd.Process.Kill(); cmd.Wait() }
}

func TestChildEndsWithItsHost(t *testing.T) {
	folder := t.TempDir()
	pid, kill := runHost(t, folder, "backend")
	kill()
	eventually(t, "the child is gone", func() bool { return dead(pid) })
	if killed, err := Sweep(folder); killed != 0 || err != nil {
		t.Errorf("Sweep of a dead child: %d, %v", killed, err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("notes left: %v", left)
	}
}

func TestSweepKillsWhatADeadHostLeft(t *testing.T) {
	folder := t.TempDir()
	pid, kill := runHost(t, folder, "heedless")
	if killed, err := Sweep(folder); killed != 0 || err != nil || dead(pid) {
		t.Errorf("Sweep took the child of a live host: %d, %v", killed, err)
	}
	kill()
	if dead(pid) {
		t.Fatal("the heedless child ended with its host")
	}
	if killed, err := Sweep(folder); killed != 1 || err != nil {
		t.Errorf("Sweep killed %d, %v; want 1", killed, err)
	}
	eventually(t, "the child is gone", func() bool { return dead(pid) })
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("notes left: %v", left)
	}
}

func TestSweepKeepsGoing(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"a.json": "not json",
		"b.json": `{"pid":1,"started":"5","owner":1,"owner_started":"none","temp":"/etc"}`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	killed, err := Sweep(folder)
	if killed != 0 || !fault.Is(err, fault.Corrupt) {
		t.Errorf("%d, %v", killed, err)
	}
	if _, err := os.Stat("/etc"); err != nil {
		t.Error("Sweep removed a folder that is not a plugin's")
	}
	if _, err := os.Stat(filepath.Join(folder, "b.json")); !os.IsNotExist(err) {
		t.Error("the second note was not reached")
	}
	if n, err := Sweep(filepath.Join(folder, "none")); n != 0 || err != nil {
		t.Errorf("a missing folder: %d, %v", n, err)
	}
}

func TestDiscover(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for path, mode := range map[string]os.FileMode{
		one + "/b": 0o755, one + "/a": 0o700, one + "/readme": 0o644, one + "/.hidden": 0o755, two + "/a": 0o755, two + "/c": 0o755,
	} {
		if err := os.WriteFile(path, []byte(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(one+"/folder", 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := Discover([]string{one, two})
	var paths []string
	for _, f := range found {
		paths = append(paths, f.Path)
		if d, _ := Digest(f.Path); d != f.SHA256 || f.Name != filepath.Base(f.Path) {
			t.Errorf("%+v", f)
		}
	}
	if want := one + "/a " + one + "/b " + two + "/c"; err != nil || strings.Join(paths, " ") != want {
		t.Errorf("%v, %v; want %s", paths, err, want)
	}
	if _, err := Discover([]string{one + "/none"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a missing folder gave %v", err)
	}
}
