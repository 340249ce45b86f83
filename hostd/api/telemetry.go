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
	return page(s, r, backend.OfTraces, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.TraceRow, error] {
		return q.Traces(r.Context(), f)
	})
}

func (s *server) spans(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, backend.OfSpans, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.SpanRow, error] {
		return q.Spans(r.Context(), f)
	})
}

func (s *server) metrics(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, backend.OfMetrics, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.MetricRow, error] {
		return q.Metrics(r.Context(), f)
	})
}

func (s *server) events(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, backend.OfEvents, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.EventRow, error] {
		return q.Events(r.Context(), f)
	})
}

func (s *server) summary(_ http.ResponseWriter, r *http.Request) (any, error) {
	return page(s, r, backend.OfMetrics, func(q *telemetry.Query, f backend.Filter) iter.Seq2[telemetry.MetricSummary, error] {
		return func(yield func(telemetry.MetricSummary, error) bool) {
			sums, err := q.MetricSummaries(r.Context(), f)
			if err != nil {
				yield(telemetry.MetricSummary{}, err)
				return
			}
			for _, x := range sums {
				if !yield(x, nil) {
					return
				}
			}
		}
	})
}

func (s *server) trace(_ http.ResponseWriter, r *http.Request) (any, error) {
	v := r.URL.Query()
	for key := range v {
		if key != "graph" && key != "profile" {
			return nil, fault.New(fault.Invalid, key, "there is no such parameter").WithHint("use graph or profile")
		}
	}
	q, err := s.query(r, v.Get("graph"))
	if err != nil {
		return nil, err
	}
	trees, err := q.Trees(r.Context(), r.PathValue("trace"))
	return Trace{trees}, err
}

// query returns the telemetry that a request asks: of the profile it names, else of
// the one that the policy of a graph names.
func (s *server) query(r *http.Request, graph string) (*telemetry.Query, error) {
	if profile := r.URL.Query().Get("profile"); profile != "" {
		return s.host.QueryProfile(r.Context(), profile)
	}
	return s.host.Query(r.Context(), graph)
}

