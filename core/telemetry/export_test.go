package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// inBubble runs test on fake time with a recorder over f, and closes it.
func inBubble(t *testing.T, cfg Config, f *faulty, test func(t *testing.T, r *Recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := New(cfg, f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		test(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.Close(ctx)
	})
}

// Traces wait for others for five seconds, or less when the interval says so.
func TestBatchesGoOutAfterTheLinger(t *testing.T) {
	for interval, linger := range map[time.Duration]time.Duration{10 * time.Second: longestLinger, 300 * time.Millisecond: 300 * time.Millisecond, 0: longestLinger} {
		cfg := Defaults()
		cfg.ExportInterval = Duration(interval)
		f := &faulty{}
		inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
			for n := range 5 {
				drive(r, info(n), []int{1}, nil)
			}
			time.Sleep(linger - 1)
			synctest.Wait()
			if f.traces() != 0 {
				t.Errorf("interval %v: written before %v", interval, linger)
			}
			time.Sleep(2 * time.Nanosecond)
			synctest.Wait()
			if len(f.batches) != 1 || f.traces() != 5 {
				t.Errorf("interval %v: %d batches with %d traces, want one with 5", interval, len(f.batches), f.traces())
			}
		})
	}
}

// A Flush writes the traces and the statistics in one batch.
func TestFlushWritesOnce(t *testing.T) {
	f := &faulty{}
	inBubble(t, Defaults(), f, func(t *testing.T, r *Recorder) {
		for n := range 5 {
			drive(r, info(n), []int{1}, nil)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(f.batches) != 1 || f.traces() != 5 || len(f.rows) != 2 || len(f.flushes) != 1 {
			t.Errorf("%d batches with %d traces and %d rows, %d flushes; want one with 5 and 2, and one", len(f.batches), f.traces(), len(f.rows), len(f.flushes))
		}
	})
}

func TestBatchesAreBounded(t *testing.T) {
	cfg := Defaults()
	cfg.BufferSize = 7
	f := &faulty{}
	inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
		for n := range 20 {
			drive(r, info(n), []int{1}, nil)
		}
		synctest.Wait()
		if len(f.batches) != 2 || len(f.batches[0]) != 7 {
			t.Errorf("%d batches before the linger, want two of 7", len(f.batches))
		}
	})
	f = &faulty{}
	inBubble(t, Defaults(), f, func(t *testing.T, r *Recorder) {
		for n := range 5 {
			drive(r, info(n), make([]int, 1500), nil)
		}
		synctest.Wait()
		if len(f.batches) != 1 || len(f.batches[0]) != 3 {
			t.Errorf("%d batches, want one of the 3 traces that make 4096 spans", len(f.batches))
		}
	})
}

// What is left of a wake-up counts for the next batch.
func TestFullBatchesDoNotWait(t *testing.T) {
	cfg := Defaults()
	cfg.BufferSize = 7
	f := &faulty{}
	inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
		for n, many := range []int{10, 4, 7} {
			for i := range many {
				drive(r, info(100*n+i), []int{1}, nil)
			}
			synctest.Wait()
			if len(f.batches) != n+1 {
				t.Errorf("%d batches after %d wake-ups before the linger", len(f.batches), n+1)
			}
		}
	})
}

// However offers and the exporter meet, what is left waiting is less than a batch.
func TestNoFullBatchIsForgotten(t *testing.T) {
	cfg := Defaults()
	cfg.BufferSize = 7
	for round := range 50 {
		inBubble(t, cfg, &faulty{}, func(t *testing.T, r *Recorder) {
			for w := range 4 {
				go func() {
					for n := range 50 {
						drive(r, info(100*w+n), []int{1}, nil)
					}
				}()
			}
			synctest.Wait()
			if s := r.Stats(); s.Waiting >= 7 || s.Traces != 200 || s.Dropped != 0 {
				t.Errorf("round %d: %d of %d wait, %d were dropped", round, s.Waiting, s.Traces, s.Dropped)
			}
		})
	}
}

func TestDurableAtTheExportInterval(t *testing.T) {
	cfg := Defaults()
	cfg.ExportInterval = Duration(3 * time.Second)
	f := &faulty{}
	inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
		begin := time.Now()
		drive(r, info(0), []int{1}, nil)
		time.Sleep(10 * time.Second)
		drive(r, info(1), []int{1}, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(f.flushes) != 2 || f.flushes[0].Sub(begin) != 3*time.Second || f.flushes[1].Sub(begin) != 12*time.Second || len(f.rows) != 4 {
			t.Errorf("flushes %v after %v, %d sketch rows; want the third and the twelfth second, with 2 rows each", f.flushes, begin, len(f.rows))
		}
	})
	cfg.ExportInterval = 0
	f = &faulty{}
	inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
		drive(r, info(0), []int{1}, nil)
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if f.traces() != 1 || len(f.flushes) != 0 {
			t.Errorf("%d traces and %d flushes, want 1 and none: 0 leaves it to Flush", f.traces(), len(f.flushes))
		}
	})
}

