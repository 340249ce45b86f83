package postgres

import (
	"context"
	"encoding/json"

	"github.com/sparkrsi/spark/sdk/backend"
)

// good copies all traces but those the server refuses: halves of a refused part
// are tried until single traces are left, which are quarantined. Then it commits.
func (tx *transaction) good(ctx context.Context) error {
	if err := tx.e.encode(tx.p, tx.number, nil); err != nil {
		return err
	}
	if err := tx.halve(ctx, 0, len(tx.e.traces)); err != nil {
		return err
	}
	if err := tx.steps(ctx); err != nil {
		return err
	}
	if len(tx.bad) > 0 {
		report, err := json.Marshal(tx.bad)
		if err != nil {
			return err
		}
		if _, err := tx.c.Exec(ctx, "UPDATE batch SET quarantined = $2 WHERE id = $1", tx.p.ID[:], report); err != nil {
			return err
		}
	}
	return tx.commit(tx.exchange(ctx))
}

func (tx *transaction) halve(ctx context.Context, from, to int) error {
	if from == to {
		return nil
	}
	if _, err := tx.exec(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	rows := tx.exchange(ctx)
	for table := range inTables {
		tx.copy(rows, table, from, to)
	}
	_, _, err := rows.wait()
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
		if tx.out == nil {
			tx.out = map[int]bool{}
		}
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
	if err := tx.e.encode(tx.p, 0, nil); err != nil { // for those that are refused here
		return err
	}
	var report []byte
	if err := tx.c.QueryRow(ctx, "SELECT quarantined FROM batch WHERE id = $1", tx.p.ID[:]).Scan(&report); err != nil || report == nil {
		return err
	}
	return json.Unmarshal(report, &tx.bad)
}
