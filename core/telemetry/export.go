package telemetry

import (
	"context"
	"slices"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Bounds of a batch beside buffer_size.
const (
	batchSpans = 4096
	batchBytes = 4 << 20 // of memory as estimated by Run: about 1 MiB encoded
)

// exporter is the goroutine that writes. A batch is open while it gathers traces
// and sealed from the first attempt to write it: its id and content stay the
// same until the backend took it or refused it for good, so that an attempt
// whose answer was lost does no harm when repeated. While a sealed batch waits
// for its next attempt the queue fills up, and drops.
type exporter struct {
	*Recorder
	ctx context.Context // ends when Close gives up

	batch  backend.Batch
	runs   []*Run // of the batch
	spans  int
	bytes  int
	sealed bool

	backoff time.Duration
	due     time.Time // of the next write; zero when there is nothing to write
	durable time.Time // of the next commit; zero when export_interval is 0
	dirty   bool      // something was written since the last commit
}

func (x *exporter) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	interval := time.Duration(x.cfg.ExportInterval)
	if interval > 0 {
		x.durable = time.Now().Add(interval)
	}
	for {
		timer.Reset(x.wait())
		queue := x.queue
		if x.sealed {
			queue = nil // first the batch that is waiting
		}
		select {
		case r := <-queue:
			x.add(r)
			if r.done != nil && len(x.queue) == 0 {
				x.due = time.Now() // somebody waits for it
			}
			if x.full() {
				x.write()
			}
		case <-timer.C:
		case req := <-x.flushes:
			req.reply <- x.flush(req.ctx)
			continue
		case <-x.stop:
			x.finish()
			return
		}
		now := time.Now()
		if !x.due.IsZero() && !now.Before(x.due) {
			x.write()
		}
		if !x.durable.IsZero() && !now.Before(x.durable) {
			x.durable = now.Add(interval)
			if !x.sealed {
				if err := x.commit(x.ctx, false); err != nil {
					x.log.Warn("telemetry is not durable", "error", err)
				}
			}
		}
	}
}

// wait returns how long nothing is due.
func (x *exporter) wait() time.Duration {
	next := time.Hour
	for _, t := range [...]time.Time{x.due, x.durable} {
		if !t.IsZero() {
			next = min(next, max(time.Until(t), 0))
		}
	}
	return next
}

func (x *exporter) add(r *Run) {
	x.queueBytes.Add(-int64(r.size))
	if len(x.queue)*10 < cap(x.queue)*8 {
		x.warned.Store(false)
		x.dropping.Store(false)
	}
	if len(x.runs) == 0 {
		x.due = time.Now().Add(linger)
	}
	x.spans += len(r.t.Spans)
	x.bytes += r.size
	if !x.cfg.EnableTraces {
		r.t.Events, r.t.Metrics = r.t.AllEvents(), r.t.AllMetrics()
		r.t.Spans, r.t.Derive = r.t.Spans[:0], 0
	}
	x.runs = append(x.runs, r)
	x.batch.Traces = append(x.batch.Traces, &r.t)
}

func (x *exporter) full() bool {
	return len(x.runs) >= x.cfg.BufferSize || x.spans >= batchSpans || x.bytes >= batchBytes
}

// write tries to write the batch once. On failure it stays sealed and is due
// again after a pause that doubles, from 100 ms to 5 s.
func (x *exporter) write() error { return x.writeWithin(x.ctx) }

func (x *exporter) writeWithin(ctx context.Context) error {
	if len(x.batch.Traces)+len(x.batch.Sketches) == 0 {
		x.due = time.Time{}
		return nil
	}
	if !x.sealed {
		x.sealed, x.batch.ID = true, backend.ID(run.NewID())
	}
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	begin := time.Now()
	bad, err := x.w.Write(ctx, &x.batch)
	switch {
	case err == nil:
		x.written(time.Since(begin), bad)
		return nil
	case lasting(err):
		x.failed(err)
		x.drop("refused", len(x.runs))
		x.log.Error("telemetry batch refused by the backend", "traces", len(x.runs), "error", err)
		x.release()
		return err
	}
	x.failed(err)
	if x.backoff == 0 {
		x.log.Warn("telemetry backend does not take batches", "error", err)
	}
	x.backoff = min(max(2*x.backoff, firstBackoff), lastBackoff)
	x.due = time.Now().Add(x.backoff)
	return err
}

// lasting reports whether repeating the batch is useless: it is the batch that
// is wrong, not the backend's state.
func lasting(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Rejected, fault.Limit:
		return true
	}
	return false
}

// release frees the batch, written or not.
func (x *exporter) release() {
	for _, r := range x.runs {
		if r.done != nil {
			close(r.done)
		}
		x.recycle(r)
	}
	clear(x.runs)
	clear(x.batch.Traces)
	x.runs, x.batch.Traces, x.batch.Sketches = x.runs[:0], x.batch.Traces[:0], nil
	x.spans, x.bytes, x.sealed, x.backoff, x.due = 0, 0, false, 0, time.Time{}
}

// drain writes the batch and all that was waiting in the queue when it began.
func (x *exporter) drain(ctx context.Context) error {
	if x.sealed {
		if err := x.writeWithin(ctx); x.sealed {
			return err
		}
	}
	for range len(x.queue) {
		x.add(<-x.queue)
		if x.full() {
			if err := x.writeWithin(ctx); x.sealed {
				return err
			}
		}
	}
	return x.writeWithin(ctx)
}

// commit writes the open batch with the statistics that changed, then has the
// backend make everything durable; when nothing is new only if always is set.
func (x *exporter) commit(ctx context.Context, always bool) error {
	x.batch.Sketches = append(x.batch.Sketches, x.book.export(time.Now())...)
	if err := x.writeWithin(ctx); err != nil {
		return err
	}
	if !x.dirty && !always {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	if err := x.w.Flush(ctx); err != nil {
		x.failed(err)
		return err
	}
	x.dirty = false
	return nil
}

func (x *exporter) flush(ctx context.Context) error {
	if err := x.drain(ctx); err != nil {
		return err
	}
	return x.commit(ctx, true)
}

// finish writes what is left until Close gives up, repeating after the usual
// pauses.
func (x *exporter) finish() {
	err := x.flush(x.ctx)
	for err != nil && x.ctx.Err() == nil && x.sealed {
		t := time.NewTimer(time.Until(x.due))
		select {
		case <-t.C:
			err = x.flush(x.ctx)
		case <-x.ctx.Done():
		}
		t.Stop()
	}
	left := slices.Clone(x.runs)
	for len(x.queue) > 0 {
		left = append(left, <-x.queue)
	}
	if len(left) > 0 {
		x.drop("closed", len(left))
		for _, r := range left {
			if r.done != nil {
				close(r.done)
			}
		}
	}
	x.closed = err
}
