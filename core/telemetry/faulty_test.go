package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// faulty is a backend that does what a test tells it.
type faulty struct {
	mu      sync.Mutex
	fail    func(attempt int) error // nil answers stored
	gate    chan struct{}           // when set, Write waits until it is closed or the context ends
	took    time.Duration           // of a Write
	syncs   time.Duration           // of a Flush
	ids     []backend.ID            // of all attempts
	batches [][]*backend.Trace      // stored
	rows    []backend.Sketch
	times   []time.Time // of the attempts
	flushes []time.Time
	bad     []backend.Quarantined
	pruned  []time.Time
	closed  int
}

func (f *faulty) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	f.mu.Lock()
	gate, took := f.gate, f.took
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, "backend", ctx.Err(), "no answer")
		}
	}
	time.Sleep(took) // fake time
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids, f.times = append(f.ids, b.ID), append(f.times, time.Now())
	if f.fail != nil {
		if err := f.fail(len(f.ids)); err != nil {
			return nil, err
		}
	}
	var ts []*backend.Trace
	for _, t := range b.Traces {
		ts = append(ts, t.Clone())
	}
	f.batches = append(f.batches, ts)
	f.rows = append(f.rows, b.Sketches...)
	return f.bad, nil
}

func (f *faulty) Flush(ctx context.Context) error {
	f.mu.Lock()
	syncs := f.syncs
	f.mu.Unlock()
	select {
	case <-time.After(syncs): // fake time
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "backend", ctx.Err(), "no answer")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushes = append(f.flushes, time.Now())
	return nil
}

func (f *faulty) Close(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *faulty) Prune(_ context.Context, t time.Time) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pruned = append(f.pruned, t)
	return 0, nil
}

// traces returns how many are stored.
func (f *faulty) traces() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.batches {
		n += len(b)
	}
	return n
}

func down(int) error { return fault.New(fault.Unavailable, "backend", "it is down") }
