// Package memory is a telemetry backend that keeps the newest traces in memory:
// for tests and development. What it holds is lost with the process and bounded
// in bytes; the oldest traces give way.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// Config bounds a backend.
type Config struct {
	MaxBytes int64 `json:"max_bytes"` // of encoded traces and sketches; 0 means 256 MiB
}

const (
	defaultBytes = 256 << 20
	minBytes     = 64 << 10
	rememberIDs  = 4096 // batches that are recognised when written again
)

// Backend holds blocks in the order of their arrival. Safe for concurrent use.
type Backend struct {
	max int64

	mu       sync.RWMutex // guards the fields below
	rows     []row
	bytes    int64
	verify   backend.Verifier
	sketches map[sketchKey]backend.Sketch
	order    []sketchKey // of arrival, for eviction
	batches  map[backend.ID]bool
	ids      []backend.ID // the keys of batches, oldest first
}

type row struct {
	block []byte
	head  backend.Head
}

// selected reports whether m can select the row, by its head.
func (r *row) selected(m *backend.Match) bool {
	h := &r.head
	return m.Head(&backend.Trace{TraceID: h.TraceID, RunID: h.RunID, Graph: h.Graph, Version: h.Version, RunKind: h.RunKind,
		Start: h.Start, End: h.End, Status: h.Status})
}

type sketchKey struct {
	epoch                           backend.ID
	graph, version, versionID, node string
	hour                            int64
}

var (
	_ backend.Writer       = (*Backend)(nil)
	_ backend.PackedWriter = (*Backend)(nil)
	_ backend.Querier      = (*Backend)(nil)
	_ backend.Retention    = (*Backend)(nil)
)

// Open returns an empty backend. Config is a JSON object as Config; empty means
// the defaults. An Invalid fault for unknown keys and a bound below 64 KiB.
func Open(config []byte) (backend.Writer, error) {
	var c Config
	if err := plugin.Decode("", config, &c); err != nil {
		return nil, err
	}
	return New(c)
}

// New is Open for a Config.
func New(c Config) (*Backend, error) {
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultBytes
	}
	if c.MaxBytes < minBytes {
		return nil, fault.New(fault.Invalid, "max_bytes", "%d is below %d", c.MaxBytes, minBytes)
	}
	return &Backend{max: c.MaxBytes, sketches: map[sketchKey]backend.Sketch{}, batches: map[backend.ID]bool{}}, nil
}

// Serve runs the backend as a plugin process until the host ends it.
func Serve() error { return backend.Serve(Info, Open) }

// Info says that nothing here outlives the process.
var Info = backend.Info{Name: "memory", Version: "1.0.0",
	Capabilities: backend.Capabilities{Idempotent: true, Queryable: true, Retention: true, Filters: true}}

// Describe returns Info.
func (b *Backend) Describe() backend.Info { return Info }

// Write stores a batch; see backend.Writer.
func (b *Backend) Write(ctx context.Context, batch *backend.Batch) ([]backend.Quarantined, error) {
	return b.WritePacked(ctx, backend.Pack(batch))
}

// WritePacked stores a copy of the blocks of a batch.
func (b *Backend) WritePacked(ctx context.Context, p *backend.Packed) ([]backend.Quarantined, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.batches[p.ID]
	bad := b.add(p.Blocks, !known)
	if known {
		return bad, nil
	}
	b.remember(p.ID)
	for i := range p.Sketches {
		b.keep(&p.Sketches[i])
	}
	b.evict()
	return bad, nil
}

// add verifies blocks and, if fresh, keeps a copy of the good ones.
func (b *Backend) add(blocks [][]byte, fresh bool) (bad []backend.Quarantined) {
	size := 0
	for _, block := range blocks {
		size += len(block)
	}
	var all []byte // one piece of memory a batch
	if fresh {
		all = make([]byte, 0, size)
	}
	for i, block := range blocks {
		h, err := b.verify.Verify(block)
		if err != nil {
			bad = append(bad, h.Quarantine(i, err))
			continue
		}
		if fresh {
			from := len(all)
			all = append(all, block...)
			r := row{block: all[from:len(all):len(all)], head: h}
			b.rows = append(b.rows, r)
			b.bytes += r.size()
		}
	}
	return bad
}

func (r *row) size() int64 { return int64(len(r.block)) + 250 }

func (b *Backend) remember(id backend.ID) {
	if len(b.ids) == rememberIDs {
		delete(b.batches, b.ids[0])
		b.ids = append(b.ids[:0], b.ids[1:]...)
	}
	b.ids = append(b.ids, id)
	b.batches[id] = true
}

func (b *Backend) keep(s *backend.Sketch) {
	key := sketchKey{s.Epoch, s.Graph, s.Version, s.VersionID, s.Node, s.Hour}
	old, ok := b.sketches[key]
	if ok && old.Seq >= s.Seq {
		return
	}
	if !ok {
		b.order = append(b.order, key)
		b.bytes += 200
	}
	c := *s
	c.Data = bytes.Clone(s.Data)
	b.bytes += int64(len(c.Data) - len(old.Data))
	b.sketches[key] = c
}

