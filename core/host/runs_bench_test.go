package host

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
)

// echoing is a host with a Go function that hands on what it gets.
func echoing(b *testing.B) *Host {
	return open(b, b.TempDir(), Config{Natives: map[string]engine.NodeRunner{"echo": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		return s.Input, nil
	})}})
}

// chain is a graph of n native steps.
func chain(name, head string, n int) Document {
	text := fmt.Sprintf("graph: %s\n%sstart: n0\nnodes:\n", name, head)
	edges := "edges:\n"
	for i := range n {
		text += fmt.Sprintf("  n%d: {native: echo}\n", i)
		if i > 0 {
			edges += fmt.Sprintf("  - {from: n%d, to: n%d}\n", i-1, i)
		}
	}
	if n > 1 {
		text += edges
	}
	return Document{GraphFile: name + ".yaml", Graph: []byte(text)}
}

// BenchmarkRun is a run of one native step without checkpoints, with telemetry to
// memory: what the host adds to every run.
func BenchmarkRun(b *testing.B) {
	h := echoing(b)
	apply(b, h, chain("one", "", 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Run(b.Context(), Request{Graph: "one"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckpoints runs graphs of 50 steps of 1 KB with a checkpoint after each,
// some at once; starting and ending the runs is part of it.
func BenchmarkCheckpoints(b *testing.B) {
	const steps = 50
	input, err := json.Marshal(map[string]string{"text": fmt.Sprintf("%01000d", 7)})
	if err != nil {
		b.Fatal(err)
	}
	for _, at := range []int{1, 16} {
		b.Run(fmt.Sprintf("runs=%d", at), func(b *testing.B) {
			h := echoing(b)
			apply(b, h, chain("long", "durable: true\n", steps))
			b.ResetTimer()
			runs := make(chan struct{}, b.N)
			for range max(1, b.N/steps) {
				runs <- struct{}{}
			}
			close(runs)
			total := len(runs) * steps
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() {
					for range runs {
						if _, err := h.Run(b.Context(), Request{Graph: "long", Input: input}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}
