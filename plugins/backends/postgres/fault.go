package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sparkrsi/spark/sdk/fault"
)

// fault gives an error of pgx its kind and place, and takes the password out of
// its text.
func (b *Backend) fault(ctx context.Context, err error, op string) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	kind, hint := classify(ctx, err)
	if b.c.secret != "" && strings.Contains(err.Error(), b.c.secret) {
		err = errors.New(strings.ReplaceAll(err.Error(), b.c.secret, "(password)"))
	}
	return &fault.Error{Kind: kind, Op: op, Path: b.c.place, Msg: "postgres", Hint: hint, Err: err}
}

// misfit is the code for rows with other columns than their table has.
const misfit = "22P04"

func classify(ctx context.Context, err error) (kind fault.Kind, hint string) {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch code := server.Code; {
		case errors.Is(ctx.Err(), context.Canceled):
			return fault.Cancelled, ""
		case code == "57014":
			return fault.Timeout, "raise statement_timeout, or select less"
		case code == "53100":
			return fault.Unavailable, "free space on the server's disk"
		case code == "53300":
			return fault.Unavailable, "raise max_connections of the server, or lower that of this backend"
		case strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"), strings.HasPrefix(code, "58"),
			code == "25P03", code == "25P04":
			return fault.Unavailable, "look at the server's log"
		case strings.HasPrefix(code, "40"), code == "55P03":
			return fault.Transient, ""
		case code == "25006":
			return fault.ReadOnly, "name the primary server, not a standby"
		case strings.HasPrefix(code, "28"):
			return fault.Denied, "check user, password and the server's pg_hba.conf"
		case code == "42501":
			return fault.Denied, "grant the user the right to create and use the schema"
		case code == "42P01", code == "3F000": // the search path passes over a schema that the user may not use
			return fault.NotFound, "grant the user USAGE of the schema; if it was dropped, restart the host, which makes it anew"
		case code == "3D000":
			return fault.NotFound, "create the database, or name another"
		case code == misfit:
			return fault.Newer, "a later Spark has changed the schema: restart the host with that"
		case strings.HasPrefix(code, "XX"):
			return fault.Corrupt, "look at the server's log"
		}
		return fault.Internal, ""
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.Cancelled, ""
	case connecting(err):
		return fault.Unavailable, "see that the server runs and that host, port and sslmode are right"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fault.Timeout, "raise connect_timeout or statement_timeout, or see what keeps the server busy"
	case strings.Contains(err.Error(), "closed pool"):
		return fault.Unavailable, ""
	case lost(err):
		return fault.Unavailable, "see that the server runs"
	}
	return fault.Internal, ""
}

func connecting(err error) bool {
	var c *pgconn.ConnectError
	return errors.As(err, &c)
}

// lost reports whether err is the end of a connection.
func lost(err error) bool {
	if err == nil {
		return false
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return !connecting(err) && (strings.HasPrefix(server.Code, "57P") || strings.HasPrefix(server.Code, "08"))
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &network) || strings.Contains(err.Error(), "conn closed")
}

// poison returns the reason when err is the fault of a row rather than of the
// server: a value it does not take, a limit it is beyond, a constraint.
func poison(err error) (string, bool) {
	var server *pgconn.PgError
	if !errors.As(err, &server) || len(server.Code) != 5 || server.Code == misfit {
		return "", false
	}
	switch server.Code[:2] {
	case "22", "23", "54":
		return server.Message, true
	}
	return "", false
}
