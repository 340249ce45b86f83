package sqlite

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func config(dir string) []byte {
	b, _ := json.Marshal(Config{DBPath: filepath.Join(dir, "telemetry.db")})
	return b
}

func openIn(t testing.TB, dir string) *Backend {
	t.Helper()
	w, err := Open(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	return w.(*Backend)
}

func TestConformanceInProcess(t *testing.T) {
	backendtest.Run(t, func(t *testing.T, dir string) backend.Writer { return openIn(t, dir) })
}

func TestConformanceOverTheWire(t *testing.T) {
	backendtest.Run(t, backendtest.Wire(Info, Open, config))
}
