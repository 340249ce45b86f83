package peers

import (
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
)

// loopTimeout is the deadline of a guest that would never return.
const loopTimeout = 50 * time.Millisecond

// BenchmarkLoop lets a guest loop without a host call until its deadline, alone
// and while the host collects garbage without pause. Reported are how far past
// its deadline a call returned, median and worst, how long a whole runtime.GC
// took at worst, and how long one of its stops kept the process standing at
// worst, the wait for the guest included.
func BenchmarkLoop(b *testing.B) {
	b.Run("alone", func(b *testing.B) { looping(b, false) })
	b.Run("collecting", func(b *testing.B) { looping(b, true) })
}

func looping(b *testing.B, collecting bool) {
	wasm, err := faultyModule()
	if err != nil {
		b.Fatal(err)
	}
	n := openNode(b, openNodes(b), wasm, wasmhost.NodeSpec{Type: "loop", Timeout: loopTimeout})
	var stop atomic.Bool
	var collector sync.WaitGroup
	var worst time.Duration
	if collecting {
		collector.Go(func() {
			for !stop.Load() {
				began := time.Now()
				runtime.GC()
				worst = max(worst, time.Since(began))
			}
		})
	}
	before := pauses()
	var over []time.Duration
	for b.Loop() {
		began := time.Now()
		_, err := n.RunNode(b.Context(), &run.Step{Info: &run.Info{}, Node: "n0", Input: payload, Trail: &run.Trail{}})
		over = append(over, time.Since(began)-loopTimeout)
		if !fault.Is(err, fault.Timeout) {
			b.Fatalf("a guest that loops ended with %v", err)
		}
	}
	stood := longest(before, pauses())
	stop.Store(true)
	collector.Wait()
	b.ReportMetric(ms(slices.Max(over)), "max-overshoot-ms")
	b.ReportMetric(float64(median(over).Nanoseconds()), "ns/overshoot")
	if collecting {
		b.ReportMetric(ms(worst), "max-gc-ms")
		b.ReportMetric(ms(stood), "max-stop-ms")
	}
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
