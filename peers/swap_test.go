package peers

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/rollout"
)

// target counts the runs on it, as what the host deploys does.
type target struct{ users atomic.Int64 }

func (t *target) Retain() bool {
	for {
		n := t.users.Load()
		if n == 0 {
			return false
		}
		if t.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (t *target) release() { t.users.Add(-1) }

// BenchmarkSwap replaces what serves a graph while two callers pick it for runs
// as fast as they can. Every pick must find a version.
func BenchmarkSwap(b *testing.B) {
	var r rollout.Router[*target]
	fresh := func() *target { t := &target{}; t.users.Store(1); return t }
	now := fresh()
	if !r.Swap("ten", nil, now) {
		b.Fatal("the first swap was refused")
	}
	var stop atomic.Bool
	var picks, missed atomic.Int64
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			for n := int64(0); ; n++ {
				if stop.Load() {
					picks.Add(n)
					return
				}
				if t, ok := r.Pick("ten"); ok {
					t.release()
				} else {
					missed.Add(1)
				}
			}
		})
	}
	began := time.Now()
	for b.Loop() {
		next := fresh()
		if !r.Swap("ten", now, next) {
			b.Fatal("a swap was refused")
		}
		now.release()
		now = next
	}
	stop.Store(true)
	callers.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/swap")
	b.ReportMetric(float64(picks.Load())/time.Since(began).Seconds()/1e6, "Mpicks/s")
	if n := missed.Load(); n > 0 {
		b.Fatalf("%d picks found no version", n)
	}
}
