package host

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Bounds of one batch of a copy.
const (
	copyTraces   = 500
	copyBytes    = 4 << 20 // encoded
	copySketches = 2000
)

// Copied is what a copy between two backends did.
type Copied struct {
	Total       int64 `json:"total"` // traces of the source when the copy began
	Traces      int64 `json:"traces"`
	Spans       int64 `json:"spans"`
	Events      int64 `json:"events"`
	Metrics     int64 `json:"metrics"`
	Sketches    int64 `json:"sketches"`
	Present     int64 `json:"present"`     // traces that the target had already
	Quarantined int64 `json:"quarantined"` // traces that the target refused, each in the log
}

// Copy writes what the backend of one profile holds to that of another: traces
// with spans, events and metrics as they are, and the rows of statistics. The
// source is flushed first and stays as it is. Progress, which may be nil, is called
// after each batch.
//
// Repeating a copy, also one that was interrupted, doubles nothing: the id of a
// batch follows from what is in it, rows of statistics replace their own earlier
// state, and a target that can be asked and is not empty is asked for the traces
// that it has. A target that is neither idempotent nor queryable gets everything
// again. The result stands beside an error, too.
func (h *Host) Copy(ctx context.Context, from, to string, progress func(Copied)) (done Copied, err error) {
	leave, err := h.enter()
	if err != nil {
		return done, err
	}
	defer leave()
	source, err := h.recording(ctx, from)
	if err != nil {
		return done, err
	}
	target, err := h.recording(ctx, to)
	if err != nil {
		return done, err
	}
	if source == target {
		return done, fault.New(fault.Invalid, "telemetry."+source.name, "a profile cannot be copied to itself").WithHint("name two profiles")
	}
	q, err := backend.AsQuerier(source.writer)
	if err != nil {
		return done, err
	}
	if err := source.rec.Flush(ctx); err != nil {
		return done, fault.Wrap("", "telemetry."+source.name, err, "flush the source")
	}
	n, err := q.Count(ctx)
	if err != nil {
		return done, fault.Wrap("", "telemetry."+source.name, err, "count the source")
	}
	c := &copying{done: Copied{Total: n.Traces}, host: h, target: target, progress: progress}
	if c.known, err = backend.AsQuerier(target.writer); err == nil {
		held, err := c.known.Count(ctx)
		if err != nil {
			return c.done, fault.Wrap("", "telemetry."+target.name, err, "count the target")
		}
		if held.Traces == 0 {
			c.known = nil
		}
	}
	for t, err := range q.Traces(ctx, backend.Filter{}) {
		if err != nil {
			return c.done, fault.Wrap("", "telemetry."+source.name, err, "read traces")
		}
		if err := c.trace(ctx, t); err != nil {
			return c.done, err
		}
	}
	for s, err := range q.Sketches(ctx, backend.Filter{}) {
		if err != nil {
			return c.done, fault.Wrap("", "telemetry."+source.name, err, "read statistics")
		}
		if c.batch.Sketches = append(c.batch.Sketches, *s); len(c.batch.Sketches) >= copySketches {
			if err := c.write(ctx); err != nil {
				return c.done, err
			}
		}
	}
	if err := c.write(ctx); err != nil {
		return c.done, err
	}
	if err := target.writer.Flush(ctx); err != nil {
		return c.done, fault.Wrap("", "telemetry."+target.name, err, "make the copy durable")
	}
	return c.done, nil
}

// copying is a copy under way.
type copying struct {
	host     *Host
	target   *profile
	known    backend.Querier // of the target; nil when it need not be asked
	progress func(Copied)
	batch    backend.Batch
	scratch  []byte
	bytes    int
	done     Copied
}

func (c *copying) trace(ctx context.Context, t *backend.Trace) error {
	c.batch.Traces = append(c.batch.Traces, t)
	c.scratch = backend.EncodeTrace(c.scratch[:0], t)
	c.bytes += len(c.scratch)
	if len(c.batch.Traces) < copyTraces && c.bytes < copyBytes {
		return nil
	}
	return c.write(ctx)
}

// write sends the batch as far as the target does not have it.
func (c *copying) write(ctx context.Context) error {
	if err := c.leaveOut(ctx); err != nil {
		return err
	}
	b := &c.batch
	if len(b.Traces)+len(b.Sketches) > 0 {
		b.ID = c.id()
		bad, err := c.target.writer.Write(ctx, b)
		if err != nil {
			return fault.Wrap("", "telemetry."+c.target.name, err, "write")
		}
		refused := map[int]bool{}
		for _, q := range bad {
			refused[q.Index] = true
			c.host.log.Error("telemetry record quarantined", "profile", c.target.name, "record", q.Record, "reason", q.Reason)
		}
		for i, t := range b.Traces {
			if refused[i] {
				c.done.Quarantined++
				continue
			}
			n := t.Counts()
			c.done.Traces += n.Traces
			c.done.Spans += n.Spans
			c.done.Events += n.Events
			c.done.Metrics += n.Metrics
		}
		c.done.Sketches += int64(len(b.Sketches))
	}
	*b, c.bytes = backend.Batch{}, 0
	if c.progress != nil {
		c.progress(c.done)
	}
	return nil
}

// id returns the id that follows from the content of the batch.
func (c *copying) id() (id backend.ID) {
	sum := sha256.New()
	sum.Write([]byte("spark telemetry copy\n"))
	for _, t := range c.batch.Traces {
		c.scratch = backend.EncodeTrace(c.scratch[:0], t)
		sum.Write(c.scratch)
	}
	for i := range c.batch.Sketches {
		c.scratch = backend.EncodeSketch(c.scratch[:0], &c.batch.Sketches[i])
		sum.Write(c.scratch)
	}
	copy(id[:], sum.Sum(nil))
	return id
}

// leaveOut removes the traces that the target has from the batch. It asks for the
// time in which the traces of the batch began, so that a copy asks for each part
// of the target about once.
func (c *copying) leaveOut(ctx context.Context) error {
	list := c.batch.Traces
	if c.known == nil || len(list) == 0 {
		return nil
	}
	first, last := list[0].Start, list[0].Start
	for _, t := range list {
		first, last = min(first, t.Start), max(last, t.Start)
	}
	type key struct{ trace, run backend.ID }
	there := map[key]bool{}
	for t, err := range c.known.Traces(ctx, backend.Filter{From: time.Unix(0, first), To: time.Unix(0, last).Add(1)}) {
		if err != nil {
			return fault.Wrap("", "telemetry."+c.target.name, err, "ask for what is there")
		}
		there[key{t.TraceID, t.RunID}] = true
	}
	kept := list[:0]
	for _, t := range list {
		if there[key{t.TraceID, t.RunID}] {
			c.done.Present++
			continue
		}
		kept = append(kept, t)
	}
	c.batch.Traces = kept
	return nil
}
