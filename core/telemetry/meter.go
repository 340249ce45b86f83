package telemetry

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// measureEvery is which observations of a run are timed. It is prime, so that all
// kinds of them are; timing one costs two readings of the clock.
const measureEvery = 61

// meter measures what telemetry costs its process. Safe for concurrent use.
type meter struct {
	recording atomic.Int64 // nanoseconds
	exporting atomic.Int64 // nanoseconds of processor time
	writes    atomic.Int64
	start     time.Duration // processor time of the process before; set once
}

func (m *meter) begin() { m.start = processTime() }

// observed counts an observation that began at t for those that are not timed.
func (m *meter) observed(t time.Time) {
	m.recording.Add(int64(min(time.Since(t), longest)) * measureEvery)
}

// longest is what one observation can take: when it seems longer the thread stood
// still meanwhile.
const longest = 100 * time.Microsecond

// workEvery is which writes are measured: to bind a goroutine to its thread costs
// switches when it waits for an answer.
const workEvery = 8

// work runs f, the first time and then every workEvery-th, on a thread of its own
// and counts the processor time of that for all.
func (m *meter) work(f func()) {
	if m.writes.Add(1)%workEvery != 1 {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime()
	f()
	m.exporting.Add(int64(threadTime()-begin) * workEvery)
}

// ratio returns the share of telemetry in the processor time of the process since
// begin.
func (m *meter) ratio() float64 {
	all := processTime() - m.start
	if all <= 0 {
		return 0
	}
	return min(float64(m.recording.Load()+m.exporting.Load())/float64(all), 1)
}

func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
