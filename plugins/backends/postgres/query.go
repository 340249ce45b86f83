package postgres

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// A chunk of blocks is read in one go: between two no connection is held, so a
// slow reader keeps nothing from anybody. Chunks grow while they are small.
const (
	firstChunk = 64 // rows
	minChunk   = 8
	maxChunk   = 8192
	smallChunk = 2 << 20 // bytes
	largeChunk = 16 << 20
)

// read runs f with a connection that is not the last one. F must be harmless when
// repeated.
func (b *Backend) read(ctx context.Context, op string, f func(context.Context, *pgx.Conn) error) error {
	if b.closed.Load() {
		return b.gone()
	}
	select {
	case b.reading <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.reading }()
	return b.retry(ctx, op, func(ctx context.Context) error {
		return b.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return f(ctx, c.Conn()) })
	})
}

// where gathers conditions; each ? in one stands for the next argument.
type where struct {
	conds []string
	args  []any
}

func (w *where) and(on bool, cond string, args ...any) {
	if !on {
		return
	}
	for _, a := range args {
		w.args = append(w.args, a)
		cond = strings.Replace(cond, "?", fmt.Sprintf("$%d", len(w.args)), 1)
	}
	w.conds = append(w.conds, cond)
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return "true"
	}
	return strings.Join(w.conds, " AND ")
}

// traces adds the conditions of m on a trace_row t. Layout packed has no typed
// rows: there, what columns do not tell is asked of the decoded trace.
func (w *where) traces(m *backend.Match, rows bool) {
	w.and(m.Graph != "", "t.graph = ?", quote(m.Graph))
	w.and(m.Version != "", "t.version = ?", quote(m.Version))
	w.and(m.RunKind != "", "t.run_kind = ?", quote(m.RunKind))
	w.and(m.ID != backend.ID{}, `t.id IN (SELECT id FROM trace_row WHERE trace_id = ?
		UNION SELECT id FROM trace_row WHERE run_id = ? AND run_id <> trace_id)`, m.ID[:], m.ID[:])
	if m.Of == "" {
		w.named("t.graph", m, "")
	}
	r := &m.Run
	w.and(!r.Any, "t.status = ?", int16(r.Status))
	w.and(r.First > 0, "t.start >= ? AND t.start_ns >= ?", time.UnixMicro(micros(r.First)), r.First)
	w.and(r.Last < math.MaxInt64, "t.start <= ? AND t.start_ns <= ?", time.UnixMicro(micros(r.Last)), r.Last)
	w.and(r.Ended > 0, "t.end_ns >= ?", r.Ended)
	w.and(r.Min > 0, "t.end_ns - t.start_ns >= ?", r.Min)
	w.and(r.Max < math.MaxInt64, "t.end_ns - t.start_ns <= ?", r.Max)
	if !rows {
		return
	}
	id := nodeID(m.Node)
	w.and(m.Node != "" && m.Of != backend.OfSpans, `(EXISTS (SELECT FROM span_row s WHERE s.trace = t.id AND s.run_start = t.start AND s.node = ?)
		OR EXISTS (SELECT FROM metric_row s WHERE s.trace = t.id AND s.run_start = t.start AND s.node = ?))`, id, id)
	w.records(m)
}

// chunk is some blocks in order.
type chunk struct {
	blocks []byte
	ends   []int
	last   int64 // id of the last
	more   bool  // there may be rows after it
}

// fetch reads the next chunk.
func (b *Backend) fetch(ctx context.Context, sql string, args []any, limit int, c *chunk) error {
	return b.read(ctx, "query", func(ctx context.Context, conn *pgx.Conn) error {
		c.blocks, c.ends, c.more = c.blocks[:0], c.ends[:0], false
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var id int64
		n := 0
		for rows.Next() {
			if n++; len(c.blocks) > largeChunk {
				c.more = true
				continue // read on to the end of the answer, keep none of it
			}
			var block pgtype.DriverBytes
			if err := rows.Scan(&id, &block); err != nil {
				return err
			}
			c.last = id
			c.blocks = append(c.blocks, block...)
			c.ends = append(c.ends, len(c.blocks))
		}
		c.more = c.more || n == limit
		return rows.Err()
	})
}

