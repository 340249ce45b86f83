package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Version is one immutable version of a graph.
type Version struct {
	Graph    string          `json:"graph"`
	ID       string          `json:"id"`     // digest of the locked spec
	Seq      int             `json:"seq"`    // from 1, in the order of storing
	Label    string          `json:"label"`  // unique in the graph
	Parent   string          `json:"parent"` // id, empty for the first
	Author   string          `json:"author"` // person:NAME, file:PATH, hypothesis:ID
	Evidence json.RawMessage `json:"evidence,omitempty"`
	Created  time.Time       `json:"created"`
	Active   bool            `json:"active"`
	Locked   *graph.Locked   `json:"locked,omitempty"`
}

// Origin says where a new version comes from.
type Origin struct {
	Label    string // wanted; a number is added when it is taken
	Parent   string // id of the version it was made from, empty for the first
	Author   string
	Evidence json.RawMessage
}

// PutVersion stores l as a version of its graph and returns it, with true when
// it is new. A version with the same digest is returned as it was stored.
func (s *Store) PutVersion(ctx context.Context, l *graph.Locked, o Origin) (*Version, bool, error) {
	id := graph.Digest(l)
	body, err := json.Marshal(l)
	if err != nil {
		return nil, false, fault.Wrap(fault.Internal, l.Graph.Name, err, "encode the version")
	}
	evidence := string(o.Evidence)
	if evidence == "" {
		evidence = "null"
	}
	created := false
	err = s.tx(ctx, "store version", func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM versions WHERE graph = ? AND id = ?`, l.Graph.Name, id).Scan(&n); err != nil || n > 0 {
			return err
		}
		label, err := freeLabel(ctx, tx, l.Graph.Name, o.Label)
		if err != nil {
			return err
		}
		created = true
		_, err = tx.ExecContext(ctx, `INSERT INTO versions SELECT ?, ?, coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ?, ?
			FROM versions WHERE graph = ?`, l.Graph.Name, id, label, o.Parent, o.Author, evidence, string(body),
			time.Now().UnixNano(), l.Graph.Name)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	v, err := s.Version(ctx, l.Graph.Name, id)
	return v, created, err
}

// freeLabel returns want, or want with the first free number behind it.
func freeLabel(ctx context.Context, tx *sql.Tx, name, want string) (string, error) {
	if want == "" {
		want = "1.0.0"
	}
	for i, label := 2, want; ; i++ {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM versions WHERE graph = ? AND label = ?`, name, label).Scan(&n); err != nil {
			return "", err
		}
		if n == 0 {
			return label, nil
		}
		sep := "+"
		if strings.Contains(want, "+") {
			sep = "."
		}
		label = want + sep + itoa(i)
	}
}

// Version returns the version of a graph with the given label, id or id prefix
// of at least six digits; "" and "active" mean the active one.
func (s *Store) Version(ctx context.Context, name, version string) (*Version, error) {
	if version == "" || version == "active" {
		return s.Active(ctx, name)
	}
	list, err := s.versions(ctx, `WHERE v.graph = ? AND (v.label = ? OR v.id = ?)`, name, version, version)
	if err == nil && len(list) == 0 && len(version) >= 6 {
		list, err = s.versions(ctx, `WHERE v.graph = ? AND v.id >= ? AND v.id < ?`, name, version, version+"g")
	}
	switch {
	case err != nil:
		return nil, err
	case len(list) == 1:
		return list[0], nil
	case len(list) > 1:
		return nil, fault.New(fault.Invalid, name+"@"+version, "more than one version begins like this").WithHint("give more digits")
	}
	if _, err := s.Active(ctx, name); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.NotFound, name+"@"+version, "graph %q has no such version", name).
		WithHint("`spark graph versions %s` lists them", name)
}

// Active returns the active version of a graph, or NotFound.
func (s *Store) Active(ctx context.Context, name string) (*Version, error) {
	list, err := s.versions(ctx, `WHERE v.graph = ? AND a.id IS NOT NULL`, name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fault.New(fault.NotFound, name, "there is no graph %q", name).
			WithHint("`spark graph list` shows the graphs, `spark graph apply FILE` adds one")
	}
	return list[0], nil
}

// Versions returns every version of a graph, oldest first.
func (s *Store) Versions(ctx context.Context, name string) ([]*Version, error) {
	list, err := s.versions(ctx, `WHERE v.graph = ?`, name)
	if err == nil && len(list) == 0 {
		_, err = s.Active(ctx, name)
	}
	return list, err
}

// Graphs returns the active version of every graph, by name.
func (s *Store) Graphs(ctx context.Context) ([]*Version, error) {
	return s.versions(ctx, `WHERE a.id IS NOT NULL`)
}

func (s *Store) versions(ctx context.Context, where string, args ...any) ([]*Version, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT v.graph, v.id, v.seq, v.label, v.parent, v.author, v.evidence, v.locked, v.created,
		a.id IS NOT NULL FROM versions v LEFT JOIN active a ON a.graph = v.graph AND a.id = v.id `+where+` ORDER BY v.graph, v.seq`, args...)
	if err != nil {
		return nil, dbFault("read versions", err)
	}
	defer rows.Close()
	var list []*Version
	for rows.Next() {
		var v Version
		var evidence, locked string
		var created int64
		if err := rows.Scan(&v.Graph, &v.ID, &v.Seq, &v.Label, &v.Parent, &v.Author, &evidence, &locked, &created, &v.Active); err != nil {
			return nil, dbFault("read versions", err)
		}
		v.Created = time.Unix(0, created).UTC()
		if evidence != "null" {
			v.Evidence = json.RawMessage(evidence)
		}
		if err := json.Unmarshal([]byte(locked), &v.Locked); err != nil {
			return nil, corrupt(v.Graph+"@"+v.Label, err)
		}
		list = append(list, &v)
	}
	return list, dbFault("read versions", rows.Err())
}

// Activate makes version id the active one if expected is active now (empty for
// none). Otherwise it changes nothing and returns Conflict.
func (s *Store) Activate(ctx context.Context, name, id, expected string) error {
	return s.tx(ctx, "activate", func(tx *sql.Tx) error {
		var now string
		err := tx.QueryRowContext(ctx, `SELECT id FROM active WHERE graph = ?`, name).Scan(&now)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if now != expected {
			return fault.New(fault.Conflict, name, "the active version is %.12s, not %.12s", orNone(now), orNone(expected)).
				WithHint("look at `spark graph versions %s` and try again", name)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO active VALUES (?,?,?)
			ON CONFLICT (graph) DO UPDATE SET id = excluded.id, since = excluded.since`, name, id, time.Now().UnixNano())
		return err
	})
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}

// Lineage returns version id of a graph and all it descends from, newest first.
func (s *Store) Lineage(ctx context.Context, name, id string) ([]*Version, error) {
	all, err := s.Versions(ctx, name)
	if err != nil {
		return nil, err
	}
	byID := map[string]*Version{}
	for _, v := range all {
		byID[v.ID] = v
	}
	var line []*Version
	for v := byID[id]; v != nil && len(line) < len(all); v = byID[v.Parent] {
		line = append(line, v)
	}
	return line, nil
}
