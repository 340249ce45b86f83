package host

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
)

// lateRetry is how long a backend that could not be opened is left alone before
// the next attempt.
const lateRetry = 2 * time.Second

// late is a backend that was down when its profile was opened. Runs go on: what
// they record waits in the recorder's spool until an attempt to open succeeds.
type late struct {
	name string
	open func(ctx context.Context) (backend.Writer, *plughost.Plugin, error)

	mu     sync.Mutex // guards the fields below
	w      backend.Writer
	plugin *plughost.Plugin
	err    error // of the last attempt
	next   time.Time
}

var (
	_ backend.Writer       = (*late)(nil)
	_ backend.PackedWriter = (*late)(nil)
	_ backend.Querier      = (*late)(nil)
	_ backend.Retention    = (*late)(nil)
	_ backend.Describer    = (*late)(nil)
)

// launch starts the process of a backend and returns it open.
func launch(ctx context.Context, spec plughost.Spec) (backend.Writer, *plughost.Plugin, error) {
	p, err := plughost.Launch(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	c, err := backend.NewClient(ctx, p.Conn(), nil)
	if err != nil {
		return nil, nil, errors.Join(err, p.Close(ctx))
	}
	return otel.Over(c), p, nil
}

// down reports whether err says that a backend may be there later.
func down(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Timeout) || fault.Is(err, fault.Transient)
}

// get returns the open backend, or why there is none yet.
func (l *late) get(ctx context.Context) (backend.Writer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w != nil {
		return l.w, nil
	}
	if time.Now().Before(l.next) {
		return nil, l.err
	}
	// The process outlives the call that happened to start it.
	l.w, l.plugin, l.err = l.open(context.WithoutCancel(ctx))
	l.next = time.Now().Add(lateRetry)
	if l.err != nil {
		l.w = nil
		return nil, l.err
	}
	return l.w, nil
}

// Describe says what the open backend says. Before that it promises everything,
// so that nothing is refused for good: each call then fails with the reason.
func (l *late) Describe() backend.Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w != nil {
		return backend.Describe(l.w)
	}
	return backend.Info{Name: l.name, Capabilities: backend.Capabilities{Persistent: true, Idempotent: true, Queryable: true, Retention: true, Filters: true}}
}

func (l *late) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	w, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return w.Write(ctx, b)
}

func (l *late) WritePacked(ctx context.Context, p *backend.Packed) ([]backend.Quarantined, error) {
	w, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	if packed, ok := w.(backend.PackedWriter); ok {
		return packed.WritePacked(ctx, p)
	}
	b, bad := p.Unpack()
	more, err := w.Write(ctx, b)
	return append(bad, more...), err
}

func (l *late) Flush(ctx context.Context) error {
	w, err := l.get(ctx)
	if err != nil {
		return err
	}
	return w.Flush(ctx)
}

// Close ends the backend and its process, if there are any.
func (l *late) Close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	if l.w != nil {
		errs = append(errs, l.w.Close(ctx))
	}
	if l.plugin != nil {
		errs = append(errs, l.plugin.Close(ctx))
	}
	return errors.Join(errs...)
}

func (l *late) querier(ctx context.Context) (backend.Querier, error) {
	w, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return backend.AsQuerier(w)
}

func (l *late) Traces(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Trace, error] {
	return func(yield func(*backend.Trace, error) bool) {
		q, err := l.querier(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		q.Traces(ctx, f)(yield)
	}
}

func (l *late) Sketches(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Sketch, error] {
	return func(yield func(*backend.Sketch, error) bool) {
		q, err := l.querier(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		q.Sketches(ctx, f)(yield)
	}
}

func (l *late) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	q, err := l.querier(ctx)
	if err != nil {
		return nil, err
	}
	return q.Aggregate(ctx, f)
}

func (l *late) Count(ctx context.Context) (backend.Counts, error) {
	q, err := l.querier(ctx)
	if err != nil {
		return backend.Counts{}, err
	}
	return q.Count(ctx)
}

func (l *late) Prune(ctx context.Context, t time.Time) (int64, error) {
	w, err := l.get(ctx)
	if err != nil {
		return 0, err
	}
	r, err := backend.AsRetention(w)
	if err != nil {
		return 0, err
	}
	return r.Prune(ctx, t)
}
