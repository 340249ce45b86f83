package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The bounds of one common commit.
const (
	maxGroupWrites = 512
	maxGroupBytes  = 8 << 20
)

// group gathers what concurrent runs write into common transactions, so that they
// share the wait for the disk. There is no goroutine behind it: the first that
// comes commits, the others that came meanwhile wait for the next commit, which
// the first of them makes.
type group struct {
	db *sql.DB

	mu      sync.Mutex // guards the fields below
	waiting []*write
	busy    bool // somebody commits
}

// write is one change on its way.
type write struct {
	size int // bytes, for the bounds
	// do makes the change. A fault refuses this write alone, which then must not have
	// changed anything; any other error fails the whole transaction.
	do   func(ctx context.Context, tx *sql.Tx) error
	done chan bool // true: committed or failed with err; false: lead the next commit
	err  error
}

// write returns once do is on disk, or refused. It does not end with a context: a
// change is on disk or refused, never in doubt.
func (g *group) write(size int, do func(ctx context.Context, tx *sql.Tx) error) error {
	w := &write{size: size, do: do, done: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if g.busy {
		g.mu.Unlock()
		if <-w.done {
			return w.err
		}
		g.mu.Lock()
	}
	g.busy = true
	n, bytes := 0, 0
	for n < len(g.waiting) && n < maxGroupWrites && bytes < maxGroupBytes {
		bytes += g.waiting[n].size
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
		if o != w {
			o.done <- true
		}
	}
	return w.err
}

// commit makes a batch of changes in one transaction.
func (g *group) commit(batch []*write) {
	ctx := context.Background()
	fail := func(err error) {
		for _, w := range batch {
			if w.err == nil {
				w.err = dbFault("write runs", err)
			}
		}
	}
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		fail(err)
		return
	}
	defer tx.Rollback()
	for _, w := range batch {
		var refused *fault.Error
		if err := w.do(ctx, tx); errors.As(err, &refused) {
			w.err = err
		} else if err != nil {
			fail(err)
			return
		}
	}
	if err := tx.Commit(); err != nil {
		fail(err)
	}
}

// AppendJournal appends row seq, counted from 0, to the journal of a run that has not
// ended and returns once it is on disk. Rows of several runs are committed
// together. It fails with Conflict when the run has ended or has that row, and
// then nothing is appended.
func (s *Store) AppendJournal(id string, seq int, body []byte) error {
	return s.log.write(len(body), func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.StmtContext(ctx, s.append).ExecContext(ctx, seq, body, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fault.New(fault.Conflict, id, "the run has ended, or its journal has row %d", seq).
				WithHint("somebody else cancelled or resumed the run")
		}
		return nil
	})
}

// appendRow is the statement behind AppendJournal: sequence, body and run.
const appendRow = `INSERT INTO journal SELECT id, ?, ? FROM runs WHERE id = ? AND status IN ('running', 'waiting') ON CONFLICT DO NOTHING`
