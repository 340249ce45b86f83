package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Write stores a batch; see backend.Writer.
func (b *Backend) Write(ctx context.Context, batch *backend.Batch) ([]backend.Quarantined, error) {
	return b.WritePacked(ctx, backend.Pack(batch))
}

// WritePacked stores a batch in one transaction. Blocks that do not decode, and
// traces whose rows the server refuses, are quarantined.
func (b *Backend) WritePacked(ctx context.Context, p *backend.Packed) (bad []backend.Quarantined, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return nil, b.gone()
	}
	b.dirty = true
	err = b.retry(ctx, "write", func(ctx context.Context) error {
		bad, err = b.write(ctx, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(bad, func(x, y backend.Quarantined) int { return cmp.Compare(x.Index, y.Index) })
	return bad, nil
}

func (b *Backend) write(ctx context.Context, p *backend.Packed) ([]backend.Quarantined, error) {
	if err := b.maintain(ctx, time.Now()); err != nil {
		return nil, err
	}
	bad, err := b.store(ctx, p, (*transaction).all)
	if err == errDay {
		if err = b.enc.encode(p, 0, nil); err == nil {
			err = b.ensure(ctx, b.enc.days())
		}
		if err == nil {
			bad, err = b.store(ctx, p, (*transaction).all)
		}
	}
	if _, is := poison(err); is {
		bad, err = b.store(ctx, p, (*transaction).good)
	}
	return bad, err
}

// errDay says that a run is of a day whose partitions were not seen to: they
// cannot be made while the transaction writes.
var errDay = errors.New("a new day")

// store runs one transaction; put makes the rows, copies them and commits.
func (b *Backend) store(ctx context.Context, p *backend.Packed, put func(*transaction, context.Context) error) ([]backend.Quarantined, error) {
	c, err := b.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release() // ends the connection when the transaction is still open
	tx := &transaction{b: b, p: p, e: &b.enc, c: c.Conn()}
	fresh, err := tx.claim(ctx)
	if err == nil && fresh {
		err = tx.sketches(ctx, p.Sketches)
	}
	if err == nil && fresh {
		err = put(tx, ctx)
	}
	if err == nil && !fresh {
		err = tx.refused(ctx)
	}
	if err != nil || !fresh {
		tx.rollback(ctx)
	}
	if err != nil {
		return nil, err
	}
	if fresh {
		b.enc.stored()
	}
	return append(slices.Clone(b.enc.bad), tx.bad...), nil
}

// transaction writes one batch.
type transaction struct {
	b      *Backend
	p      *backend.Packed
	number int64 // of the batch, in the order of arrival
	e      *encoder
	c      *pgx.Conn
	out    map[int]bool          // traces, as the encoder counts them, that the server refused
	bad    []backend.Quarantined // these
}

// exec runs statements without parameters in one exchange and returns the rows
// that the last one changed.
func (tx *transaction) exec(ctx context.Context, sql string) (int64, error) {
	results, err := tx.c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return 0, err
	}
	return results[len(results)-1].CommandTag.RowsAffected(), nil
}

func (tx *transaction) rollback(ctx context.Context) {
	if !tx.c.IsClosed() && tx.c.PgConn().TxStatus() != 'I' {
		tx.exec(ctx, "ROLLBACK") // when it fails the connection ends, and the transaction with it
	}
}

// Statements that every batch runs, prepared once a connection.
const (
	claimName = "spark claim"
	claimSQL  = "INSERT INTO batch (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING nextval('arrival')"
	totalName = "spark total"
	totalSQL  = `INSERT INTO day VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (day, shard) DO UPDATE SET traces = day.traces + excluded.traces,
		spans = day.spans + excluded.spans, events = day.events + excluded.events, metrics = day.metrics + excluded.metrics,
		unattributed = day.unattributed + excluded.unattributed, last_end = greatest(day.last_end, excluded.last_end)`
)

func (tx *transaction) exchange(ctx context.Context) *exchange {
	return &exchange{ctx: ctx, c: tx.c.PgConn(), buf: tx.e.sent[:0]}
}

// claim begins, notes the batch id and reports whether it is new; if so it has a
// number. When another transaction with this id is under way it waits for its end.
func (tx *transaction) claim(ctx context.Context) (bool, error) {
	for _, s := range [...][2]string{{claimName, claimSQL}, {totalName, totalSQL}} {
		if _, err := tx.c.Prepare(ctx, s[0], s[1]); err != nil {
			return false, err
		}
	}
	begin := "BEGIN"
	if tx.b.c.async {
		begin += "; SET LOCAL synchronous_commit = off"
	}
	x := tx.exchange(ctx)
	x.query(begin)
	x.execute(claimName, [][]byte{[]byte(hex.EncodeToString(tx.p.ID[:]))})
	x.sync()
	row, _, err := x.wait()
	if err != nil || len(row) == 0 {
		return false, err
	}
	if tx.number, err = strconv.ParseInt(string(row[0]), 10, 64); err != nil {
		return false, fmt.Errorf("the server counted %q batches", row[0])
	}
	return true, nil
}

// copySQL names no columns: thirty names a batch are a twentieth of what the
// server does for a small one.
func copySQL(table int) string { return "COPY " + tables[table] + " FROM STDIN (FORMAT binary)" }

// all makes and copies the rows of all traces and commits. The server takes those
// of the largest table while the next are made.
func (tx *transaction) all(ctx context.Context) error {
	x, large, sent := tx.exchange(ctx), inTraces, 0
	if tx.e.rows {
		large = inSpans
	}
	push := func(least int) {
		rows := tx.e.out[large][sent:]
		if len(rows) < least {
			return
		}
		if sent == 0 {
			x.query(copySQL(large))
		}
		x.copy(rows, sent == 0, false)
		sent += len(rows)
		x.send()
	}
	err := tx.e.encode(tx.p, tx.number, func(t *encoded) error {
		if !tx.b.days[t.day] {
			return errDay
		}
		push(copyChunk)
		return nil
	})
	if push(1); sent > 0 {
		x.copy(nil, false, true)
	}
	if err != nil {
		x.wait()
		return err
	}
	if len(tx.e.fresh) > 0 {
		if _, _, err := x.wait(); err != nil {
			return err
		}
		if err := tx.steps(ctx); err != nil {
			return err
		}
		x = tx.exchange(ctx)
	}
	for table := range inTables {
		if table != large {
			tx.copy(x, table, 0, len(tx.e.traces))
		}
	}
	return tx.commit(x)
}

// copy appends the rows of the traces from to to-1 for a table.
func (tx *transaction) copy(x *exchange, table, from, to int) {
	if rows := tx.e.part(table, from, to); len(rows) > 0 {
		x.query(copySQL(table))
		x.copy(rows, true, true)
	}
}

// steps stores the steps that are not stored for certain, in the order of their
// ids: hosts that store the same ones wait for each other, never in a circle.
func (tx *transaction) steps(ctx context.Context) error {
	keys := tx.e.fresh
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, func(x, y stepKey) int { return cmp.Compare(tx.e.steps[x].id, tx.e.steps[y].id) })
	ids, nodes := make([]int64, len(keys)), make([]int64, len(keys))
	var texts [10][]string
	for i := range keys {
		s := tx.e.steps[keys[i]]
		ids[i], nodes[i] = s.id, s.node
		for k, v := range keys[i].texts() {
			texts[k] = append(texts[k], quote(v))
		}
	}
	args := []any{ids, nodes}
	for _, v := range texts {
		args = append(args, v)
	}
	_, err := tx.c.Exec(ctx, `INSERT INTO step (id, node_id, graph, version, version_id, graph_type, environment, run_kind, node, node_type, type_version, digest)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
		ON CONFLICT DO NOTHING`, args...)
	return err
}

