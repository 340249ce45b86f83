package cli_test

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/backend"
)

const redact = `graph: redact
version: 1.0.0
start: pass
nodes:
  pass: {module: echo@^1}
`

const collecting = `environment: test
intake: true
token: secret
telemetry:
  default: kept
  profiles:
    kept: {backend: sqlite, collector: redact, export_interval: 100ms}
`

const exporting = `environment: test
telemetry:
  default: away
  profiles:
    away:
      backend: otlp
      export_interval: 100ms
      backend_config:
        endpoint: http://ADDRESS
        protocol: http/protobuf
        sketches: true
        headers: {Authorization: "Bearer secret"}
`

// TestCollectorKilled proves that the death of the daemon which collects the
// telemetry of another one hurts no run there, and that every run reaches it once it
// is back, none twice.
func TestCollectorKilled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	there, here := root(t, "unused"), root(t, "hello")
	write(t, filepath.Join(there, "graphs", "redact.yaml"), redact)
	write(t, filepath.Join(there, "graphs", "redact.policy.yaml"), "policy: redact\ntelemetry: off\n")
	write(t, filepath.Join(there, "spark.yaml"), collecting)
	write(t, filepath.Join(here, "spark.yaml"), strings.ReplaceAll(exporting, "ADDRESS", address))
	collect := func() *process {
		return launch(t, there, nil, "--config", filepath.Join(there, "spark.yaml"), "--address", address)
	}
	collector := collect()
	runs := launch(t, here, nil, "--config", filepath.Join(here, "spark.yaml"))
	c := runs.client()
	ids := map[string]bool{}
	run := func(n int) {
		t.Helper()
		for range n {
			r, err := c.Run(t.Context(), api.Run{Graph: "greet", Input: json.RawMessage(input)})
			if err != nil || textOf(t, r.Output) != "hello you" {
				t.Fatalf("%+v, %v", r, err)
			}
			ids[r.RunID] = true
		}
	}
	run(50)
	collector.end(syscall.SIGKILL)
	run(50)
	collector = collect()
	run(50)
	if code := runs.end(syscall.SIGTERM); code != 0 { // ending, it exports what it has
		t.Errorf("exit status %d", code)
	}
	page, err := collector.client().Traces(t.Context(), backend.Filter{Graph: "greet", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range page.Rows {
		if !ids[row.RunID] {
			t.Errorf("run %s is unknown or twice there", row.RunID)
		}
		delete(ids, row.RunID)
	}
	if len(ids) > 0 {
		t.Errorf("%d runs did not arrive", len(ids))
	}
}
