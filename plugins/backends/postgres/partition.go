package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	dayNanos  = int64(24 * time.Hour)
	ahead     = 2   // days whose partitions are made before they begin
	pastDays  = 750 // older runs, of data that moves in, share one partition
	daysCache = 4096
)

// tables are those with partitions a day, in the order in which they are locked.
var tables = [...]string{"trace_row", "span_row", "event_row", "metric_row"}

// tables returns the partitioned tables of the layout.
func (b *Backend) tables() []string {
	if b.c.layout == layoutPacked {
		return tables[:1]
	}
	return tables[:]
}

func date(day int64) time.Time { return time.Unix(day*int64(24*time.Hour/time.Second), 0).UTC() }

func partition(table string, day int64) string { return table + "_" + date(day).Format("20060102") }

// ensure sees to the partitions of days, all counted from 1970. A day without
// one, because it lies far off or a reader held the table for long, is no harm:
// its rows go to the partition of other days.
func (b *Backend) ensure(ctx context.Context, days []int64) error {
	today := time.Now().UnixNano() / dayNanos
	for _, day := range days {
		if b.days[day] {
			continue
		}
		if day >= today-pastDays && day <= today+ahead {
			if err := b.create(ctx, day); err != nil {
				return err
			}
		}
		if len(b.days) >= daysCache {
			clear(b.days)
		}
		b.days[day] = true
	}
	return nil
}

// create makes the partitions of a day, each in a transaction of its own: it
// never holds one table while it waits for another.
func (b *Backend) create(ctx context.Context, day int64) error {
	for _, table := range b.tables() {
		err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d; SELECT pg_advisory_xact_lock(%d);
				CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')`, lockTime.Milliseconds(), b.lockKey(),
				partition(table, day), table, date(day).Format(time.RFC3339), date(day+1).Format(time.RFC3339)), pgx.QueryExecModeSimpleProtocol)
			return err
		})
		var server *pgconn.PgError
		if errors.As(err, &server) && (server.Code == "55P03" || server.Code == "23514") {
			continue // a reader holds the table, or the day has rows among the others already
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maintain makes the partitions of the coming days and forgets old batch ids,
// once a day.
func (b *Backend) maintain(ctx context.Context, now time.Time) error {
	if now.Sub(b.kept) < 6*time.Hour {
		return nil
	}
	today := now.UnixNano() / dayNanos
	days := make([]int64, 0, ahead+1)
	for d := today; d <= today+ahead; d++ {
		days = append(days, d)
	}
	if err := b.ensure(ctx, days); err != nil {
		return err
	}
	if err := b.forget(ctx); err != nil {
		return err
	}
	b.kept = now
	return nil
}

func (b *Backend) forget(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, "DELETE FROM batch WHERE at < now() - make_interval(secs => $1)", keepBatches.Seconds())
	return err
}
