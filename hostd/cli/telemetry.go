package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) telemetryCommand() *cobra.Command {
	return parent("telemetry", "Look at what runs left behind, and keep it",
		`What runs recorded, read back from the backend that their graph writes to: traces
(one a run), spans (one a step or model call), events and metrics. Everything that
was recorded before the question is part of the answer.`,
		a.statsCommand(),
		rowsCommand(a, question{of: backend.OfTraces, short: "List runs", named: "of this graph", sorts: "start, duration or cost",
			examples: []string{"--graph search --since 1h --newest", "--status error --like 'search-*'", "--sort=-cost --limit 5", "--attr environment=prod --attr team=search --min 2s"}},
			(*api.Client).Traces, tracesText),
		a.traceCommand(),
		rowsCommand(a, question{of: backend.OfSpans, short: "List steps, model calls and spans of code", named: "of this node, or so named by its code", sorts: "start, duration or cost",
			examples: []string{"--graph search --sort=-duration --limit 10", "--kind client --type model --min 5s", "--status error --node retrieve --since 7d", "--attr 'hits>=10' --attr error_type=timeout"}},
			(*api.Client).Spans, spansText),
		metricsCommand(a),
		rowsCommand(a, question{of: backend.OfEvents, short: "List events", named: "so called", sorts: "start",
			examples: []string{"--type node_failed --since 1h", "--type agent_tool_call --like 'search_*'", "--trace 4bf92f3577b34da6a3ce929d0e0e4736"}},
			(*api.Client).Events, eventsText),
		a.flushCommand(), a.pruneCommand(), a.copyCommand())
}

// question is what a command asks for.
type question struct {
	of       string // backend.OfTraces, ...
	short    string
	named    string // what --name means
	sorts    string
	examples []string
}

// filters are the flags that select telemetry.
type filters struct {
	backend.Filter
	profile      string
	since, until string
	min, max     time.Duration
	attrs        []string
}

// flagOf is the flag of a field of backend.Filter where it is called otherwise.
var flagOf = map[string]string{"run_kind": "run-kind", "trace_id": "trace", "span_id": "span", "parent_id": "parent", "aggregation": "agg", "attrs": "attr",
	"from": "since", "to": "until", "min_millis": "min", "max_millis": "max"}

func (f *filters) register(cmd *cobra.Command, q question) {
	fs := cmd.Flags()
	traces, spans, events, metrics := q.of == backend.OfTraces, q.of == backend.OfSpans, q.of == backend.OfEvents, q.of == backend.OfMetrics
	f.Of = q.of
	fs.StringVar(&f.Graph, "graph", "", "of runs of this graph; its policy names the profile that is asked")
	fs.StringVar(&f.Version, "version", "", "of runs of this version (label)")
	fs.StringVar(&f.RunKind, "run-kind", "", "of runs of this kind: production, experiment, shadow or replay")
	fs.StringVar(&f.TraceID, "trace", "", "of this trace or run (32 hex digits)")
	fs.StringVar(&f.Name, "name", "", q.named)
	fs.StringVar(&f.Like, "like", "", "with a name like this pattern: * is any text, ? one character, \\ takes the next as it is")
	if spans || events {
		fs.StringVar(&f.Type, "type", "", map[bool]string{true: "node type, such as model", false: "such as node_failed"}[spans])
	}
	if spans {
		fs.StringVar(&f.Kind, "kind", "", "internal, server, client, producer or consumer")
		fs.StringVar(&f.ParentID, "parent", "", "directly below this span (16 hex digits)")
	}
	if !traces {
		fs.StringVar(&f.SpanID, "span", "", "of this span (16 hex digits)")
	}
	if metrics {
		fs.StringVar(&f.Agg, "agg", "", "counter, gauge or histogram")
	}
	if traces || spans {
		fs.StringVar(&f.Status, "status", "", "ok, error, cancelled or unset")
	}
	fs.StringVar(&f.Node, "node", "", map[bool]string{true: "runs with this node", false: "of this node"}[traces])
	fs.StringArrayVar(&f.attrs, "attr", nil, "with this attribute, as KEY=VALUE, KEY>NUMBER, likewise >=, <, <=; may be repeated")
	when := map[bool]string{true: "started", false: "happened"}[traces || spans]
	fs.StringVar(&f.since, "since", "", when+" at or after: a time such as 2026-01-31T12:00:00Z, or 90m, 24h, 7d ago")
	fs.StringVar(&f.until, "until", "", when+" before, written likewise")
	if traces || spans {
		fs.DurationVar(&f.min, "min", 0, "lasted at least, such as 250ms")
		fs.DurationVar(&f.max, "max", 0, "lasted at most")
	}
	fs.StringVar(&f.Sort, "sort", "", "by "+q.sorts+", smallest first; with a - before it largest first")
	fs.BoolVar(&f.Newest, "newest", false, "latest recorded first")
	fs.IntVar(&f.Limit, "limit", 20, "rows at most, from 1 to 10000")
	fs.IntVar(&f.Offset, "offset", 0, "rows to leave out first")
	fs.StringVar(&f.profile, "profile", "", "ask the backend of this telemetry profile")
	fs.SortFlags = false
}

