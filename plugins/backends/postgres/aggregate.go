package postgres

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Bounds of an Aggregate, as backend.Aggregator has them, and how many failures
// of a pattern are looked at for its samples.
const (
	maxPatterns = 1000
	maxMetrics  = 1000
	samples     = 3
	sampleFrom  = 50
)

// Aggregate sums the selected runs up: layout rows inside the database, layout
// packed from the blocks.
func (b *Backend) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	m, err := f.Match()
	if err != nil {
		return nil, err
	}
	if !b.inColumns(m) || !b.enc.rows || m.Limit > 0 || m.Offset > 0 {
		var a backend.Aggregator
		if err := b.scan(ctx, m, (*backend.Reader).Scan, func(t *backend.Trace) bool { a.Add(t); return true }); err != nil {
			return nil, err
		}
		return a.Aggregate(), nil
	}
	var out *backend.Aggregate
	err = b.read(ctx, "aggregate", func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			a := aggregation{tx: tx, m: m, out: &backend.Aggregate{Nodes: map[string]*backend.Stats{}}}
			out = a.out
			// Rows are summed in the order in which they were written, not sorted first. New
			// partitions have no statistics, without which the server shuns parallel plans.
			if _, err := tx.Exec(ctx, "SET LOCAL enable_sort = off; SET LOCAL parallel_tuple_cost = 0; SET LOCAL work_mem = '64MB'", pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			for _, f := range [...]func(context.Context) error{a.steps, a.runs, a.nodes, a.metered, a.failures, a.metrics} {
				if err := f(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// aggregation is one Aggregate under way, in one snapshot of the database.
type aggregation struct {
	tx  pgx.Tx
	m   *backend.Match
	out *backend.Aggregate

	of    []int64                  // the steps that graph, version and run kind select; nil for all
	names map[int64]string         // of nodes
	stats map[int64]*backend.Stats // of nodes
	total float64                  // weighted nanoseconds of all runs
}

// each runs a query and calls f for each of its rows, scanned into dst.
func (a *aggregation) each(ctx context.Context, sql string, w *where, dst []any, f func() error) error {
	rows, err := a.tx.Query(ctx, sql, w.args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, dst, f)
	return err
}

// runsOf returns the conditions on a trace_row t.
func (a *aggregation) runsOf() *where {
	w := &where{}
	w.traces(a.m, true)
	return w
}

// recordsOf returns the conditions on the rows s of a run: those that s can
// answer itself, and for the others that its run is selected.
func (a *aggregation) recordsOf() *where {
	w, m := &where{}, a.m
	w.and(a.of != nil, "s.step = ANY(?)", a.of)
	r := &m.Run
	w.and(r.First > 0, "s.run_start >= ?", time.UnixMicro(micros(r.First)))
	w.and(r.Last < math.MaxInt64, "s.run_start <= ?", time.UnixMicro(micros(r.Last)))
	w.and(!r.Any, "s.run_status = ?", int16(r.Status))
	if m.ID != (backend.ID{}) || r.Min > 0 || r.Max < math.MaxInt64 || m.Node != "" || r.First > 0 && r.First%1000 != 0 || r.Last < math.MaxInt64 && r.Last%1000 != 999 {
		in := where{args: w.args}
		in.traces(m, true)
		w.args = in.args
		w.conds = append(w.conds, "s.trace IN (SELECT t.id FROM trace_row t WHERE "+in.String()+")")
	}
	return w
}

// steps finds the steps that are selected, so that the rows of spans need no join.
func (a *aggregation) steps(ctx context.Context) error {
	w, m := &where{}, a.m
	w.and(m.Graph != "", "graph = ?", quote(m.Graph))
	w.and(m.Name != "", "graph = ?", quote(m.Name))
	w.and(m.Version != "", "version = ?", quote(m.Version))
	w.and(m.RunKind != "", "run_kind = ?", quote(m.RunKind))
	if len(w.conds) > 0 {
		a.of = []int64{}
	}
	a.names, a.stats = map[int64]string{}, map[int64]*backend.Stats{}
	var id, node int64
	var name string
	return a.each(ctx, "SELECT id, node_id, node FROM step WHERE "+w.String(), w, []any{&id, &node, &name}, func() error {
		if a.of != nil {
			a.of = append(a.of, id)
		}
		a.names[node] = unquote(name)
		return nil
	})
}

// runs fills in the figures of the runs.
func (a *aggregation) runs(ctx context.Context) error {
	w := a.runsOf()
	var t backend.Tally
	var status int16
	var n, longest, first, last, unattributed int64
	var weight, nanos, cancelled float64
	found, from, to := false, int64(math.MaxInt64), int64(0)
	err := a.each(ctx, `SELECT status, count(*), sum(weight), sum(weight * (end_ns - start_ns)), max(end_ns - start_ns), min(start_ns), max(start_ns),
		count(*) FILTER (WHERE graph = '') FROM trace_row t WHERE `+w.String()+" GROUP BY bucket, status", w,
		[]any{&status, &n, &weight, &nanos, &longest, &first, &last, &unattributed}, func() error {
			found, from, to = true, min(from, first), max(to, last)
			a.out.Unattributed += unattributed
			if backend.Status(status) == backend.Cancelled {
				cancelled += weight
				return nil
			}
			t.Recorded += n
			t.Durations.Add(longest, weight)
			a.total += nanos
			if backend.Status(status) == backend.Failed {
				t.Failures += weight
			}
			return nil
		})
	if err != nil {
		return err
	}
	if found {
		a.out.First, a.out.Last = time.Unix(0, from).UTC(), time.Unix(0, to).UTC()
	}
	a.out.Runs, a.out.Cancelled = t.Stats(nil), cancelled
	a.out.Runs.Mean = mean(a.total, t.Durations.Count())
	return nil
}

// mean returns seconds for weighted nanoseconds.
func mean(nanos, weight float64) float64 {
	if weight == 0 {
		return 0
	}
	return nanos / weight / 1e9
}

// nodes fills in the durations and outcomes of the steps. Rows are grouped by
// cell, all of which has one node and one weight, and added up here.
func (a *aggregation) nodes(ctx context.Context) error {
	type sums struct {
		backend.Tally
		nanos float64
	}
	w := a.recordsOf()
	all := map[int64]*sums{}
	var node, c, n, longest int64
	var weight, nanos, critical float64
	err := a.each(ctx, `SELECT cell, min(node), min(weight), count(*), sum(duration)::float8, max(duration), sum(critical)::float8
		FROM span_row s WHERE `+w.String()+" GROUP BY cell", w,
		[]any{&c, &node, &weight, &n, &nanos, &longest, &critical}, func() error {
			run, status, hit, step := uncell(c)
			if !step || run == backend.Cancelled {
				return nil
			}
			t := all[node]
			if t == nil {
				t = &sums{}
				all[node] = t
			}
			if status == backend.Cancelled {
				return nil
			}
			count := weight * float64(n)
			t.Recorded += n
			t.Durations.Add(longest, count)
			t.nanos += weight * nanos
			t.Blame += weight * critical
			if status == backend.Failed {
				t.Failures += count
			}
			if hit {
				t.CacheHits += count
			}
			return nil
		})
	for id, t := range all {
		s := t.Stats(nil)
		s.Mean = mean(t.nanos, t.Durations.Count())
		if a.total > 0 {
			s.SelfBlame = t.Blame / a.total
		}
		a.stats[id] = &s
		a.out.Runs.CacheHits += t.CacheHits
		a.out.Nodes[a.names[id]] = &s
	}
	return err
}

// metered fills in what only some steps have, and the sums of it for the runs.
func (a *aggregation) metered(ctx context.Context) error {
	w := a.recordsOf()
	var node int64
	var x backend.Stats
	return a.each(ctx, `SELECT node, coalesce(sum(weight * retries), 0), coalesce(sum(weight * tokens), 0), coalesce(sum(weight * cost_usd), 0) FROM span_row s
		WHERE metered AND seq >= 0 AND run_status <> 3 AND status <> 3 AND `+w.String()+" GROUP BY node", w,
		[]any{&node, &x.Retries, &x.Tokens, &x.Cost}, func() error {
			if s := a.stats[node]; s != nil {
				s.Retries, s.Tokens, s.Cost = x.Retries, x.Tokens, x.Cost
			}
			a.out.Runs.Retries += x.Retries
			a.out.Runs.Tokens += x.Tokens
			a.out.Runs.Cost += x.Cost
			return nil
		})
}

// failures fills in the patterns, each with the first messages and traces of it.
func (a *aggregation) failures(ctx context.Context) error {
	steps := a.recordsOf()
	runs := where{args: steps.args}
	runs.traces(a.m, true)
	type key struct {
		node int64
		kind string
	}
	found := map[key]*backend.Failure{}
	var node int64
	var kind, message string
	var id [16]byte
	var total float64
	err := a.each(ctx, fmt.Sprintf(`WITH failed AS (
			SELECT node, coalesce(error_type, '') AS kind, coalesce(error, '') AS message, trace_id, trace, seq, weight FROM span_row s
			WHERE status = 2 AND seq >= 0 AND run_status <> 3 AND %s
			UNION ALL SELECT 0, coalesce(error_type, ''), coalesce(error, ''), trace_id, id, 0, weight FROM trace_row t WHERE own_failure AND %s
		), ranked AS (
			SELECT node, kind, message, trace_id, row_number() OVER (PARTITION BY node, kind ORDER BY trace, seq) AS place, sum(weight) OVER (PARTITION BY node, kind) AS total
			FROM failed
		) SELECT node, kind, message, trace_id, total FROM ranked WHERE place <= %d ORDER BY node, kind, place`, steps, &runs, sampleFrom), &runs,
		[]any{&node, &kind, &message, &id, &total}, func() error {
			k := key{node, kind}
			f := found[k]
			if f == nil {
				f = &backend.Failure{Node: a.names[node], ErrorType: unquote(kind), Count: total}
				found[k] = f
			}
			text := strings.ToValidUTF8(unquote(message), "\uFFFD")
			if len(f.Samples) < samples && text != "" && !slices.Contains(f.Samples, text) {
				f.Samples = append(f.Samples, text)
			}
			if hex := hex.EncodeToString(id[:]); len(f.Traces) < samples && !slices.Contains(f.Traces, hex) {
				f.Traces = append(f.Traces, hex)
			}
			return nil
		})
	for _, f := range found {
		a.out.Failures = append(a.out.Failures, *f)
	}
	slices.SortFunc(a.out.Failures, func(x, y backend.Failure) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Node, y.Node), cmp.Compare(x.ErrorType, y.ErrorType))
	})
	if len(a.out.Failures) > maxPatterns {
		a.out.Failures = a.out.Failures[:maxPatterns]
	}
	return err
}

// metrics fills in the recorded metrics, one value a run.
func (a *aggregation) metrics(ctx context.Context) error {
	w := a.recordsOf()
	var name string
	var x backend.MetricStat
	var sum float64
	return a.each(ctx, `SELECT name, min(agg), min(unit), sum(weight), sum(weight * run_value), min(run_value), max(run_value) FROM metric_row s
		WHERE run_value IS NOT NULL AND run_status <> 3 AND `+w.String()+fmt.Sprintf(" GROUP BY name ORDER BY min(trace) LIMIT %d", maxMetrics), w,
		[]any{&name, &x.Agg, &x.Unit, &x.Runs, &sum, &x.Min, &x.Max}, func() error {
			if a.out.Metrics == nil {
				a.out.Metrics = map[string]backend.MetricStat{}
			}
			x.Agg, x.Unit, x.Mean = unquote(x.Agg), unquote(x.Unit), sum/x.Runs
			a.out.Metrics[unquote(name)] = x
			return nil
		})
}
