package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// RunStatus is where a durable run stands.
type RunStatus string

// The states of a run. The last three are final.
const (
	RunRunning   RunStatus = "running"
	RunWaiting   RunStatus = "waiting" // for a person
	RunFinished  RunStatus = "finished"
	RunFailed    RunStatus = "failed"
	RunCancelled RunStatus = "cancelled"
)

// Final reports whether a run with this status has ended.
func (s RunStatus) Final() bool { return s == RunFinished || s == RunFailed || s == RunCancelled }

// Run is a run with checkpoints. What it was made of, the input, the questions and
// the journal, is removed when it ends; the output stays until the run is forgotten.
type Run struct {
	ID          string          `json:"id"` // 32 hex digits
	Graph       string          `json:"graph"`
	Version     string          `json:"version_id"`
	Label       string          `json:"version"`
	TraceID     string          `json:"trace_id"`              // 32 hex digits
	Parent      string          `json:"parent_span,omitempty"` // of the caller: 16 hex digits, empty for none
	Status      RunStatus       `json:"status"`
	Input       []byte          `json:"-"`                 // JSON; nil in lists and once the run has ended
	Output      json.RawMessage `json:"output,omitempty"`  // of a finished run; nil in lists
	Waiting     json.RawMessage `json:"waiting,omitempty"` // the open questions, as the engine gave them
	Deadline    time.Time       `json:"deadline,omitzero"` // of the first question that has one
	Error       string          `json:"error,omitempty"`
	Checkpoints int             `json:"checkpoints"`     // kept so far, or in all
	Taken       int             `json:"taken,omitempty"` // hosts that took it up since it last recorded a step, and did not end orderly
	Created     time.Time       `json:"created"`
	Changed     time.Time       `json:"changed"` // of the status
}

// RunChange is how a run goes on.
type RunChange struct {
	Status   RunStatus
	Waiting  json.RawMessage // with RunWaiting
	Deadline time.Time       // with RunWaiting, may be zero
	Error    string          // with RunFailed and RunCancelled
	Output   json.RawMessage // with RunFinished
}

// MinRunID is how many digits of its id name a run at least.
const MinRunID = 6

// RunFilter chooses runs. A zero field chooses all.
type RunFilter struct {
	Graph  string
	Status RunStatus
	Due    time.Time // waiting runs whose deadline is not after it
	Limit  int       // newest first; 0 is 1000
}

// StartRun stores a run that begins, with the status running; a Created that is
// zero is now. It fails with Conflict when the id is taken.
func (s *Store) StartRun(_ context.Context, r Run) error {
	now := time.Now()
	if r.Created.IsZero() {
		r.Created = now
	}
	return s.log.write(len(r.Input), func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO runs (id, graph, version, label, trace, parent, status, input, waiting, deadline, error, steps, created, changed)
			VALUES (?,?,?,?,?,?,?,?,'',0,'',0,?,?) ON CONFLICT DO NOTHING`,
			r.ID, r.Graph, r.Version, r.Label, r.TraceID, r.Parent, RunRunning, r.Input, r.Created.UnixNano(), now.UnixNano())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fault.New(fault.Conflict, r.ID, "there is a run with this id")
		}
		return nil
	})
}

// ChangeRun brings a run from the status from into another one. A final status
// removes its input, its questions and its journal. It fails with Conflict when the run has
// another status than from, and with NotFound when there is no such run. Changes
// of several runs are committed together.
func (s *Store) ChangeRun(_ context.Context, id string, from RunStatus, c RunChange) error {
	return s.log.write(len(c.Waiting)+len(c.Output), func(ctx context.Context, tx *sql.Tx) error {
		var now RunStatus
		err := tx.QueryRowContext(ctx, `SELECT status FROM runs WHERE id = ?`, id).Scan(&now)
		if errors.Is(err, sql.ErrNoRows) {
			return noRun(id)
		}
		if err != nil {
			return err
		}
		if now != from {
			return fault.New(fault.Conflict, id, "the run is %s, not %s", now, from).WithHint("look at `spark runs show %.8s`", id)
		}
		deadline := int64(0)
		if !c.Deadline.IsZero() {
			deadline = c.Deadline.UnixNano()
		}
		_, err = tx.ExecContext(ctx, `UPDATE runs SET status = ?, waiting = ?, deadline = ?, error = ?, output = ?, changed = ?,
			steps = coalesce((SELECT max(seq) + 1 FROM journal WHERE run = runs.id), 0) WHERE id = ?`,
			c.Status, string(c.Waiting), deadline, c.Error, []byte(c.Output), time.Now().UnixNano(), id)
		if err != nil || !c.Status.Final() {
			return err
		}
		if _, err = tx.ExecContext(ctx, `UPDATE runs SET input = NULL WHERE id = ?`, id); err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM journal WHERE run = ?`, id)
		}
		return err
	})
}

// TakeUp counts, for every running run, that a host takes it up which another one
// left: Taken of Run is how many times that was since the run last recorded a step.
// The count is on disk before anything of a run is executed.
func (s *Store) TakeUp(ctx context.Context) error {
	const rows = `coalesce((SELECT max(seq) + 1 FROM journal WHERE run = runs.id), 0)`
	_, err := s.db.ExecContext(ctx, `UPDATE runs SET taken = CASE WHEN taken_at = `+rows+` THEN taken + 1 ELSE 1 END, taken_at = `+rows+`
		WHERE status = ?`, RunRunning)
	return dbFault("take up runs", err)
}

