package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Module is one stored module without its bytes.
type Module struct {
	Digest   string        `json:"digest"` // sha256, hex
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Size     int64         `json:"size"`
	Trusted  bool          `json:"trusted"` // shipped with Spark
	Source   string        `json:"source"`  // where it came from: stock, a file
	Added    time.Time     `json:"added"`
	Manifest *abi.Manifest `json:"manifest"`
}

// PutModule stores wasm under its sha256 with its manifest m. It returns the
// stored module and whether it is new. Storing the same bytes again changes
// nothing, except that bytes shipped with Spark become trusted.
func (s *Store) PutModule(ctx context.Context, wasm []byte, m *abi.Manifest, trusted bool, source string) (*Module, bool, error) {
	sum := sha256.Sum256(wasm)
	digest := hex.EncodeToString(sum[:])
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, false, fault.Wrap(fault.Internal, digest, err, "encode the manifest")
	}
	if err := writeFile(s.modulePath(digest), wasm); err != nil {
		return nil, false, err
	}
	now := time.Now()
	created := false
	err = s.tx(ctx, "store module", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO modules VALUES (?,?,?,?,?,?,?,?)
			ON CONFLICT (digest) DO NOTHING`, digest, m.Name, m.Version, len(wasm), trusted, source, string(manifest), now.UnixNano())
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n == 0 {
			if !trusted {
				return nil
			}
			_, err = tx.ExecContext(ctx, `UPDATE modules SET trusted = 1 WHERE digest = ?`, digest)
			return err
		}
		created = true
		for i := range m.Nodes {
			if _, err := tx.ExecContext(ctx, `INSERT INTO node_types VALUES (?,?,?,?)`,
				m.Nodes[i].Type, m.Nodes[i].Version, digest, now.UnixNano()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	mod, err := s.Module(ctx, digest)
	return mod, created, err
}

// Module returns the module with the given digest or a unique prefix of at
// least six digits, or NotFound.
func (s *Store) Module(ctx context.Context, digest string) (*Module, error) {
	if len(digest) < 6 {
		return nil, fault.New(fault.Invalid, "module", "digest %q has %d digits, want at least 6", digest, len(digest))
	}
	mods, err := s.modules(ctx, "WHERE digest >= ? AND digest < ?", digest, digest+"g")
	switch {
	case err != nil:
		return nil, err
	case len(mods) == 0:
		return nil, fault.New(fault.NotFound, "module", "no module with digest %s", digest).
			WithHint("`spark module list` shows what is stored")
	case len(mods) > 1:
		return nil, fault.New(fault.Invalid, "module", "digest %s is not unique", digest).WithHint("give more digits")
	}
	return mods[0], nil
}

// Modules returns every stored module, oldest first.
func (s *Store) Modules(ctx context.Context) ([]*Module, error) { return s.modules(ctx, "") }

func (s *Store) modules(ctx context.Context, where string, args ...any) ([]*Module, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT digest, name, version, size, trusted, source, manifest, added FROM modules `+
		where+` ORDER BY added, digest`, args...)
	if err != nil {
		return nil, dbFault("list modules", err)
	}
	defer rows.Close()
	var list []*Module
	for rows.Next() {
		var m Module
		var manifest string
		var added int64
		if err := rows.Scan(&m.Digest, &m.Name, &m.Version, &m.Size, &m.Trusted, &m.Source, &manifest, &added); err != nil {
			return nil, dbFault("list modules", err)
		}
		m.Added = time.Unix(0, added).UTC()
		if err := json.Unmarshal([]byte(manifest), &m.Manifest); err != nil {
			return nil, corrupt("modules/"+m.Digest, err)
		}
		list = append(list, &m)
	}
	return list, dbFault("list modules", rows.Err())
}

// Wasm returns the bytes of the module with the full digest and verifies them.
func (s *Store) Wasm(digest string) ([]byte, error) {
	path := s.modulePath(digest)
	wasm, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.New(fault.NotFound, path, "the bytes of module %.12s are missing", digest).
			WithHint("push the module again")
	}
	if err != nil {
		return nil, folderFault(path, err)
	}
	if sum := sha256.Sum256(wasm); hex.EncodeToString(sum[:]) != digest {
		return nil, fault.New(fault.Corrupt, path, "the bytes do not match the digest").WithHint("push the module again")
	}
	return wasm, nil
}

// Resolve returns what the reference ref (type@range) means today: the highest
// version of the node type that the range admits; among equal versions a
// trusted module, then the newest.
func (s *Store) Resolve(ctx context.Context, ref string) (graph.Lock, *abi.NodeType, error) {
	r, err := graph.ParseRef(ref)
	if err != nil {
		return graph.Lock{}, nil, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT t.version, t.digest FROM node_types t JOIN modules m USING (digest)
		WHERE t.type = ? ORDER BY m.trusted DESC, t.added DESC, t.digest`, r.Type)
	if err != nil {
		return graph.Lock{}, nil, dbFault("resolve", err)
	}
	defer rows.Close()
	var versions []string
	digests := map[string]string{} // of each version the preferred module
	for rows.Next() {
		var version, digest string
		if err := rows.Scan(&version, &digest); err != nil {
			return graph.Lock{}, nil, dbFault("resolve", err)
		}
		if digests[version] == "" {
			versions, digests[version] = append(versions, version), digest
		}
	}
	if err := rows.Err(); err != nil {
		return graph.Lock{}, nil, dbFault("resolve", err)
	}
	rows.Close()
	version := r.Range.Best(versions)
	if version == "" {
		return graph.Lock{}, nil, unresolved(ref, r.Type, versions)
	}
	best := graph.Lock{Type: r.Type, Version: version, Digest: digests[version]}
	nt, err := s.NodeType(ctx, best)
	return best, nt, err
}

// NodeType returns the manifest entry of a lock.
func (s *Store) NodeType(ctx context.Context, l graph.Lock) (*abi.NodeType, error) {
	m, err := s.Module(ctx, l.Digest)
	if err != nil {
		return nil, err
	}
	for i := range m.Manifest.Nodes {
		if t := &m.Manifest.Nodes[i]; t.Type == l.Type && t.Version == l.Version {
			return t, nil
		}
	}
	return nil, fault.New(fault.NotFound, "module", "module %.12s has no node type %s@%s", l.Digest, l.Type, l.Version)
}

func unresolved(ref, typ string, seen []string) error {
	if len(seen) == 0 {
		return fault.New(fault.NotFound, ref, "no module offers node type %q", typ).
			WithHint("`spark module list` shows what is stored, `spark module push FILE` adds one")
	}
	return fault.New(fault.NotFound, ref, "no stored version of %q fits: there is %v", typ, seen).
		WithHint("change the range, or push a module that fits")
}

func (s *Store) modulePath(digest string) string {
	return filepath.Join(s.dir, "modules", digest+".wasm")
}
