package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	copyChunk = 64 << 10  // bytes of rows in one message
	sendChunk = 256 << 10 // bytes that gather before they are sent
)

// exchange sends several messages one after the other and then waits for all
// answers at once. Most of what a small batch costs beside its rows is the two
// sides waking each other, so a batch has two exchanges, whatever is in it.
//
// Nothing may be sent that depends on an answer. What follows a message that
// failed is still answered, and rows that no COPY waits for are ignored, as the
// protocol has it.
type exchange struct {
	ctx     context.Context
	c       *pgconn.PgConn
	buf     []byte
	answers int // ReadyForQuery that are to come
	err     error
	watch   func() bool // ends the watch over ctx; nil before anything was sent
}

// put appends one message.
func (x *exchange) put(m pgproto3.FrontendMessage) {
	if x.err == nil {
		if x.buf, x.err = m.Encode(x.buf); len(x.buf) > sendChunk {
			x.send()
		}
	}
}

// query appends statements without parameters; each COPY among them wants its
// rows next.
func (x *exchange) query(sql string) {
	x.put(&pgproto3.Query{String: sql})
	x.answers++
}

// execute appends a prepared statement with parameters as texts; sync ends those
// that went before.
func (x *exchange) execute(statement string, params [][]byte) {
	x.put(&pgproto3.Bind{PreparedStatement: statement, Parameters: params})
	x.put(&pgproto3.Execute{})
}

func (x *exchange) sync() {
	x.put(&pgproto3.Sync{})
	x.answers++
}

// copy appends rows for a COPY in the binary form: the first ones with begin, the
// last ones with end.
func (x *exchange) copy(rows []byte, begin, end bool) {
	if begin {
		x.put(&pgproto3.CopyData{Data: copyHead})
	}
	for len(rows) > 0 {
		n := min(len(rows), copyChunk)
		x.put(&pgproto3.CopyData{Data: rows[:n]})
		rows = rows[n:]
	}
	if end {
		x.put(&pgproto3.CopyData{Data: copyTail})
		x.put(&pgproto3.CopyDone{})
	}
}

// send writes what has gathered. From then on the end of the context breaks the
// connection off, which is cheaper than to have pgx watch it message by message.
func (x *exchange) send() {
	if x.err != nil {
		return
	}
	if x.watch == nil {
		conn := x.c.Conn()
		x.watch = context.AfterFunc(x.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	}
	x.err = x.c.Frontend().SendUnbufferedEncodedCopyData(x.buf)
	x.buf = x.buf[:0]
}

// wait sends the rest and returns the last row and the last tag of all answers, or
// the first error. After one that is not the server's word the connection is
// closed: what was done is not known.
func (x *exchange) wait() (row [][]byte, tag string, err error) {
	x.send()
	for x.err == nil && x.answers > 0 {
		var m pgproto3.BackendMessage
		if m, x.err = x.c.ReceiveMessage(context.Background()); x.err != nil {
			break
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			row = row[:0]
			for _, v := range m.Values {
				row = append(row, append([]byte(nil), v...))
			}
		case *pgproto3.CommandComplete:
			tag = string(m.CommandTag)
		case *pgproto3.ErrorResponse:
			if err == nil {
				err = pgconn.ErrorResponseToPgError(m)
			}
		case *pgproto3.ReadyForQuery:
			x.answers--
		}
	}
	unbroken := x.watch == nil || x.watch()
	if x.err != nil || !unbroken {
		x.close()
	}
	if x.err == nil {
		return row, tag, err
	}
	var server *pgconn.PgError
	switch {
	case x.ctx.Err() != nil:
		err = fmt.Errorf("exchange with the server: %w", x.ctx.Err())
	case err == nil || errors.As(x.err, &server): // such as its farewell
		err = x.err
	}
	return nil, "", err
}

func (x *exchange) close() {
	at, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), time.Millisecond)
	defer cancel()
	x.c.Close(at)
}
