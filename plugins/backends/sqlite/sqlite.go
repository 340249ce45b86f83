// Package sqlite is a telemetry backend in one SQLite file: one packed row a run
// with two indexes, ledgers to sum many runs up by and to find ids in, the statistics
// rows and the ids of the batches written.
//
// A batch is one transaction. What Write acknowledged survives the end of the
// process, also by kill -9; what Flush acknowledged survives the loss of power.
// The file has one owner at a time, by a lock on FILE.lock.
package sqlite

import (
	"context"
	"sync"
	"time"

	sq "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// Config names the file.
type Config struct {
	DBPath string `json:"db_path"` // its folder is made when missing
}

const (
	readers      = 4               // connections for queries
	busyTimeout  = 5 * time.Second // for the file being busy
	keepBatches  = 24 * time.Hour  // batch ids are recognised for at least so long
	pruneChunk   = 500             // rows removed in one transaction
	shrinkPages  = 256             // given back in one transaction
	reservePages = 128             // free pages that stay
	walLimit     = 64 << 20        // bytes of the -wal file left after a checkpoint
)

// Backend is an open file. Safe for concurrent use.
type Backend struct {
	path string
	lock *lock
	pool *sqlitex.Pool // of readers

	verifying sync.Mutex // guards the fields below; taken before mu
	verify    backend.Verifier
	heads     []backend.Head // of the batch
	ledgers   ledgers

	mu   sync.Mutex // guards the field below
	conn *sq.Conn   // the only writer; nil after Close
}

var (
	_ backend.Writer       = (*Backend)(nil)
	_ backend.PackedWriter = (*Backend)(nil)
	_ backend.Querier      = (*Backend)(nil)
	_ backend.Retention    = (*Backend)(nil)
)

// Info is what the backend says of itself.
var Info = backend.Info{Name: "sqlite", Version: "1.0.0",
	Capabilities: backend.Capabilities{Persistent: true, Idempotent: true, Queryable: true, Retention: true, Filters: true}}

// Describe returns Info.
func (b *Backend) Describe() backend.Info { return Info }

// Serve runs the backend as a plugin process until the host ends it.
func Serve() error { return backend.Serve(Info, Open) }

// Open returns the backend for a configuration, a JSON object as Config. Faults:
// Invalid for a wrong configuration or a file of something else, Locked when
// another process owns the file, ReadOnly when it cannot be written, Newer when a
// later Spark wrote it, Corrupt when it is damaged. The file is checked at most
// five seconds long; a larger one is opened when no damage was found by then.
func Open(config []byte) (backend.Writer, error) {
	var c Config
	if err := plugin.Decode("", config, &c); err != nil {
		return nil, err
	}
	if c.DBPath == "" {
		return nil, fault.New(fault.Invalid, "db_path", "the file is not named").WithHint("set db_path to a file such as telemetry.db")
	}
	b, err := open(c.DBPath)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Close flushes and closes the file. A second call does nothing.
func (b *Backend) Close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return nil
	}
	err := b.checkpoint(ctx)
	if e := b.pool.Close(); err == nil {
		err = e
	}
	if e := b.conn.Close(); err == nil {
		err = e
	}
	b.conn = nil
	b.lock.release()
	return b.fault(err, "close")
}

// Flush returns once everything written is on the disk.
func (b *Backend) Flush(ctx context.Context) error {
	return b.with(ctx, "flush", func(*sq.Conn) error { return b.checkpoint(ctx) })
}

// checkpoint syncs the write-ahead log and moves it into the file.
func (b *Backend) checkpoint(ctx context.Context) error {
	b.conn.SetInterrupt(ctx.Done())
	defer b.conn.SetInterrupt(nil)
	busy := false
	err := sqlitex.ExecuteTransient(b.conn, "PRAGMA wal_checkpoint(FULL)", &sqlitex.ExecOptions{
		ResultFunc: func(s *sq.Stmt) error { busy = s.ColumnBool(0); return nil }})
	if err == nil && busy {
		err = fault.New(fault.Transient, b.path, "a reader holds the log for more than %s", busyTimeout)
	}
	return err
}

// with runs f with the writing connection. Cancelling ctx interrupts it.
func (b *Backend) with(ctx context.Context, op string, f func(*sq.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return fault.New(fault.Unavailable, b.path, "the backend is closed")
	}
	b.conn.SetInterrupt(ctx.Done())
	defer b.conn.SetInterrupt(nil)
	return b.fault(f(b.conn), op)
}

// fault gives an error of SQLite its kind and place.
func (b *Backend) fault(err error, op string) error { return asFault(err, b.path, op) }

func asFault(err error, path, op string) error {
	if err == nil {
		return nil
	}
	if k := fault.KindOf(err); k != fault.Internal {
		return err
	}
	kind, hint := fault.Internal, ""
	switch code := sq.ErrCode(err); code.ToPrimary() {
	case sq.ResultBusy, sq.ResultLocked:
		kind = fault.Transient
	case sq.ResultReadOnly, sq.ResultPerm, sq.ResultAuth:
		kind, hint = fault.ReadOnly, "make the file and its folder writable for this user"
	case sq.ResultCantOpen:
		kind, hint = fault.ReadOnly, "make the folder writable for this user"
	case sq.ResultCorrupt, sq.ResultNotADB:
		kind, hint = fault.Corrupt, "move the file away with its -wal, -shm and .lock, and restore a backup if there is one"
	case sq.ResultFull:
		kind, hint = fault.Unavailable, "free space on the disk"
	case sq.ResultIOErr, sq.ResultNoMem:
		kind = fault.Unavailable
	case sq.ResultTooBig:
		kind = fault.Limit
	case sq.ResultInterrupt:
		kind = fault.Cancelled
	}
	return &fault.Error{Kind: kind, Op: op, Path: path, Msg: "sqlite", Hint: hint, Err: err}
}
