package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"testing"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// TestMain lets the test binary play the plugin.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		if err := Serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	postgres.Main(m)
}

// inSchema returns the configuration of a schema of its own for a folder.
func inSchema(s *postgres.Server, layout, dir string) Config {
	h := fnv.New64a()
	h.Write([]byte(dir))
	return Config{Host: s.Host, Port: s.Port, Database: s.Database, User: s.User, Password: s.Password, SSLMode: "disable",
		Schema: fmt.Sprintf("t%x", h.Sum64()), Layout: layout}
}

func encode(t testing.TB, c Config) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openAs(t testing.TB, c Config) *Backend {
	t.Helper()
	w, err := Open(encode(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return w.(*Backend)
}

// Both layouts pass the suite in process, and as the process that a host starts.
func TestConformance(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		t.Run(layout+" in process", func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T, dir string) backend.Writer { return openAs(t, inSchema(s, layout, dir)) })
		})
		t.Run(layout+" as a process", func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T, dir string) backend.Writer { return launch(t, inSchema(s, layout, dir)) })
		})
	}
}

// process is the plugin in a process of its own, which ends with its backend.
type process struct {
	*backend.Client
	p *plughost.Plugin
}

func launch(t testing.TB, c Config) *process {
	t.Helper()
	p, err := plughost.Launch(t.Context(), plughost.Spec{Name: "postgres", Kind: plughost.Backend, Args: []string{"serve"}, Config: encode(t, c)})
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
