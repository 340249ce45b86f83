package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Policy is a stored policy document and the folder its dataset is relative to.
type Policy struct {
	Policy *graph.Policy
	Dir    string
}

// PutPolicy stores p under its name and replaces what was there.
func (s *Store) PutPolicy(ctx context.Context, p *graph.Policy, dir string) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fault.Wrap(fault.Internal, p.Name, err, "encode the policy")
	}
	_, err = s.db.ExecContext(ctx, `INSERT INTO policies VALUES (?,?,?,?) ON CONFLICT (name) DO UPDATE
		SET body = excluded.body, dir = excluded.dir, changed = excluded.changed`, p.Name, string(body), dir, time.Now().UnixNano())
	return dbFault("store policy", err)
}

// Policy returns the policy with this name, or NotFound.
func (s *Store) Policy(ctx context.Context, name string) (*Policy, error) {
	var body string
	p := &Policy{}
	err := s.db.QueryRowContext(ctx, `SELECT body, dir FROM policies WHERE name = ?`, name).Scan(&body, &p.Dir)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, name, "there is no policy %q", name).
			WithHint("`spark graph apply GRAPH.yaml POLICY.yaml` stores one")
	}
	if err != nil {
		return nil, dbFault("read policy", err)
	}
	if err := json.Unmarshal([]byte(body), &p.Policy); err != nil {
		return nil, corrupt("policy "+name, err)
	}
	return p, nil
}

// Record is one entry of the append-only log of what improvement did.
type Record struct {
	Kind    string // hypothesis, experiment, release, experience, ...
	ID      string
	Graph   string
	Body    json.RawMessage
	Created time.Time // set by Append
}

// Append stores a record for ever.
func (s *Store) Append(ctx context.Context, r Record) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO records (kind, id, graph, body, created) VALUES (?,?,?,?,?)`,
		r.Kind, r.ID, r.Graph, string(r.Body), time.Now().UnixNano())
	return dbFault("store record", err)
}

// Records returns the records of a graph of one kind, oldest first; an empty
// kind means every kind.
func (s *Store) Records(ctx context.Context, graph, kind string) ([]Record, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT kind, id, graph, body, created FROM records
		WHERE graph = ? AND (kind = ? OR ? = '') ORDER BY seq`, graph, kind, kind)
	if err != nil {
		return nil, dbFault("read records", err)
	}
	defer rows.Close()
	var list []Record
	for rows.Next() {
		var r Record
		var body string
		var created int64
		if err := rows.Scan(&r.Kind, &r.ID, &r.Graph, &body, &created); err != nil {
			return nil, dbFault("read records", err)
		}
		r.Body, r.Created = json.RawMessage(body), time.Unix(0, created).UTC()
		list = append(list, r)
	}
	return list, dbFault("read records", rows.Err())
}

// DropPolicy removes the policy with this name; it is no error when there is none.
func (s *Store) DropPolicy(ctx context.Context, name string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM policies WHERE name = ?`, name)
	return dbFault("drop policy", err)
}
