package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
)

// greeting is a graph of two guests whose first one's config changes with the
// version, so that every output tells which version made it.
const greeting = `graph: greeting
version: %[1]s
start: greet
nodes:
  greet: {module: template@^1, config: {template: "%[1]s"}}
  pass: {module: echo@^1}
edges: [{from: greet, to: pass}]
`

// BenchmarkApply gives a host a document with a changed config, over and over:
// the time from the document to the swapped version, verified and stored durably;
// idle, and while two callers run the graph without pause. No run may fail or mix
// versions.
func BenchmarkApply(b *testing.B) {
	b.Run("idle", func(b *testing.B) { applying(b, 0) })
	b.Run("busy", func(b *testing.B) { applying(b, 2) })
}

func applying(b *testing.B, load int) {
	w, err := memory.New(memory.Config{})
	if err != nil {
		b.Fatal(err)
	}
	profile := telemetry.Defaults()
	profile.Backend = "memory"
	h, err := host.Open(b.Context(), host.Config{DataDir: b.TempDir(), Stock: [][]byte{stockModule(b)},
		Telemetry: map[string]telemetry.Config{"default": profile}, Backends: map[string]backend.Writer{"memory": w}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	version := 0
	apply := func() {
		version++
		doc := fmt.Appendf(nil, greeting, fmt.Sprintf("1.0.%d", version))
		if got, err := h.Apply(b.Context(), host.Document{Graph: doc, GraphFile: "greeting.yaml"}); err != nil || !got.Changed {
			b.Fatalf("version %d: %+v, %v", version, got, err)
		}
	}
	apply() // compiles the module
	var stop, bad atomic.Int64
	var first atomic.Pointer[error]
	var mu sync.Mutex
	var waits []time.Duration
	var callers sync.WaitGroup
	for range load {
		callers.Go(func() {
			var mine []time.Duration
			for stop.Load() == 0 {
				began := time.Now()
				res, err := h.Run(context.Background(), host.Request{Graph: "greeting", Input: payload})
				mine = append(mine, time.Since(began))
				var out struct{ Text string }
				if err == nil {
					if err = json.Unmarshal(res.Output, &out); err == nil && out.Text != res.Version {
						err = fmt.Errorf("version %s gave %q", res.Version, out.Text)
					}
				}
				if err != nil {
					bad.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, mine...)
		})
	}
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		apply()
		took = append(took, time.Since(began))
	}
	stop.Store(1)
	callers.Wait()
	if n := bad.Load(); n > 0 {
		b.Fatalf("%d of %d runs failed or mixed versions: %v", n, len(waits), *first.Load())
	}
	b.ReportMetric(float64(median(took).Nanoseconds()), "ns/apply")
	if load > 0 {
		b.ReportMetric(float64(median(waits).Nanoseconds()), "ns/request")
	}
}
