package sqlite

import (
	"context"
	"time"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Beside the traces lie ledgers: each holds of some hundred runs of one version
// what Aggregate asks for. They are written in the transaction of their traces.
const (
	ledgerFull  = 64 << 10 // bytes; the next run begins another
	ledgerShort = 8 << 10  // a shorter one takes the runs of the next batch, too
	openLedgers = 64       // versions with a short one in memory, at most
	ledgerChunk = 500      // traces entered, or ledgers removed, in one transaction
)

type version struct{ graph, version string }

// ledger is one that runs are added to.
type ledger struct {
	*backend.Ledger
	version
	row     int64 // 0 until it is stored
	changed bool  // by the batch under way
}

// ledgers takes the runs of a batch. The zero value is ready. Not safe for
// concurrent use.
type ledgers struct {
	open    map[version]*ledger
	changed []*ledger
	buf     []byte
}

// add enters a run.
func (s *ledgers) add(t *backend.Trace) {
	v := version{t.Graph, t.Version}
	l := s.open[v]
	if l == nil || l.Len() >= ledgerFull {
		if s.open == nil {
			s.open = map[version]*ledger{}
		}
		l = &ledger{Ledger: backend.NewLedger(v.graph, v.version), version: v}
		s.open[v] = l
	}
	if !l.changed {
		l.changed = true
		s.changed = append(s.changed, l)
	}
	l.Add(t)
}

// store writes the ledgers that changed.
func (s *ledgers) store(c *sq.Conn) error {
	for _, l := range s.changed {
		s.buf = l.Encode(s.buf[:0])
		if err := l.store(c, s.buf); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) store(c *sq.Conn, data []byte) error {
	if l.row == 0 {
		s := c.Prep("INSERT INTO ledgers (graph, version, first, last, since, data) VALUES (?, ?, ?, ?, 0, ?)")
		s.BindText(1, l.graph)
		s.BindText(2, l.version.version)
		s.BindInt64(3, l.First)
		s.BindInt64(4, l.Last)
		s.BindBytes(5, data)
		err := run(s)
		l.row = c.LastInsertRowID()
		return err
	}
	s := c.Prep("UPDATE ledgers SET first = ?, last = ?, data = ? WHERE id = ?")
	s.BindInt64(1, l.First)
	s.BindInt64(2, l.Last)
	s.BindBytes(3, data)
	s.BindInt64(4, l.row)
	return run(s)
}

// end forgets what the batch changed when it was not stored, and what is long
// enough.
func (s *ledgers) end(stored bool) {
	for _, l := range s.changed {
		l.changed = false
		if s.open[l.version] == l && (!stored || l.Len() >= ledgerShort) {
			delete(s.open, l.version)
		}
	}
	clear(s.changed)
	s.changed = s.changed[:0]
	if len(s.open) > openLedgers {
		clear(s.open)
	}
}

// pruneLedgers removes the ledgers whose runs all ended before t, and from the
// others those that did.
func (b *Backend) pruneLedgers(ctx context.Context, t time.Time) error {
	for more := true; more; {
		b.verifying.Lock()
		clear(b.ledgers.open) // their rows may go
		err := b.with(ctx, "prune", func(c *sq.Conn) (err error) {
			end, err := sqlitex.ImmediateTransaction(c)
			if err != nil {
				return err
			}
			defer end(&err)
			s := c.Prep("DELETE FROM ledgers WHERE id IN (SELECT id FROM ledgers WHERE last < ? LIMIT ?)")
			s.BindInt64(1, t.UnixNano())
			s.BindInt64(2, ledgerChunk)
			if err := run(s); err != nil {
				return err
			}
			if more = c.Changes() == ledgerChunk; more {
				return nil
			}
			s = c.Prep("UPDATE ledgers SET since = ?1 WHERE first < ?1 AND since < ?1")
			s.BindInt64(1, t.UnixNano())
			return run(s)
		})
		b.verifying.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// enter makes the ledgers of traces that an earlier Spark wrote, the newest first,
// in short transactions: a process that is killed goes on where it was. Aggregate
// reads the traces up to the seam themselves.
func (b *Backend) enter(ctx context.Context) error {
	for {
		if more, err := b.enterSome(ctx); err != nil || !more {
			return err
		}
	}
}

func (b *Backend) enterSome(ctx context.Context) (more bool, err error) {
	err = b.with(ctx, "migrate", func(c *sq.Conn) (err error) {
		end, err := sqlitex.ImmediateTransaction(c)
		if err != nil {
			return err
		}
		defer end(&err)
		more, err = b.enterChunk(c)
		return err
	})
	return more, err
}

func (b *Backend) enterChunk(c *sq.Conn) (more bool, err error) {
	seam, err := number(c, "SELECT seam FROM totals")
	if err != nil || seam == 0 {
		return false, err
	}
	var (
		scan    backend.Scanner
		entered ledgers
		buf     []byte
	)
	s := c.Prep("SELECT id, block FROM traces WHERE id <= ? ORDER BY id DESC LIMIT ?")
	defer s.Reset()
	s.BindInt64(1, seam)
	s.BindInt64(2, ledgerChunk)
	n := 0
	for {
		ok, err := s.Step()
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
		n++
		seam = s.ColumnInt64(0) - 1
		t, err := scan.Scan(column(s, 1, &buf))
		if err != nil {
			return false, fault.Wrap("", b.path, err, "read a trace")
		}
		entered.add(t)
	}
	if err := entered.store(c); err != nil {
		return false, err
	}
	if n < ledgerChunk {
		seam = 0
	}
	return seam > 0, setSeam(c, seam)
}

// setSeam notes that the traces up to an id are in no ledger.
func setSeam(c *sq.Conn, id int64) error {
	s := c.Prep("UPDATE totals SET seam = ?")
	s.BindInt64(1, id)
	return run(s)
}

// lowerSeam keeps the seam from rising over traces to come, whose ids follow the
// highest there is.
func lowerSeam(c *sq.Conn) error {
	return run(c.Prep("UPDATE totals SET seam = min(seam, (SELECT coalesce(max(id), 0) FROM traces)) WHERE seam > 0"))
}

// column returns the bytes of a column, in buf.
func column(s *sq.Stmt, i int, buf *[]byte) []byte {
	if n := s.ColumnLen(i); n > len(*buf) {
		*buf = make([]byte, 2*n)
	}
	return (*buf)[:s.ColumnBytes(i, *buf)]
}
