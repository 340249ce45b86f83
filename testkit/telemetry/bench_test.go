package telemetry_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// BenchmarkIngestProcess writes batches of 900 traces through the plugin process
// to the file: encoding, gRPC with mutual TLS, decoding, SQLite.
func BenchmarkIngestProcess(b *testing.B) {
	config, err := json.Marshal(sqlite.Config{DBPath: filepath.Join(b.TempDir(), "telemetry.db")})
	if err != nil {
		b.Fatal(err)
	}
	p, err := plughost.Launch(b.Context(), plughost.Spec{Name: "sqlite", Kind: plughost.Backend, Args: []string{"serve-sqlite"}, Config: config})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close(context.Background())
	c, err := backend.NewClient(b.Context(), p.Conn(), nil)
	if err != nil {
		b.Fatal(err)
	}
	batch, spans, n := backendtest.Samples(0, 900), 0, 0
	for _, t := range batch {
		spans += len(t.Spans)
	}
	for b.Loop() {
		n++
		if _, err := c.Write(b.Context(), &backend.Batch{ID: backendtest.ID(1000 * n), Traces: batch}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*spans)/b.Elapsed().Seconds(), "spans/s")
}