// inColumns reports whether the conditions of where.traces are exact, so that the
// database can page.
func (b *Backend) inColumns(m *backend.Match) bool {
	return m.Lean() && m.Like == "" && (m.Node == "" || b.enc.rows)
}

// scan calls each with every selected trace, as read returns it, until it
// returns false.
func (b *Backend) scan(ctx context.Context, m *backend.Match, read func(*backend.Reader, []byte) (*backend.Trace, error), each func(*backend.Trace) bool) error {
	page := m.Page()
	if b.inColumns(m) {
		page = backend.Filter{Limit: m.Limit}.Page()
	}
	var p plan
	var err error
	if m.By == "" {
		p = &arrival{b: b, m: m}
	} else if p, err = b.sorted(ctx, m); err != nil {
		return err
	}
	var c chunk
	r := m.Reader()
	size := firstChunk
	for more := true; more; {
		if more, err = p.next(ctx, &c, size); err != nil {
			return err
		}
		from := 0
		for _, end := range c.ends {
			t, err := read(r, c.blocks[from:end])
			if err != nil {
				return fault.Wrap("", b.c.place, err, "read a trace")
			}
			from = end
			if t == nil || !page.Take() {
				continue
			}
			if !each(t) || page.Full() {
				return nil
			}
		}
		switch n := len(c.blocks); {
		case n < smallChunk:
			size = min(4*size, maxChunk)
		case n > largeChunk:
			size = max(size/4, minChunk)
		}
	}
	return nil
}

// plan reads the blocks that where.traces selects, in order.
type plan interface {
	// next reads up to size blocks and reports whether there may be more.
	next(ctx context.Context, c *chunk, size int) (bool, error)
}

// arrival is the plan for the order of arrival: each chunk goes on behind the last
// id of the one before.
type arrival struct {
	b     *Backend
	m     *backend.Match
	begun bool
}

func (p *arrival) next(ctx context.Context, c *chunk, size int) (bool, error) {
	var w where
	w.traces(p.m, p.b.enc.rows)
	order := "ASC"
	if p.m.Desc {
		order = "DESC"
		w.and(p.begun, "t.id < ?", c.last)
	} else {
		w.and(p.begun, "t.id > ?", c.last)
	}
	exact := p.b.inColumns(p.m)
	if p.m.Limit > 0 && exact {
		size = min(size, p.m.Limit)
	}
	sql := fmt.Sprintf("SELECT t.id, t.block FROM trace_row t WHERE %s ORDER BY t.id %s LIMIT %d", &w, order, size)
	if !p.begun && exact && p.m.Offset > 0 {
		sql += fmt.Sprintf(" OFFSET %d", p.m.Offset)
	}
	p.begun = true
	err := p.b.fetch(ctx, sql, w.args, size, c)
	return c.more, err
}

// byID is the plan for another order: the ids are known, and one page when the
// conditions are exact.
type byID struct {
	b   *Backend
	ids []int64
}

// sorted returns the plan for the order of m.By.
func (b *Backend) sorted(ctx context.Context, m *backend.Match) (*byID, error) {
	var w where
	w.traces(m, b.enc.rows)
	key := map[string]string{"start": "t.start_ns", "duration": "t.end_ns - t.start_ns",
		"cost": "CASE WHEN t.cost_usd = 'NaN' THEN 0 ELSE t.cost_usd END"}[m.By]
	direction := "ASC"
	if m.Desc {
		direction = "DESC"
	}
	sql := fmt.Sprintf("SELECT t.id FROM trace_row t WHERE %s ORDER BY %s %s, t.id %s", &w, key, direction, direction)
	if b.inColumns(m) {
		if m.Limit > 0 {
			sql += fmt.Sprintf(" LIMIT %d", m.Limit)
		}
		sql += fmt.Sprintf(" OFFSET %d", m.Offset)
	}
	p := &byID{b: b}
	err := b.read(ctx, "query", func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, w.args...)
		if err == nil {
			p.ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		return err
	})
	return p, err
}

