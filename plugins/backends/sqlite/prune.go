package sqlite

import (
	"context"
	"fmt"
	"time"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Prune removes traces and statistics that ended before t, in short
// transactions so that writes go on, and gives free pages beyond a reserve back to
// the disk. Then it enters traces that an earlier Spark wrote in ledgers; a Corrupt
// fault when one of them is damaged.
func (b *Backend) Prune(ctx context.Context, t time.Time) (removed int64, err error) {
	for more := true; more; {
		n, err := b.pruneSome(ctx, func(c *sq.Conn) (n int64, err error) {
			n, err = pruneBeforeSeam(c, t)
			more = n == pruneChunk
			return n, err
		})
		if removed += n; err != nil {
			return removed, err
		}
	}
	ids, err := b.ledgersBefore(ctx, t)
	if err != nil {
		return removed, err
	}
	for _, id := range ids {
		for more := true; more; {
			n, err := b.pruneSome(ctx, func(c *sq.Conn) (n int64, err error) {
				n, err = pruneLedger(c, id, t)
				more = n == pruneChunk
				return n, err
			})
			if removed += n; err != nil {
				return removed, err
			}
		}
	}
	err = b.with(ctx, "prune", func(c *sq.Conn) error {
		s := c.Prep("DELETE FROM sketches WHERE (hour + 1) * 3600 * 1000000000 <= ?")
		s.BindInt64(1, t.UnixNano())
		if err := run(s); err != nil {
			return err
		}
		s = c.Prep("DELETE FROM batches WHERE at < ?")
		s.BindInt64(1, time.Now().Add(-keepBatches).Unix())
		return run(s)
	})
	if err != nil {
		return removed, err
	}
	if err := b.shrink(ctx); err != nil {
		return removed, err
	}
	return removed, b.enter(ctx)
}

// pruneSome runs f in a transaction. No ledger is open then: its row may go.
func (b *Backend) pruneSome(ctx context.Context, f func(*sq.Conn) (int64, error)) (n int64, err error) {
	b.verifying.Lock()
	defer b.verifying.Unlock()
	clear(b.ledgers.open)
	err = b.with(ctx, "prune", func(c *sq.Conn) (err error) {
		end, err := sqlitex.ImmediateTransaction(c)
		if err != nil {
			return err
		}
		defer end(&err)
		n, err = f(c)
		return err
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// ledgersBefore returns the ids of those that can have runs that ended before t.
func (b *Backend) ledgersBefore(ctx context.Context, t time.Time) (ids []int64, err error) {
	err = b.with(ctx, "prune", func(c *sq.Conn) error {
		s := c.Prep("SELECT id FROM ledgers WHERE first < ?")
		defer s.Reset()
		s.BindInt64(1, t.UnixNano())
		for {
			ok, err := s.Step()
			if err != nil || !ok {
				return err
			}
			ids = append(ids, s.ColumnInt64(0))
		}
	})
	return ids, err
}

// pruneLedger removes at most pruneChunk of the traces of a ledger, and when there
// are no more the ledger, or its runs that ended before t.
func pruneLedger(c *sq.Conn, id int64, t time.Time) (n int64, err error) {
	s := c.Prep("SELECT graph, version, low, high, last FROM ledgers WHERE id = ? AND since < ?")
	defer s.Reset()
	s.BindInt64(1, id)
	s.BindInt64(2, t.UnixNano())
	if ok, err := s.Step(); err != nil || !ok {
		return 0, err
	}
	var which condition // the plus signs: through the ids, not through an index
	which.and(true, "id BETWEEN ? AND ?", s.ColumnInt64(2), s.ColumnInt64(3))
	which.and(true, "+graph = ? AND +version = ?", s.ColumnText(0), s.ColumnText(1))
	which.and(true, "+end < ?", t.UnixNano())
	last := s.ColumnInt64(4)
	if err := s.Reset(); err != nil {
		return 0, err
	}
	if n, err = remove(c, "", &which); err != nil || n == pruneChunk {
		return n, err
	}
	if last < t.UnixNano() {
		s = c.Prep("DELETE FROM ledgers WHERE id = ?")
	} else {
		s = c.Prep("UPDATE ledgers SET since = ?2 WHERE id = ?1")
		s.BindInt64(2, t.UnixNano())
	}
	s.BindInt64(1, id)
	return n, run(s)
}

// pruneBeforeSeam removes at most pruneChunk of the traces in no ledger.
func pruneBeforeSeam(c *sq.Conn, t time.Time) (n int64, err error) {
	seam, err := number(c, "SELECT seam FROM totals")
	if err != nil || seam == 0 {
		return 0, err
	}
	var which condition
	which.and(true, "start < ? AND end < ? AND id <= ?", t.UnixNano(), t.UnixNano(), seam)
	return remove(c, " INDEXED BY traces_by_start", &which)
}

// remove deletes at most pruneChunk of the traces that which selects and returns how
// many those were.
func remove(c *sq.Conn, index string, which *condition) (int64, error) {
	s := c.Prep("DELETE FROM traces WHERE id IN (SELECT id FROM traces" + index + which.String() + fmt.Sprint(" LIMIT ", pruneChunk) +
		") RETURNING spans, events, metrics, graph = ''")
	defer s.Reset()
	which.bind(s)
	var sum backend.Counts
	for {
		ok, err := s.Step()
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		sum.Traces++
		sum.Spans += s.ColumnInt64(0)
		sum.Events += s.ColumnInt64(1)
		sum.Metrics += s.ColumnInt64(2)
		sum.Unattributed += s.ColumnInt64(3)
	}
	if err := lowerSeam(c); err != nil {
		return 0, err
	}
	return sum.Traces, total(c, sum, -1)
}

// shrink returns free pages to the disk, in short transactions, until the reserve
// is left that the next hours will use.
func (b *Backend) shrink(ctx context.Context) error {
	for more := true; more; {
		err := b.with(ctx, "shrink", func(c *sq.Conn) error {
			pages, err := pragma(c, "page_count")
			if err != nil {
				return err
			}
			free, err := pragma(c, "freelist_count")
			if err != nil {
				return err
			}
			extra := free - max(reservePages, (pages-free)/8)
			if more = extra > 0; !more {
				return nil
			}
			return sqlitex.ExecuteTransient(c, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(extra, shrinkPages)), nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
