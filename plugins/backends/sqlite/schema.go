package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/fault"
)

const (
	applicationID = 0x53504b54 // "SPKT"
	schemaVersion = 3          // 2 had no ledgers, 1 was never released
	pageSize      = 8192
	checkTime     = 5 * time.Second
	sentinel      = "spark telemetry\n" // content of the lock file once the schema exists
)

// The block holds everything; the columns beside it are what queries select and
// count by. A run id is stored only when it is not the trace id.
//
// A ledger is of the traces of its version from low to high; those that ended before
// since were pruned. Its column ids is how a trace is found by its id: an index of
// random ids would touch a page for each trace written. The traces up to totals.seam
// are in no ledger.
const schema = `
CREATE TABLE traces (
	id INTEGER PRIMARY KEY,
	graph TEXT NOT NULL, version TEXT NOT NULL, run_kind TEXT NOT NULL,
	trace_id BLOB NOT NULL, run_id BLOB,
	start INTEGER NOT NULL, end INTEGER NOT NULL, status INTEGER NOT NULL,
	spans INTEGER NOT NULL, events INTEGER NOT NULL, metrics INTEGER NOT NULL,
	block BLOB NOT NULL
);
CREATE INDEX traces_by_version ON traces (graph, version, start);
CREATE INDEX traces_by_start ON traces (start);
CREATE TABLE sketches (
	epoch BLOB NOT NULL, graph TEXT NOT NULL, version TEXT NOT NULL, version_id TEXT NOT NULL,
	hour INTEGER NOT NULL, node TEXT NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
	PRIMARY KEY (graph, version, hour, node, version_id, epoch)
) WITHOUT ROWID;
CREATE TABLE batches (id BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE totals (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	traces INTEGER NOT NULL, spans INTEGER NOT NULL, events INTEGER NOT NULL, metrics INTEGER NOT NULL, unattributed INTEGER NOT NULL,
	seam INTEGER NOT NULL DEFAULT 0
);
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0);
` + ledgerTable

const ledgerTable = `
CREATE TABLE ledgers (
	id INTEGER PRIMARY KEY,
	graph TEXT NOT NULL, version TEXT NOT NULL,
	first INTEGER NOT NULL, last INTEGER NOT NULL, since INTEGER NOT NULL,
	low INTEGER NOT NULL, high INTEGER NOT NULL, ids BLOB NOT NULL,
	data BLOB NOT NULL
);
CREATE INDEX ledgers_by_version ON ledgers (graph, version, first, last);
CREATE INDEX ledgers_by_ids ON ledgers (low, high, ids);
`

// fromTwo is how schema 2 becomes 3; the ledgers of the traces are made later, and
// then its indexes of ids are dropped.
const fromTwo = ledgerTable + `
ALTER TABLE totals ADD COLUMN seam INTEGER NOT NULL DEFAULT 0;
UPDATE totals SET seam = (SELECT coalesce(max(id), 0) FROM traces);
PRAGMA user_version = 3;
`

const allEntered = `
UPDATE totals SET seam = 0;
DROP INDEX IF EXISTS traces_by_trace;
DROP INDEX IF EXISTS traces_by_run;
`

// lock is the ownership of a file.
type lock struct{ f *os.File }

func (l *lock) release() { l.f.Close() }

// own takes the lock beside path. SQLite's own file is never opened here: closing
// it would drop the locks of the driver.
func own(path string) (*lock, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notWritable(path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fault.New(fault.Locked, path, "another process owns this telemetry").
				WithHint("end that process, or ask it: two owners of one file lose data")
		}
		return nil, fault.Wrap(fault.Unavailable, name, err, "lock")
	}
	return &lock{f}, nil
}

func notWritable(path string, err error) error {
	return &fault.Error{Kind: fault.ReadOnly, Path: path, Msg: "cannot be written", Err: err,
		Hint: "make the folder writable for this user, or choose another db_path"}
}

// existed reports whether the schema was complete when the lock was held before.
func (l *lock) existed() bool {
	b := make([]byte, len(sentinel))
	n, _ := l.f.ReadAt(b, 0)
	return string(b[:n]) == sentinel
}

func (l *lock) mark() error {
	_, err := l.f.WriteAt([]byte(sentinel), 0)
	return err
}

