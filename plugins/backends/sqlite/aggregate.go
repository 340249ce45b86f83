package sqlite

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Aggregate sums the selected traces up: from the ledgers where they hold all that
// is asked for, on all cores, else from the traces.
func (b *Backend) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	if !m.InLedger() {
		var a backend.Aggregator
		if err := b.scan(ctx, m, (*backend.Reader).Scan, func(t *backend.Trace) bool { a.Add(t); return true }); err != nil {
			return nil, err
		}
		return a.Aggregate(), nil
	}
	sum := newSum(m)
	err = b.reader(ctx, "query", func(c *sq.Conn) (err error) {
		end := sqlitex.Transaction(c) // both tables as of one moment
		defer end(&err)
		seam, err := number(c, "SELECT seam FROM totals")
		if err != nil {
			return err
		}
		if err := sum.ledgers(c); err != nil || seam == 0 {
			return err
		}
		return sum.traces(c, seam)
	})
	a, failed := sum.end()
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, fault.Wrap("", b.path, failed, "aggregate")
	}
	return a, nil
}

// sum adds up on all cores what one connection reads.
type sum struct {
	m       *backend.Match
	parts   []part
	next    int
	failed  atomic.Bool
	running sync.WaitGroup
}

// part is the share of one core. Every part gets its records in turn, so the same
// file gives the same answer, to the last digit on machines alike.
type part struct {
	a    backend.Aggregator
	r    *backend.Reader
	in   chan *records
	free chan *records
	err  error
}

// records are read together.
type records struct {
	data   []byte
	ends   []int
	ledger bool // one ledger, else blocks
	since  int64
}

const (
	recordsAhead = 2        // read for a part while it adds up
	recordsLen   = 64 << 10 // bytes of blocks in one go
)

func newSum(m *backend.Match) *sum {
	s := &sum{m: m, parts: make([]part, min(readers, runtime.GOMAXPROCS(0)))}
	for i := range s.parts {
		p := &s.parts[i]
		p.r = m.Reader()
		p.in, p.free = make(chan *records, recordsAhead), make(chan *records, recordsAhead)
		for range recordsAhead {
			p.free <- &records{}
		}
		s.running.Go(func() { s.add(p) })
	}
	return s
}

// add counts what p is given. After an error it only takes.
func (s *sum) add(p *part) {
	for r := range p.in {
		from := 0
		for _, end := range r.ends {
			if p.err != nil {
				break
			}
			if r.ledger {
				p.err = p.a.AddLedger(r.data[from:end], s.m, r.since)
			} else if t, err := p.r.Scan(r.data[from:end]); err != nil {
				p.err = err
			} else if t != nil {
				p.a.Add(t)
			}
			from = end
		}
		if p.err != nil {
			s.failed.Store(true)
		}
		p.free <- r
	}
}

// end returns the sum of all that was read, or the error of a record.
func (s *sum) end() (*backend.Aggregate, error) {
	for i := range s.parts {
		close(s.parts[i].in)
	}
	s.running.Wait()
	for i := range s.parts {
		if err := s.parts[i].err; err != nil {
			return nil, err
		}
		if i > 0 {
			s.parts[0].a.Merge(&s.parts[i].a)
		}
	}
	return s.parts[0].a.Aggregate(), nil
}

// blank returns memory for records, once the part whose turn it is has some.
func (s *sum) blank() *records {
	r := <-s.parts[s.next].free
	r.data, r.ends = r.data[:0], r.ends[:0]
	return r
}

// give hands over what blank returned.
func (s *sum) give(r *records) {
	s.parts[s.next].in <- r
	s.next = (s.next + 1) % len(s.parts)
}

// appendColumn appends the bytes of a column.
func (r *records) appendColumn(stmt *sq.Stmt, i int) {
	from, n := len(r.data), stmt.ColumnLen(i)
	if cap(r.data) < from+n {
		r.data = append(make([]byte, 0, 2*(from+n)), r.data...)
	}
	r.data = r.data[:from+n]
	stmt.ColumnBytes(i, r.data[from:])
	r.ends = append(r.ends, len(r.data))
}

// ledgers reads those that can hold selected runs.
func (s *sum) ledgers(c *sq.Conn) error {
	m, cond := s.m, &condition{}
	cond.and(m.Graph != "", "graph = ?", m.Graph)
	cond.and(m.Version != "", "version = ?", m.Version)
	cond.and(m.Run.First > 0, "last >= ?", m.Run.First)
	cond.and(m.Run.Ended > 0, "last >= ?", m.Run.Ended)
	cond.and(m.Run.Last < math.MaxInt64, "first <= ?", m.Run.Last)
	stmt, err := c.Prepare("SELECT data, since FROM ledgers" + cond.String())
	if err != nil {
		return err
	}
	defer stmt.Reset()
	cond.bind(stmt)
	for !s.failed.Load() {
		ok, err := stmt.Step()
		if err != nil || !ok {
			return err
		}
		r := s.blank()
		r.ledger, r.since = true, stmt.ColumnInt64(1)
		r.appendColumn(stmt, 0)
		s.give(r)
	}
	return nil
}

// traces reads the selected ones up to the seam.
func (s *sum) traces(c *sq.Conn, seam int64) error {
	cond := conditions(s.m)
	cond.and(true, "id <= ?", seam)
	stmt, err := c.Prepare("SELECT block FROM traces" + cond.String())
	if err != nil {
		return err
	}
	defer stmt.Reset()
	cond.bind(stmt)
	r := s.blank()
	defer func() { s.give(r) }()
	r.ledger = false
	for !s.failed.Load() {
		ok, err := stmt.Step()
		if err != nil || !ok {
			return err
		}
		r.appendColumn(stmt, 0)
		if len(r.data) >= recordsLen {
			s.give(r)
			r = s.blank()
			r.ledger = false
		}
	}
	return nil
}
