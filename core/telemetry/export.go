package telemetry

import (
	"context"
	"errors"
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

// exporter is the goroutine that writes. A parcel is open while it gathers traces
// and sealed from the first attempt to write it: its id and content stay the
// same until the backend took it or refused it for good, so that an attempt
// whose answer was lost does no harm when repeated. A sealed parcel that the
// backend did not take goes to the spool; without one, or when the spool has no
// room, it is repeated from memory while the queue fills up, and drops.
//
//	queue -> open -> backend
//	           \         ^
//	            spool ---+    oldest first, and before anything newer
type exporter struct {
	*Recorder
	ctx context.Context // ends when Close gives up

	open    parcel
	sealed  bool // open may have been written
	direct  bool // open is being written right now
	spooled bool // and lies in the spool too: its oldest file
	over    parcel

	backoff time.Duration
	due     time.Time // of the next write of open; zero when there is nothing to write
	retry   time.Time // of the next write from the spool; zero when it is empty
	durable time.Time // of the next commit; zero when export_interval is 0
	again   time.Time // not before then is anything put into a spool that refused
	dirty   bool      // something was written since the last commit

	spoolWarned bool // the spool passed 90 % and has not yet fallen below
}

// parcel is a batch with the runs that it is made of.
type parcel struct {
	batch backend.Batch
	runs  []*Run
	spans int
	bytes int

	kept    int // files of the spool that it was put into
	left    int // runs that the collector left out then
	refused int // and such that it could not take
}

func (p *parcel) empty() bool { return len(p.batch.Traces)+len(p.batch.Sketches) == 0 }

// seal gives p the id it keeps.
func (p *parcel) seal() {
	if p.batch.ID == (backend.ID{}) {
		p.batch.ID = backend.ID(run.NewID())
	}
}

func (x *exporter) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	interval := time.Duration(x.cfg.ExportInterval)
	if interval > 0 {
		x.durable = time.Now().Add(interval)
	}
	if x.spool != nil && len(x.spool.files) > 0 {
		x.retry = time.Now()
	}
	for {
		if x.due.IsZero() && len(x.queue) > 0 { // they came while open was written
			x.due = time.Now().Add(x.linger)
		}
		timer.Reset(x.wait())
		select {
		case <-x.wake:
			switch {
			case x.sealed: // first the parcel that is waiting
			case !x.cfg.AsyncExport:
				x.due = time.Now() // somebody waits for it
			default:
				if x.due.IsZero() {
					x.due = time.Now().Add(x.linger)
				}
				x.gather(false)
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
		if !x.durable.IsZero() && !now.Before(x.durable) {
			x.durable = now.Add(interval)
			if !x.sealed {
				if err := x.commit(x.ctx); err != nil {
					x.log.Warn("telemetry is not durable", "error", err)
				}
			}
		}
		if !x.due.IsZero() && !now.Before(x.due) {
			x.gather(true)
		}
		if !x.retry.IsZero() && !now.Before(x.retry) {
			x.forward(x.ctx)
		}
	}
}

// gather writes what waits in full batches, and with all also the rest, as long as
// the backend or the spool takes it.
func (x *exporter) gather(all bool) {
	x.called.Store(false)
	if x.sealed && x.write(x.ctx) != nil && x.sealed {
		return
	}
	for {
		if !all && !x.batchWaits() { // in the queue the rest still counts for the next
			return
		}
		whole := x.fill()
		if !whole && !all {
			if x.due.IsZero() && !x.open.empty() {
				x.due = time.Now().Add(x.linger)
			}
			return
		}
		if x.write(x.ctx); x.sealed || !whole {
			return
		}
	}
}

// fill moves what waits into the open parcel and reports whether that is full.
func (x *exporter) fill() bool {
	x.called.Store(false)
	for !x.full(&x.open) {
		select {
		case r := <-x.queue:
			x.take(&x.open, r)
		default:
			return false
		}
	}
	return true
}

// wait returns how long nothing is due.
func (x *exporter) wait() time.Duration {
	next := time.Hour
	for _, t := range [...]time.Time{x.due, x.retry, x.durable} {
		if !t.IsZero() {
			next = min(next, max(time.Until(t), 0))
		}
	}
	return next
}

// take puts a run from the queue into p.
func (x *exporter) take(p *parcel, r *Run) {
	x.waiting.Add(-1)
	x.waitingSpans.Add(-int64(len(r.t.Spans)))
	x.queueBytes.Add(-int64(r.size))
	if len(x.queue)*10 < cap(x.queue)*8 {
		x.warned.Store(false)
		x.dropping.Store(false)
	}
	p.spans += len(r.t.Spans)
	p.bytes += r.size
	if !x.cfg.EnableTraces {
		r.t.Events, r.t.Metrics = r.t.AllEvents(), r.t.AllMetrics()
		r.t.Spans, r.t.Derive = r.t.Spans[:0], 0
	}
	p.runs = append(p.runs, r)
	p.batch.Traces = append(p.batch.Traces, &r.t)
}

func (x *exporter) full(p *parcel) bool {
	return len(p.runs) >= x.cfg.BufferSize || p.spans >= batchSpans || p.bytes >= batchBytes
}

// write hands the open parcel on: to the backend, tried once, or to the spool when
// older ones wait there. It returns nil when the parcel is safe with either, or
// refused for good. Otherwise the parcel stays sealed and is due again after a
// pause that doubles, from 100 ms to 5 s.
func (x *exporter) write(ctx context.Context) error {
	x.due = time.Time{}
	if x.open.empty() {
		return nil
	}
	x.open.seal()
	x.sealed = true
	if x.spool != nil && len(x.spool.files) > 0 {
		err := x.toSpool(ctx, &x.open)
		if err != nil {
			x.due = x.again
			return err
		}
		x.release()
		return nil
	}
	begin := time.Now()
	x.direct = true
	bad, err := x.attempt(ctx, func(ctx context.Context) ([]backend.Quarantined, error) { return x.front.Write(ctx, &x.open.batch) })
	x.direct = false
	took, spooled := time.Since(begin), x.spooled
	if x.spooled = false; spooled { // meanwhile: then what came after it lies there too
		if err == nil || lasting(err) {
			x.uncount(&x.open)
		}
		x.settle(err, len(x.open.runs), func() (err error) {
			for range x.open.kept {
				err = errors.Join(err, x.spool.done())
			}
			return err
		})
	}
	if err == nil {
		x.written(took, bad)
	}
	if spooled {
		x.release()
		return nil
	}
	switch {
	case err == nil:
		x.release()
		return nil
	case lasting(err):
		x.refused(err, len(x.open.runs))
		x.release()
		return err
	}
	x.pause(err)
	if x.spool != nil && x.toSpool(ctx, &x.open) == nil {
		x.release()
		x.retry = time.Now().Add(x.backoff)
		return nil
	}
	x.due = time.Now().Add(x.backoff)
	return err
}

// pause makes the next attempt wait.
func (x *exporter) pause(err error) {
	x.failed(err)
	if x.backoff == 0 {
		x.log.Warn("telemetry backend does not take batches", "error", err)
	}
	x.backoff = min(max(2*x.backoff, firstBackoff), lastBackoff)
}

// refused counts traces that the backend will never take.
func (x *exporter) refused(err error, traces int) {
	x.backoff = 0
	x.failed(err)
	x.drop("refused", traces)
	x.log.Error("telemetry batch refused by the backend", "traces", traces, "error", err)
}

// attempt runs a write, or what makes writes durable, within the export timeout.
// With a spool it does not stand in the way of what comes meanwhile.
func (x *exporter) attempt(ctx context.Context, write func(context.Context) ([]backend.Quarantined, error)) (bad []backend.Quarantined, err error) {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	if x.spool == nil {
		x.meter.work(func() { bad, err = write(ctx) })
		return bad, err
	}
	done := make(chan struct{})
	go func() {
		x.meter.work(func() { bad, err = write(ctx) })
		close(done)
	}()
	slow := time.NewTimer(slowWrite)
	defer slow.Stop()
	for {
		select {
		case <-done:
			return bad, err
		case <-x.pressed:
		case <-slow.C:
			slow.Reset(slowLook)
		}
		x.overflow()
	}
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

// clear frees the runs of p and makes it ready for others.
func (x *exporter) clear(p *parcel) {
	for _, r := range p.runs {
		if r.done != nil {
			close(r.done)
		}
		x.recycle(r)
	}
	clear(p.runs)
	clear(p.batch.Traces)
	*p = parcel{runs: p.runs[:0], batch: backend.Batch{Traces: p.batch.Traces[:0]}}
}

// release frees the open parcel, written or not.
func (x *exporter) release() {
	x.clear(&x.open)
	x.sealed, x.due = false, time.Time{}
	if !x.over.empty() { // the spool had no room for what came during the write
		x.open, x.over = x.over, x.open
		x.sealed, x.due = true, time.Now()
	}
}

// drain writes the spool and all that was waiting in the queue when it began, but
// for what is left in the open parcel, which is not full.
func (x *exporter) drain(ctx context.Context) error {
	if err := x.empty(ctx); err != nil {
		x.gather(true) // to the disk at least
		return err
	}
	if x.sealed {
		if err := x.write(ctx); x.sealed {
			return err
		}
	}
	x.called.Store(false)
	for range len(x.queue) {
		select {
		case r := <-x.queue:
			x.take(&x.open, r)
		default: // an overflow took them
		}
		if x.full(&x.open) {
			if err := x.write(ctx); x.sealed {
				return err
			}
		}
	}
	return nil
}

// commit writes one batch of what waits with the statistics that changed, then makes
// everything durable where it is, when there is anything new.
func (x *exporter) commit(ctx context.Context) error {
	x.fill()
	x.open.batch.Sketches = append(x.open.batch.Sketches, x.book.export(time.Now())...)
	if err := x.write(ctx); err != nil {
		return err
	}
	if x.spool != nil {
		names := x.spool.fresh
		x.spool.fresh = nil
		if _, err := x.attempt(ctx, func(ctx context.Context) ([]backend.Quarantined, error) { return nil, x.spool.sync(ctx, names) }); err != nil {
			x.spool.fresh = append(names, x.spool.fresh...)
			x.failed(err)
			return err
		}
	}
	if !x.dirty {
		return nil
	}
	if _, err := x.attempt(ctx, func(ctx context.Context) ([]backend.Quarantined, error) { return nil, x.w.Flush(ctx) }); err != nil {
		x.failed(err)
		return err
	}
	x.dirty = false
	return nil
}

// flush brings everything to the backend and has it make all durable.
func (x *exporter) flush(ctx context.Context) error {
	if err := x.drain(ctx); err != nil {
		return err
	}
	x.open.batch.Sketches = append(x.open.batch.Sketches, x.book.export(time.Now())...)
	if err := x.write(ctx); err != nil {
		return err
	}
	if err := x.empty(ctx); err != nil { // what a write put there that failed
		return err
	}
	x.dirty = true
	return x.commit(ctx)
}

// finish writes what is left until Close gives up, repeating after the usual
// pauses; with a spool it tries once and leaves the rest there.
func (x *exporter) finish() {
	err := x.flush(x.ctx)
	for err != nil && x.spool == nil && x.ctx.Err() == nil && x.sealed {
		t := time.NewTimer(time.Until(x.due))
		select {
		case <-t.C:
			err = x.flush(x.ctx)
		case <-x.ctx.Done():
		}
		t.Stop()
	}
	if x.spool != nil {
		x.stow(err)
		return
	}
	for len(x.queue) > 0 {
		x.take(&x.open, <-x.queue)
	}
	if n := len(x.open.runs); n > 0 {
		x.drop("closed", n)
		x.clear(&x.open)
	}
	x.closed = err
}