// complete reads the times and attributes and refuses what makes no sense by the
// name of its flag.
func (f *filters) complete(now time.Time) (err error) {
	if f.From, err = moment("--since", f.since, now); err != nil {
		return err
	}
	if f.To, err = moment("--until", f.until, now); err != nil {
		return err
	}
	for flag, d := range map[string]time.Duration{"--min": f.min, "--max": f.max} {
		if d < 0 {
			return fault.New(fault.Invalid, flag, "%s is negative", d).WithHint("give how long, such as 250ms")
		}
	}
	if f.max > 0 && f.max < f.min {
		return fault.New(fault.Invalid, "--max", "%s is less than --min, %s", f.max, f.min)
	}
	f.MinMillis, f.MaxMillis = float64(f.min)/float64(time.Millisecond), float64(f.max)/float64(time.Millisecond)
	if f.Limit < 1 || f.Limit > api.MaxPage {
		return fault.New(fault.Invalid, "--limit", "%d is not from 1 to %d", f.Limit, api.MaxPage).WithHint("page with --offset")
	}
	if f.Offset < 0 || f.Offset > api.MaxOffset {
		return fault.New(fault.Invalid, "--offset", "%d is not from 0 to %d", f.Offset, api.MaxOffset).WithHint("narrow by --since and --until instead")
	}
	f.Attrs = nil
	for _, s := range f.attrs {
		c, err := backend.ParseCond(s)
		if err != nil {
			return asFlag(err)
		}
		f.Attrs = append(f.Attrs, c)
	}
	_, err = f.Match()
	return asFlag(err)
}

// asFlag puts the flag in place of the field that a fault is about.
func asFlag(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return err
	}
	other := *e
	if flag, ok := flagOf[e.Path]; ok {
		other.Path = "--" + flag
	} else {
		other.Path = "--" + e.Path
	}
	return &other
}

// moment reads a time, or how long ago it was.
func moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 1e5 {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fault.New(fault.Invalid, flag, "%q is neither a time nor how long ago", s).
		WithHint("write 2026-01-31T12:00:00Z, 2026-01-31, 90m, 24h or 7d")
}

// rowsCommand returns a command that prints one page of rows.
func rowsCommand[Row any](a *app, q question, ask func(*api.Client, context.Context, backend.Filter) (*api.Page[Row], error),
	text func(w io.Writer, rows []Row)) *cobra.Command {
	cmd, _ := rowsOf(a, q, ask, text)
	return cmd
}