func open(path string) (_ *Backend, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "db_path", err, "find the file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, notWritable(path, err)
	}
	l, err := own(path)
	if err != nil {
		return nil, err
	}
	b := &Backend{path: path, lock: l}
	defer func() {
		if err != nil {
			if b.conn != nil {
				b.conn.Close()
			}
			l.release()
		}
	}()
	if st, e := os.Stat(path); e == nil && st.Size() == 0 && l.existed() {
		return nil, fault.New(fault.Corrupt, path, "the file is empty but held telemetry before").
			WithHint("restore a backup, or remove it and its .lock to start anew")
	}
	// What runs recorded is private. The driver would make the file by the umask; to
	// its log it gives the mode of the file. What is wrong with the path it says better.
	if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		f.Close()
	}
	if b.conn, err = sq.OpenConn(path, sq.OpenReadWrite, sq.OpenCreate); err != nil {
		return nil, asFault(err, path, "open")
	}
	b.conn.SetBusyTimeout(busyTimeout)
	if err = b.prepare(); err != nil {
		return nil, asFault(err, path, "open")
	}
	if err = l.mark(); err != nil {
		return nil, notWritable(path, err)
	}
	b.pool, err = sqlitex.NewPool(path, sqlitex.PoolOptions{Flags: sq.OpenReadOnly, PoolSize: readers,
		PrepareConn: func(c *sq.Conn) error { c.SetBusyTimeout(busyTimeout); return nil }})
	if err != nil {
		return nil, asFault(err, path, "open")
	}
	return b, nil
}

// prepare identifies the file, makes the schema in an empty one and checks it.
func (b *Backend) prepare() error {
	app, err := pragma(b.conn, "application_id")
	if err != nil {
		return err
	}
	version, err := pragma(b.conn, "user_version")
	if err != nil {
		return err
	}
	tables, err := number(b.conn, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	switch {
	case app == applicationID && version > schemaVersion:
		return fault.New(fault.Newer, b.path, "it has schema %d, this Spark knows %d", version, schemaVersion).
			WithHint("use the Spark that wrote it, or a later one")
	case app == applicationID && version == schemaVersion:
	case app == applicationID && version == 2:
	case app == 0 && version == 0 && tables == 0:
		return b.create()
	case app == applicationID:
		return fault.New(fault.Invalid, b.path, "it has schema %d of a development version", version).
			WithHint("move the file away with its -wal, -shm and .lock")
	default:
		return fault.New(fault.Invalid, b.path, "it is a database of something else (application id %#x)", app).
			WithHint("choose another db_path")
	}
	if err := b.modes(); err != nil {
		return err
	}
	if err := b.check(checkTime); err != nil || version == schemaVersion {
		return err
	}
	return sqlitex.ExecuteScript(b.conn, fromTwo, nil)
}

// modes are set on every start. A commit is a write to the log without a sync:
// Flush syncs.
func (b *Backend) modes() error {
	for _, p := range []string{"synchronous = NORMAL", "wal_autocheckpoint = 2000", "cache_size = -16000",
		fmt.Sprint("journal_size_limit = ", walLimit)} {
		if err := sqlitex.ExecuteTransient(b.conn, "PRAGMA "+p, nil); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) create() error {
	for _, p := range []string{fmt.Sprint("page_size = ", pageSize), "auto_vacuum = INCREMENTAL", "journal_mode = WAL"} {
		if err := sqlitex.ExecuteTransient(b.conn, "PRAGMA "+p, nil); err != nil {
			return err
		}
	}
	if err := b.modes(); err != nil {
		return err
	}
	return sqlitex.ExecuteScript(b.conn, schema+
		fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, schemaVersion), nil)
}

// check looks for damage, not longer than patience.
func (b *Backend) check(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b.conn.SetInterrupt(ctx.Done())
	defer b.conn.SetInterrupt(nil)
	found := ""
	err := sqlitex.ExecuteTransient(b.conn, "PRAGMA quick_check(1)", &sqlitex.ExecOptions{
		ResultFunc: func(s *sq.Stmt) error { found = s.ColumnText(0); return nil }})
	if ctx.Err() != nil {
		return nil
	}
	if err == nil && found != "ok" {
		err = fault.New(fault.Corrupt, b.path, "%s", found).
			WithHint("move the file away with its -wal, -shm and .lock, and restore a backup if there is one")
	}
	return err
}

func pragma(c *sq.Conn, name string) (int64, error) { return number(c, "PRAGMA "+name) }

func number(c *sq.Conn, query string) (n int64, err error) {
	err = sqlitex.ExecuteTransient(c, query, &sqlitex.ExecOptions{
		ResultFunc: func(s *sq.Stmt) error { n = s.ColumnInt64(0); return nil }})
	return n, err
}
