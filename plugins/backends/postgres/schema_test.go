package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// run executes statements in the schema of c.
func run(t *testing.T, s *postgres.Server, c Config, sql string) string {
	t.Helper()
	cmd := s.Psql(t.Context(), "-qAt")
	cmd.Stdin = strings.NewReader("SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS " + c.Schema + "; SET search_path = " + c.Schema + ";\n" + sql)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Every version of the schema, from an empty one on, is brought up to date and
// keeps what is in it.
func TestMigrations(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		for from := range schemaVersion + 1 {
			c := inSchema(s, layout, t.TempDir())
			sql := ";"
			if from > 0 {
				sql = "CREATE TABLE migration (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());"
			}
			for v := 1; v <= from; v++ {
				m, err := migration(v, layout)
				if err != nil {
					t.Fatal(err)
				}
				sql += m + fmt.Sprintf("; INSERT INTO migration VALUES (%d);", v)
			}
			if from > 0 {
				sql += "INSERT INTO setting VALUES ('layout', '" + layout + "'); INSERT INTO day VALUES ('2026-01-01', 0, 5, 1, 1, 1, 1, 1);"
			}
			run(t, s, c, sql)
			b := openAs(t, c)
			if _, err := b.Write(t.Context(), tenth(0)); err != nil {
				t.Fatalf("%s from %d: %v", layout, from, err)
			}
			n, err := b.Count(t.Context())
			if want := int64(10 + 5*min(from, 1)); err != nil || n.Traces != want {
				t.Errorf("%s from %d: %d traces, %v; want %d", layout, from, n.Traces, err, want)
			}
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if got := run(t, s, c, "SELECT max(version), count(*) FROM migration; SELECT count(*) FROM traces"); got != fmt.Sprintf("%d|%d\n10", schemaVersion, schemaVersion) {
				t.Errorf("%s from %d: %s", layout, from, got)
			}
		}
	}
}

func TestRefusedSchemas(t *testing.T) {
	s := postgres.Start(t)
	refused := func(c Config, kind fault.Kind) {
		t.Helper()
		w, err := Open(encode(t, c))
		if err == nil {
			w.Close(context.Background())
		}
		if !fault.Is(err, kind) || fault.HintOf(err) == "" {
			t.Errorf("%v (%s), want %s with a hint", err, fault.KindOf(err), kind)
		}
	}
	c := inSchema(s, layoutRows, t.TempDir())
	if err := openAs(t, c).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := c
	other.Layout = layoutPacked
	refused(other, fault.Invalid)
	run(t, s, c, fmt.Sprintf("INSERT INTO migration VALUES (%d)", schemaVersion+1))
	refused(c, fault.Newer)

	foreign := inSchema(s, layoutRows, t.TempDir())
	run(t, s, foreign, "CREATE TABLE addresses (name text); INSERT INTO addresses VALUES ('kept')")
	refused(foreign, fault.Invalid)
	if got := run(t, s, foreign, "SELECT name FROM addresses; SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"); got != "kept\n1" {
		t.Errorf("the schema of something else: %s", got)
	}
	weak := inSchema(s, layoutRows, t.TempDir())
	run(t, s, weak, "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD 'weak'")
	weak.User, weak.Password = "weak", "weak"
	refused(weak, fault.Denied)
}

// Somebody with psql finds in the views what the data model says is there.
func TestViews(t *testing.T) {
	s := postgres.Start(t)
	c := inSchema(s, layoutRows, t.TempDir())
	b := openAs(t, c)
	defer b.Close(context.Background())
	all := append(backendtest.Samples(0, 40), backendtest.Odd())
	all[2].Spans[1].Seq, all[2].Spans[1].Kind, all[2].Spans[1].NodeType = -1, 3, "model"
	all[4].Spans[1].Seq = -1 // a span of a node's own
	if bad, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: all}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	events, metrics := map[string]int{}, map[string]float64{}
	for _, x := range all {
		for _, e := range x.AllEvents() {
			events[e.Type]++
		}
		for _, m := range x.AllMetrics() {
			if m.Name != "nan" && m.Name != "quality" {
				metrics[m.Name] += m.Value
			}
		}
	}
	var lines []string
	for _, k := range sorted(events) {
		lines = append(lines, fmt.Sprintf("%s|%d", k, events[k]))
	}
	if got, want := run(t, s, c, `SELECT type, count(*) FROM events GROUP BY 1 ORDER BY type COLLATE "C"`), strings.Join(lines, "\n"); got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
	lines = nil
	for _, k := range sorted(metrics) {
		if k == "graph.duration" {
			continue // of the odd trace: 146 years
		}
		lines = append(lines, fmt.Sprintf("%s|%.4f", k, metrics[k]))
	}
	if got, want := run(t, s, c, `SELECT name, round(sum(value)::numeric, 4) FROM metrics WHERE name NOT IN ('nan', 'quality', 'graph.duration') GROUP BY 1 ORDER BY name COLLATE "C"`), strings.Join(lines, "\n"); got != want {
		t.Errorf("metrics\n%s\nwant\n%s", got, want)
	}
	x, k := all[9], &all[9].Spans[0]
	if got, want := run(t, s, c, fmt.Sprintf(`SELECT trace_id, graph_id, graph_version, node_name, span_id, parent_span_id, round((duration_seconds * 1e9)::numeric), status,
		attributes ->> 'query', (attributes ->> 'hits')::int, start_time = to_timestamp(%d / 1e9::float8) FROM spans WHERE span_id = '%x'`, k.Start, k.ID)),
		fmt.Sprintf("%s|%s|%s|%s|%x|%x|%d|%s|%s|%d|t", uuid(x.TraceID), x.Graph, x.Version, k.Node, k.ID, k.Parent, k.End-k.Start, k.Status, k.Attrs[0].Str, k.Attrs[1].Num); got != want {
		t.Errorf("span\n%s\nwant\n%s", got, want)
	}
	if got, want := run(t, s, c, fmt.Sprintf("SELECT run_id, status, error, probability, spans, attributes ->> 'team', resource ->> 'service.name', run_start AT TIME ZONE 'UTC' FROM traces WHERE trace_id = '%x'", all[10].TraceID)),
		fmt.Sprintf("%s|error|no answer within 2s|0.25|%d|search|spark|2026-03-01 12:00:10", uuid(all[10].RunID), len(all[10].Spans)); got != want {
		t.Errorf("trace\n%s\nwant\n%s", got, want)
	}
	if got := run(t, s, c, `SELECT graph_id, attributes ->> 'inf', attributes ->> 'least', attributes ->> 'yes', attributes ->> '' FROM traces WHERE dropped = 7`); got != `!"größe\x00天气"|-Inf|-9223372036854775808|true|` {
		t.Errorf("odd trace: %s", got)
	}
	for _, x := range all { // the critical path ends where the run does
		var share, want int64
		for i, v := range new(backend.CriticalPath).Of(x.Spans) {
			share += v
			if x.Spans[i].Seq >= 0 {
				want = max(want, x.Spans[i].End-x.Spans[0].Start)
			}
		}
		if share != want && x != all[2] && x != all[4] {
			t.Errorf("%s: %d ns on the critical path of %d", x.Name(), share, want)
		}
	}
}

