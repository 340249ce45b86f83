// Package otlp is a telemetry backend that exports to any receiver of
// OpenTelemetry's protocol: a Collector, Jaeger, a vendor, or another Spark. What
// the requests hold is described in sdk/backend/otel.
//
// It only writes: what was sent cannot be asked for, and is as durable as the
// receiver makes it. Within one process a batch that failed half way goes on where
// it stopped, and a batch id that was delivered is not sent again; but OTLP knows
// no batch ids, so after a lost reply, or a restart between two attempts, a
// receiver may see records twice. Headers appear in no error text and no log.
package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

const (
	version     = "1.0.0"
	rememberIDs = 1024 // delivered batches that are recognised
	maxSearch   = 64   // refused requests of a batch that are taken apart to find the bad trace
)

// Backend sends to one receiver. Safe for concurrent use.
type Backend struct {
	s   *settings
	out sender
	log *slog.Logger

	mu        sync.Mutex // guards the fields below and orders requests
	closed    bool
	work      *work // the batch that failed half way, or nil
	delivered map[backend.ID][]backend.Quarantined
	order     []backend.ID // the keys of delivered, oldest first
	notBefore time.Time    // the receiver asked for silence until then
	warned    string       // the last warning of the receiver
}

// work is what is left to send of one batch.
type work struct {
	id       backend.ID
	queue    []otel.Request
	bad      []backend.Quarantined
	searched int
}

var _ backend.Writer = (*Backend)(nil)

// Info is what the backend says of itself.
var Info = backend.Info{Name: "otlp", Version: version}

// Describe returns Info.
func (b *Backend) Describe() backend.Info { return Info }

// Serve runs the backend as a plugin process until the host ends it.
func Serve() error { return backend.Serve(Info, Open) }

// Open returns the backend for a configuration, a JSON object as Config. An
// Invalid fault for a wrong one. The receiver need not be up yet.
func Open(config []byte) (backend.Writer, error) {
	s, err := parse(config)
	if err != nil {
		return nil, err
	}
	b := &Backend{s: s, log: plugin.Logger(), delivered: map[backend.ID][]backend.Quarantined{}}
	if s.http != nil {
		b.out = newHTTP(s)
		return b, nil
	}
	if b.out, err = newGRPC(s); err != nil {
		return nil, err
	}
	return b, nil
}

// Write sends a batch and returns when the receiver took all of it; see
// backend.Writer. A request that the receiver refuses is taken apart until the bad
// trace stands alone, and that is quarantined. Where a receiver reports that it
// rejected some records, the first trace of the request is quarantined and the
// report says how many there were: OTLP does not tell which. Faults: Unavailable,
// Transient and Timeout when the receiver did not take it in time, Denied when it
// does not know the headers or the signal.
func (b *Backend) Write(ctx context.Context, batch *backend.Batch) ([]backend.Quarantined, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.closed {
		return nil, fault.New(fault.Unavailable, b.s.place, "the backend is closed")
	}
	if bad, ok := b.delivered[batch.ID]; ok {
		return bad, nil
	}
	sound, at, bad := sift(batch.Traces)
	if b.work == nil || b.work.id != batch.ID {
		b.work = b.plan(batch, sound)
	}
	if err := b.send(ctx, sound); err != nil {
		return nil, err
	}
	for _, q := range b.work.bad {
		q.Index = at[q.Index]
		bad = append(bad, q)
	}
	slices.SortFunc(bad, func(x, y backend.Quarantined) int { return x.Index - y.Index })
	b.work = nil
	b.remember(batch.ID, bad)
	return bad, nil
}

// sift returns the traces that pass Check, where they stand in the batch, and the
// others as quarantined.
func sift(traces []*backend.Trace) (sound []*backend.Trace, at []int, bad []backend.Quarantined) {
	for i, t := range traces {
		if err := t.Check(); err != nil {
			bad = append(bad, backend.Quarantine(i, t, err))
			continue
		}
		sound, at = append(sound, t), append(at, i)
	}
	return sound, at, bad
}

