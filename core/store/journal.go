package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The bounds of one commit of journal rows.
const (
	maxGroupRows  = 512
	maxGroupBytes = 8 << 20
)

// group gathers the journal rows of concurrent runs into common transactions, so
// that they share the wait for the disk. There is no goroutine behind it: the
// first that comes commits, the others that came meanwhile wait for the next
// commit, which the first of them makes.
type group struct {
	db *sql.DB

	mu      sync.Mutex // guards the fields below
	waiting []*row
	busy    bool // somebody commits
}

// row is one journal row on its way.
type row struct {
	run  string
	seq  int
	body []byte
	done chan bool // true: committed or failed with err; false: lead the next commit
	err  error
}

// AppendJournal appends row seq, counted from 0, to the journal of a run that has not
// ended and returns once it is on disk. Rows of several runs are committed
// together. It fails with Conflict when the run has ended or has that row, and
// then nothing is appended.
func (s *Store) AppendJournal(id string, seq int, body []byte) error {
	g, r := s.log, &row{run: id, seq: seq, body: body, done: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	if g.busy {
		g.mu.Unlock()
		if <-r.done {
			return r.err
		}
		g.mu.Lock()
	}
	g.busy = true
	n, size := 0, 0
	for n < len(g.waiting) && n < maxGroupRows && size < maxGroupBytes {
		size += len(g.waiting[n].body)
		n++
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.mu.Unlock()
	g.commit(batch)
	g.mu.Lock()
	if g.busy = len(g.waiting) > 0; g.busy {
		g.waiting[0].done <- false
	} else {
		g.waiting = nil
	}
	g.mu.Unlock()
	for _, o := range batch {
		if o != r {
			o.done <- true
		}
	}
	return r.err
}

// commit writes a batch in one transaction. A row that is refused fails alone.
func (g *group) commit(batch []*row) {
	ctx := context.Background() // a row is on disk or refused, never in doubt
	fail := func(err error) {
		for _, r := range batch {
			if r.err == nil {
				r.err = dbFault("append to the journal", err)
			}
		}
	}
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		fail(err)
		return
	}
	defer tx.Rollback()
	add, err := tx.PrepareContext(ctx, `INSERT INTO journal SELECT id, ?, ? FROM runs WHERE id = ? AND status IN ('running', 'waiting') ON CONFLICT DO NOTHING`)
	if err != nil {
		fail(err)
		return
	}
	defer add.Close()
	for _, r := range batch {
		res, err := add.ExecContext(ctx, r.seq, r.body, r.run)
		if err != nil {
			fail(err)
			return
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			r.err = fault.New(fault.Conflict, r.run, "the run has ended, or its journal has row %d", r.seq).
				WithHint("somebody else cancelled or resumed the run")
		}
	}
	if err := tx.Commit(); err != nil {
		fail(err)
	}
}
