package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
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

// BenchmarkInFlight keeps 10,000 runs with checkpoints in flight, of which 9,500
// wait for a person and 500 execute, beside stock nodes, and reports what the
// process takes of memory (Linux), its peak and that of compiling the modules
// before, and what a start and an answer cost.
// One iteration is enough: -benchtime 1x.
func BenchmarkInFlight(b *testing.B) {
	const runs, busy, callers = 10_000, 500, 64
	hold := make(chan struct{})
	reached := make(chan struct{}, busy)
	h := open(b, b.TempDir(), Config{Natives: map[string]engine.NodeRunner{"hold": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		reached <- struct{}{}
		<-hold
		return s.Input, nil
	})}})
	apply(b, h, Document{GraphFile: "ask.yaml", Graph: []byte(`
graph: ask
start: draft
nodes:
  draft: {module: template@^1, config: {template: "Dear {{name}}, you won."}}
  ok: {wait: {prompt: "Send it?", choices: ["yes", "no"], timeout: 24h}}
  send: {module: template@^1, config: {template: "sent {{text}}"}, input: "=nodes.draft.output"}
edges: [{from: draft, to: ok}, {from: ok, to: send}]
`)})
	apply(b, h, Document{GraphFile: "hold.yaml", Graph: []byte("graph: hold\ndurable: true\nstart: a\nnodes: {a: {native: hold}}\n")})
	each := func(n int, f func(i int) error) time.Duration {
		start := time.Now()
		var g errgroup.Group
		g.SetLimit(callers)
		for i := range n {
			g.Go(func() error { return f(i) })
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	compiled := status(b, "VmHWM") // stock modules, on an empty cache
	for b.Loop() {
		ids := make([]string, runs-busy)
		var held sync.WaitGroup
		for range busy {
			held.Go(func() {
				if _, err := h.Run(b.Context(), Request{Graph: "hold"}); err != nil {
					b.Error(err)
				}
			})
		}
		for range busy {
			<-reached
		}
		started := each(len(ids), func(i int) error {
			res, err := h.Run(b.Context(), Request{Graph: "ask", Input: fmt.Appendf(nil, `{"name": "number %d"}`, i)})
			if err == nil {
				ids[i] = res.RunID
			}
			return err
		})
		list, err := h.Runs(b.Context(), store.RunFilter{Limit: runs})
		if err != nil || len(list) != runs {
			b.Fatal(len(list), err)
		}
		list = nil
		runtime.GC()
		b.ReportMetric(status(b, "VmRSS"), "MB")
		b.ReportMetric(status(b, "VmHWM"), "MB-peak")
		b.ReportMetric(compiled, "MB-peak-compiling")
		b.ReportMetric(float64(started.Microseconds())/float64(len(ids)), "us/start")
		answered := each(len(ids), func(i int) error {
			_, err := h.Answer(b.Context(), ids[i], "ok", json.RawMessage(`"yes"`))
			return err
		})
		b.ReportMetric(float64(answered.Microseconds())/float64(len(ids)), "us/answer")
		close(hold)
		held.Wait()
		hold = make(chan struct{})
	}
}

// status returns a size that Linux tells of this process, in MB of 10^6 bytes.
func status(b *testing.B, key string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), key+":")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		b.Fatal(key, err)
	}
	return kib * 1024 / 1e6
}