// Leave takes back what TakeUp counted, for a host that ends orderly.
func (s *Store) Leave(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `UPDATE runs SET taken = 0 WHERE status = ? AND taken > 0`, RunRunning)
	return dbFault("leave runs", err)
}

// ForgetRuns removes the entries of runs that ended before a time and returns how
// many there were.
func (s *Store) ForgetRuns(ctx context.Context, before time.Time) (int, error) {
	res, err := s.db.ExecContext(ctx, `DELETE FROM runs WHERE status IN (?,?,?) AND changed < ?`,
		RunFinished, RunFailed, RunCancelled, before.UnixNano())
	if err != nil {
		return 0, dbFault("forget runs", err)
	}
	n, err := res.RowsAffected()
	return int(n), dbFault("forget runs", err)
}

// Run returns the run with this id, or whose id alone begins with at least MinRunID
// digits given, with its input. It fails with NotFound and, when several begin so, Invalid.
func (s *Store) Run(ctx context.Context, id string) (*Run, error) {
	if len(id) < MinRunID || len(id) > 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return nil, fault.New(fault.Invalid, id, "a run is named by %d to 32 hex digits of its id", MinRunID)
	}
	list, err := s.runs(ctx, "input, output", `WHERE id >= ? AND id < ? ORDER BY id LIMIT 2`, id, id+"g")
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, noRun(id)
	case len(list) > 1:
		return nil, fault.New(fault.Invalid, id, "more than one run begins like this").WithHint("give more digits")
	}
	return list[0], nil
}

func noRun(id string) error {
	return fault.New(fault.NotFound, id, "there is no such run").WithHint("`spark runs list` shows the runs with checkpoints")
}

// Runs returns the runs that f chooses, newest first and without their inputs.
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]*Run, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	where := `WHERE (graph = ? OR ? = '') AND (status = ? OR ? = '')`
	args := []any{f.Graph, f.Graph, f.Status, f.Status}
	if !f.Due.IsZero() {
		where += ` AND deadline > 0 AND deadline <= ?` // only a run that waits has one
		args = append(args, f.Due.UnixNano())
	}
	return s.runs(ctx, "NULL, NULL", where+` ORDER BY created DESC, id LIMIT ?`, append(args, f.Limit)...)
}

// NextDeadline returns the earliest deadline of a waiting run, zero when none has
// one.
func (s *Store) NextDeadline(ctx context.Context) (time.Time, error) {
	var at int64
	err := s.db.QueryRowContext(ctx, `SELECT deadline FROM runs WHERE deadline > 0 ORDER BY deadline LIMIT 1`).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, dbFault("read runs", err)
	}
	return time.Unix(0, at).UTC(), nil
}

// runs reads runs; bodies are the columns of input and output, or NULL for each.
func (s *Store) runs(ctx context.Context, bodies, where string, args ...any) ([]*Run, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, graph, version, label, trace, parent, status, `+bodies+`, waiting, deadline, error, created, changed, taken,
		CASE WHEN status = 'running' THEN coalesce((SELECT max(seq) + 1 FROM journal WHERE run = runs.id), 0) ELSE steps END
		FROM runs `+where, args...)
	if err != nil {
		return nil, dbFault("read runs", err)
	}
	defer rows.Close()
	var list []*Run
	for rows.Next() {
		var r Run
		var waiting string
		var output []byte
		var deadline, created, changed int64
		if err := rows.Scan(&r.ID, &r.Graph, &r.Version, &r.Label, &r.TraceID, &r.Parent, &r.Status, &r.Input, &output, &waiting, &deadline, &r.Error,
			&created, &changed, &r.Taken, &r.Checkpoints); err != nil {
			return nil, dbFault("read runs", err)
		}
		r.Output = output
		r.Created, r.Changed = time.Unix(0, created).UTC(), time.Unix(0, changed).UTC()
		if deadline > 0 {
			r.Deadline = time.Unix(0, deadline).UTC()
		}
		if waiting != "" {
			r.Waiting = json.RawMessage(waiting)
		}
		list = append(list, &r)
	}
	return list, dbFault("read runs", rows.Err())
}

// Journal returns the rows that were appended to the journal of a run, in order.
// A run that has ended has none.
func (s *Store) Journal(ctx context.Context, id string) ([][]byte, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT seq, body FROM journal WHERE run = ? ORDER BY seq`, id)
	if err != nil {
		return nil, dbFault("read journal", err)
	}
	defer rows.Close()
	var list [][]byte
	for rows.Next() {
		var seq int
		var body []byte
		if err := rows.Scan(&seq, &body); err != nil {
			return nil, dbFault("read journal", err)
		}
		if seq != len(list) {
			return nil, fault.New(fault.Corrupt, id, "row %d of the journal is missing", len(list)).
				WithHint("cancel the run with `spark runs cancel %.8s` and start it anew", id)
		}
		list = append(list, body)
	}
	return list, dbFault("read journal", rows.Err())
}
