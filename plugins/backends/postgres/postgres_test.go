package postgres

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

func TestMain(m *testing.M) { postgres.Main(m) }

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

func TestConformance(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		t.Run(layout+" in process", func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T, dir string) backend.Writer { return openAs(t, inSchema(s, layout, dir)) })
		})
		t.Run(layout+" over the wire", func(t *testing.T) {
			backendtest.Run(t, backendtest.Wire(Info, Open, func(dir string) []byte { return encode(t, inSchema(s, layout, dir)) }))
		})
	}
}
