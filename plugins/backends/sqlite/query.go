package sqlite

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"strings"

	sq "zombiezen.com/go/sqlite"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// readChunk is how many blocks are read in one go: between two chunks no read
// transaction is open, so a slow reader never keeps the log from being moved
// into the file.
const readChunk = 256

// reader runs f with a reading connection.
func (b *Backend) reader(ctx context.Context, op string, f func(*sq.Conn) error) error {
	c, err := b.pool.Take(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Wrap(fault.Unavailable, b.path, err, "the backend is closed")
	}
	defer b.pool.Put(c)
	if err := f(c); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return b.fault(err, op)
	}
	return nil
}

// condition is a WHERE clause and what to bind to it.
type condition struct {
	where []string
	args  []any // string, int64 or []byte
}

func (c *condition) and(on bool, cond string, values ...any) {
	if on {
		c.where, c.args = append(c.where, cond), append(c.args, values...)
	}
}

// String returns the clause, empty when everything is selected.
func (c *condition) String() string {
	if len(c.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.where, " AND ")
}

func (c *condition) bind(s *sq.Stmt) {
	for i, v := range c.args {
		switch v := v.(type) {
		case string:
			s.BindText(i+1, v)
		case int64:
			s.BindInt64(i+1, v)
		case []byte:
			s.BindBytes(i+1, v)
		}
	}
}

// conditions returns what m asks of the columns: all that Head looks at but Like.
func conditions(m *backend.Match) *condition {
	c := &condition{}
	c.and(m.Graph != "", "graph = ?", m.Graph)
	c.and(m.Of == "" && m.Name != "", "graph = ?", m.Name)
	c.and(m.Version != "", "version = ?", m.Version)
	c.and(m.RunKind != "", "run_kind = ?", m.RunKind)
	c.and(m.ID != backend.ID{}, withID, mark(m.ID), m.ID[:], m.ID[:], m.ID[:], m.ID[:])
	r := &m.Run
	c.and(!r.Any, "status = ?", int64(r.Status))
	c.and(r.First > 0, "start >= ?", r.First)
	c.and(r.Last < math.MaxInt64, "start <= ?", r.Last)
	c.and(r.Ended > 0, "end >= ?", r.Ended)
	c.and(r.Min > 0, "end - start >= ?", r.Min)
	c.and(r.Max < math.MaxInt64, "end - start <= ?", r.Max)
	return c
}

// inColumns reports whether conditions alone select, so that SQLite can page.
func inColumns(m *backend.Match) bool { return m.HeadOnly() && m.Like == "" && m.By != "cost" }

// selection returns the statement for the ids and graphs of the traces that
// conditions select, in order but for that of costs; one page when inColumns.
func selection(m *backend.Match) (string, *condition) {
	c := conditions(m)
	direction := ""
	if m.Desc {
		direction = " DESC"
	}
	query := "SELECT id, graph FROM traces" + c.String() + " ORDER BY "
	switch m.By {
	case "start":
		query += "start" + direction + ", "
	case "duration":
		query += "end - start" + direction + ", "
	}
	query += "id" + direction
	if inColumns(m) && (m.Limit > 0 || m.Offset > 0) {
		limit := int64(-1)
		if m.Limit > 0 {
			limit = int64(m.Limit)
		}
		query += " LIMIT ? OFFSET ?"
		c.args = append(c.args, limit, int64(m.Offset))
	}
	return query, c
}

// selected returns the ids of selection whose graphs Like selects, too.
func (b *Backend) selected(ctx context.Context, m *backend.Match) (ids []int64, err error) {
	query, cond := selection(m)
	like := m.Of == "" && m.Like != ""
	err = b.reader(ctx, "query", func(c *sq.Conn) error {
		s, err := c.Prepare(query)
		if err != nil {
			return err
		}
		defer s.Reset()
		cond.bind(s)
		for {
			ok, err := s.Step()
			if err != nil || !ok {
				return err
			}
			if !like || backend.Glob(m.Like, s.ColumnText(1)) {
				ids = append(ids, s.ColumnInt64(0))
			}
		}
	})
	return ids, err
}

// scan calls each with every selected trace as read returns it, in memory that
// is used again for the next, until it returns false.
func (b *Backend) scan(ctx context.Context, m *backend.Match, read func(*backend.Reader, []byte) (*backend.Trace, error), each func(*backend.Trace) bool) error {
	ids, err := b.selected(ctx, m)
	if err == nil && m.By == "cost" {
		ids, err = b.byCost(ctx, m, ids)
	}
	if err != nil {
		return err
	}
	page := m.Page()
	if inColumns(m) || m.By == "cost" {
		page = backend.Filter{}.Page() // the ids are one page already
	}
	return b.each(ctx, m.Reader(), ids, read, func(_ int64, t *backend.Trace) bool {
		return !page.Take() || each(t) && !page.Full()
	})
}

