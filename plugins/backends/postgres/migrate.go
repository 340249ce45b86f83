package postgres

import (
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The migrations are schema/N.sql, or schema/N_LAYOUT.sql for one layout only.
// They are never edited once released: a change is a new one.
//
//go:embed schema/*.sql
var files embed.FS

const schemaVersion = 4

// minServer is the oldest server_version_num that has all that is used.
const minServer = 130000

// migration returns the statements of one version for a layout; empty when it
// has none for it.
func migration(version int, layout string) (string, error) {
	entries, err := files.ReadDir("schema")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		number, only, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		if number != strconv.Itoa(version) || only != "" && only != layout {
			continue
		}
		b, err := files.ReadFile("schema/" + e.Name())
		return string(b), err
	}
	return "", nil
}

// migrate brings the schema up to date, in one transaction that hosts which
// start at once run one after the other.
func (b *Backend) migrate(ctx context.Context) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", b.lockKey()); err != nil {
			return err
		}
		version, err := b.version(ctx, tx)
		if err != nil {
			return err
		}
		for v := version + 1; v <= schemaVersion; v++ {
			if err := b.advance(ctx, tx, v); err != nil {
				return err
			}
		}
		return b.sameLayout(ctx, tx)
	})
}

// lockKey is the advisory lock of changes to the schema.
func (b *Backend) lockKey() int64 {
	h := fnv.New64a()
	h.Write([]byte("spark telemetry " + b.c.schema))
	return int64(h.Sum64())
}

// version returns how far the schema is, 0 for one that was just made.
func (b *Backend) version(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var encoding string
	var server int
	var exists, ours bool
	var tables int
	err = tx.QueryRow(ctx, `SELECT current_setting('server_encoding'), current_setting('server_version_num')::int, to_regnamespace($1) IS NOT NULL,
		to_regclass($1 || '.migration') IS NOT NULL, (SELECT count(*) FROM pg_class c WHERE c.relnamespace = to_regnamespace($1))`, b.c.schema).
		Scan(&encoding, &server, &exists, &ours, &tables)
	switch {
	case err != nil:
		return 0, err
	case server < minServer:
		return 0, fault.New(fault.Invalid, b.c.place, "the server has version %d.%d, at least 13 is needed", server/10000, server%10000)
	case encoding != "UTF8":
		return 0, fault.New(fault.Invalid, b.c.place, "the database has the encoding %s", encoding).WithHint("create one with ENCODING 'UTF8'")
	case !exists:
		if _, err = tx.Exec(ctx, "CREATE SCHEMA "+b.c.schema); err != nil {
			return 0, err
		}
	case !ours && tables > 0:
		return 0, fault.New(fault.Invalid, b.c.place, "schema %s is one of something else", b.c.schema).WithHint("choose another schema")
	}
	if !ours {
		_, err = tx.Exec(ctx, "CREATE TABLE migration (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
		return 0, err
	}
	if err = tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM migration").Scan(&version); err != nil {
		return 0, err
	}
	if version > schemaVersion {
		return 0, fault.New(fault.Newer, b.c.place, "schema %s has version %d, this Spark knows %d", b.c.schema, version, schemaVersion).
			WithHint("use the Spark that wrote it, or a later one")
	}
	return version, nil
}

func (b *Backend) advance(ctx context.Context, tx pgx.Tx, v int) error {
	sql, err := migration(v, b.c.layout)
	if err != nil {
		return err
	}
	if v == 1 {
		sql += fmt.Sprintf("; INSERT INTO setting VALUES ('layout', '%s')", b.c.layout)
	} else if err := b.sameLayout(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO migration (version) VALUES ($1)", v)
	return err
}

// sameLayout refuses a layout other than the one the schema was made with.
func (b *Backend) sameLayout(ctx context.Context, tx pgx.Tx) error {
	var layout string
	if err := tx.QueryRow(ctx, "SELECT value FROM setting WHERE name = 'layout'").Scan(&layout); err != nil {
		return err
	}
	if layout != b.c.layout {
		return fault.New(fault.Invalid, "layout", "schema %s was made with the layout %s, not %s", b.c.schema, layout, b.c.layout).
			WithHint("set layout to %s, or choose another schema", layout)
	}
	return nil
}