// rowsOf is rowsCommand that returns the flags, too.
func rowsOf[Row any](a *app, q question, ask func(*api.Client, context.Context, backend.Filter) (*api.Page[Row], error),
	text func(w io.Writer, rows []Row)) (*cobra.Command, *filters) {
	f := &filters{}
	cmd := &cobra.Command{
		Use: q.of, Short: q.short,
		Long: q.short + `: those that fit all flags, in the order in which runs were recorded unless
--newest or --sort is given. An attribute is compared as what it is: a number as a
number, a text byte by byte. Those of the resource and the custom ones count for
every record of a run, and so do graph_id, graph_version, environment, run_kind,
and where they apply node_name, node_type, success, error_type and retry_count.
With -o json the rows come as {"` + q.of + `": [...], "next_offset": N}; next_offset is
there when more follow.`,
		Example: q.example(),
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, cmd.Context(), q.of, f, ask, text)
		},
	}
	f.register(cmd, q)
	return cmd, f
}

func (q *question) example() string {
	return "  spark telemetry " + q.of + " " + strings.Join(q.examples, "\n  spark telemetry "+q.of+" ")
}

// printRows asks for a page and prints it.
func printRows[Row any](a *app, ctx context.Context, what string, f *filters, ask func(*api.Client, context.Context, backend.Filter) (*api.Page[Row], error),
	text func(w io.Writer, rows []Row)) error {
	if err := f.complete(time.Now()); err != nil {
		return err
	}
	return a.with(ctx, func(c *api.Client) error {
		p, err := ask(c.Profile(f.profile), ctx, f.Filter)
		if err != nil {
			return err
		}
		doc := map[string]any{what: p.Rows}
		if p.Next > 0 {
			doc["next_offset"] = p.Next
		}
		return a.print(doc, func(w io.Writer) {
			if len(p.Rows) == 0 {
				fmt.Fprintf(w, "no %s\n", what)
				return
			}
			text(w, p.Rows)
			if p.Next > 0 {
				fmt.Fprintf(w, "more follow: --offset %d\n", p.Next)
			}
		})
	})
}

// metricsCommand lists points or, with --summary, what they come to.
func metricsCommand(a *app) *cobra.Command {
	cmd, f := rowsOf(a, question{of: backend.OfMetrics, short: "List metric points, or sum them up", named: "so called", sorts: "start",
		examples: []string{"--name agent.output_quality --graph search", "--like 'node.*' --agg counter --trace 4bf92f3577b34da6a3ce929d0e0e4736",
			"--summary --graph search --since 24h"}}, (*api.Client).Metrics, metricsText)
	list, summary := cmd.RunE, false
	cmd.Flags().BoolVar(&summary, "summary", false, "one row a metric, node and version: points, sum, mean, percentiles and last value")
	cmd.Long += `

--summary weighs: a point of a run that was kept with probability p counts 1/p times
in COUNT, SUM, MEAN, P50 and P95 (percentiles are at most 1.6 % off). Its rows are
sorted by name, graph, version and node, and come as {"summaries": [...]}.`
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case !summary:
			return list(cmd, args)
		case f.Sort != "" || f.Newest:
			return fault.New(fault.Invalid, "--summary", "its rows have their own order").WithHint("leave --sort and --newest out")
		}
		return printRows(a, cmd.Context(), "summaries", f, (*api.Client).MetricSummaries, summariesText)
	}
	return cmd
}

func summariesText(w io.Writer, rows []telemetry.MetricSummary) {
	t := newTable("METRIC", "GRAPH", "NODE", "COUNT ", "SUM ", "MEAN ", "P50 ", "P95 ", "LAST ", "UNIT", "KIND")
	for _, r := range rows {
		t.row(r.Name, r.Graph+"@"+r.Version, orDash(r.Node), figure(r.Count), figure(r.Sum), figure(r.Mean), figure(r.P50), figure(r.P95), figure(r.Last), r.Unit, r.Aggregation)
	}
	t.write(w)
}