// byCost returns the page of ids that m selects, sorted by the cost of the runs:
// the blocks have it, no column.
func (b *Backend) byCost(ctx context.Context, m *backend.Match, ids []int64) ([]int64, error) {
	type keyed struct{ id, key int64 }
	var all []keyed
	err := b.each(ctx, m.Reader(), ids, (*backend.Reader).Scan, func(id int64, t *backend.Trace) bool {
		all = append(all, keyed{id, m.Key(t.Start, t.End, t.Cost())})
		return true
	})
	slices.SortFunc(all, func(x, y keyed) int {
		if m.Desc {
			x, y = y, x
		}
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.id, y.id))
	})
	all = all[min(m.Offset, len(all)):]
	if m.Limit > 0 {
		all = all[:min(m.Limit, len(all))]
	}
	ids = ids[:0]
	for _, x := range all {
		ids = append(ids, x.id)
	}
	return ids, err
}

// each calls f with the selected ones of the traces ids, as read returns them,
// until it returns false.
func (b *Backend) each(ctx context.Context, r *backend.Reader, ids []int64, read func(*backend.Reader, []byte) (*backend.Trace, error),
	f func(int64, *backend.Trace) bool) error {
	var (
		blocks []byte
		ends   []int // of the block of each id; that of a trace pruned meanwhile is empty
	)
	for len(ids) > 0 {
		n := min(readChunk, len(ids))
		blocks, ends = blocks[:0], ends[:0]
		if err := b.blocks(ctx, ids[:n], &blocks, &ends); err != nil {
			return err
		}
		from := 0
		for i, end := range ends {
			if end == from {
				continue
			}
			t, err := read(r, blocks[from:end])
			if err != nil {
				return fault.Wrap("", b.path, err, "read a trace")
			}
			if from = end; t != nil && !f(ids[i], t) {
				return nil
			}
		}
		ids = ids[n:]
	}
	return nil
}

// blocks appends the blocks of ids to buf and where each ends to ends. That of a
// row that was pruned meanwhile is empty.
func (b *Backend) blocks(ctx context.Context, ids []int64, buf *[]byte, ends *[]int) error {
	return b.reader(ctx, "query", func(c *sq.Conn) error {
		s := c.Prep("SELECT block FROM traces WHERE id = ?")
		defer s.Reset()
		for _, id := range ids {
			s.BindInt64(1, id)
			ok, err := s.Step()
			if err != nil {
				return err
			}
			if ok {
				from, n := len(*buf), s.ColumnLen(0)
				*buf = append(*buf, make([]byte, n)...)
				s.ColumnBytes(0, (*buf)[from:])
			}
			*ends = append(*ends, len(*buf))
			if err := s.Reset(); err != nil {
				return err
			}
		}
		return nil
	})
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

func (b *Backend) sketches(ctx context.Context, f backend.Filter) (rows []*backend.Sketch, err error) {
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	page := f.Page()
	err = b.reader(ctx, "query", func(c *sq.Conn) error {
		query := `SELECT epoch, graph, version, version_id, hour, node, seq, data FROM sketches
			WHERE (?1 = '' OR graph = ?1) AND (?2 = '' OR version = ?2) ORDER BY graph, version, hour, node`
		if f.Newest {
			query = strings.Replace(query, "graph, version, hour, node", "hour DESC, graph, version, node", 1)
		}
		s, err := c.Prepare(query)
		if err != nil {
			return err
		}
		defer s.Reset()
		s.BindText(1, f.Graph)
		s.BindText(2, f.Version)
		for !page.Full() {
			ok, err := s.Step()
			if err != nil || !ok {
				return err
			}
			r := &backend.Sketch{Graph: s.ColumnText(1), Version: s.ColumnText(2), VersionID: s.ColumnText(3),
				Hour: s.ColumnInt64(4), Node: s.ColumnText(5), Seq: uint64(s.ColumnInt64(6))}
			if !m.Sketch(r) || !page.Take() {
				continue
			}
			s.ColumnBytes(0, r.Epoch[:])
			r.Data = make([]byte, s.ColumnLen(7))
			s.ColumnBytes(7, r.Data)
			rows = append(rows, r)
		}
		return nil
	})
	return rows, err
}

// Count returns how much the file holds; Bytes is its size.
func (b *Backend) Count(ctx context.Context) (n backend.Counts, err error) {
	err = b.reader(ctx, "query", func(c *sq.Conn) error {
		s := c.Prep(`SELECT traces, spans, events, metrics, unattributed, (SELECT count(*) FROM sketches) FROM totals`)
		defer s.Reset()
		if _, err := s.Step(); err != nil {
			return err
		}
		n = backend.Counts{Traces: s.ColumnInt64(0), Spans: s.ColumnInt64(1), Events: s.ColumnInt64(2), Metrics: s.ColumnInt64(3),
			Unattributed: s.ColumnInt64(4), Sketches: s.ColumnInt64(5)}
		pages, err := pragma(c, "page_count")
		if err != nil {
			return err
		}
		size, err := pragma(c, "page_size")
		n.Bytes = pages * size
		return err
	})
	return n, err
}
