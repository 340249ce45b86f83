package postgres

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// lines is a log that may be written and read at once.
type lines struct {
	mu sync.Mutex // guards b
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

// The password is in no command line, environment, log, answer or table, whether
// the server is there, gone, or refuses it.
func TestPasswordIsShownNowhere(t *testing.T) {
	s := postgres.New(t, postgres.Options{})
	log := &lines{}
	start := func(c Config) (*plughost.Plugin, error) {
		return plughost.Launch(t.Context(), plughost.Spec{Name: "postgres", Kind: plughost.Backend, Args: []string{"serve"}, Config: encode(t, c),
			Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	}
	shown := func(where string, text []byte) {
		t.Helper()
		for _, secret := range []string{s.Password, "m4rker-that-is-wrong"} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds the password: %.300s", where, text)
			}
		}
	}
	c := Config{ConnectionString: s.URL()}
	p, err := start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(t.Context())
	w, err := backend.NewClient(t.Context(), p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: backendtest.Samples(0, 10)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Info().PID, name))
		if err != nil {
			t.Fatal(err)
		}
		shown(name, b)
	}
	c.Schema = defaultSchema
	shown("the server", []byte(run(t, s, c, "SELECT a.* FROM pg_stat_activity a; SELECT * FROM setting; SELECT * FROM migration; SELECT * FROM batch")))
	s.Halt(t, true)
	if _, err = w.Write(t.Context(), &backend.Batch{ID: backendtest.ID(2), Traces: backendtest.Samples(10, 20)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("write without a server: %v", err)
	}
	shown("an error", []byte(fmt.Sprint(err, fault.HintOf(err))))
	refused := func(c Config, kind fault.Kind) {
		t.Helper()
		q, err := start(c)
		if err == nil {
			defer q.Close(t.Context())
			_, err = backend.NewClient(t.Context(), q.Conn(), nil)
		}
		if !fault.Is(err, kind) {
			t.Errorf("%v (%s), want %s", err, fault.KindOf(err), kind)
		}
		shown("an error", []byte(fmt.Sprint(err, fault.HintOf(err))))
	}
	c = Config{ConnectionString: s.URL()}
	refused(c, fault.Unavailable)
	s.Resume(t)
	c.ConnectionString = strings.Replace(c.ConnectionString, s.Password, "m4rker-that-is-wrong", 1)
	refused(c, fault.Denied)
	c.ConnectionString = strings.Replace(c.ConnectionString, "@", "@@:", 1)
	refused(c, fault.Invalid)
	shown("the log", []byte(log.String()))
}
