// Package telemetry records what runs do and hands it to a backend.
//
// Start with New; Begin gives the observer of one run. Recording never blocks or
// fails a run: a run writes into memory of its own, which is handed over whole
// when the run ends, waits in a bounded queue and is written in batches by one
// goroutine. What cannot be kept is counted by reason. Query reads records back.
package telemetry

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Times of the exporter.
const (
	linger        = 200 * time.Millisecond // a trace waits at most so long for others
	exportTimeout = 10 * time.Second       // of one write, and of a run that waits for it
	firstBackoff  = 100 * time.Millisecond
	lastBackoff   = 5 * time.Second
	pruneInterval = time.Hour
	closeTimeout  = 30 * time.Second // of a Close whose context has no deadline
	maxQueueBytes = 128 << 20        // of traces waiting, as estimated by Run
)

// Options are what a Recorder needs beside its settings. The zero value serves.
type Options struct {
	Environment string       // on every trace: production, staging, ...
	Logger      *slog.Logger // nil logs nothing
}

// Recorder is one telemetry profile at work: it owns its backend. Safe for
// concurrent use. A nil Recorder records nothing.
type Recorder struct {
	cfg      Config
	opts     Options
	off      bool
	w        backend.Writer
	nodes    map[string]bool // the instrumented ones; nil is all
	resource []backend.Attr
	custom   []backend.Attr
	derive   backend.Derive
	pool     sync.Pool
	book     *book
	log      *slog.Logger

	queue   chan *Run
	flushes chan flushRequest
	stop    <-chan struct{}    // closed by Close
	ending  context.CancelFunc // closes stop
	abort   context.CancelFunc // ends the attempts to write
	done    sync.WaitGroup     // exporter and pruner
	closing sync.Once
	closed  error // of Close; read after done

	intake     sync.RWMutex // held while a run is offered, so that Close misses none
	stopped    bool         // guarded by intake
	queueBytes atomic.Int64
	traces     atomic.Int64
	sampledOut atomic.Int64
	warned     atomic.Bool // the queue passed 90 % and has not yet fallen below
	dropping   atomic.Bool // likewise, when something was dropped
	counts     counts
}

type flushRequest struct {
	ctx   context.Context
	reply chan error
}

// New returns a running Recorder that writes to w and owns it: Close closes w. An
// invalid cfg is refused with all its findings. When cfg is not enabled the
// Recorder records nothing and w may be nil.
func New(cfg Config, w backend.Writer, opts Options) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Recorder{cfg: cfg, opts: opts, off: !cfg.Enabled, w: w, log: opts.Logger, book: newBook()}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.off {
		return r, nil
	}
	r.resource, r.custom = attributes(cfg.ResourceAttributes), attributes(cfg.CustomAttributes)
	if !cfg.all() {
		r.nodes = map[string]bool{}
		for _, n := range cfg.InstrumentNodes {
			r.nodes[n] = true
		}
	}
	if cfg.EnableEvents {
		r.derive |= backend.DeriveEvents
	}
	if cfg.EnableMetrics {
		r.derive |= backend.DeriveMetrics
	}
	r.pool.New = func() any {
		return &Run{rec: r, t: backend.Trace{Spans: make([]backend.Span, 0, 16)}, attrs: make([]backend.Attr, 0, 96)}
	}
	r.queue = make(chan *Run, cfg.MaxQueueSize)
	r.flushes = make(chan flushRequest)
	r.counts.reasons = map[string]int64{}
	open, ending := context.WithCancel(context.Background())
	r.stop, r.ending = open.Done(), ending
	writing, abort := context.WithCancel(context.Background())
	r.abort = abort
	r.done.Go(func() { (&exporter{Recorder: r, ctx: writing}).run() })
	if p, err := backend.AsRetention(w); err == nil {
		r.done.Go(func() { r.prune(open, p) })
	}
	return r, nil
}

// attributes returns m as attributes in the order of their keys.
func attributes(m map[string]string) []backend.Attr {
	var out []backend.Attr
	for _, k := range slices.SortedFunc(maps.Keys(m), cmp.Compare[string]) {
		out = append(out, backend.Attr{Key: k, Str: m[k]})
	}
	return out
}

// offer hands a finished run to the exporter and reports whether it was taken.
// It never waits: a run that finds the queue full is dropped and counted.
func (r *Recorder) offer(x *Run) bool {
	r.intake.RLock()
	defer r.intake.RUnlock()
	reason := ""
	size := int64(x.size)
	switch {
	case r.stopped:
		reason = "closed"
	case r.queueBytes.Load()+size > maxQueueBytes:
		reason = "queue_bytes"
	default:
		r.queueBytes.Add(size)
		select {
		case r.queue <- x:
			r.traces.Add(1)
			if len(r.queue)*10 >= cap(r.queue)*9 && !r.warned.Swap(true) {
				r.log.Warn("telemetry queue is nearly full", "waiting", len(r.queue), "max_queue_size", cap(r.queue))
			}
			return true
		default:
			r.queueBytes.Add(-size)
			reason = "queue_full"
		}
	}
	r.drop(reason, 1)
	r.recycle(x)
	return false
}

// await waits until a run's trace was written or given up, not longer than the
// export timeout.
func (r *Recorder) await(done <-chan struct{}) {
	t := time.NewTimer(exportTimeout)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

func (r *Recorder) recycle(x *Run) {
	if cap(x.t.Spans) > keepSpans || cap(x.attrs) > 16*keepSpans {
		return
	}
	x.mu.Lock() // an observer of the former run may still look at its id
	x.reset()
	x.mu.Unlock()
	r.pool.Put(x)
}

// Flush writes everything recorded before the call, statistics included, and
// returns once the backend made it durable. It tries once: an error means that
// records still wait, and are tried again by themselves.
func (r *Recorder) Flush(ctx context.Context) error {
	if r == nil || r.off {
		return nil
	}
	req := flushRequest{ctx, make(chan error, 1)}
	select {
	case r.flushes <- req:
	case <-r.stop:
		return nil // Close flushes
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-req.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more runs, writes what is waiting and closes the backend. When
// ctx ends first, after 30 s if it has no deadline, the rest is dropped and
// counted. Safe to call twice; a later call returns what the first did.
func (r *Recorder) Close(ctx context.Context) error {
	if r == nil || r.off {
		return nil
	}
	r.closing.Do(func() {
		r.intake.Lock()
		r.stopped = true
		r.intake.Unlock()
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, closeTimeout)
			defer cancel()
		}
		undo := context.AfterFunc(ctx, r.abort)
		r.ending()
		r.done.Wait()
		undo()
		r.abort()
		if ctx.Err() != nil { // the backend still has to be told
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
		}
		if err := r.w.Close(ctx); r.closed == nil {
			r.closed = err
		}
	})
	return r.closed
}

// prune keeps the backend within retention_days until Close.
func (r *Recorder) prune(ctx context.Context, p backend.Retention) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		n, err := p.Prune(ctx, time.Now().AddDate(0, 0, -r.cfg.RetentionDays))
		if err != nil && ctx.Err() == nil {
			r.log.Warn("telemetry was not pruned", "error", err)
		} else if n > 0 {
			r.log.Info("telemetry pruned", "traces", n, "retention_days", r.cfg.RetentionDays)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
