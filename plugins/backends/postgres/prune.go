package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sparkrsi/spark/sdk/backend"
)

const pruneChunk = 5000 // runs removed in one transaction where no partition can be dropped

// Prune removes runs and statistics that ended before t: whole days by dropping
// their partitions, the rest in short transactions.
func (b *Backend) Prune(ctx context.Context, t time.Time) (int64, error) {
	if b.closed.Load() {
		return 0, b.gone()
	}
	var days []int64
	err := b.retry(ctx, "prune", func(ctx context.Context) (err error) {
		rows, err := b.pool.Query(ctx, "SELECT DISTINCT day - date '1970-01-01' FROM day WHERE day <= $1 ORDER BY 1", t.UTC())
		if err == nil {
			days, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		return err
	})
	removed := int64(0)
	for _, day := range days {
		n, e := b.pruneDay(ctx, day, t.UnixNano())
		removed += n
		if err == nil {
			err = e
		}
	}
	if err != nil {
		return removed, err
	}
	return removed, b.retry(ctx, "prune", func(ctx context.Context) error {
		if _, err := b.pool.Exec(ctx, "DELETE FROM sketch WHERE hour < $1", t.UnixNano()/int64(time.Hour)); err != nil {
			return err
		}
		return b.forget(ctx)
	})
}

// pruneDay removes what ended before a time from one day. It does not repeat a
// transaction that may have happened: the count would be wrong.
func (b *Backend) pruneDay(ctx context.Context, day, before int64) (int64, error) {
	once := func(f func(context.Context) (int64, error)) (int64, error) {
		ctx, cancel := b.deadline(ctx)
		defer cancel()
		n, err := f(ctx)
		return n, b.fault(ctx, err, "prune")
	}
	dropped := false
	removed, err := once(func(ctx context.Context) (n int64, err error) {
		n, dropped, err = b.drop(ctx, day, before)
		return n, err
	})
	for err == nil && !dropped {
		var n int64
		n, err = once(func(ctx context.Context) (int64, error) { return b.remove(ctx, day, before) })
		removed += n
		if n < pruneChunk {
			break
		}
	}
	return removed, err
}

// drop drops the partitions of a day when all its runs ended before a time, and
// reports whether it did.
func (b *Backend) drop(ctx context.Context, day, before int64) (n int64, dropped bool, err error) {
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		over := func() (is, alone bool, err error) {
			err = tx.QueryRow(ctx, `SELECT coalesce(max(last_end) < $2, false), coalesce(sum(traces), 0)::bigint, to_regclass($3) IS NOT NULL
				FROM day WHERE day = date '1970-01-01' + $1::int`, day, before, b.c.schema+"."+partition(tables[0], day)).Scan(&is, &n, &alone)
			return is, alone, err
		}
		if is, alone, err := over(); err != nil || !is || !alone {
			return err
		}
		// Writers finish first; those that come later find no partition and write to that of other days.
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", lockTime.Milliseconds(),
			strings.Join(b.tables(), ", ONLY ")), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		is, _, err := over()
		if err != nil || !is {
			return err
		}
		var stray int64 // runs of the day in the partition of other days
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM trace_row_other WHERE start >= $1 AND start < $2", date(day), date(day+1)).Scan(&stray); err != nil || stray > 0 {
			return err
		}
		for _, table := range b.tables() {
			if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+partition(table, day)); err != nil {
				return err
			}
		}
		dropped = true
		_, err = tx.Exec(ctx, "DELETE FROM day WHERE day = date '1970-01-01' + $1::int", day)
		return err
	})
	if err != nil || !dropped {
		return 0, false, err
	}
	b.mu.Lock()
	delete(b.days, day)
	b.mu.Unlock()
	return n, true, nil
}

// remove deletes up to pruneChunk runs of a day that ended before a time.
func (b *Backend) remove(ctx context.Context, day, before int64) (n int64, err error) {
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `DELETE FROM trace_row t USING (SELECT id FROM trace_row WHERE start >= $1 AND start < $2 AND end_ns < $3 ORDER BY id LIMIT $4 FOR UPDATE) old
			WHERE t.id = old.id AND t.start >= $1 AND t.start < $2 RETURNING t.id, t.spans, t.events, t.metrics, t.graph = ''`, date(day), date(day+1), before, pruneChunk)
		if err != nil {
			return err
		}
		var ids []int64
		var sum backend.Counts
		var id int64
		var one backend.Counts
		var unattributed bool
		_, err = pgx.ForEachRow(rows, []any{&id, &one.Spans, &one.Events, &one.Metrics, &unattributed}, func() error {
			ids = append(ids, id)
			sum.Add(one)
			sum.Traces++
			if unattributed {
				sum.Unattributed++
			}
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, table := range b.tables()[1:] {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE run_start >= $1 AND run_start < $2 AND trace = ANY($3)", date(day), date(day+1), ids); err != nil {
				return err
			}
		}
		n = sum.Traces
		// The shard of this host may go below zero: only the sum of all has a meaning.
		_, err = tx.Exec(ctx, `INSERT INTO day VALUES (date '1970-01-01' + $1::int, $2, -$3::bigint, -$4::bigint, -$5::bigint, -$6::bigint, -$7::bigint, 0)
			ON CONFLICT (day, shard) DO UPDATE SET traces = day.traces + excluded.traces, spans = day.spans + excluded.spans, events = day.events + excluded.events,
			metrics = day.metrics + excluded.metrics, unattributed = day.unattributed + excluded.unattributed`,
			day, b.shard, sum.Traces, sum.Spans, sum.Events, sum.Metrics, sum.Unattributed)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
