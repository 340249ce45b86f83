package plughost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/sdk/proto"
)

// The test binary plays plugins and hosts when its first argument is one of these
// words.
var roles = map[string]func(args []string){
	"backend": func(args []string) { serve(plugin.Config{Backend: &backend{name: args[0]}}) },
	"model": func([]string) {
		if err := model.Serve(&echo{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	},
	"newer":  func([]string) { serve(plugin.Config{Backend: &backend{}, Protocols: []int{2, 3}}) },
	"both":   func([]string) { serve(plugin.Config{Backend: &backend{}, Protocols: []int{1, 2}}) },
	"hang":   func([]string) { fmt.Fprintln(os.Stderr, "thinking"); forever() },
	"exit":   func([]string) { fmt.Fprintln(os.Stderr, "no licence found"); os.Exit(7) },
	"silent": func([]string) { os.Stdout.Close(); forever() },
	"stray": func([]string) {
		fmt.Println("hello from init")
		serve(plugin.Config{Backend: &backend{}})
	},
	"heedless": func([]string) { // does not care whether its host lives
		os.Unsetenv(plugin.ParentFD)
		serve(plugin.Config{Backend: &backend{}})
	},
	"host": host,
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			role(os.Args[2:])
			os.Exit(0)
		}
	}
	// The runtime's signal goroutine, which fuzzing starts, never ends.
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !poll(func() bool { return runtime.NumGoroutine() <= before }) {
		buf := make([]byte, 1<<20)
		fmt.Printf("leaked goroutines: %d before, %d after\n%s\n", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		code = 1
	}
	if left := children(); code == 0 && len(left) > 0 {
		fmt.Println("leaked processes:", left)
		code = 1
	}
	os.Exit(code)
}

func forever() {
	signal.Ignore(os.Interrupt)
	for { // a channel nobody sends on would be reported as a deadlock
		time.Sleep(time.Hour)
	}
}

func serve(c plugin.Config) {
	if err := plugin.Serve(c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// backend does what a batch says, and remembers.
type backend struct {
	proto.UnimplementedBackendServer
	name   string
	mu     sync.Mutex
	config string
	opened int
}

func (b *backend) Info(context.Context, *proto.InfoRequest) (*proto.BackendInfo, error) {
	return &proto.BackendInfo{Name: b.name, Version: "1.0.0", Capabilities: []string{"queryable"}}, nil
}

func (b *backend) Open(_ context.Context, r *proto.OpenRequest) (*proto.OpenResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.config = string(r.ConfigJson); b.config {
	case "refuse":
		return nil, fault.New(fault.Invalid, "config.db_path", "no such folder").WithHint("create it")
	case "slow":
		forever()
	case "die":
		panicElsewhere()
	}
	if mark, ok := strings.CutPrefix(b.config, "fail-if "); ok {
		if _, err := os.Stat(mark); err == nil {
			return nil, fault.New(fault.Unavailable, mark, "told to fail")
		}
	}
	b.opened++
	return &proto.OpenResponse{}, nil
}

// panicElsewhere ends the process as a panic in a goroutine of the plugin does.
func panicElsewhere() {
	go panic("lost my mind")
	forever()
}

func (b *backend) Write(ctx context.Context, r *proto.WriteRequest) (*proto.WriteResponse, error) {
	say := func(format string, args ...any) (*proto.WriteResponse, error) {
		return &proto.WriteResponse{Quarantined: []*proto.Quarantined{{Reason: fmt.Sprintf(format, args...)}}}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	order, arg, _ := strings.Cut(string(r.Batch), " ")
	switch order {
	case "state":
		return say("%s %s %d", b.name, b.config, b.opened)
	case "env":
		return say("%s", strings.Join(os.Environ(), "\n"))
	case "die":
		panicElsewhere()
	case "deaf": // descendants hold the pipes, in this group and in their own
		for _, own := range []bool{false, true} {
			cmd := exec.Command("/proc/self/exe", "hang")
			cmd.Stdout, cmd.Stderr = os.NewFile(1, "1"), os.NewFile(2, "2")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: own, Pdeathsig: map[bool]syscall.Signal{true: syscall.SIGKILL}[own]}
			if err := cmd.Start(); err != nil {
				return nil, err
			}
		}
		return say("ok")
	case "shout":
		line := strings.Repeat("x", 300<<10)
		fmt.Println(line) // through go-plugin
		for _, fd := range []int{1, 2} {
			f := os.NewFile(uintptr(fd), "raw")
			if _, err := f.WriteString(line + "\nend of shout\n"); err != nil {
				return nil, err
			}
			runtime.KeepAlive(f)
		}
		plugin.Logger().Warn("structured", "size", len(line))
		return say("ok")
	case "wait": // until the file exists
		b.mu.Unlock()
		defer b.mu.Lock()
		os.WriteFile(arg+".waiting", nil, 0o600)
		if !poll(func() bool { _, err := os.Stat(arg); return err == nil }) {
			return nil, fault.New(fault.Timeout, arg, "never came")
		}
		return say("%s", b.name)
	case "fault":
		return nil, fault.New(fault.NotFound, "batch.7", "no such record").WithHint("look elsewhere")
	}
	return say("unknown order %q", order)
}

func (b *backend) Query(r *proto.QueryRequest, s grpc.ServerStreamingServer[proto.QueryRows]) error {
	for range 3 {
		if err := s.Send(&proto.QueryRows{Rows: []byte(r.Kind)}); err != nil {
			return err
		}
	}
	return nil
}

func (b *backend) Close(context.Context, *proto.CloseRequest) (*proto.CloseResponse, error) {
	if mark, ok := strings.CutPrefix(b.config, "mark "); ok {
		return &proto.CloseResponse{}, os.WriteFile(mark, []byte("closed"), 0o600)
	}
	return &proto.CloseResponse{}, nil
}

// echo is a model that repeats its configuration and the last message.
type echo struct{ config string }

func (e *echo) Open(_ context.Context, config []byte) error {
	e.config = string(config)
	return nil
}

func (e *echo) Info(context.Context) (model.Info, error) {
	return model.Info{Name: "echo", Version: "2.0.0", Models: []model.Model{{ID: "m"}}}, nil
}

func (e *echo) Generate(_ context.Context, r *model.Request) (*model.Response, error) {
	last := r.Messages[len(r.Messages)-1].Content
	if last == "die" {
		os.Exit(9)
	}
	return &model.Response{Text: e.config + " " + last, FinishReason: model.FinishStop, InputTokens: 1, OutputTokens: 2}, nil
}

// host launches the plugin args[1], notes it in the folder args[0], says its pid
// and lives until it is killed.
func host(args []string) {
	p, err := Launch(context.Background(), Spec{Name: "p", Kind: Backend, Args: []string{args[1], "p"}, Folder: args[0]})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Info().PID)
	forever()
}

// poll reports whether done becomes true within ten seconds.
func poll(done func() bool) bool {
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !poll(done) {
		t.Fatalf("never: %s", what)
	}
}

// children returns the processes whose parent is this one.
func children() []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var left []string
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])); f[1] == fmt.Sprint(os.Getpid()) {
			left = append(left, string(text))
		}
	}
	return left
}