func (p *byID) next(ctx context.Context, c *chunk, size int) (bool, error) {
	ids := p.ids[:min(size, len(p.ids))]
	err := p.b.fetch(ctx, `SELECT t.id, t.block FROM unnest($1::bigint[]) WITH ORDINALITY AS u (id, n) JOIN trace_row t ON t.id = u.id ORDER BY u.n`,
		[]any{ids}, len(ids), c)
	if err != nil {
		return false, err
	}
	// Either all were read, or those up to the last that had room.
	n := len(ids)
	if len(c.ends) > 0 && len(c.blocks) > largeChunk {
		n = slices.Index(ids, c.last) + 1
	}
	p.ids = p.ids[n:]
	return len(p.ids) > 0, nil
}

// Traces yields the selected traces; see backend.Querier.
func (b *Backend) Traces(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Trace, error] {
	return func(yield func(*backend.Trace, error) bool) {
		m, err := f.Match()
		if err == nil {
			err = b.scan(ctx, m, (*backend.Reader).Read, func(t *backend.Trace) bool { return yield(t.Clone(), nil) })
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Sketches yields the selected rows of statistics, by graph, version and hour.
func (b *Backend) Sketches(ctx context.Context, f backend.Filter) iter.Seq2[*backend.Sketch, error] {
	return func(yield func(*backend.Sketch, error) bool) {
		rows, err := b.sketches(ctx, f)
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (b *Backend) sketches(ctx context.Context, f backend.Filter) (out []*backend.Sketch, err error) {
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	const hour = int64(time.Hour)
	var w where
	w.and(m.Graph != "", "left(graph, 64) = left(?, 64) AND graph = ?", quote(m.Graph), quote(m.Graph))
	w.and(m.Version != "", "version = ?", quote(m.Version))
	w.and(m.Node != "", "node = ?", quote(m.Node))
	w.and(m.Run.First > 0, "hour >= ?", m.Run.First/hour) // an hour counts when any of it lies between
	w.and(m.Run.Last < math.MaxInt64, "hour <= ?", m.Run.Last/hour)
	sql := fmt.Sprintf("SELECT epoch, graph, version, version_id, hour, node, seq, data FROM sketch WHERE %s ORDER BY ", &w)
	if f.Newest {
		sql += "hour DESC, graph, version, node, id"
	} else {
		sql += "graph, version, hour, node, id"
	}
	if f.Limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	sql += fmt.Sprintf(" OFFSET %d", f.Offset)
	err = b.read(ctx, "query", func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, w.args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*backend.Sketch, error) {
			var s backend.Sketch
			var seq int64
			err := row.Scan((*[16]byte)(&s.Epoch), &s.Graph, &s.Version, &s.VersionID, &s.Hour, &s.Node, &seq, &s.Data)
			s.Graph, s.Version, s.VersionID, s.Node, s.Seq = unquote(s.Graph), unquote(s.Version), unquote(s.VersionID), unquote(s.Node), uint64(seq)
			return &s, err
		})
		return err
	})
	return out, err
}

// Count returns how much the schema holds; Bytes is its size on the server's disk.
func (b *Backend) Count(ctx context.Context) (n backend.Counts, err error) {
	err = b.read(ctx, "query", func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT coalesce(sum(traces), 0)::bigint, coalesce(sum(spans), 0)::bigint, coalesce(sum(events), 0)::bigint, coalesce(sum(metrics), 0)::bigint,
			coalesce(sum(unattributed), 0)::bigint, (SELECT count(*) FROM sketch),
			(SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r') FROM day`).
			Scan(&n.Traces, &n.Spans, &n.Events, &n.Metrics, &n.Unattributed, &n.Sketches, &n.Bytes)
	})
	return n, err
}