// sketches stores each row whose sequence is the highest.
func (tx *transaction) sketches(ctx context.Context, rows []backend.Sketch) error {
	if len(rows) == 0 {
		return nil
	}
	newest := map[[16]byte]*backend.Sketch{}
	for i := range rows {
		r := &rows[i]
		var hour [8]byte
		for k := range hour {
			hour[k] = byte(r.Hour >> (8 * k))
		}
		full := digest([]string{string(r.Epoch[:]), r.Graph, r.Version, r.VersionID, r.Node, string(hour[:])})
		id := [16]byte(full[:16])
		if old := newest[id]; old == nil || r.Seq > old.Seq {
			newest[id] = r
		}
	}
	ids := make([][16]byte, 0, len(newest))
	for id := range newest {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) })
	var epochs [][16]byte
	var graphs, versions, versionIDs, nodes []string
	var hours, seqs []int64
	var data [][]byte
	for _, id := range ids {
		r := newest[id]
		epochs = append(epochs, r.Epoch)
		graphs, versions = append(graphs, quote(r.Graph)), append(versions, quote(r.Version))
		versionIDs, nodes = append(versionIDs, quote(r.VersionID)), append(nodes, quote(r.Node))
		hours, seqs, data = append(hours, r.Hour), append(seqs, int64(r.Seq)), append(data, r.Data)
	}
	_, err := tx.c.Exec(ctx, `INSERT INTO sketch (id, epoch, graph, version, version_id, hour, node, seq, data)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::bytea[])
		ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, data = excluded.data WHERE sketch.seq < excluded.seq`,
		ids, epochs, graphs, versions, versionIDs, hours, nodes, seqs, data)
	return err
}

// commit adds to the totals and ends the transaction, after what x holds. When
// the connection is lost nobody here knows whether it did: the batch is written
// again, by retry or by the caller, and claim finds out.
func (tx *transaction) commit(x *exchange) error {
	if days := tx.totals(); len(days) > 0 {
		for _, d := range days {
			x.execute(totalName, d)
		}
		x.sync()
	}
	x.query("COMMIT")
	_, tag, err := x.wait()
	if err == nil && tag != "COMMIT" {
		err = fmt.Errorf("the server answered the commit with %s", tag)
	}
	tx.e.sent = x.buf
	return err
}

// totals returns what the traces add to each of their days, in the order of the
// days, so that hosts do not wait in a circle.
func (tx *transaction) totals() (params [][][]byte) {
	type total struct {
		backend.Counts
		end int64
	}
	days := map[int64]*total{}
	for i := range tx.e.traces {
		x := &tx.e.traces[i]
		if tx.out[i] {
			continue
		}
		if days[x.day] == nil {
			days[x.day] = &total{}
		}
		days[x.day].Add(x.count)
		days[x.day].end = max(days[x.day].end, x.end)
	}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		n := days[day]
		p := [][]byte{[]byte(date(day).Format(time.DateOnly))}
		for _, v := range [...]int64{int64(tx.b.shard), n.Traces, n.Spans, n.Events, n.Metrics, n.Unattributed, n.end} {
			p = append(p, strconv.AppendInt(nil, v, 10))
		}
		params = append(params, p)
	}
	return params
}
