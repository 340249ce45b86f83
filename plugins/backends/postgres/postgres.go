// Package postgres is a telemetry backend in a schema of a PostgreSQL database,
// version 13 or later, that several hosts may write at once.
//
// Every run is one row with its packed block, from which traces are read back
// exactly. The layout rows, the default, adds a typed row a span, event and
// metric point in daily partitions, with the views traces, spans, events and
// metrics for psql and Grafana, and computes aggregates inside the database. The
// layout packed leaves these out, for volume. Whoever reads only needs USAGE of
// the schema and SELECT on the views.
//
// A batch is one transaction that also notes the batch id: repeating a batch
// whose fate is unknown is harmless. What Write acknowledged is as durable as
// the server makes a commit, unless async_commit is set; what Flush acknowledged
// is on the server's disk. Passwords appear in no error text.
package postgres

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

const (
	keepBatches = 24 * time.Hour  // batch ids are recognised for at least so long
	lockTime    = 3 * time.Second // a change of partitions waits for readers
	shards      = 16              // of the totals
)

// Backend is an open schema. Safe for concurrent use.
type Backend struct {
	c       settings
	pool    *pgxpool.Pool
	reading chan struct{} // a token a reader: one connection is left to the writer
	shard   int
	closed  atomic.Bool

	mu    sync.Mutex // guards the fields below and orders writes
	enc   encoder
	days  map[int64]bool // whose partitions were seen to
	kept  time.Time      // when maintain ran last
	dirty bool           // something was written since the last flush
}

var (
	_ backend.Writer       = (*Backend)(nil)
	_ backend.PackedWriter = (*Backend)(nil)
	_ backend.Querier      = (*Backend)(nil)
	_ backend.Retention    = (*Backend)(nil)
)

// Info is what the backend says of itself.
var Info = backend.Info{Name: "postgres", Version: "1.0.0",
	Capabilities: backend.Capabilities{Persistent: true, Idempotent: true, Queryable: true, Retention: true, Filters: true}}

// Describe returns Info.
func (b *Backend) Describe() backend.Info { return Info }

// Serve runs the backend as a plugin process until the host ends it.
func Serve() error { return backend.Serve(Info, Open) }

// Open returns the backend for a configuration, a JSON object as Config; the
// schema is made or brought up to date. Faults: Invalid for a wrong configuration
// or a schema of something else, Unavailable when the server does not answer,
// Denied for a wrong password or a missing right, NotFound for a database that
// does not exist, Newer when a later Spark made the schema.
func Open(config []byte) (backend.Writer, error) {
	c, err := parse(config)
	if err != nil {
		return nil, err
	}
	b := &Backend{c: *c, reading: make(chan struct{}, c.pool.MaxConns-1), shard: rand.IntN(shards), days: map[int64]bool{}}
	b.enc.rows = c.layout == layoutRows
	ctx, cancel := context.WithTimeout(context.Background(), c.connectTimeout+c.statementTimeout)
	defer cancel()
	if b.pool, err = pgxpool.NewWithConfig(ctx, c.pool); err != nil {
		return nil, b.fault(ctx, err, "open")
	}
	if err = b.migrate(ctx); err == nil {
		err = b.maintain(ctx, time.Now())
	}
	if err != nil {
		b.pool.Close()
		return nil, b.fault(ctx, err, "open")
	}
	return b, nil
}

// Flush returns once everything written is on the server's disk: a commit that
// is waited for takes all earlier ones with it.
func (b *Backend) Flush(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return b.gone()
	}
	return b.flush(ctx)
}

func (b *Backend) flush(ctx context.Context) error {
	if !b.dirty {
		return ctx.Err()
	}
	err := b.retry(ctx, "flush", func(ctx context.Context) error {
		_, err := b.pool.Exec(ctx, `WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true))
			INSERT INTO setting SELECT 'flushed', now() FROM durable ON CONFLICT (name) DO UPDATE SET value = excluded.value`)
		return err
	})
	b.dirty = err != nil
	return err
}

// Close flushes and ends all connections. A second call does nothing.
func (b *Backend) Close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return nil
	}
	err := b.flush(ctx)
	b.closed.Store(true)
	b.pool.Close()
	return err
}

func (b *Backend) gone() error {
	return fault.New(fault.Unavailable, b.c.place, "the backend is closed")
}

// deadline bounds one exchange with the server; ctx may bound it further. The
// server gives up first, so that its reason is the one that is heard.
func (b *Backend) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.c.connectTimeout+b.c.statementTimeout+time.Second)
}

// retry runs f, and once more when the connection it used was dead: after a
// restart of the server each pooled connection fails once. F must be harmless
// when repeated.
func (b *Backend) retry(ctx context.Context, op string, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := b.deadline(ctx)
	defer cancel()
	err := f(ctx)
	if lost(err) && ctx.Err() == nil {
		b.pool.Reset()
		err = f(ctx)
	}
	return b.fault(ctx, err, op)
}
