package backend

import (
	"encoding/hex"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// String returns ok, error, cancelled or unset.
func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case Failed:
		return "error"
	case Cancelled:
		return "cancelled"
	}
	return "unset"
}

// ParseStatus returns the status String names. An Invalid fault for other words.
func ParseStatus(s string) (Status, error) {
	for _, v := range [...]Status{Unset, OK, Failed, Cancelled} {
		if v.String() == s {
			return v, nil
		}
	}
	return Unset, fault.New(fault.Invalid, "status", "%q is none of ok, error, cancelled", s)
}

// Match is a Filter made ready to be asked of many traces. Limit and Offset are
// the backend's to keep.
type Match struct {
	Filter
	ID       ID // zero for any
	Status   Status
	From, To int64 // Unix nanoseconds; To is 0 for ever
	MinNanos int64
}

// Match returns f made ready, or an Invalid fault naming the field that is wrong.
func (f Filter) Match() (*Match, error) {
	m := &Match{Filter: f, MinNanos: int64(f.MinMillis * 1e6)}
	if f.TraceID != "" {
		id, err := hex.DecodeString(strings.ToLower(f.TraceID))
		if err != nil || len(id) != len(m.ID) {
			return nil, fault.New(fault.Invalid, "trace_id", "%q is not 32 hex digits", f.TraceID)
		}
		m.ID = ID(id)
	}
	if f.Status != "" {
		s, err := ParseStatus(f.Status)
		if err != nil {
			return nil, err
		}
		m.Status = s
	}
	if f.Limit < 0 || f.Offset < 0 {
		return nil, fault.New(fault.Invalid, "limit", "limit %d and offset %d must not be negative", f.Limit, f.Offset)
	}
	if !f.From.IsZero() {
		m.From = f.From.UnixNano()
	}
	if !f.To.IsZero() {
		m.To = f.To.UnixNano()
	}
	return m, nil
}

// Trace reports whether t is selected. Node selects traces with a span, or a
// metric, of that node.
func (m *Match) Trace(t *Trace) bool {
	return m.Head(t) && (m.Node == "" || hasNode(t, m.Node))
}

// Head is Trace without Node: it needs only the head of t.
func (m *Match) Head(t *Trace) bool {
	switch {
	case m.Graph != "" && t.Graph != m.Graph,
		m.Version != "" && t.Version != m.Version,
		m.RunKind != "" && t.RunKind != m.RunKind,
		m.ID != ID{} && t.TraceID != m.ID && t.RunID != m.ID,
		m.Filter.Status != "" && t.Status != m.Status,
		t.Start < m.From,
		m.To != 0 && t.Start >= m.To,
		t.End-t.Start < m.MinNanos:
		return false
	}
	return true
}

// Sketch reports whether s is selected, by graph, version, node and hour: an
// hour belongs when any of it lies between From and To.
func (m *Match) Sketch(s *Sketch) bool {
	const hour = 3600e9
	switch {
	case m.Graph != "" && s.Graph != m.Graph,
		m.Version != "" && s.Version != m.Version,
		m.Node != "" && s.Node != m.Node,
		(s.Hour+1)*hour <= m.From,
		m.To != 0 && s.Hour*hour >= m.To:
		return false
	}
	return true
}

func hasNode(t *Trace, node string) bool {
	for i := range t.Spans {
		if t.Spans[i].Node == node {
			return true
		}
	}
	for i := range t.Metrics {
		if t.Metrics[i].Node == node {
			return true
		}
	}
	return false
}

// Page counts records against the Limit and Offset of a filter.
type Page struct{ skip, left int }

// Page returns the page f asks for.
func (f Filter) Page() *Page {
	p := &Page{skip: f.Offset, left: f.Limit}
	if f.Limit == 0 {
		p.left = -1
	}
	return p
}

// Take counts one selected record and reports whether it lies on the page.
func (p *Page) Take() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	if p.left > 0 {
		p.left--
	}
	return true
}

// Full reports whether the page has all its records.
func (p *Page) Full() bool { return p.left == 0 }