// page answers with the rows that the query of r selects. One row more than
// asked for tells whether there is a next page.
func page[Row any](s *server, r *http.Request, of string, ask func(*telemetry.Query, backend.Filter) iter.Seq2[Row, error]) (any, error) {
	f, err := filter(r.URL.Query(), of)
	if err != nil {
		return nil, err
	}
	q, err := s.query(r, f.Graph)
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

// param is one query parameter of a telemetry route, called as the field of
// backend.Filter is in JSON.
type param struct {
	name string
	want string // form of the value
	read func(f *backend.Filter, v string) error
	show func(f *backend.Filter) string // empty when the field is not set
}

func textParam(name string, field func(*backend.Filter) *string) param {
	return param{name, "a text", func(f *backend.Filter, v string) error { *field(f) = v; return nil }, func(f *backend.Filter) string { return *field(f) }}
}

func timeParam(name string, field func(*backend.Filter) *time.Time) param {
	return param{name, "a time such as 2026-01-31T12:00:00Z, before 2262", func(f *backend.Filter, v string) error {
		t, err := time.Parse(time.RFC3339Nano, v)
		if year := t.Year(); err == nil && (year < 1970 || year > 2261) { // what nanoseconds in an int64 reach
			err = errors.New("out of range")
		}
		*field(f) = t
		return err
	}, func(f *backend.Filter) string {
		if field(f).IsZero() {
			return ""
		}
		return field(f).Format(time.RFC3339Nano)
	}}
}

func numberParam(name string, field func(*backend.Filter) *float64) param {
	return param{name, "a number", func(f *backend.Filter, v string) (err error) {
		*field(f), err = strconv.ParseFloat(v, 64)
		return err
	}, func(f *backend.Filter) string {
		if *field(f) == 0 {
			return ""
		}
		return strconv.FormatFloat(*field(f), 'g', -1, 64)
	}}
}

func countParam(name string, field func(*backend.Filter) *int) param {
	return param{name, "a whole number", func(f *backend.Filter, v string) (err error) {
		*field(f), err = strconv.Atoi(v)
		return err
	}, func(f *backend.Filter) string {
		if *field(f) == 0 {
			return ""
		}
		return strconv.Itoa(*field(f))
	}}
}

// params are the query parameters that select telemetry; attrs and profile stand
// beside them.
var params = []param{
	textParam("graph", func(f *backend.Filter) *string { return &f.Graph }),
	textParam("version", func(f *backend.Filter) *string { return &f.Version }),
	textParam("run_kind", func(f *backend.Filter) *string { return &f.RunKind }),
	textParam("trace_id", func(f *backend.Filter) *string { return &f.TraceID }),
	textParam("name", func(f *backend.Filter) *string { return &f.Name }),
	textParam("like", func(f *backend.Filter) *string { return &f.Like }),
	textParam("type", func(f *backend.Filter) *string { return &f.Type }),
	textParam("kind", func(f *backend.Filter) *string { return &f.Kind }),
	textParam("aggregation", func(f *backend.Filter) *string { return &f.Agg }),
	textParam("status", func(f *backend.Filter) *string { return &f.Status }),
	textParam("node", func(f *backend.Filter) *string { return &f.Node }),
	textParam("span_id", func(f *backend.Filter) *string { return &f.SpanID }),
	textParam("parent_id", func(f *backend.Filter) *string { return &f.ParentID }),
	timeParam("from", func(f *backend.Filter) *time.Time { return &f.From }),
	timeParam("to", func(f *backend.Filter) *time.Time { return &f.To }),
	numberParam("min_millis", func(f *backend.Filter) *float64 { return &f.MinMillis }),
	numberParam("max_millis", func(f *backend.Filter) *float64 { return &f.MaxMillis }),
	textParam("sort", func(f *backend.Filter) *string { return &f.Sort }),
	{"newest", "true or false", func(f *backend.Filter, v string) (err error) {
		f.Newest, err = strconv.ParseBool(v)
		return err
	}, func(f *backend.Filter) string {
		if !f.Newest {
			return ""
		}
		return "true"
	}},
	countParam("limit", func(f *backend.Filter) *int { return &f.Limit }),
	countParam("offset", func(f *backend.Filter) *int { return &f.Offset }),
}

// filter reads the query parameters of a telemetry route.
func filter(q url.Values, of string) (f backend.Filter, err error) {
	for key, values := range q {
		known := key == "attrs" || key == "profile" || slices.ContainsFunc(params, func(p param) bool { return p.name == key })
		if !known {
			var names []string
			for _, p := range params {
				names = append(names, p.name)
			}
			return f, fault.New(fault.Invalid, key, "there is no such parameter").WithHint("use some of %v, attrs, profile", names)
		}
		if len(values) > 1 && key != "attrs" {
			return f, fault.New(fault.Invalid, key, "it is given %d times", len(values)).WithHint("give it once")
		}
	}
	f = backend.Filter{Of: of, Limit: PageSize}
	for _, p := range params {
		if v := q.Get(p.name); v != "" && p.read(&f, v) != nil {
			return f, fault.New(fault.Invalid, p.name, "%q is not %s", v, p.want).WithHint("give %s", p.want)
		}
	}
	for _, s := range q["attrs"] {
		c, err := backend.ParseCond(s)
		if err != nil {
			return f, err
		}
		f.Attrs = append(f.Attrs, c)
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return f, fault.New(fault.Invalid, "limit", "%d is not from 1 to %d", f.Limit, MaxPage).WithHint("page with offset")
	}
	if f.Offset < 0 || f.Offset > MaxOffset {
		return f, fault.New(fault.Invalid, "offset", "%d is not from 0 to %d", f.Offset, MaxOffset).WithHint("narrow by from and to instead")
	}
	_, err = f.Match()
	return f, err
}

// values is the inverse of filter.
func values(f backend.Filter, profile string) url.Values {
	q := url.Values{}
	for _, p := range params {
		if v := p.show(&f); v != "" {
			q.Set(p.name, v)
		}
	}
	for _, c := range f.Attrs {
		q.Add("attrs", c.String())
	}
	if profile != "" {
		q.Set("profile", profile)
	}
	return q
}
