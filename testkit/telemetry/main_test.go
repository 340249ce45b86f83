package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	pgbackend "github.com/sparkrsi/spark/plugins/backends/postgres"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// TestMain makes the test binary a plugin, or a host that is killed, when its first
// argument says so.
func TestMain(m *testing.M) {
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow is an error, as on a full disk
	if len(os.Args) > 1 {
		if role := map[string]func(args []string) error{
			"serve-sqlite":   func([]string) error { return sqlite.Serve() },
			"serve-memory":   func([]string) error { return memory.Serve() },
			"serve-postgres": func([]string) error { return pgbackend.Serve() },
			"host":           host,
		}[os.Args[1]]; role != nil {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	postgres.Main(m)
}

// store is a place that a plugin process keeps telemetry in.
type store struct {
	Kind   string          // sqlite or postgres
	Config json.RawMessage // that the plugin is opened with
}

// file is the store telemetry.db in dir.
func file(dir string) store {
	return stored("sqlite", sqlite.Config{DBPath: filepath.Join(dir, "telemetry.db")})
}

// schema is a store of its own in a server.
func schema(s *postgres.Server, name, layout string) store {
	return stored("postgres", map[string]any{"connection_string": s.URL(), "schema": name, "layout": layout})
}

func stored(kind string, config any) store {
	b, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return store{kind, b}
}

// launch starts the plugin of s; a process that dies is replaced after 10 ms.
func (s store) launch(ctx context.Context) (*plughost.Plugin, *backend.Client, error) {
	p, err := plughost.Launch(ctx, plughost.Spec{Name: s.Kind, Kind: plughost.Backend, Args: []string{"serve-" + s.Kind}, Config: s.Config,
		Timing: plughost.Timing{Backoff: 10 * time.Millisecond, Stable: time.Millisecond}})
	if err != nil {
		return nil, nil, err
	}
	c, err := backend.NewClient(ctx, p.Conn(), nil)
	if err != nil {
		p.Close(ctx)
		return nil, nil, err
	}
	return p, c, nil
}

// open is launch for a test, which ends the plugin.
func (s store) open(t testing.TB) (*plughost.Plugin, *backend.Client) {
	t.Helper()
	p, c, err := s.launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p, c
}