// evict drops the oldest records until the bound holds: traces first.
func (b *Backend) evict() {
	n := 0
	for ; b.bytes > b.max && n < len(b.rows); n++ {
		b.bytes -= b.rows[n].size()
	}
	clear(b.rows[:n])
	b.rows = b.rows[n:] // append moves what is left to new memory now and then
	n = 0
	for ; b.bytes > b.max && n < len(b.order); n++ {
		b.bytes -= int64(len(b.sketches[b.order[n]].Data)) + 200
		delete(b.sketches, b.order[n])
	}
	b.order = slices.Delete(b.order, 0, n)
}

// Flush has nothing to do.
func (b *Backend) Flush(ctx context.Context) error { return ctx.Err() }

// Close forgets everything.
func (b *Backend) Close(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows, b.bytes, b.order, b.ids = nil, 0, nil, nil
	clear(b.sketches)
	clear(b.batches)
	return nil
}

// snapshot returns the rows of now; they never change.
func (b *Backend) snapshot() []row {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Clone(b.rows)
}

// scan calls each with every selected trace as read returns it, valid until the
// next, until it returns false.
func (b *Backend) scan(ctx context.Context, f backend.Filter, read func(*backend.Reader, []byte) (*backend.Trace, error), each func(*backend.Trace) bool) error {
	m, err := f.Match()
	if err != nil {
		return err
	}
	rows, r := b.snapshot(), m.Reader()
	rows = slices.DeleteFunc(rows, func(x row) bool { return !x.selected(m) })
	if m.By != "" {
		if rows, err = sorted(ctx, rows, m, r); err != nil {
			return err
		}
	}
	if m.Desc {
		slices.Reverse(rows)
	}
	page := f.Page()
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := read(r, rows[i].block)
		if err != nil {
			return err
		}
		if t == nil || !page.Take() {
			continue
		}
		if !each(t) || page.Full() {
			return nil
		}
	}
	return nil
}

// sorted returns the rows in the order of m.By; what the head does not tell is
// read from the blocks.
func sorted(ctx context.Context, rows []row, m *backend.Match, r *backend.Reader) ([]row, error) {
	type keyed struct {
		row
		key int64
	}
	all := make([]keyed, 0, len(rows))
	for i := range rows {
		cost := 0.0
		if m.By == "cost" {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t, err := r.Scan(rows[i].block)
			if err != nil {
				return nil, err
			}
			if t == nil {
				continue
			}
			cost = t.Cost()
		}
		all = append(all, keyed{rows[i], m.Key(rows[i].head.Start, rows[i].head.End, cost)})
	}
	slices.SortStableFunc(all, func(x, y keyed) int { return cmp.Compare(x.key, y.key) })
	rows = rows[:len(all)]
	for i := range all {
		rows[i] = all[i].row
	}
	return rows, nil
}

// Traces yields the selected traces; see backend.Querier.
func (b *Backend) Traces(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Trace, error] {
	return func(yield func(*backend.Trace, error) bool) {
		err := b.scan(ctx, f, (*backend.Reader).Read, func(t *backend.Trace) bool { return yield(t.Clone(), nil) })
		if err != nil {
			yield(nil, err)
		}
	}
}

// Sketches yields the selected rows of statistics.
func (b *Backend) Sketches(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Sketch, error] {
	return func(yield func(*backend.Sketch, error) bool) {
		m, err := f.Match()
		if err != nil {
			yield(nil, err)
			return
		}
		var out []*backend.Sketch
		b.mu.RLock()
		for _, key := range b.order {
			if s := b.sketches[key]; m.Sketch(&s) {
				s.Data = bytes.Clone(s.Data)
				out = append(out, &s)
			}
		}
		b.mu.RUnlock()
		if f.Newest {
			slices.Reverse(out)
		}
		page := f.Page()
		for _, s := range out {
			if page.Take() && (!yield(s, nil) || page.Full()) {
				return
			}
		}
	}
}

// Aggregate sums the selected traces up.
func (b *Backend) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	var a backend.Aggregator
	if err := b.scan(ctx, f, (*backend.Reader).Scan, func(t *backend.Trace) bool { a.Add(t); return true }); err != nil {
		return nil, err
	}
	return a.Aggregate(), nil
}

// Count returns how much is held.
func (b *Backend) Count(context.Context) (backend.Counts, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := backend.Counts{Sketches: int64(len(b.sketches)), Bytes: b.bytes}
	for i := range b.rows {
		c.Add(b.rows[i].head.Counts())
	}
	return c, nil
}

// Prune removes traces that ended, and sketches of hours that ended, before t.
func (b *Backend) Prune(_ context.Context, t time.Time) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, n := t.UnixNano(), len(b.rows)
	b.rows = slices.DeleteFunc(b.rows, func(r row) bool {
		if r.head.End >= before {
			return false
		}
		b.bytes -= r.size()
		return true
	})
	b.order = slices.DeleteFunc(b.order, func(k sketchKey) bool {
		if (k.hour+1)*int64(time.Hour) > before {
			return false
		}
		b.bytes -= int64(len(b.sketches[k].Data)) + 200
		delete(b.sketches, k)
		return true
	})
	return int64(n - len(b.rows)), nil
}