// plan returns everything to send for a batch.
func (b *Backend) plan(batch *backend.Batch, sound []*backend.Trace) *work {
	w := &work{id: batch.ID}
	for _, s := range b.s.signals {
		w.queue = append(w.queue, otel.Requests(s, sound, b.options(s))...)
	}
	if b.s.sketches {
		w.queue = append(w.queue, otel.SketchRequests(batch.Sketches, b.s.maxBytes)...)
	}
	return w
}

func (b *Backend) options(s otel.Signal) otel.Options {
	return otel.Options{MaxBytes: b.s.maxBytes, Repeats: s != otel.Traces && slices.Contains(b.s.signals, otel.Traces)}
}

// send empties the queue of b.work. After an error what was delivered is gone from
// it.
func (b *Backend) send(ctx context.Context, sound []*backend.Trace) error {
	w := b.work
	for len(w.queue) > 0 {
		r := w.queue[0]
		answer, err := b.deliver(ctx, &r)
		switch kind := fault.KindOf(err); {
		case err == nil:
			w.queue = w.queue[1:]
			b.partial(w, &r, answer, sound)
		case kind == fault.Rejected || kind == fault.Limit:
			w.queue = append(b.apart(w, &r, sound, err), w.queue[1:]...)
		default:
			return err
		}
	}
	return nil
}

// apart returns the requests that take the place of r, which was refused: its two
// halves, or none when it was about one trace, which is then quarantined.
func (b *Backend) apart(w *work, r *otel.Request, sound []*backend.Trace, err error) []otel.Request {
	w.searched++
	switch {
	case r.Traces == 0:
		b.log.Warn("statistics refused by the receiver", "rows", r.Records, "error", err)
		return nil
	case r.Traces == 1 || w.searched > maxSearch:
		for i := range r.Traces {
			w.refuse(r.First+i, sound[r.First+i].Name(), fmt.Sprintf("%s: %v", r.Signal, err))
		}
		return nil
	}
	half := r.Traces / 2
	var out []otel.Request
	for _, span := range [...][2]int{{r.First, r.First + half}, {r.First + half, r.First + r.Traces}} {
		for _, x := range otel.Requests(r.Signal, sound[span[0]:span[1]], b.options(r.Signal)) {
			x.First += span[0]
			out = append(out, x)
		}
	}
	return out
}

// refuse notes that a trace, or a part of it, was not taken.
func (w *work) refuse(i int, record, reason string) {
	for k := range w.bad {
		if q := &w.bad[k]; q.Index == i { // one report a trace, however many signals it was refused in
			q.Reason += "; " + reason
			return
		}
	}
	w.bad = append(w.bad, backend.Quarantined{Index: i, Record: record, Reason: reason})
}

// partial notes what the receiver rejected of a request that it took.
func (b *Backend) partial(w *work, r *otel.Request, a answer, sound []*backend.Trace) {
	switch {
	case a.rejected == 0 && a.message == "":
	case a.rejected == 0 || r.Traces == 0:
		if a.message != b.warned { // each batch would bring it again
			b.warned = a.message
			b.log.Warn("warning of the receiver", "signal", r.Signal.String(), "rejected", a.rejected, "message", a.message)
		}
	case a.rejected >= int64(r.Records):
		for i := range r.Traces {
			w.refuse(r.First+i, sound[r.First+i].Name(), fmt.Sprintf("%s: rejected by the receiver: %s", r.Signal, a.message))
		}
	default:
		record := sound[r.First].Name()
		if r.Traces > 1 {
			record = fmt.Sprintf("%s to %s", record, sound[r.First+r.Traces-1].Name())
		}
		w.refuse(r.First, record, fmt.Sprintf("%s: %d of %d records rejected by the receiver: %s", r.Signal, a.rejected, r.Records, a.message))
	}
}

func (b *Backend) remember(id backend.ID, bad []backend.Quarantined) {
	if len(b.order) == rememberIDs {
		delete(b.delivered, b.order[0])
		b.order = append(b.order[:0], b.order[1:]...)
	}
	b.order = append(b.order, id)
	b.delivered[id] = bad
}

// Flush has nothing to do: what Write took is at the receiver.
func (b *Backend) Flush(ctx context.Context) error { return ctx.Err() }

// Close ends the connections. A second call does nothing.
func (b *Backend) Close(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.out.close()
}
