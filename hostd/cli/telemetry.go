package cli

import (
	"context"
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
		rowsCommand(a, "traces", "List runs", (*api.Client).Traces, tracesText),
		rowsCommand(a, "spans", "List steps and model calls", (*api.Client).Spans, spansText),
		rowsCommand(a, "metrics", "List metric points", (*api.Client).Metrics, metricsText),
		rowsCommand(a, "events", "List events", (*api.Client).Events, eventsText),
		a.flushCommand(), a.pruneCommand(), a.copyCommand())
}

// filters are the flags that select telemetry.
type filters struct {
	backend.Filter
	since, until string
	min          time.Duration
}

func (f *filters) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.Graph, "graph", "", "runs of this graph")
	fs.StringVar(&f.Version, "version", "", "runs of this version (label)")
	fs.StringVar(&f.Status, "status", "", "ok, error or cancelled")
	fs.StringVar(&f.Node, "node", "", "of this node")
	fs.StringVar(&f.Name, "name", "", "of a metric, or the type of an event")
	fs.StringVar(&f.RunKind, "kind", "", "production, experiment, shadow or replay")
	fs.StringVar(&f.TraceID, "trace", "", "of this trace or run (32 hex digits)")
	fs.StringVar(&f.since, "since", "", "started at or after: a time such as 2026-01-31T12:00:00Z, or 90m, 24h, 7d ago")
	fs.StringVar(&f.until, "until", "", "started before, written likewise")
	fs.DurationVar(&f.min, "min", 0, "lasted at least, such as 250ms")
	fs.BoolVar(&f.Newest, "newest", false, "newest first")
	fs.IntVar(&f.Limit, "limit", 20, "rows at most, from 1 to 10000")
	fs.IntVar(&f.Offset, "offset", 0, "rows to leave out first")
	fs.SortFlags = false
}

// complete reads the times.
func (f *filters) complete(now time.Time) (err error) {
	if f.From, err = moment("--since", f.since, now); err != nil {
		return err
	}
	if f.To, err = moment("--until", f.until, now); err != nil {
		return err
	}
	f.MinMillis = float64(f.min) / float64(time.Millisecond)
	if f.Limit < 1 || f.Limit > api.MaxPage {
		return fault.New(fault.Invalid, "--limit", "%d is not from 1 to %d", f.Limit, api.MaxPage).WithHint("page with --offset")
	}
	if f.Offset < 0 {
		return fault.New(fault.Invalid, "--offset", "%d is negative", f.Offset).WithHint("count from 0")
	}
	return nil
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
func rowsCommand[Row any](a *app, what, short string, ask func(*api.Client, context.Context, backend.Filter) (*api.Page[Row], error),
	text func(w io.Writer, rows []Row)) *cobra.Command {
	var f filters
	cmd := &cobra.Command{
		Use: what, Short: short,
		Long: short + ", oldest first unless --newest is given. With -o json the rows come as\n{\"" + what +
			"\": [...], \"next_offset\": N}; next_offset is there when more follow.",
		Example: "  spark telemetry " + what + " --graph search --since 1h --newest",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(time.Now()); err != nil {
				return err
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				p, err := ask(c, cmd.Context(), f.Filter)
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
		},
	}
	f.register(cmd)
	return cmd
}

func tracesText(w io.Writer, rows []telemetry.TraceRow) {
	t := newTable("STARTED", "TRACE", "GRAPH", "VERSION", "KIND", "STATUS", "TOOK ", "SPANS ", "ERROR")
	for _, r := range rows {
		t.row(stamp(r.Start), r.TraceID, r.Graph, r.Version, r.RunKind, r.Status, seconds(r.DurationMS/1e3), fmt.Sprint(r.Spans),
			problem(r.ErrorType, r.Error))
	}
	t.write(w)
}

func spansText(w io.Writer, rows []telemetry.SpanRow) {
	t := newTable("STARTED", "TRACE", "GRAPH", "NODE", "TYPE", "STATUS", "TOOK ", "IN ", "OUT ", "RETRIES ", "ERROR")
	for _, r := range rows {
		t.row(stamp(r.Start), r.TraceID, r.Graph+"@"+r.Version, r.Node, r.NodeType, r.Status, seconds(r.DurationMS/1e3),
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
	t := newTable("TIME", "TRACE", "GRAPH", "NODE", "EVENT", "ATTRIBUTES")
	for _, r := range rows {
		var attrs []string
		for _, k := range sorted(r.Attributes) {
			attrs = append(attrs, fmt.Sprintf("%s=%v", k, r.Attributes[k]))
		}
		t.row(stamp(r.Time), r.TraceID, r.Graph+"@"+r.Version, orDash(r.Node), r.Type, oneLine(strings.Join(attrs, " "), 100))
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