// figure writes a number with four digits.
func figure(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

func tracesText(w io.Writer, rows []telemetry.TraceRow) {
	t := newTable("STARTED", "TRACE", "GRAPH", "VERSION", "KIND", "STATUS", "TOOK ", "SPANS ", "ERROR")
	for _, r := range rows {
		t.row(stamp(r.Start), r.TraceID, r.Graph, r.Version, r.RunKind, r.Status, seconds(r.DurationMS/1e3), fmt.Sprint(r.Spans),
			problem(r.ErrorType, r.Error))
	}
	t.write(w)
}

func spansText(w io.Writer, rows []telemetry.SpanRow) {
	t := newTable("STARTED", "TRACE", "GRAPH", "SPAN", "TYPE", "STATUS", "TOOK ", "IN ", "OUT ", "RETRIES ", "ERROR")
	for _, r := range rows {
		t.row(stamp(r.Start), r.TraceID, r.Graph+"@"+r.Version, r.Name, r.NodeType, r.Status, seconds(r.DurationMS/1e3),
			size(int64(r.InputSize)), size(int64(r.OutputSize)), fmt.Sprint(r.Retries), problem(r.ErrorType, r.Error))
	}
	t.write(w)
}

func metricsText(w io.Writer, rows []telemetry.MetricRow) {
	t := newTable("TIME", "TRACE", "GRAPH", "NODE", "METRIC", "VALUE ", "UNIT", "KIND")
	for _, r := range rows {
		t.row(stamp(r.Time), r.TraceID, r.Graph+"@"+r.Version, orDash(r.Node), r.Name, strconv.FormatFloat(r.Value, 'g', 6, 64), r.Unit, r.Aggregation)
	}
	t.write(w)
}

func eventsText(w io.Writer, rows []telemetry.EventRow) {
	t := newTable("TIME", "TRACE", "GRAPH", "NODE", "EVENT", "NAME", "ATTRIBUTES")
	for _, r := range rows {
		t.row(stamp(r.Time), r.TraceID, r.Graph+"@"+r.Version, orDash(r.Node), r.Type, orDash(r.Name), oneLine(strings.Join(pairs(r.Attributes), " "), 100))
	}
	t.write(w)
}

func problem(kind, msg string) string {
	if kind == "" {
		return ""
	}
	if msg == "" {
		return kind
	}
	return oneLine(kind+": "+msg, 80)
}

func (a *app) statsCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "stats", Short: "Show how telemetry fares and what is stored",
		Long: `Show what the backend holds and how the recorder fares. The recorder's figures count
since its host was opened: of a daemon since its start, of a command that opened the
folder itself since just now.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				s, err := c.Stats(cmd.Context(), name)
				if err != nil {
					return err
				}
				return a.print(s, func(w io.Writer) { statsText(w, s) })
			})
		},
	}
	cmd.Flags().StringVar(&name, "graph", "", "of the backend that this graph writes to")
	return cmd
}

func statsText(w io.Writer, s *api.Stats) {
	t := newTable("STORED", " ")
	if n := s.Stored; n != nil {
		for _, r := range []struct {
			what string
			n    int64
		}{{"traces", n.Traces}, {"spans", n.Spans}, {"events", n.Events}, {"metrics", n.Metrics}, {"sketches", n.Sketches}, {"unattributed", n.Unattributed}} {
			t.row(r.what, fmt.Sprint(r.n))
		}
		t.row("size", size(n.Bytes))
	} else {
		t.row("the backend cannot be asked", "")
	}
	t.write(w)
	fmt.Fprintln(w)
	r := s.Recorder
	t = newTable("RECORDER", " ")
	t.row("traces taken", fmt.Sprint(r.Traces))
	t.row("sampled out", fmt.Sprint(r.SampledOut))
	t.row("waiting", fmt.Sprint(r.Waiting))
	t.row("exported", fmt.Sprint(r.ExportedTraces))
	t.row("dropped", fmt.Sprint(r.Dropped))
	for _, reason := range sorted(r.DroppedByReason) {
		t.row("  "+reason, fmt.Sprint(r.DroppedByReason[reason]))
	}
	t.row("mean export", seconds(r.ExportLatency))
	t.row("export errors", fmt.Sprint(r.ExportErrors))
	t.write(w)
	if r.LastError != "" {
		fmt.Fprintf(w, "last error: %s\n", r.LastError)
	}
}