// While the backend is down the same batch is repeated with growing pauses, and
// everything arrives when it is back.
func TestRepeatsUntilTheBackendIsBack(t *testing.T) {
	f := &faulty{fail: func(n int) error {
		if n < 9 {
			return down(n)
		}
		return nil
	}}
	inBubble(t, Defaults(), f, func(t *testing.T, r *Recorder) {
		for n := range 5 {
			drive(r, info(n), []int{1}, nil)
		}
		time.Sleep(longestLinger + time.Millisecond)
		for n := range 5 {
			drive(r, info(5+n), []int{1}, nil)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.traces() != 10 || len(f.batches) != 2+0 && len(f.batches) != 3 {
			t.Errorf("%d traces in %d batches, want all 10", f.traces(), len(f.batches))
		}
		for _, id := range f.ids[:9] {
			if id != f.ids[0] {
				t.Error("the batch changed its id between attempts")
			}
		}
		var pauses []time.Duration
		for i := 1; i < 9; i++ {
			pauses = append(pauses, f.times[i].Sub(f.times[i-1]))
		}
		ms := time.Millisecond
		if want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms}; !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
		if s := r.Stats(); s.Dropped != 0 || s.ExportErrors != 8 || s.LastError == "" {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	cfg := Defaults()
	cfg.MaxQueueSize, cfg.BufferSize = 10, 1
	f := &faulty{}
	synctest.Test(t, func(t *testing.T) {
		f.gate = make(chan struct{})
		var log strings.Builder
		r, err := New(cfg, f, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		drive(r, info(0), []int{1}, nil)
		synctest.Wait() // the exporter holds one in its hands
		for n := range 25 {
			drive(r, info(1+n), []int{1}, nil)
		}
		if s := r.Stats(); s.Waiting != 10 || s.Dropped != 15 || s.DroppedByReason["queue_full"] != 15 || s.WaitingBytes <= 0 {
			t.Errorf("stats %+v, want 10 waiting and 15 dropped", s)
		}
		if n, m := strings.Count(log.String(), "nearly full"), strings.Count(log.String(), "being dropped"); n != 1 || m != 1 {
			t.Errorf("one warning a crossing is wanted:\n%s", log.String())
		}
		close(f.gate)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if f.traces() != 11 || f.closed != 1 {
			t.Errorf("%d traces written, closed %d times", f.traces(), f.closed)
		}
		if s := r.Stats(); s.WaitingBytes != 0 || s.Waiting != 0 {
			t.Errorf("stats after close %+v", s)
		}
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	cfg := Defaults()
	cfg.CaptureInputs = true
	cfg.BufferSize = 1
	f := &faulty{}
	synctest.Test(t, func(t *testing.T) {
		f.gate = make(chan struct{})
		r, err := New(cfg, f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		long := []byte(`"` + string(make([]byte, maxText)) + `"`)
		for n := range 200 {
			drive(r, info(n), make([]int, 300), captureInput(long))
		}
		s := r.Stats()
		if s.DroppedByReason["queue_bytes"] == 0 || s.WaitingBytes > maxQueueBytes || s.WaitingBytes < maxQueueBytes*9/10 {
			t.Errorf("%d bytes waiting, dropped %v; want at most %d", s.WaitingBytes, s.DroppedByReason, maxQueueBytes)
		}
		if s.Traces+s.Dropped != 200 {
			t.Errorf("%d taken, %d dropped, want 200 in all", s.Traces, s.Dropped)
		}
		close(f.gate)
		r.Close(t.Context())
	})
}

func TestFlushReportsAndGoesOn(t *testing.T) {
	f := &faulty{fail: down}
	inBubble(t, Defaults(), f, func(t *testing.T, r *Recorder) {
		drive(r, info(0), []int{1}, nil)
		if err := r.Flush(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("flush: %v, want the error of the backend", err)
		}
		f.mu.Lock()
		f.fail = nil
		f.mu.Unlock()
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if f.traces() != 1 || len(f.flushes) != 1 || len(f.rows) != 2 {
			t.Errorf("%d traces, %d flushes, %d rows", f.traces(), len(f.flushes), len(f.rows))
		}
	})
}

// A batch that the backend refuses for what is in it is not repeated, and does
// not stand in the way of the next.
func TestRefusedBatchIsDropped(t *testing.T) {
	f := &faulty{fail: func(n int) error {
		if n == 1 {
			return fault.New(fault.Invalid, "batch", "no")
		}
		return nil
	}}
	inBubble(t, Defaults(), f, func(t *testing.T, r *Recorder) {
		drive(r, info(0), []int{1}, nil)
		time.Sleep(longestLinger + time.Millisecond)
		drive(r, info(1), []int{1}, nil)
		time.Sleep(longestLinger + time.Millisecond)
		synctest.Wait()
		if s := r.Stats(); f.traces() != 1 || s.DroppedByReason["refused"] != 1 {
			t.Errorf("%d traces, stats %+v", f.traces(), s)
		}
	})
}

func TestQuarantinedIsCounted(t *testing.T) {
	f := &faulty{bad: []backend.Quarantined{{Index: 0, Record: "trace 1", Reason: "poison"}}}
	inBubble(t, Defaults(), f, func(t *testing.T, r *Recorder) {
		drive(r, info(0), []int{1}, nil)
		drive(r, info(1), []int{1}, nil)
		time.Sleep(longestLinger + time.Millisecond)
		synctest.Wait()
		if s := r.Stats(); s.DroppedByReason["quarantined"] != 1 || s.ExportedTraces != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestCloseGivesUpAtItsDeadline(t *testing.T) {
	f := &faulty{fail: down}
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Defaults(), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 8 {
			drive(r, info(n), []int{1}, nil)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := r.Close(ctx); !fault.Is(err, fault.Unavailable) {
			t.Errorf("close: %v, want why the rest was lost", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("close took %v", took)
		}
		if s := r.Stats(); s.DroppedByReason["closed"] != 8 || f.closed != 1 {
			t.Errorf("stats %+v, closed %d times", s, f.closed)
		}
		if err := r.Close(t.Context()); !fault.Is(err, fault.Unavailable) || f.closed != 1 {
			t.Errorf("second close: %v", err)
		}
		drive(r, info(9), []int{1}, nil)
		if s := r.Stats(); s.DroppedByReason["closed"] != 9 {
			t.Errorf("a run after close is not counted: %+v", s)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Errorf("flush after close: %v", err)
		}
	})
}

func TestCloseEndsWithoutADeadlineToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Defaults(), &faulty{fail: down}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		drive(r, info(0), []int{1}, nil)
		begin := time.Now()
		if err := r.Close(context.Background()); err == nil || time.Since(begin) != closeTimeout {
			t.Errorf("close: %v after %v", err, time.Since(begin))
		}
	})
}

// A write that gets no answer ends at the export timeout and is repeated.
func TestHangingBackend(t *testing.T) {
	f := &faulty{}
	synctest.Test(t, func(t *testing.T) {
		f.gate = make(chan struct{})
		r, err := New(Defaults(), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		drive(r, info(0), []int{1}, nil)
		time.Sleep(exportTimeout + longestLinger + time.Millisecond)
		synctest.Wait()
		if s := r.Stats(); s.ExportErrors != 1 {
			t.Errorf("stats %+v", s)
		}
		close(f.gate)
		time.Sleep(longestLinger + time.Millisecond)
		synctest.Wait()
		if f.traces() != 1 {
			t.Errorf("%d traces", f.traces())
		}
		r.Close(t.Context())
	})
}

func TestSyncExportWaitsForTheAnswer(t *testing.T) {
	cfg := Defaults()
	cfg.AsyncExport = false
	f := &faulty{took: 30 * time.Millisecond}
	inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
		begin := time.Now()
		drive(r, info(0), []int{1}, nil)
		if took := time.Since(begin); took != 30*time.Millisecond || f.traces() != 1 {
			t.Errorf("the run waited %v for %d traces", took, f.traces())
		}
		f.mu.Lock()
		f.fail = down
		f.mu.Unlock()
		begin = time.Now()
		drive(r, info(1), []int{1}, nil)
		if took := time.Since(begin); took != exportTimeout {
			t.Errorf("the run waited %v for a backend that is down, want %v", took, exportTimeout)
		}
		f.mu.Lock()
		f.fail = nil
		f.mu.Unlock()
	})
	if f.traces() != 2 {
		t.Errorf("%d traces in the end", f.traces())
	}
}

func TestPrunesEveryHour(t *testing.T) {
	cfg := Defaults()
	cfg.RetentionDays = 7
	f := &faulty{}
	inBubble(t, cfg, f, func(t *testing.T, r *Recorder) {
		begin := time.Now()
		time.Sleep(2*time.Hour + time.Minute)
		synctest.Wait()
		if len(f.pruned) != 3 || !f.pruned[0].Equal(begin.AddDate(0, 0, -7)) {
			t.Errorf("pruned %v", f.pruned)
		}
	})
}
