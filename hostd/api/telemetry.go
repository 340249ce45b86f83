package api

import (
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (s *server) stats(_ http.ResponseWriter, r *http.Request) (any, error) {
	name := r.URL.Query().Get("graph")
	var out Stats
	var err error
	q, err := s.host.Query(r.Context(), name)
	switch {
	case err == nil:
		// Counting flushes first, so the recorder's figures are read after it.
		n, err := q.Count(r.Context())
		if err != nil {
			return nil, err
		}
		out.Stored = &n
	case !fault.Is(err, fault.Denied):
		return nil, err
	}
	out.Recorder, err = s.host.TelemetryStats(r.Context(), name)
	return out, err
}

func (s *server) traces(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.TraceRow, error] {
		return q.Traces(r.Context(), f)
	})
}

func (s *server) spans(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.SpanRow, error] {
		return q.Spans(r.Context(), f)
	})
}

func (s *server) metrics(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.MetricRow, error] {
		return q.Metrics(r.Context(), f)
	})
}

func (s *server) events(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.EventRow, error] {
		return q.Events(r.Context(), f)
	})
}

// page answers with the rows that the query of r selects. One row more than
// asked for tells whether there is a next page.
func page[Row any](s *server, r *http.Request, ask func(*telemetry.Query, backend.Filter) iter.Seq2[Row, error]) (any, error) {
	f, err := filter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	q, err := s.host.Query(r.Context(), f.Graph)
	if err != nil {
		return nil, err
	}
	want := f.Limit
	f.Limit++
	p := Page[Row]{Rows: make([]Row, 0, min(want, PageSize))}
	for row, err := range ask(q, f) {
		if err != nil {
			return nil, err
		}
		if len(p.Rows) == want {
			p.Next = f.Offset + want
			break
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

// filterKeys are the query parameters that select telemetry.
var filterKeys = []string{"graph", "version", "kind", "trace", "status", "node", "name", "from", "to", "min_ms", "newest", "limit", "offset"}

// filter reads the query parameters of a telemetry route.
func filter(q url.Values) (f backend.Filter, err error) {
	for key := range q {
		if !slices.Contains(filterKeys, key) {
			return f, fault.New(fault.Invalid, key, "there is no such parameter").WithHint("use some of %v", filterKeys)
		}
	}
	f = backend.Filter{Graph: q.Get("graph"), Version: q.Get("version"), RunKind: q.Get("kind"), TraceID: q.Get("trace"),
		Status: q.Get("status"), Node: q.Get("node"), Name: q.Get("name"), Limit: PageSize}
	read := func(key, want string, parse func(string) error) {
		if v := q.Get(key); v != "" && err == nil {
			if parse(v) != nil {
				err = fault.New(fault.Invalid, key, "%q is not %s", v, want).WithHint("give %s", want)
			}
		}
	}
	stamp := func(t *time.Time) func(string) error {
		return func(v string) (err error) {
			*t, err = time.Parse(time.RFC3339Nano, v)
			if year := t.Year(); err == nil && (year < 1970 || year > 2261) { // what nanoseconds in an int64 reach
				err = errors.New("out of range")
			}
			return err
		}
	}
	read("from", "a time such as 2026-01-31T12:00:00Z, before 2262", stamp(&f.From))
	read("to", "a time such as 2026-01-31T12:00:00Z, before 2262", stamp(&f.To))
	read("min_ms", "a number", func(v string) (err error) { f.MinMillis, err = strconv.ParseFloat(v, 64); return err })
	read("newest", "true or false", func(v string) (err error) { f.Newest, err = strconv.ParseBool(v); return err })
	read("limit", "a whole number", func(v string) (err error) { f.Limit, err = strconv.Atoi(v); return err })
	read("offset", "a whole number", func(v string) (err error) { f.Offset, err = strconv.Atoi(v); return err })
	if err != nil {
		return f, err
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return f, fault.New(fault.Invalid, "limit", "%d is not from 1 to %d", f.Limit, MaxPage).WithHint("page with offset")
	}
	_, err = f.Match()
	return f, err
}

// values is the inverse of filter.
func values(f backend.Filter) url.Values {
	q := url.Values{}
	for key, v := range map[string]string{"graph": f.Graph, "version": f.Version, "kind": f.RunKind, "trace": f.TraceID,
		"status": f.Status, "node": f.Node, "name": f.Name} {
		if v != "" {
			q.Set(key, v)
		}
	}
	if !f.From.IsZero() {
		q.Set("from", f.From.Format(time.RFC3339Nano))
	}
	if !f.To.IsZero() {
		q.Set("to", f.To.Format(time.RFC3339Nano))
	}
	if f.MinMillis != 0 {
		q.Set("min_ms", strconv.FormatFloat(f.MinMillis, 'g', -1, 64))
	}
	if f.Newest {
		q.Set("newest", "true")
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if f.Offset != 0 {
		q.Set("offset", strconv.Itoa(f.Offset))
	}
	return q
}
