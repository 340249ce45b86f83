package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/sparkrsi/spark/sdk/backend"
)

// named adds what Name and Like of m ask of a text column, or of anything for
// which also is true. Like is asked of the names that the database holds as they
// are; Match decides about the others.
func (w *where) named(column string, m *backend.Match, also string) {
	w.and(m.Name != "", fmt.Sprintf("(%s = ?%s)", column, also), quote(m.Name))
	if plain(m.Like) {
		w.and(m.Like != "", fmt.Sprintf("(%s LIKE ? OR %s LIKE '!\"%%'%s)", column, column, also), like(m.Like))
	}
}

// like returns a pattern of backend.Glob as one of LIKE.
func like(glob string) string {
	var b strings.Builder
	escaped := false
	for i := 0; i < len(glob); i++ {
		c := glob[i]
		switch {
		case !escaped && c == '\\' && i+1 < len(glob):
			escaped = true
			continue
		case !escaped && c == '*':
			b.WriteByte('%')
		case !escaped && c == '?':
			b.WriteByte('_')
		case c == '%' || c == '_' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
		escaped = false
	}
	return b.String()
}

// records adds to the conditions on a trace_row t of layout rows what m asks of
// its attributes and records. What is left may be more than m selects, never
// less: Match has the last word.
func (w *where) records(m *backend.Match) {
	switch m.Of {
	case "":
		for _, c := range m.Attrs {
			w.attribute(c, "t.attributes", "t.resource")
		}
	case backend.OfSpans:
		in := &where{args: w.args}
		in.span(m)
		w.exists(in, "span_row s LEFT JOIN step p ON p.id = s.step", "")
	case backend.OfEvents:
		in := &where{args: w.args}
		in.and(m.Type != "", "s.type = ?", quote(m.Type))
		in.point(m)
		w.exists(in, "event_row s", impliedEvent(m))
	case backend.OfMetrics:
		in := &where{args: w.args}
		in.and(m.Agg != "", "s.agg = ?", quote(m.Agg))
		in.point(m)
		w.exists(in, "metric_row s", impliedMetric(m))
	}
}

// exists adds that there is a record as in says, or that its run may imply one.
// OFFSET 0 keeps the planner from joining: looking a run's records up by their
// index costs the same for each run, a join planned without statistics may take
// the product of both tables.
func (w *where) exists(in *where, from, implied string) {
	w.args = in.args
	w.conds = append(w.conds, fmt.Sprintf("(EXISTS (SELECT FROM %s WHERE s.trace = t.id AND s.run_start = t.start AND %s OFFSET 0)%s)", from, in, implied))
}

// span adds the conditions on a span_row s and its step p.
func (w *where) span(m *backend.Match) {
	const ofCode = " OR p.node_type = 'span'" // its name is an attribute
	w.named("p.node", m, ofCode)
	w.and(m.Node != "", "s.node = ?", nodeID(m.Node))
	w.and(m.Type != "", "p.node_type = ?", quote(m.Type))
	w.and(m.Kind != 0, "s.kind = ?", int16(m.Kind))
	w.and(m.Span != backend.SpanID{}, "s.span_id = ?", number(m.Span))
	w.and(m.Parent != backend.SpanID{}, "s.parent_id = ?", number(m.Parent))
	r := &m.Record
	w.and(!r.Any, "s.status = ?", int16(r.Status))
	w.and(r.First > math.MinInt64, "s.start_ns >= ?", r.First)
	w.and(r.Last < math.MaxInt64, "s.start_ns <= ?", r.Last)
	w.and(r.Min > 0, "s.duration >= ?", r.Min)
	w.and(r.Max < math.MaxInt64, "s.duration <= ?", r.Max)
	for _, c := range m.Attrs {
		w.attribute(c, "s.attributes::jsonb", "t.attributes", "t.resource")
	}
}

// point adds the conditions on an event_row or metric_row s.
func (w *where) point(m *backend.Match) {
	w.named("s.name", m, "")
	w.and(m.Span != backend.SpanID{}, "s.span_id = ?", number(m.Span))
	w.and(m.Record.First > math.MinInt64, "s.time_ns >= ?", m.Record.First)
	w.and(m.Record.Last < math.MaxInt64, "s.time_ns <= ?", m.Record.Last)
	for _, c := range m.Attrs {
		w.attribute(c, "s.attributes", "t.attributes", "t.resource")
	}
}

// columnOf is the column of trace_row t that an attribute implied by the run
// comes from; one that spans imply has none.
var columnOf = map[string]string{
	"graph_id": "t.graph", "graph_version": "t.version", "version_id": "t.version_id", "graph_type": "t.graph_type", "environment": "t.environment", "run_kind": "t.run_kind",
	"success": "", "error_type": "", "node_name": "", "node_type": "", "retry_count": "",
}

// attribute adds that one of some jsonb columns satisfies c, as far as the
// database can tell.
func (w *where) attribute(c backend.Cond, columns ...string) {
	column, implied := columnOf[c.Key]
	if implied && (column == "" || c.Op != "=") {
		return
	}
	var either []string
	var args []any
	values := c.JSON(func(s string) string { return string(appendJSON(nil, s)) })
	for _, x := range columns {
		if c.Op == "=" {
			either, args = append(either, fmt.Sprintf("%s -> ? = ANY(?::text[]::jsonb[])", x)), append(args, quote(c.Key), values)
		} else {
			either, args = append(either, fmt.Sprintf("jsonb_exists(%s, ?)", x)), append(args, quote(c.Key))
		}
	}
	if implied {
		either, args = append(either, column+" = ?"), append(args, quote(c.Value))
	}
	w.and(true, "("+strings.Join(either, " OR ")+")", args...)
}

// impliedEvent returns the condition, after an OR, under which the spans of a run may
// imply an event that m asks for; empty for none.
func impliedEvent(m *backend.Match) string {
	if m.Type != "" && !backend.DerivedEvent(m.Type) {
		return ""
	}
	const implied = " OR t.derive & 1 = 1"
	switch m.Type {
	case "graph_failed":
		return implied + " AND t.status = 2"
	case "graph_cancelled":
		return implied + " AND t.status = 3"
	case "graph_finished":
		return implied + " AND t.status NOT IN (2, 3)"
	}
	return implied
}

// impliedMetric is impliedEvent for metrics.
func impliedMetric(m *backend.Match) string {
	if m.Name != "" && !backend.DerivedMetric(m.Name) {
		return ""
	}
	return " OR t.derive & 2 = 2"
}

// number returns a span id as the database has it.
func number(id backend.SpanID) int64 { return int64(binary.BigEndian.Uint64(id[:])) }
