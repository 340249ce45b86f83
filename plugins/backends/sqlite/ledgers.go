package sqlite

import (
	"context"
	"encoding/binary"
	"hash/crc32"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Beside the traces lie ledgers: each holds of some hundred runs of one version
// what Aggregate asks for, and marks of their ids. They are written in the
// transaction of their traces.
const (
	ledgerFull  = 64 << 10 // bytes; the next run begins another
	ledgerShort = 8 << 10  // a shorter one takes the runs of the next batch, too
	openLedgers = 64       // versions with a short one in memory, at most
	ledgerChunk = 500      // traces entered in one transaction
)

// withID selects by a mark and, four times, the id: a mark finds the ledgers that
// can have it, or two halves of marks like it, and the rows decide.
const withID = `id IN (SELECT t.id FROM ledgers AS l CROSS JOIN traces AS t ON t.id BETWEEN l.low AND l.high
	WHERE instr(l.ids, ?) AND (t.trace_id = ? OR t.run_id = ?)
	UNION SELECT id FROM traces WHERE trace_id = ? AND id <= (SELECT seam FROM totals)
	UNION SELECT id FROM traces WHERE run_id = ? AND id <= (SELECT seam FROM totals))`

// mark returns four bytes of a hash: ids of other systems may begin with zeros.
func mark(id backend.ID) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.Checksum(id[:], castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type version struct{ graph, version string }

// ledger is one that runs are added to.
type ledger struct {
	*backend.Ledger
	version
	row       int64 // 0 until it is stored
	low, high int64 // rows of its traces
	from, to  int64 // likewise of the batch under way, counted from its first
	ids       []byte
	changed   bool // by the batch under way
}

// ledgers takes the runs of a batch. The zero value is ready. Not safe for
// concurrent use.
type ledgers struct {
	open    map[version]*ledger
	changed []*ledger
	buf     []byte
}

// add enters a run, whose trace is stored as the nth of the batch.
func (s *ledgers) add(t *backend.Trace, n int64) {
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
		l.changed, l.from, l.to = true, n, n
		s.changed = append(s.changed, l)
	}
	l.from, l.to = min(l.from, n), max(l.to, n)
	l.ids = append(l.ids, mark(t.TraceID)...)
	if t.RunID != t.TraceID {
		l.ids = append(l.ids, mark(t.RunID)...)
	}
	l.Add(t)
}

// store writes the ledgers that changed; the traces of the batch are stored from
// the row first on.
func (s *ledgers) store(c *sq.Conn, first int64) error {
	for _, l := range s.changed {
		s.buf = l.Encode(s.buf[:0])
		if l.high = first + l.to; l.row == 0 {
			l.low = first + l.from
		}
		if err := l.store(c, s.buf); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) store(c *sq.Conn, data []byte) error {
	s := c.Prep("UPDATE ledgers SET first = ?, last = ?, low = ?, high = ?, ids = ?, data = ? WHERE id = ?")
	if l.row == 0 {
		s = c.Prep("INSERT INTO ledgers (first, last, low, high, ids, data, since, graph, version) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)")
		s.BindText(7, l.graph)
		s.BindText(8, l.version.version)
	} else {
		s.BindInt64(7, l.row)
	}
	s.BindInt64(1, l.First)
	s.BindInt64(2, l.Last)
	s.BindInt64(3, l.low)
	s.BindInt64(4, l.high)
	s.BindBytes(5, l.ids)
	s.BindBytes(6, data)
	err := run(s)
	if l.row == 0 {
		l.row = c.LastInsertRowID()
	}
	return err
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
		id := s.ColumnInt64(0)
		seam = id - 1
		t, err := scan.Scan(column(s, 1, &buf))
		if err != nil {
			return false, fault.Wrap("", b.path, err, "read a trace")
		}
		entered.add(t, id)
	}
	if err := entered.store(c, 0); err != nil {
		return false, err
	}
	if n < ledgerChunk || seam == 0 {
		return false, sqlitex.ExecuteScript(c, allEntered, nil)
	}
	s = c.Prep("UPDATE totals SET seam = ?")
	s.BindInt64(1, seam)
	return true, run(s)
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
