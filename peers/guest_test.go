package peers

import (
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
)

// loopTimeout is the deadline of a guest that would never return.
const loopTimeout = 50 * time.Millisecond

// BenchmarkLoop lets a guest loop without a host call until its deadline while
// the host collects garbage without pause. Reported are the worst of all calls
// and collections: how far past its deadline a call returned, how long a whole
// runtime.GC took, and how long the process stood still for it, waiting for the
// guest included.
func BenchmarkLoop(b *testing.B) {
	wasm, err := faultyModule()
	if err != nil {
		b.Fatal(err)
	}
	n := openNode(b, openNodes(b), wasm, wasmhost.NodeSpec{Type: "loop", Timeout: loopTimeout})
	stop, ended := make(chan struct{}), make(chan time.Duration)
	go func() {
		var worst time.Duration
		for {
			select {
			case <-stop:
				ended <- worst
				return
			default:
			}
			began := time.Now()
			runtime.GC()
			worst = max(worst, time.Since(began))
		}
	}()
	before := pauses()
	var over time.Duration
	for b.Loop() {
		began := time.Now()
		_, err := n.RunNode(b.Context(), &run.Step{Info: &run.Info{}, Node: "n0", Input: payload, Trail: &run.Trail{}})
		over = max(over, time.Since(began)-loopTimeout)
		if !fault.Is(err, fault.Timeout) {
			b.Fatalf("a guest that loops ended with %v", err)
		}
	}
	stood := longest(before, pauses())
	close(stop)
	b.ReportMetric(ms(<-ended), "max-gc-ms")
	b.ReportMetric(ms(stood), "max-stop-ms")
	b.ReportMetric(ms(over), "max-overshoot-ms")
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pauses returns the histogram of how long collections stopped the world, from
// the wish to stop to the start.
func pauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// longest returns the upper bound of the highest bucket that grew.
func longest(before, after *metrics.Float64Histogram) time.Duration {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] == before.Counts[i] {
			continue
		}
		bound := after.Buckets[i+1]
		if math.IsInf(bound, 1) {
			bound = after.Buckets[i]
		}
		return time.Duration(bound * float64(time.Second))
	}
	return 0
}
