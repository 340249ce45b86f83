package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/sparkrsi/spark/sdk/fault"
)

// applicationID marks the file as Spark state ("SPRK"); schemaVersion counts
// the migrations below.
const (
	applicationID = 0x5350524b
	schemaVersion = 4
)

// migrations[i] leads from schema version i to i+1, each in one transaction.
var migrations = []string{`
CREATE TABLE modules (
  digest TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL,
  trusted INTEGER NOT NULL, source TEXT NOT NULL, manifest TEXT NOT NULL, added INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE node_types (
  type TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL REFERENCES modules(digest), added INTEGER NOT NULL,
  PRIMARY KEY (type, version, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE versions (
  graph TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, label TEXT NOT NULL, parent TEXT NOT NULL,
  author TEXT NOT NULL, evidence TEXT NOT NULL, locked TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY (graph, id), UNIQUE (graph, seq), UNIQUE (graph, label)
) STRICT, WITHOUT ROWID;
CREATE TABLE active (
  graph TEXT PRIMARY KEY, id TEXT NOT NULL, since INTEGER NOT NULL,
  FOREIGN KEY (graph, id) REFERENCES versions(graph, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
  name TEXT PRIMARY KEY, body TEXT NOT NULL, dir TEXT NOT NULL, changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, graph TEXT NOT NULL, body TEXT NOT NULL,
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX records_by_graph ON records (graph, kind, seq);
`, `
CREATE TABLE runs (
  id TEXT PRIMARY KEY, graph TEXT NOT NULL, version TEXT NOT NULL, label TEXT NOT NULL, status TEXT NOT NULL,
  input BLOB, waiting TEXT NOT NULL, deadline INTEGER NOT NULL, error TEXT NOT NULL, steps INTEGER NOT NULL,
  created INTEGER NOT NULL, changed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_status ON runs (status, created);
CREATE TABLE journal (
  run TEXT NOT NULL REFERENCES runs(id), seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE runs ADD COLUMN trace TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN output BLOB;
CREATE INDEX runs_by_deadline ON runs (deadline) WHERE deadline > 0;
`, `
ALTER TABLE runs ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN taken_at INTEGER NOT NULL DEFAULT -1;
`}

// openDB opens, verifies and migrates the database at path.
func openDB(ctx context.Context, path string) (*sql.DB, error) {
	fresh := false
	if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		fresh = true
	} else if err != nil {
		return nil, folderFault(path, err)
	} else if err := inspect(path, info.Size()); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"+
		"&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_pragma=journal_size_limit(4194304)"+
		"&_pragma=secure_delete(ON)") // what is removed of a run is user data: its bytes go, too
	if err != nil {
		return nil, fault.Wrap(fault.Internal, path, err, "open the database")
	}
	// One connection: the state is small, and every write is its own short
	// transaction, so a pool would only add lock conflicts.
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db, path, fresh); err != nil {
		db.Close()
		return nil, err
	}
	// The driver creates files by the umask, and they hold inputs of runs.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			db.Close()
			return nil, folderFault(path+suffix, err)
		}
	}
	return db, nil
}

// inspect looks at the header of the file before the driver opens it, since the
// driver would already change a foreign or newer one.
func inspect(path string, size int64) error {
	if size == 0 {
		// SQLite takes an empty file for an empty database. Ours never is: a
		// truncated one must not read as a fresh folder.
		return corrupt(path, errors.New("the file is empty"))
	}
	f, err := os.Open(path)
	if err != nil {
		return folderFault(path, err)
	}
	defer f.Close()
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); err != nil || string(h[:16]) != "SQLite format 3\x00" {
		return corrupt(path, errors.New("the file has no SQLite header"))
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil // the header may lag behind the log: prepare asks the driver
	}
	app, version := int(binary.BigEndian.Uint32(h[68:])), int(binary.BigEndian.Uint32(h[60:]))
	if app == 0 && version == 0 && size <= 4096 {
		return nil // one page holds no table yet: prepare finishes what a kill cut short
	}
	return checkHeader(path, app, version)
}

// checkHeader refuses a database that is not ours or is newer than we are.
func checkHeader(path string, app, version int) error {
	switch {
	case app != applicationID:
		return corrupt(path, errors.New("another program's database"))
	case version > schemaVersion:
		return fault.New(fault.Newer, path, "the data folder has schema version %d, this Spark knows up to %d", version, schemaVersion).
			WithHint("use the newer Spark that wrote it, or name another folder with --data-dir")
	}
	return nil
}

func prepare(ctx context.Context, db *sql.DB, path string, fresh bool) error {
	var app, version int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return dbFault("open", err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return dbFault("open", err)
	}
	if !fresh && app == 0 && version == 0 {
		// A kill between creating the file and the first migration leaves a
		// database without a single table, which is as good as none.
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			return dbFault("open", err)
		}
		fresh = n == 0
	}
	if !fresh {
		if err := checkHeader(path, app, version); err != nil {
			return err
		}
	}
	if !fresh {
		var verdict string
		if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
			return dbFault("open", err)
		}
		if verdict != "ok" {
			return corrupt(path, errors.New(verdict))
		}
	}
	for v := version; v < schemaVersion; v++ {
		if err := migrate(ctx, db, v); err != nil {
			return err
		}
	}
	return nil
}

// migrate runs migration v and its new version number in one transaction.
func migrate(ctx context.Context, db *sql.DB, v int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return dbFault("migrate", err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, migrations[v]); err != nil {
		return dbFault("migrate", err)
	}
	for _, pragma := range []string{
		sqlPragma("application_id", applicationID), sqlPragma("user_version", v+1),
	} {
		if _, err := tx.ExecContext(ctx, pragma); err != nil {
			return dbFault("migrate", err)
		}
	}
	return dbFault("migrate", tx.Commit())
}
