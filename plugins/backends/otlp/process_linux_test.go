package otlp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// TestMain lets the test binary play the plugin.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := Serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is the plugin in a process of its own, which ends with its backend.
type process struct {
	*backend.Client
	p *plughost.Plugin
}

func launch(t *testing.T, config []byte) *process {
	t.Helper()
	p, err := plughost.Launch(t.Context(), plughost.Spec{Name: "otlp", Kind: plughost.Backend, Args: []string{"serve"}, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	w, err := backend.NewClient(t.Context(), p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &process{w, p}
}

func (p *process) Close(ctx context.Context) error {
	err := p.Client.Close(ctx)
	if fault.Is(err, fault.Unavailable) {
		err = nil // closed before
	}
	p.p.Close(ctx)
	return err
}

// lines is a log that may be written and read at once.
type lines struct {
	mu sync.Mutex // guards buf
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The process of the plugin takes batches, tells what went wrong across the wire,
// comes back after SIGKILL, and shows its headers to nobody.
func TestPluginProcess(t *testing.T) {
	const secret = "m4rker-0f-a-header"
	r := listen(t, protocolGRPC, "", nil)
	log := &lines{}
	p, err := plughost.Launch(t.Context(), plughost.Spec{Name: "otlp", Kind: plughost.Backend, Args: []string{"serve"},
		Config: r.config(func(c *Config) { c.Headers = map[string]string{"authorization": "Bearer " + secret} }),
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(t.Context())
	w, err := backend.NewClient(t.Context(), p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if backend.Describe(w) != Info {
		t.Errorf("%+v", backend.Describe(w))
	}
	write(t, w, batch(1, backendtest.Samples(0, 10)...))
	pid := p.Info().PID
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil || bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for { // the host repeats a batch until the plugin is back
		_, err := w.Write(t.Context(), batch(2, backendtest.Samples(10, 20)...))
		if err == nil {
			break
		}
		if fault.KindOf(err) == fault.Invalid || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	r.mu.Lock()
	n, headers := distinct(r.spans), r.headers
	r.mu.Unlock()
	if want := spansOf(backendtest.Samples(0, 20)); n != want {
		t.Errorf("%d spans, want %d", n, want)
	}
	for _, h := range headers {
		if h != "Bearer "+secret {
			t.Errorf("authorization %q", h)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the header is in the log:\n%s", log)
	}
}
