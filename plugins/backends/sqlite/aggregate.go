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
// several readers, in parts of the time that are splitEach times as many.
const (
	splitAbove = 2000
	splitEach  = 4
)

// Aggregate sums the selected traces up, on all cores when there are many.
func (b *Backend) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	if m.Node != "" || m.ID != (backend.ID{}) || m.Limit > 0 || m.Offset > 0 {
		var s backend.Scanner
		var a backend.Aggregator
		if err := b.scan(ctx, m, s.Scan, func(t *backend.Trace) bool { a.Add(t); return true }); err != nil {
			return nil, err
		}
		return a.Aggregate(), nil
	}
	workers := min(readers, runtime.GOMAXPROCS(0))
	bounds, err := b.bounds(ctx, workers*splitEach)
	if err != nil {
		return nil, err
	}
	parts := make([]backend.Aggregator, len(bounds)+1)
	errs := make([]error, len(parts))
	var next atomic.Int64
	var done sync.WaitGroup
	for range min(workers, len(parts)) {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(parts); i = int(next.Add(1)) - 1 {
				errs[i] = b.part(ctx, m, bounds, i, &parts[i])
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

// bounds returns times that split all traces into n parts of about one size, by
// looking at traces at equal distances in the order of arrival; none when there
// are few.
func (b *Backend) bounds(ctx context.Context, n int) (at []int64, err error) {
	err = b.reader(ctx, "query", func(c *sq.Conn) error {
		first, err := number(c, "SELECT min(id) FROM traces")
		if err != nil {
			return err
		}
		last, err := number(c, "SELECT max(id) FROM traces")
		if err != nil || last-first < splitAbove {
			return err
		}
		s := c.Prep("SELECT start FROM traces WHERE id >= ? ORDER BY id LIMIT 1")
		defer s.Reset()
		for i := 1; i < n; i++ {
			s.BindInt64(1, first+(last-first)/int64(n)*int64(i))
			if ok, err := s.Step(); err != nil || !ok {
				return err
			}
			at = append(at, s.ColumnInt64(0))
			if err := s.Reset(); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(at)
	return slices.Compact(at), err
}

// part sums up the selected traces that start between bounds[i-1] and bounds[i].
func (b *Backend) part(ctx context.Context, m *backend.Match, bounds []int64, i int, a *backend.Aggregator) error {
	cond := conditions(m)
	if i > 0 {
		cond.and(true, "start >= ?", bounds[i-1])
	}
	if i < len(bounds) {
		cond.and(true, "start < ?", bounds[i])
	}
	index := "traces_by_start"
	if m.Graph != "" && m.Version != "" {
		index = "traces_by_version"
	}
	query := fmt.Sprintf("SELECT block FROM traces INDEXED BY %s%s ORDER BY start", index, cond)
	var d backend.Scanner
	var buf []byte
	return b.reader(ctx, "query", func(c *sq.Conn) error {
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