func uuid(id backend.ID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Days are dropped whole, the day of the limit row by row, and what arrives for
// a dropped day is stored.
func TestPartitions(t *testing.T) {
	s := postgres.Start(t)
	for _, layout := range []string{layoutRows, layoutPacked} {
		c := inSchema(s, layout, t.TempDir())
		b := openAs(t, c)
		defer b.Close(context.Background())
		today := time.Now().UTC().Truncate(24 * time.Hour)
		n := 0
		put := func(days ...int) {
			t.Helper()
			x := &backend.Batch{ID: backendtest.ID(1000 + n)}
			for _, day := range days {
				for range 5 {
					x.Traces = append(x.Traces, moved(backendtest.Sample(n), today.AddDate(0, 0, day).Add(time.Duration(n)*time.Minute).UnixNano()))
					n++
				}
			}
			if bad, err := b.Write(t.Context(), x); err != nil || len(bad) > 0 {
				t.Fatal(bad, err)
			}
		}
		parts := func() string {
			return run(t, s, c, "SELECT string_agg(right(inhrelid::regclass::text, 8), ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'trace_row'::regclass AND inhrelid::regclass::text NOT LIKE '%other'")
		}
		days := func(list ...int) string {
			var out []string
			for _, d := range list {
				out = append(out, today.AddDate(0, 0, d).Format("20060102"))
			}
			return strings.Join(out, " ")
		}
		held := func(want int64) {
			t.Helper()
			c, err := b.Count(t.Context())
			read := int64(0)
			for _, e := range b.Traces(t.Context(), backend.Filter{}) {
				if err == nil {
					err = e
				}
				read++
			}
			if err != nil || c.Traces != want || read != want {
				t.Errorf("%s: %d counted, %d read, %v; want %d", layout, c.Traces, read, err, want)
			}
		}
		put(-3, -2, 0, -5000, 40)
		put(-3, -1)
		held(35)
		if got, want := parts(), days(-3, -2, -1, 0, 1, 2); got != want {
			t.Errorf("partitions %s, want %s", got, want)
		}
		removed, err := b.Prune(t.Context(), today.AddDate(0, 0, -2).Add(7*time.Minute+30*time.Second))
		if err != nil || removed != 18 { // day -5000, both times of -3, and of -2 the minutes 5 to 7
			t.Errorf("removed %d, %v; want 18", removed, err)
		}
		if got, want := parts(), days(-2, -1, 0, 1, 2); got != want {
			t.Errorf("partitions after prune %s, want %s", got, want)
		}
		held(35 - removed)
		put(-3, -2) // late
		held(45 - removed)
		again, err := b.Prune(t.Context(), today.AddDate(0, 0, -1))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := parts(), days(-1, 0, 1, 2); got != want {
			t.Errorf("partitions after the second prune %s, want %s", got, want)
		}
		held(15)
		if removed+again != 30 {
			t.Errorf("%d and %d removed, want 30 in all", removed, again)
		}
		if layout == layoutRows {
			if got := run(t, s, c, "SELECT count(*) FROM span_row s WHERE NOT EXISTS (SELECT FROM trace_row t WHERE t.id = s.trace)"); got != "0" {
				t.Errorf("%s spans without a run", got)
			}
		}
	}
}

// moved returns x with another start.
func moved(x *backend.Trace, start int64) *backend.Trace {
	by := start - x.Start
	x.Start, x.End = x.Start+by, x.End+by
	for i := range x.Spans {
		x.Spans[i].Start, x.Spans[i].End = x.Spans[i].Start+by, x.Spans[i].End+by
	}
	for i := range x.Metrics {
		x.Metrics[i].Time += by
	}
	return x
}
