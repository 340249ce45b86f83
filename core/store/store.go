// Package store keeps the state of one Spark data folder: modules by digest,
// assets, immutable graph versions with their lineage, the active version of
// each graph, policies, runs with their checkpoints, and the records that
// improvement leaves behind.
//
// Start with Open. A folder belongs to one process at a time. Large bytes are
// files named by their sha256; everything else is one SQLite database. The
// store never changes a version in place and never holds telemetry.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	sqlite "modernc.org/sqlite" // also registers the database/sql driver

	"github.com/sparkrsi/spark/sdk/fault"
)

// Store is an open data folder. Methods are safe for concurrent use.
type Store struct {
	dir    string
	lock   *os.File
	db     *sql.DB
	log    *group    // of what runs write
	append *sql.Stmt // a row of a journal
}

// Open opens the data folder dir and creates it where it is missing. It fails
// with Locked when another process holds the folder, ReadOnly when it cannot be
// written, Newer when a later Spark wrote it and Corrupt when the database does
// not verify; in each case the folder is left as it was. Close the store.
func Open(ctx context.Context, dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, dir, err, "resolve the data folder")
	}
	for _, sub := range []string{"", "modules", "assets", "cache"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, folderFault(filepath.Join(dir, sub), err)
		}
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	db, err := openDB(ctx, filepath.Join(dir, "spark.db"))
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &Store{dir: dir, lock: lock, db: db, log: &group{db: db}}
	if s.append, err = db.PrepareContext(ctx, appendRow); err != nil {
		return nil, errors.Join(dbFault("open", err), s.Close())
	}
	return s, nil
}

// Dir returns the absolute path of the data folder.
func (s *Store) Dir() string { return s.dir }

// CacheDir returns a private folder for what can be made again.
func (s *Store) CacheDir() string { return filepath.Join(s.dir, "cache") }

// Close ends the store and frees the folder. A second call returns nil.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	err := s.db.Close()
	// The lock goes last: nobody else may open the database before it is closed.
	err = errors.Join(err, s.lock.Close())
	s.lock = nil
	return err
}

// acquire takes the folder's advisory lock, which ends with the process however
// it ends. The file holds the owner's pid for the message of the next one.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, folderFault(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner := make([]byte, 32)
		n, _ := f.Read(owner)
		f.Close()
		who := "another process"
		if n > 0 {
			who = "process " + string(owner[:n])
		}
		return nil, fault.New(fault.Locked, dir, "the data folder is in use by %s", who).
			WithHint("end that process, or name another folder with --data-dir")
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d", os.Getpid()), 0)
		if err != nil {
			f.Close()
			return nil, folderFault(path, err)
		}
	}
	return f, nil
}

// folderFault words an error of the file system about the data folder.
func folderFault(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return &fault.Error{Kind: fault.ReadOnly, Path: path, Msg: "the data folder cannot be written", Err: err,
			Hint: "make the folder writable for this user, or name another one with --data-dir"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &fault.Error{Kind: fault.Limit, Path: path, Msg: "the disk is full", Err: err,
			Hint: "free space and try again; nothing was changed"}
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, os.ErrExist):
		return &fault.Error{Kind: fault.Invalid, Path: path, Msg: "the data folder is not a folder", Err: err,
			Hint: "name a folder with --data-dir"}
	}
	return &fault.Error{Kind: fault.Internal, Path: path, Msg: "the data folder cannot be used", Err: err,
		Hint: "name another folder with --data-dir"}
}

// dbFault words a database error.
func dbFault(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var fe *fault.Error
	if errors.As(err, &fe) {
		return err
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff {
		case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
			return fault.Wrap(fault.Transient, "spark.db", err, "%s: the database is busy", op)
		case 8: // SQLITE_READONLY
			return &fault.Error{Kind: fault.ReadOnly, Op: op, Path: "spark.db", Msg: "the database cannot be written", Err: err,
				Hint: "make the data folder writable for this user"}
		case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
			return corrupt("spark.db", err)
		case 13: // SQLITE_FULL
			return &fault.Error{Kind: fault.Limit, Op: op, Path: "spark.db", Msg: "the disk is full", Err: err,
				Hint: "free space and try again; nothing was changed"}
		}
	}
	return fault.Wrap(fault.Internal, "spark.db", err, "%s", op)
}

func corrupt(path string, err error) error {
	return &fault.Error{Kind: fault.Corrupt, Path: path, Msg: "the file is damaged or is not a Spark database", Err: err,
		Hint: "it was left untouched: restore a backup, or name another folder with --data-dir"}
}
