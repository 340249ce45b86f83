package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/hostd/api"
)

func (a *app) traceCommand() *cobra.Command {
	var graph, profile string
	cmd := &cobra.Command{
		Use: "show TRACE", Short: "Show one run step by step",
		Long: `Show what was recorded of one run, by its run or trace id: when each step began after
the start of the run, how long it took, how it went, and below it its attributes,
events, metrics, model calls and the spans its code opened. The bar is the time of the
run from left to right. A trace that a caller began may hold several runs: all of them
are shown. With -o json they come whole as {"runs": [...]}.`,
		Example: "  spark telemetry show 4bf92f3577b34da6a3ce929d0e0e4736\n  spark telemetry show 4bf92f3577b34da6a3ce929d0e0e4736 --graph search -o json",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				t, err := c.Profile(profile).Trace(cmd.Context(), args[0], graph)
				if err != nil {
					return err
				}
				return a.print(t, func(w io.Writer) {
					for i, x := range t.Runs {
						if i > 0 {
							fmt.Fprintln(w)
						}
						a.treeText(w, x)
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&graph, "graph", "", "of this graph: its policy names the profile that is asked")
	cmd.Flags().StringVar(&profile, "profile", "", "ask the backend of this telemetry profile")
	return cmd
}

const (
	lineWidth = 80 // of text that wraps
	barWidth  = 14
	maxName   = 32 // characters of a span's name and type
	maxValue  = 60 // characters of an attribute
)

// treeText writes a run as a tree.
func (a *app) treeText(w io.Writer, x *telemetry.Tree) {
	t := &x.Trace
	fmt.Fprintf(w, "run %s of %s@%s, %s: %s\n", t.RunID, orDash(t.Graph), orDash(t.Version), orDash(t.RunKind), a.mood(w, t.Status, t.Status))
	head := func(key string, words ...string) {
		for _, line := range wrap(words, lineWidth-15) {
			fmt.Fprintf(w, "  %-11s  %s\n", key, line)
			key = ""
		}
	}
	if t.TraceID != t.RunID {
		head("trace", t.TraceID)
	}
	head("started", stamp(t.Start)+", took "+seconds(t.DurationMS/1e3))
	head("error", reason(t.ErrorType, t.Error)...)
	if t.Tokens != 0 || t.Cost != 0 {
		head("used", fmt.Sprintf("%d tokens, $%s", t.Tokens, figure(t.Cost)))
	}
	if t.Probability < 1 {
		head("weight", fmt.Sprintf("%s: it was kept with probability %s", figure(1/t.Probability), figure(t.Probability)))
	}
	if t.Dropped > 0 {
		head("dropped", fmt.Sprintf("%d records beyond a limit", t.Dropped))
	}
	head("environment", t.Environment)
	head("attributes", pairs(t.Attributes)...)
	head("resource", pairs(t.ResourceAttrs)...)
	records(w, "  ", x.Events, x.Metrics, t)
	if len(x.Spans) == 0 {
		fmt.Fprintln(w, "\n  no steps were recorded")
		return
	}
	width := min(widest(x.Spans, 0), maxName)
	fmt.Fprintf(w, "\n  %-*s  %8s  %8s  STATUS\n", width, "STEP", "AT", "TOOK")
	for _, s := range x.Spans {
		a.spanText(w, t, s, width, 0)
	}
}

// widest returns how many characters the longest title has.
func widest(spans []*telemetry.SpanTree, depth int) (n int) {
	for _, s := range spans {
		n = max(n, utf8.RuneCountInString(title(s, depth)), widest(s.Spans, depth+1))
	}
	return n
}

// title is what a span is called, depth steps to the right.
func title(s *telemetry.SpanTree, depth int) string {
	name := s.Name
	if s.NodeType == "model" {
		if model, ok := s.Attributes["gen_ai.request.model"].(string); ok {
			name = model
		}
	}
	what := s.NodeType
	if s.TypeVersion != "" {
		what += "@" + s.TypeVersion
	}
	return strings.Repeat("  ", min(depth, 8)) + oneLine(name+" "+what, maxName)
}

// spanText writes a span and what belongs to it.
func (a *app) spanText(w io.Writer, t *telemetry.TraceRow, s *telemetry.SpanTree, width, depth int) {
	name := title(s, depth)
	fmt.Fprintf(w, "  %s%s  %8s  %8s  %s  %s\n", name, strings.Repeat(" ", max(width-utf8.RuneCountInString(name), 0)),
		seconds(s.OffsetMS/1e3), seconds(s.DurationMS/1e3), a.mood(w, s.Status, fmt.Sprintf("%-9s", s.Status)), bar(s.OffsetMS, s.DurationMS, t.DurationMS))
	indent := strings.Repeat("  ", min(depth, 8)) + "      "
	details := func(words ...string) {
		for _, line := range wrap(words, lineWidth-len(indent)) {
			fmt.Fprintln(w, indent+line)
		}
	}
	details(reason(s.ErrorType, s.Error)...)
	details(consumed(s))
	details(pairs(s.Attributes)...)
	records(w, indent, s.Events, s.Metrics, t)
	for _, x := range s.Spans {
		a.spanText(w, t, x, width, depth+1)
	}
}

// reason is the words of an error.
func reason(kind, msg string) []string {
	if kind == "" && msg == "" {
		return nil
	}
	words := strings.Fields(oneLine(kind+": "+msg, 1000))
	lines := []string{}
	for i := 0; i < len(words); { // one word apart, where wrap would leave two
		line := words[i]
		for i++; i < len(words) && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(words[i]) <= maxValue; i++ {
			line += " " + words[i]
		}
		lines = append(lines, line)
	}
	return lines
}

// consumed is what a span used beside time.
func consumed(s *telemetry.SpanTree) string {
	var out []string
	if s.Retries > 0 {
		out = append(out, map[bool]string{true: "1 retry", false: fmt.Sprintf("%d retries", s.Retries)}[s.Retries == 1])
	}
	if s.CacheHit {
		out = append(out, "from the cache")
	}
	if s.WaitMS >= 1 {
		out = append(out, "waited "+seconds(s.WaitMS/1e3))
	}
	if s.Tokens != 0 {
		out = append(out, fmt.Sprintf("%d tokens", s.Tokens))
	}
	if s.Cost != 0 {
		out = append(out, "$"+figure(s.Cost))
	}
	return strings.Join(out, ", ")
}

// records writes the events and metrics of a run or span.
func records(w io.Writer, indent string, events []telemetry.EventRow, metrics []telemetry.MetricRow, t *telemetry.TraceRow) {
	width := lineWidth - len(indent)
	for _, e := range events {
		name := e.Type
		if e.Name != "" && e.Name != e.Node {
			name += " " + oneLine(e.Name, maxValue)
		}
		parts := append([]string{"event " + name + " at " + seconds(e.Time.Sub(t.Start).Seconds())}, pairs(e.Attributes)...)
		for _, line := range wrap(parts, width) {
			fmt.Fprintln(w, indent+line)
		}
	}
	for _, m := range metrics {
		parts := append([]string{strings.TrimSpace(fmt.Sprintf("metric %s = %s %s", m.Name, figure(m.Value), strings.TrimPrefix(m.Unit, "1")))}, pairs(m.Attributes)...)
		for _, line := range wrap(parts, width) {
			fmt.Fprintln(w, indent+line)
		}
	}
}

// bar draws when a part of the whole was.
func bar(at, took, whole float64) string {
	if whole <= 0 {
		return strings.Repeat("·", barWidth)
	}
	cell := func(v float64) int { return min(max(int(v/whole*barWidth+.5), 0), barWidth) }
	from, to := cell(at), cell(at+took)
	from = min(from, barWidth-1)
	to = max(to, from+1)
	return strings.Repeat("·", from) + strings.Repeat("█", to-from) + strings.Repeat("·", barWidth-to)
}

// mood colours text by a status.
func (a *app) mood(w io.Writer, status, text string) string {
	switch status {
	case "ok":
		return a.green(w, text)
	case "error":
		return a.red(w, text)
	}
	return text
}

// pairs writes attributes as KEY=VALUE, by key.
func pairs(attrs map[string]any) (out []string) {
	for _, k := range sorted(attrs) {
		out = append(out, k+"="+oneLine(fmt.Sprint(attrs[k]), maxValue))
	}
	return out
}

// wrap joins words into lines of at most width characters; a longer word has a
// line of its own.
func wrap(words []string, width int) (lines []string) {
	line, n := "", 0
	for _, s := range words {
		k := utf8.RuneCountInString(s)
		if n > 0 && n+2+k > width {
			lines, line, n = append(lines, line), "", 0
		}
		if n > 0 {
			line, n = line+"  ", n+2
		}
		line, n = line+s, n+k
	}
	if n > 0 {
		lines = append(lines, line)
	}
	return lines
}
