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
	longestLinger = 5 * time.Second  // a trace waits at most so long for others: see docs/RATIONALE.md
	exportTimeout = 10 * time.Second // of one write, and of a run that waits for it
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

	// SpoolDir is a folder of this Recorder's own where batches wait while the
	// backend is down or slow, up to spool_max_bytes; what a former process left
	// there is written first. It is made when missing. Empty is no spool: then
	// max_queue_size traces wait in memory.
	SpoolDir string

	// Collector returns a writer that sends batches through the graph that collects,
	// and what comes out to another writer; nil for none. It is used for the backend
	// and for the spool: what waits on the disk has been collected. While it fails,
	// batches wait in memory only.
	Collector func(to backend.Writer) backend.Writer
}

// Recorder is one telemetry profile at work: it owns its backend. Safe for
// concurrent use. A nil Recorder records nothing.
type Recorder struct {
	cfg      Config
	opts     Options
	off      bool
	w        backend.Writer
	front    backend.Writer  // w, behind the collector when there is one
	nodes    map[string]bool // the instrumented ones; nil is all
	resource []backend.Attr
	custom   []backend.Attr
	derive   backend.Derive
	headOnly bool          // no rule of sampling looks at how a run went
	linger   time.Duration // longestLinger, or export_interval when that is shorter
	pool     sync.Pool     // of *Run
	leans    sync.Pool     // of lean ones
	book     *book
	log      *slog.Logger
	meter    meter
	spool    *spool // the exporter's; nil without SpoolDir

	queue   chan *Run
	wake    chan struct{} // the queue holds the first run, or a batch
	pressed chan struct{} // the queue is half full
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

	wakeAt       int64        // of waiting
	waiting      atomic.Int64 // runs in the queue, for wake; may lag behind
	waitingSpans atomic.Int64
	called       atomic.Bool // for a full batch; no longer once the exporter looks at the queue
	traces       atomic.Int64
	sampledOut   atomic.Int64
	warned       atomic.Bool // the queue passed 90 % and has not yet fallen below
	dropping     atomic.Bool // likewise, when something was dropped
	spoolState   atomic.Int32
	counts       counts
}

type flushRequest struct {
	ctx   context.Context
	reply chan error
}

// New returns a running Recorder that writes to w and owns it: Close closes w. An
// invalid cfg is refused with all its findings, a spool folder that another
// Recorder owns or that cannot be written with a Locked or ReadOnly fault; w then
// stays the caller's. When cfg is not enabled the Recorder records nothing and w
// may be nil.
func New(cfg Config, w backend.Writer, opts Options) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Recorder{cfg: cfg, opts: opts, off: !cfg.Enabled, w: w, front: w, log: opts.Logger, book: newBook()}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.off {
		return r, nil
	}
	if opts.Collector != nil {
		r.front = opts.Collector(w)
	}
	if opts.SpoolDir != "" {
		var err error
		if r.spool, err = openSpool(opts.SpoolDir, cfg.SpoolMaxBytes); err != nil {
			return nil, err
		}
		r.counts.s.SpoolBatches, r.counts.s.SpoolBytes, r.counts.s.SpoolTraces = len(r.spool.files), r.spool.bytes, r.spool.traces
	}
	r.headOnly, r.linger = cfg.headOnly(), longestLinger
	if cfg.ExportInterval > 0 {
		r.linger = min(r.linger, time.Duration(cfg.ExportInterval))
	}
	r.wakeAt = int64(min(cfg.BufferSize, max(cfg.MaxQueueSize/2, 1)))
	r.meter.begin()
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
	r.pool.New = func() any { return &Run{rec: r} }
	r.leans.New = func() any { return &Run{rec: r, lean: true} }
	r.queue = make(chan *Run, cfg.MaxQueueSize)
	r.wake, r.pressed = make(chan struct{}, 1), make(chan struct{}, 1)
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
	size, spans := int64(x.size), int64(len(x.t.Spans))
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
			r.signal(spans)
			return true
		default:
			r.queueBytes.Add(-size)
			reason = queueReasons[r.spoolState.Load()]
		}
	}
	r.drop(reason, 1)
	r.recycle(x)
	return false
}

// signal wakes the exporter for the first run that waits, which begins the linger,
// and for the one that fills a batch or half of the queue: waking it for every run would cost more
// than recording it. It wakes an exporter that waits for the backend when the queue
// is half full, and warns when it is nearly so.
func (r *Recorder) signal(spans int64) {
	waiting := r.waiting.Add(1)
	r.waitingSpans.Add(spans)
	if waiting == 1 || !r.cfg.AsyncExport || r.batchWaits() && r.called.CompareAndSwap(false, true) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	n := len(r.queue)
	if r.spool != nil && (2*n >= cap(r.queue) || 2*r.queueBytes.Load() >= maxQueueBytes) {
		select {
		case r.pressed <- struct{}{}:
		default:
		}
	}
	if 10*n >= 9*cap(r.queue) && !r.warned.Swap(true) {
		r.log.Warn("telemetry queue is nearly full", "waiting", n, "max_queue_size", cap(r.queue))
	}
}

// batchWaits reports whether the queue holds a full batch, or is half full.
func (r *Recorder) batchWaits() bool {
	return r.waiting.Load() >= r.wakeAt || r.waitingSpans.Load() >= batchSpans || r.queueBytes.Load() >= batchBytes
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
	if x.lean {
		x.t.Spans = x.t.Spans[:0]
		r.leans.Put(x)
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
// ctx ends first, after 30 s if it has no deadline, or with a spool at the first
// failure, the rest goes to the spool for the next start; without one, or without
// room, it is dropped and counted. Of the time up to the deadline a quarter, at
// most 1 s, is kept for the spool. Safe to call twice; a later call returns what
// the first did.
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
		writing := ctx
		if deadline, _ := ctx.Deadline(); r.spool != nil {
			var cancel context.CancelFunc
			writing, cancel = context.WithDeadline(ctx, deadline.Add(-min(time.Second, time.Until(deadline)/4)))
			defer cancel()
		}
		undo := context.AfterFunc(writing, r.abort)
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
