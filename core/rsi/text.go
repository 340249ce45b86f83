package rsi

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the analysis for a person: plain text, aligned, no colour. The
// error is w's.
func (a *Analysis) WriteText(w io.Writer) error {
	t := newTable(w)
	t.line("graph %s, version %s, %s to %s (%s)", a.Graph, or(a.Version, "any"), a.Period.From.Format(time.DateTime),
		a.Period.To.Format(time.DateTime), a.Backend)
	t.line("%s: %s", a.Verdict, a.Reason)
	if a.Summary.Recorded > 0 {
		t.line("")
		t.row("executions", fmt.Sprintf("%.0f", a.Summary.Executions))
		t.row("success", fmt.Sprintf("%.2f %%", 100*a.Summary.SuccessRate))
		t.row("mean", seconds(a.Summary.Mean))
		t.row("p50", seconds(a.Summary.P50))
		t.row("p95", quantile(a.Summary.P95, 59))
		t.row("p99", quantile(a.Summary.P99, 299))
		t.row("model cost", fmt.Sprintf("$%.4f", a.Summary.CostUSD))
	}
	if len(a.Nodes) > 0 {
		t.line("")
		t.row("node", "executions", "errors", "mean", "p95", "critical path")
		for _, n := range a.Nodes {
			t.row(n.Node, fmt.Sprintf("%.0f", n.Executions), fmt.Sprintf("%.2f %%", 100*n.ErrorRate), seconds(n.Mean),
				quantile(n.P95, 59), fmt.Sprintf("%.0f %%", 100*n.CriticalShare))
		}
	}
	t.section("bottlenecks", len(a.Bottlenecks))
	for _, b := range a.Bottlenecks {
		t.row("  "+b.Node, b.Severity, b.Issue, b.Detail)
	}
	t.section("failure patterns", len(a.Failures))
	for _, f := range a.Failures {
		t.row("  "+f.Node, f.ErrorType, fmt.Sprintf("%.0f times", f.Count), or(first(f.Samples), "no message kept"))
	}
	t.section("opportunities", len(a.Opportunities))
	for _, o := range a.Opportunities {
		t.row("  "+o.Node, o.Detail, strings.Join(o.Tunables, ", "))
	}
	if s := a.Structure; s != nil {
		t.line("")
		t.line("structure: %s, %s, %s, depth %d, %s", s.Type, count(s.Nodes, "node"), count(s.Edges, "edge"), s.Depth, count(s.Cycles, "cycle"))
	}
	for _, n := range a.Notes {
		t.line("%s", n)
	}
	return t.flush()
}

// WriteText writes the report for a person: plain text, aligned, no colour. The
// error is w's.
func (r *Report) WriteText(w io.Writer) error {
	t := newTable(w)
	t.line("%s: %s", r.Verdict, r.Reason)
	t.line("graph %s, started from version %s; %s in %s, model cost $%.4f, seed %d", r.Graph, or(r.Version, "without label"),
		count(r.Runs, "experiment run"), seconds(r.Seconds), r.CostUSD, r.Seed)
	if c := r.Candidate; c != nil {
		t.line("")
		t.line("hypothesis %s (%s, risk %s): %s", c.Hypothesis.ID, c.Hypothesis.Type, or(c.Hypothesis.RiskLevel, "unknown"), c.Hypothesis.Rationale)
		for _, ch := range c.Hypothesis.Changes {
			t.row("  "+ch.Target+"."+ch.Path, or(string(ch.Old), "unset"), "->", string(ch.New))
		}
		e := c.Experiment
		t.line("")
		t.line("experiment: %s, %d of %d pairs used, %d with a failed run", e.Verdict, e.PairsUsed, e.PairsPlanned, e.PairsFailed)
		t.row("objective", "before", "after", "change", "interval", "standing")
		for _, name := range slices.Sorted(maps.Keys(c.Impact)) {
			i := c.Impact[name]
			change, interval := "unknown", "unknown"
			if i.Change != nil {
				unit := strings.Replace(i.ChangeUnit, "percent", "%", 1)
				change = fmt.Sprintf("%+.1f %s", *i.Change, unit)
				interval = fmt.Sprintf("%+.1f to %+.1f", *i.Low, *i.High)
			}
			t.row(name, amount(i.Before, i.Unit), amount(i.After, i.Unit), change, interval, i.Standing)
		}
		for _, k := range e.Constraints {
			t.row("  constraint "+k.Objective, string(k.Rule), string(k.State))
		}
		if e.Effect != nil {
			t.line("all objectives together: %+.1f %% (%+.1f to %+.1f), above 0 is better", e.Effect.Estimate, e.Effect.Low, e.Effect.High)
		}
		if e.SmallestEffect != nil {
			t.line("smallest effect these inputs would find in 4 of 5 experiments: %.1f %%", *e.SmallestEffect)
		}
		for _, n := range e.Notes {
			t.line("note: %s", n)
		}
	}
	for _, i := range r.Improvements {
		t.line("")
		t.line("released as version %s", i.Version)
	}
	t.line("")
	t.row("phase", "took")
	for _, s := range r.Stages {
		t.row("  "+s.Phase, seconds(s.Seconds), s.Error)
	}
	return t.flush()
}

// table writes lines and aligned rows and keeps the first error.
type table struct {
	w   io.Writer
	tab *tabwriter.Writer
	err error
}

func newTable(w io.Writer) *table {
	return &table{w: w, tab: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

func (t *table) row(cells ...string) {
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	t.keep(fmt.Fprintln(t.tab, strings.Join(cells, "\t")))
}

// line ends the rows before it, so that they are aligned among themselves only.
func (t *table) line(format string, args ...any) {
	t.keep(0, t.tab.Flush())
	t.keep(fmt.Fprintf(t.w, format+"\n", args...))
}

func (t *table) section(name string, n int) {
	t.line("")
	if n == 0 {
		t.line("%s: none", name)
		return
	}
	t.line("%s:", name)
}

func (t *table) keep(_ int, err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *table) flush() error {
	t.keep(0, t.tab.Flush())
	return t.err
}

// seconds writes a duration with three digits.
func seconds(s float64) string {
	switch {
	case s == 0:
		return "0 s"
	case s < 1e-3:
		return fmt.Sprintf("%.3g us", 1e6*s)
	case s < 1:
		return fmt.Sprintf("%.3g ms", 1e3*s)
	}
	return fmt.Sprintf("%.3g s", s)
}

func quantile(s *float64, needs int) string {
	if s == nil {
		return fmt.Sprintf("under %d runs", needs)
	}
	return seconds(*s)
}

// amount writes a value of an objective.
func amount(v *float64, unit string) string {
	switch {
	case v == nil:
		return "unknown"
	case unit == "s":
		return seconds(*v)
	case unit == "usd":
		return fmt.Sprintf("$%.4f", *v)
	}
	return fmt.Sprintf("%.4g", *v)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
