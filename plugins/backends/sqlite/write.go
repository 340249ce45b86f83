package sqlite

import (
	"context"
	"time"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Write stores a batch; see backend.Writer.
func (b *Backend) Write(ctx context.Context, batch *backend.Batch) (bad []backend.Quarantined, err error) {
	b.verifying.Lock()
	defer b.verifying.Unlock()
	p := backend.Pack(batch)
	b.heads = b.heads[:0]
	for i, t := range batch.Traces {
		err := t.Check()
		if err == nil && len(p.Blocks[i]) > backend.MaxBlock {
			err = fault.New(fault.Limit, "", "%d bytes exceed the limit of %d", len(p.Blocks[i]), backend.MaxBlock)
		}
		if err != nil {
			bad = append(bad, backend.Quarantine(i, t, err))
		} else {
			b.ledgers.add(t, int64(i-len(bad)))
		}
		b.heads = append(b.heads, t.Head())
	}
	return b.writeBatch(ctx, p, bad)
}

// WritePacked stores a batch in one transaction. Blocks that do not verify are
// quarantined.
func (b *Backend) WritePacked(ctx context.Context, p *backend.Packed) (bad []backend.Quarantined, err error) {
	b.verifying.Lock()
	defer b.verifying.Unlock()
	b.heads = b.heads[:0]
	for i, block := range p.Blocks {
		h, t, err := b.verify.Scan(block)
		if err != nil {
			bad = append(bad, h.Quarantine(i, err))
		} else {
			b.ledgers.add(t, int64(i-len(bad)))
		}
		b.heads = append(b.heads, h)
	}
	return b.writeBatch(ctx, p, bad)
}

// writeBatch stores what of p is not bad. Its heads and ledgers are made already.
func (b *Backend) writeBatch(ctx context.Context, p *backend.Packed, bad []backend.Quarantined) ([]backend.Quarantined, error) {
	fresh := false
	err := b.with(ctx, "write", func(c *sq.Conn) (err error) {
		fresh, err = b.store(c, p, bad)
		return err
	})
	b.ledgers.end(fresh && err == nil)
	return bad, err
}

// store writes what of p is not bad, unless it was written before.
func (b *Backend) store(c *sq.Conn, p *backend.Packed, bad []backend.Quarantined) (fresh bool, err error) {
	end, err := sqlitex.ImmediateTransaction(c)
	if err != nil {
		return false, err
	}
	defer end(&err)
	fresh, err = b.claim(c, p.ID)
	if err != nil || !fresh {
		return false, err
	}
	var sum backend.Counts
	last, err := number(c, "SELECT coalesce(max(id), 0) FROM traces")
	if err != nil {
		return false, err
	}
	s, id := c.Prep(insertTrace), last
	for i, block := range p.Blocks {
		if len(bad) > 0 && bad[0].Index == i {
			bad = bad[1:]
			continue
		}
		id++
		if err := insert(s, id, &b.heads[i], block); err != nil {
			return false, err
		}
		sum.Add(b.heads[i].Counts())
	}
	if err := b.ledgers.store(c, last+1); err != nil {
		return false, err
	}
	for i := range p.Sketches {
		if err := upsert(c, &p.Sketches[i]); err != nil {
			return false, err
		}
	}
	return true, total(c, sum, 1)
}

// claim notes the batch id and reports whether it is new.
func (b *Backend) claim(c *sq.Conn, id backend.ID) (bool, error) {
	s := c.Prep("INSERT OR IGNORE INTO batches (id, at) VALUES (?, ?)")
	s.BindBytes(1, id[:])
	s.BindInt64(2, time.Now().Unix())
	err := run(s)
	return c.Changes() == 1, err
}

// run executes a statement that returns no rows and makes it ready for reuse:
// every parameter is bound anew before the next time.
func run(s *sq.Stmt) error {
	_, err := s.Step()
	if e := s.Reset(); err == nil {
		err = e
	}
	return err
}

const insertTrace = `INSERT INTO traces (graph, version, run_kind, trace_id, run_id, start, end, status, spans, events, metrics, block, id)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func insert(s *sq.Stmt, id int64, h *backend.Head, block []byte) error {
	s.BindText(1, h.Graph)
	s.BindText(2, h.Version)
	s.BindText(3, h.RunKind)
	s.BindBytes(4, h.TraceID[:])
	if h.RunID == h.TraceID {
		s.BindNull(5)
	} else {
		s.BindBytes(5, h.RunID[:])
	}
	s.BindInt64(6, h.Start)
	s.BindInt64(7, h.End)
	s.BindInt64(8, int64(h.Status))
	s.BindInt64(9, int64(h.Spans))
	s.BindInt64(10, int64(h.Events))
	s.BindInt64(11, int64(h.Metrics))
	s.BindBytes(12, block)
	s.BindInt64(13, id)
	return run(s)
}

func upsert(c *sq.Conn, k *backend.Sketch) error {
	s := c.Prep(`INSERT INTO sketches (epoch, graph, version, version_id, hour, node, seq, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (graph, version, hour, node, version_id, epoch) DO UPDATE SET seq = excluded.seq, data = excluded.data
		WHERE excluded.seq > seq`)
	s.BindBytes(1, k.Epoch[:])
	s.BindText(2, k.Graph)
	s.BindText(3, k.Version)
	s.BindText(4, k.VersionID)
	s.BindInt64(5, k.Hour)
	s.BindText(6, k.Node)
	s.BindInt64(7, int64(k.Seq))
	s.BindBytes(8, k.Data)
	return run(s)
}

// total adds n times sum to the totals.
func total(c *sq.Conn, sum backend.Counts, n int64) error {
	s := c.Prep(`UPDATE totals SET traces = traces + ?, spans = spans + ?, events = events + ?, metrics = metrics + ?, unattributed = unattributed + ?`)
	for i, v := range [...]int64{sum.Traces, sum.Spans, sum.Events, sum.Metrics, sum.Unattributed} {
		s.BindInt64(i+1, n*v)
	}
	return run(s)
}
