package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Times of the spool.
const (
	slowWrite  = time.Second            // after which a write no longer holds up what came after it
	slowLook   = 200 * time.Millisecond // between looks at what came during such a write
	spoolPause = time.Second            // before a spool that refused is asked again
)

// Why the spool takes nothing: the reasons of drops while the queue is full.
const (
	spoolTakes int32 = iota
	spoolIsFull
	spoolDiskFails
	collectorFails
)

var queueReasons = [...]string{spoolTakes: "queue_full", spoolIsFull: "spool_full", spoolDiskFails: "spool_disk", collectorFails: "collector"}

// caught keeps what a collector lets through.
type caught struct{ parts []*backend.Packed }

func (c *caught) Write(_ context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	c.parts = append(c.parts, backend.Pack(b))
	return nil, nil
}

func (c *caught) Flush(context.Context) error { return nil }

func (c *caught) Close(context.Context) error { return nil }

// collected returns what of p goes to the spool.
func (x *exporter) collected(ctx context.Context, p *parcel) (parts []*backend.Packed, bad []backend.Quarantined, err error) {
	if x.opts.Collector == nil {
		return []*backend.Packed{backend.Pack(&p.batch)}, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	c := &caught{}
	x.meter.work(func() { bad, err = x.opts.Collector(c).Write(ctx, &p.batch) })
	return c.parts, bad, err
}

// toSpool puts p, collected, at the end of the spool, or gives it up when it can
// never be collected. An error leaves p as it is and the spool alone for a while.
func (x *exporter) toSpool(ctx context.Context, p *parcel) error {
	now := time.Now()
	if now.Before(x.again) {
		return errSpoolFull
	}
	p.seal()
	parts, bad, err := x.collected(ctx, p)
	if err != nil && lasting(err) && !(x.direct && p == &x.open) { // that attempt will tell
		x.refused(err, len(p.runs))
		return nil
	}
	why := collectorFails
	if err == nil {
		if err, why = x.spool.append(x.opts.Collector != nil, parts...), spoolDiskFails; errors.Is(err, errSpoolFull) {
			why = spoolIsFull
		}
	}
	if err != nil {
		x.again = now.Add(spoolPause)
		if x.spoolState.Swap(why) != why {
			x.log.Warn("telemetry spool takes nothing", "dir", x.spool.dir, "bytes", x.spool.bytes, "error", err)
		}
		x.failed(err)
		return err
	}
	x.spoolState.Store(spoolTakes)
	if x.retry.IsZero() {
		x.retry = now
	}
	p.kept, p.left, p.refused = len(parts), len(p.runs)-len(bad), len(bad)
	for _, part := range parts {
		p.left -= len(part.Blocks)
	}
	x.counts.mu.Lock()
	x.counts.s.SpooledTraces += int64(len(p.runs))
	x.counts.s.ExportedTraces += int64(p.left)
	x.counts.mu.Unlock()
	for _, q := range bad {
		x.log.Error("telemetry record quarantined", "record", q.Record, "reason", q.Reason)
	}
	if len(bad) > 0 {
		x.drop("quarantined", len(bad))
	}
	x.spoolStats()
	return nil
}

// uncount takes back what toSpool counted of p, which is about to be counted as
// written or refused.
func (x *exporter) uncount(p *parcel) {
	x.counts.mu.Lock()
	defer x.counts.mu.Unlock()
	x.counts.s.ExportedTraces -= int64(p.left)
	if p.refused > 0 {
		x.counts.s.Dropped -= int64(p.refused)
		x.counts.reasons["quarantined"] -= int64(p.refused)
	}
}

// spoolStats publishes how full the spool is, and warns when it passes 90 %.
func (x *exporter) spoolStats() {
	s := x.spool
	x.counts.mu.Lock()
	x.counts.s.SpoolBatches, x.counts.s.SpoolBytes, x.counts.s.SpoolTraces = len(s.files), s.bytes, s.traces
	x.counts.mu.Unlock()
	switch {
	case s.bytes*10 < s.limit*8:
		x.spoolWarned = false
	case s.bytes*10 >= s.limit*9 && !x.spoolWarned:
		x.spoolWarned = true
		x.log.Warn("telemetry spool is nearly full", "dir", s.dir, "bytes", s.bytes, "spool_max_bytes", s.limit)
	}
}

// overflow runs while a write is on its way: it puts the open parcel, also when it
// is what is being written, and what waits in the queue into the spool.
func (x *exporter) overflow() {
	x.called.Store(false)
	for !x.open.empty() && !x.spooled {
		if x.toSpool(x.ctx, &x.open) != nil {
			return
		}
		if x.direct {
			x.spooled = true
		} else {
			x.release()
		}
	}
	for len(x.queue) > 0 || !x.over.empty() {
		for len(x.queue) > 0 && !x.full(&x.over) && x.over.batch.ID == (backend.ID{}) {
			x.take(&x.over, <-x.queue)
		}
		if x.toSpool(x.ctx, &x.over) != nil {
			return
		}
		x.clear(&x.over)
	}
}

// forward tries once to write the oldest batch of the spool.
func (x *exporter) forward(ctx context.Context) error {
	if len(x.spool.files) == 0 { // the collector left out all that would be there
		x.retry = time.Time{}
		return nil
	}
	p, collected, whole, err := x.spool.head()
	if err != nil {
		return x.settle(err, 0, nil)
	}
	to := x.front
	if collected {
		to = x.w
	}
	if !whole && len(p.Blocks) == 0 {
		return x.settle(nil, 0, x.setAside)
	}
	begin := time.Now()
	bad, err := x.attempt(ctx, func(ctx context.Context) ([]backend.Quarantined, error) { return backend.WritePacked(ctx, to, p) })
	took, leave := time.Since(begin), x.spool.done
	if !whole {
		leave = x.setAside
	}
	if e := x.settle(err, len(p.Blocks), leave); err != nil {
		return e
	}
	spans := 0
	var v backend.Verifier
	for _, b := range p.Blocks {
		h, _ := v.Verify(b) // a block that is refused is among the bad
		spans += h.Spans
	}
	x.stored(took, len(p.Blocks), spans, len(p.Sketches), bad)
	return nil
}

// settle ends an attempt to write the oldest batch of the spool, which holds so
// many traces: leave takes it out, unless another attempt may succeed.
func (x *exporter) settle(err error, traces int, leave func() error) error {
	switch {
	case err == nil:
	case lasting(err):
		x.refused(err, traces)
	default:
		x.pause(err)
		x.retry = time.Now().Add(x.backoff)
		return err
	}
	if e := leave(); e != nil {
		x.failed(e)
	}
	x.backoff, x.retry, x.again = 0, time.Time{}, time.Time{}
	if len(x.spool.files) > 0 {
		x.retry = time.Now()
	}
	x.spoolStats()
	return nil
}

// setAside keeps the oldest file, which is damaged, for people to look at and
// counts what of it is lost.
func (x *exporter) setAside() error {
	lost := x.spool.files[0].traces
	if p, _, _, err := x.spool.head(); err == nil {
		lost = max(lost-len(p.Blocks), 0)
	}
	aside, err := x.spool.setAside()
	x.counts.mu.Lock()
	x.counts.s.SpoolDamaged++
	x.counts.mu.Unlock()
	x.log.Error("telemetry spool file is damaged and was set aside", "file", aside, "traces_lost", lost)
	if lost > 0 {
		x.drop("spool_damaged", lost)
	}
	return err
}

// empty writes all of the spool, or until the first failure.
func (x *exporter) empty(ctx context.Context) error {
	if x.spool == nil {
		return nil
	}
	for len(x.spool.files) > 0 {
		if err := x.forward(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stow leaves in the spool what Close could not write, and counts what has no
// room there.
func (x *exporter) stow(err error) {
	x.again = time.Time{}
	x.over.batch.Sketches = append(x.over.batch.Sketches, x.book.export(time.Now())...)
	lost := 0
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), time.Second)
	defer cancel()
	put := func(p *parcel) {
		if !p.empty() && x.toSpool(ctx, p) != nil {
			lost += len(p.runs)
		}
		x.clear(p)
	}
	put(&x.open)
	for len(x.queue) > 0 {
		x.take(&x.over, <-x.queue)
		if x.full(&x.over) {
			put(&x.over)
		}
	}
	put(&x.over)
	if lost > 0 {
		x.drop(queueReasons[x.spoolState.Load()], lost)
	}
	if e := x.spool.sync(ctx, x.spool.fresh); e != nil {
		x.failed(e)
	}
	x.spool.close()
	x.closed = err
	if err != nil && lost == 0 {
		x.closed = nil // nothing is lost: the next start goes on
		x.log.Warn("telemetry is left in the spool for the next start", "traces", x.spool.traces, "error", err)
	}
}
