package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// PutAsset stores the bytes of r by their sha256 and returns the lock of an
// asset called name.
func (s *Store) PutAsset(name string, r io.Reader) (graph.AssetLock, error) {
	dir := filepath.Join(s.dir, "assets")
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return graph.AssetLock{}, folderFault(dir, err)
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	size, err := io.Copy(tmp, teeReader{r, h})
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return graph.AssetLock{}, folderFault(dir, err)
	}
	l := graph.AssetLock{Name: name, Digest: hex.EncodeToString(h.Sum(nil)), Size: size}
	if err := os.Rename(tmp.Name(), s.AssetPath(l.Digest)); err != nil {
		return graph.AssetLock{}, folderFault(dir, err)
	}
	return l, nil
}

// AssetPath returns the file that holds the asset with this digest.
func (s *Store) AssetPath(digest string) string { return filepath.Join(s.dir, "assets", digest) }

// HasAsset returns nil when the asset is there with its size.
func (s *Store) HasAsset(l graph.AssetLock) error {
	info, err := os.Stat(s.AssetPath(l.Digest))
	if err != nil || info.Size() != l.Size {
		return fault.New(fault.NotFound, "assets."+l.Name, "the bytes of asset %q (sha256 %.12s) are missing or damaged", l.Name, l.Digest).
			WithHint("apply the graph again beside its asset file")
	}
	return nil
}

type teeReader struct {
	r io.Reader
	h hash.Hash
}

func (t teeReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.h.Write(p[:n])
	return n, err
}

// writeFile writes data to path so that the file is there whole or not at all.
// A file with other content under a name that is a digest is damaged, and is
// written anew.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return folderFault(path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return folderFault(path, err)
	}
	return nil
}

// tx runs f in one transaction.
func (s *Store) tx(ctx context.Context, op string, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return dbFault(op, err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return dbFault(op, err)
	}
	return dbFault(op, tx.Commit())
}

func sqlPragma(name string, v int) string { return fmt.Sprintf("PRAGMA %s = %d", name, v) }

func itoa(i int) string { return strconv.Itoa(i) }
