package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
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
	var number int64
	if err := b.pool.QueryRow(ctx, "SELECT nextval('arrival')").Scan(&number); err != nil {
		return nil, err
	}
	if err := b.enc.encode(p, number); err != nil {
		return nil, err
	}
	if err := b.ensure(ctx, b.enc.days()); err != nil {
		return nil, err
	}
	bad, err := b.store(ctx, p, (*transaction).all)
	if _, is := poison(err); is {
		bad, err = b.store(ctx, p, (*transaction).good)
	}
	return bad, err
}

// store runs one transaction; put copies the rows.
func (b *Backend) store(ctx context.Context, p *backend.Packed, put func(*transaction, context.Context) error) ([]backend.Quarantined, error) {
	c, err := b.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release() // ends the connection when the transaction is still open
	tx := &transaction{b: b, id: p.ID, e: &b.enc, c: c.Conn(), out: make([]bool, len(b.enc.traces))}
	fresh, err := tx.claim(ctx)
	if err == nil && fresh {
		err = put(tx, ctx)
	}
	if err == nil && fresh {
		err = tx.steps(ctx)
	}
	if err == nil && fresh {
		err = tx.sketches(ctx, p.Sketches)
	}
	if err == nil && fresh {
		err = tx.commit(ctx)
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

// transaction writes the batch of an encoder.
type transaction struct {
	b   *Backend
	id  backend.ID
	e   *encoder
	c   *pgx.Conn
	out []bool                // by trace: refused by the server
	bad []backend.Quarantined // these
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

// claim begins, notes the batch id and reports whether it is new. When another
// transaction with this id is under way it waits for its end.
func (tx *transaction) claim(ctx context.Context) (bool, error) {
	begin := "BEGIN; "
	if tx.b.c.async {
		begin += "SET LOCAL synchronous_commit = off; "
	}
	n, err := tx.exec(ctx, fmt.Sprintf("%sINSERT INTO batch (id) VALUES ('%x') ON CONFLICT DO NOTHING", begin, tx.id))
	return n == 1, err
}

// all copies all traces.
func (tx *transaction) all(ctx context.Context) error { return tx.copy(ctx, 0, len(tx.e.traces)) }

// copy sends the rows of the traces from to to-1.
func (tx *transaction) copy(ctx context.Context, from, to int) error {
	if from == to {
		return nil
	}
	for i, table := range tables {
		rows := tx.e.part(i, from, to)
		if len(rows) == 0 {
			continue
		}
		all := io.MultiReader(bytes.NewReader(copyHead), bytes.NewReader(rows), bytes.NewReader(copyTail))
		_, err := tx.c.PgConn().CopyFrom(ctx, all, "COPY "+table+" ("+columns[i]+") FROM STDIN (FORMAT binary)")
		if err != nil {
			return err
		}
	}
	return nil
}

// good copies all traces but those the server refuses: halves of a refused part
// are tried until single traces are left, which are quarantined.
func (tx *transaction) good(ctx context.Context) error {
	if err := tx.halve(ctx, 0, len(tx.e.traces)); err != nil || len(tx.bad) == 0 {
		return err
	}
	report, err := json.Marshal(tx.bad)
	if err != nil {
		return err
	}
	_, err = tx.c.Exec(ctx, "UPDATE batch SET quarantined = $2 WHERE id = $1", tx.id[:], report)
	return err
}

func (tx *transaction) halve(ctx context.Context, from, to int) error {
	if from == to {
		return nil
	}
	if _, err := tx.exec(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	err := tx.copy(ctx, from, to)
	if err == nil {
		_, err = tx.exec(ctx, "RELEASE part")
		return err
	}
	reason, is := poison(err)
	if !is {
		return err
	}
	if _, err := tx.exec(ctx, "ROLLBACK TO part; RELEASE part"); err != nil {
		return err
	}
	if to-from == 1 {
		x := &tx.e.traces[from]
		tx.out[from] = true
		tx.bad = append(tx.bad, backend.Quarantined{Index: x.index, Record: x.name, Reason: "the server refuses it: " + reason})
		return nil
	}
	middle := (from + to) / 2
	if err := tx.halve(ctx, from, middle); err != nil {
		return err
	}
	return tx.halve(ctx, middle, to)
}

// refused finds what the server refused when the batch was written before.
func (tx *transaction) refused(ctx context.Context) error {
	var report []byte
	if err := tx.c.QueryRow(ctx, "SELECT quarantined FROM batch WHERE id = $1", tx.id[:]).Scan(&report); err != nil || report == nil {
		return err
	}
	return json.Unmarshal(report, &tx.bad)
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

// commit adds to the totals and ends the transaction. When the connection is lost
// nobody here knows whether it did: the batch is written again, by retry or by the
// caller, and claim finds out.
func (tx *transaction) commit(ctx context.Context) error {
	results, err := tx.c.PgConn().Exec(ctx, tx.totals()+"COMMIT").ReadAll()
	if err != nil {
		return err
	}
	if tag := results[len(results)-1].CommandTag.String(); tag != "COMMIT" {
		return fmt.Errorf("the server answered the commit with %s", tag)
	}
	return nil
}

// totals returns the statements that add the traces to their days.
func (tx *transaction) totals() string {
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
	var sql strings.Builder
	for _, day := range tx.e.days() { // in order, so that hosts do not wait in a circle
		if n := days[day]; n != nil {
			fmt.Fprintf(&sql, "INSERT INTO day VALUES ('%s', %d, %d, %d, %d, %d, %d, %d) ON CONFLICT (day, shard) DO UPDATE SET traces = day.traces + excluded.traces, "+
				"spans = day.spans + excluded.spans, events = day.events + excluded.events, metrics = day.metrics + excluded.metrics, "+
				"unattributed = day.unattributed + excluded.unattributed, last_end = greatest(day.last_end, excluded.last_end); ",
				date(day).Format(time.DateOnly), tx.b.shard, n.Traces, n.Spans, n.Events, n.Metrics, n.Unattributed, n.end)
		}
	}
	return sql.String()
}
