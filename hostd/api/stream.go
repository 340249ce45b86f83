package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"

	"github.com/sparkrsi/spark/sdk/fault"
)

// line is one line of the stream that long work answers with: progress, then the
// report or the error, which is the last.
type line[P, R any] struct {
	Progress *P     `json:"progress,omitempty"`
	Report   *R     `json:"report,omitempty"`
	Error    *Error `json:"error,omitempty"`
}

// stream answers with JSON lines while work goes on. What is wrong before the
// first line is answered as by other routes. The work ends when the client goes
// away.
func stream[P, R any](s *server, w http.ResponseWriter, work func(progress func(P)) (*R, error)) {
	flush := http.NewResponseController(w)
	started := false
	send := func(l line[P, R]) {
		if !started {
			w.Header().Set("Content-Type", "application/x-ndjson")
			started = true
		}
		if b, err := json.Marshal(l); err == nil {
			w.Write(append(b, '\n'))
			flush.Flush()
		}
	}
	report, err := work(func(p P) { send(line[P, R]{Progress: &p}) })
	switch {
	case err == nil:
		send(line[P, R]{Report: report})
	case started:
		send(line[P, R]{Error: ErrorOf(err)})
	default:
		s.fail(w, err, nil)
	}
}

// follow asks for long work and calls progress, which may be nil, until it ends.
func follow[P, R any](ctx context.Context, c *Client, path string, in any, progress func(P)) (*R, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "request", err, "encode")
	}
	resp, err := c.open(ctx, http.MethodPost, path, "application/json", body, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, err := refused(c, resp)
		return nil, err
	}
	d := json.NewDecoder(bufio.NewReader(resp.Body))
	for {
		var l line[P, R]
		if err := d.Decode(&l); err != nil {
			return nil, c.broken(ctx, err)
		}
		switch {
		case l.Error != nil:
			return nil, l.Error.Fault()
		case l.Report != nil:
			return l.Report, nil
		case l.Progress != nil && progress != nil:
			progress(*l.Progress)
		}
	}
}
