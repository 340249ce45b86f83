package sqlite

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	sq "zombiezen.com/go/sqlite"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// splitAbove is how many traces a file must hold for an aggregate to be made by
// several readers, in parts that are splitEach times as many.
const (
	splitAbove = 2000
	splitEach  = 4
	looksEach  = 8 // traces looked at for each part
)

// Aggregate sums the selected traces up, on all cores when there are many.
func (b *Backend) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	if !inColumns(m) || m.ID != (backend.ID{}) || m.Limit > 0 || m.Offset > 0 {
		var a backend.Aggregator
		if err := b.scan(ctx, m, (*backend.Reader).Scan, func(t *backend.Trace) bool { a.Add(t); return true }); err != nil {
			return nil, err
		}
		return a.Aggregate(), nil
	}
	workers := min(readers, runtime.GOMAXPROCS(0))
	cuts, err := b.cut(ctx, m, workers*splitEach)
	if err != nil {
		return nil, err
	}
	parts := make([]backend.Aggregator, len(cuts.at)+1)
	errs := make([]error, len(parts))
	var next atomic.Int64
	var done sync.WaitGroup
	for range min(workers, len(parts)) {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(parts); i = int(next.Add(1)) - 1 {
				errs[i] = b.part(ctx, m, cuts, i, &parts[i])
			}
		})
	}
	done.Wait()
	for i := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if i > 0 {
			parts[0].Merge(&parts[i])
		}
	}
	return parts[0].Aggregate(), nil
}

// cuts split the traces into parts by the values of a column.
type cuts struct {
	column string // start, or id
	index  string // how the parts are read
	at     []int64
}

// cut splits all traces into n parts of about one size by looking at traces at
// equal distances in the order of arrival; there are none when there are few.
// When most of those that it looks at are selected the parts are read as they lie
// in the file, else through an index.
func (b *Backend) cut(ctx context.Context, m *backend.Match, n int) (c cuts, err error) {
	err = b.reader(ctx, "query", func(conn *sq.Conn) error {
		first, err := number(conn, "SELECT min(id) FROM traces")
		if err != nil {
			return err
		}
		last, err := number(conn, "SELECT max(id) FROM traces")
		if err != nil || last-first < splitAbove {
			return err
		}
		s := conn.Prep("SELECT start, graph, version FROM traces WHERE id >= ? ORDER BY id LIMIT 1")
		defer s.Reset()
		var ids, starts []int64
		hits, looks := 0, n*looksEach
		for i := 1; i < looks; i++ {
			id := first + (last-first)/int64(looks)*int64(i)
			s.BindInt64(1, id)
			if ok, err := s.Step(); err != nil || !ok {
				return err
			}
			start := s.ColumnInt64(0)
			if (m.Graph == "" || s.ColumnText(1) == m.Graph) && (m.Version == "" || s.ColumnText(2) == m.Version) &&
				start >= m.Run.First && start <= m.Run.Last {
				hits++
			}
			if i%looksEach == 0 {
				ids, starts = append(ids, id), append(starts, start)
			}
			if err := s.Reset(); err != nil {
				return err
			}
		}
		c = cuts{column: "id", index: "NOT INDEXED", at: ids}
		if hits*2 < looks {
			slices.Sort(starts)
			c = cuts{column: "start", index: "INDEXED BY traces_by_start", at: slices.Compact(starts)}
			if m.Graph != "" && m.Version != "" {
				c.index = "INDEXED BY traces_by_version"
			}
		}
		return nil
	})
	return c, err
}

// part sums up the selected traces between the cuts i-1 and i.
func (b *Backend) part(ctx context.Context, m *backend.Match, c cuts, i int, a *backend.Aggregator) error {
	cond := conditions(m)
	if i > 0 {
		cond.and(true, c.column+" >= ?", c.at[i-1])
	}
	if i < len(c.at) {
		cond.and(true, c.column+" < ?", c.at[i])
	}
	query := fmt.Sprintf("SELECT block FROM traces %s%s", c.index, cond)
	if len(c.at) == 0 {
		query = "SELECT block FROM traces" + cond.String()
	}
	var d backend.Scanner
	var buf []byte
	return b.reader(ctx, "query", func(conn *sq.Conn) error {
		s, err := conn.Prepare(query)
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
			if n := s.ColumnLen(0); n > len(buf) {
				buf = make([]byte, 2*n)
			}
			t, err := d.Scan(buf[:s.ColumnBytes(0, buf)])
			if err != nil {
				return fault.Wrap("", b.path, err, "read a trace")
			}
			a.Add(t)
		}
	})
}
