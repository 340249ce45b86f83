package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/rsi"
)

// Printer shows the story as text. On a terminal one line is kept up to date;
// elsewhere a line is written a part and at every quarter of a count.
type Printer struct {
	W        io.Writer
	Terminal bool

	started time.Time
	line    bool   // a progress line stands on the terminal
	what    string // of the last progress
	quarter int
}

var _ Show = (*Printer)(nil)

func (p *Printer) printf(format string, args ...any) {
	if p.line {
		fmt.Fprint(p.W, "\r\x1b[K")
		p.line = false
	}
	fmt.Fprintf(p.W, format, args...)
}

// Step begins a part.
func (p *Printer) Step(format string, args ...any) {
	if p.started.IsZero() {
		p.started = time.Now()
	}
	p.printf("\n[%5.1f s] %s\n", time.Since(p.started).Seconds(), fmt.Sprintf(format, args...))
	p.what = ""
}

// Note prints a fact.
func (p *Printer) Note(format string, args ...any) {
	p.printf("          %s\n", fmt.Sprintf(format, args...))
}

// phases says in words what a phase of the cycle does.
var phases = map[string]string{
	"requests":   "answering requests",
	"analyze":    "analyze: what production runs show",
	"propose":    "propose: which tunables may pay",
	"screen":     "screen: racing configurations on the SCREEN questions",
	"validate":   "validate: schema, protected nodes, risk",
	"experiment": "experiment: the winner against the baseline on the CONFIRM questions",
	"release":    "release: swapping the version under load",
	"hold":       "hold: waiting for a person",
	"learn":      "learn: keeping what was tried",
}

// Progress updates the line of a count.
func (p *Printer) Progress(what string, done, total int) {
	text := phases[what]
	if text == "" {
		text = what
	}
	if p.Terminal {
		if total > 0 {
			const width = 30
			full := width * done / max(total, 1)
			fmt.Fprintf(p.W, "\r\x1b[K          %s%s %d/%d  %s", strings.Repeat("#", min(full, width)), strings.Repeat(".", max(width-full, 0)), done, total, text)
		} else {
			fmt.Fprintf(p.W, "\r\x1b[K          %s", text)
		}
		p.line = true
		return
	}
	if what != p.what {
		p.what, p.quarter = what, 0
		p.printf("          %s\n", text)
	}
	if total > 0 && 4*done/total > p.quarter {
		p.quarter = 4 * done / total
		p.printf("          %s %d/%d\n", what, done, total)
	}
}

// Analysis prints what telemetry shows.
func (p *Printer) Analysis(a *rsi.Analysis) {
	var b strings.Builder
	a.WriteText(&b)
	for line := range strings.Lines(b.String()) {
		p.printf("          %s", line)
	}
}

// Result prints the table of both versions and where to look further.
func (p *Printer) Result(r *Result) {
	p.printf("\n")
	h := r.HeldOut
	if r.Improved {
		p.printf("Version %s replaced %s: %s.\n", r.VersionAfter, r.VersionBefore, r.Reason)
		for _, imp := range r.Cycle.Improvements {
			for _, c := range imp.Hypothesis.Changes {
				p.printf("  %-9s %-10s %s -> %s\n", c.Target, c.Path, c.Old, c.New)
			}
		}
	} else {
		p.printf("Version %s stays: %s (%s).\n", r.VersionBefore, r.Reason, r.Verdict)
	}
	p.printf("\nOn %d held-out questions, which the cycle never saw, each asked %d times of both versions:\n\n", h.N, repeats)
	p.printf("  %-18s %10s %10s   %s\n", "objective", "before", "after", "effect, 95 % interval")
	p.printf("  %-18s %10.3f %10.3f   %+.3f  [%+.3f, %+.3f]  %+.0f %%\n", "quality (MRR@10)", h.Quality.Before, h.Quality.After,
		h.Effect.Quality.Estimate, h.Effect.Quality.Low, h.Effect.Quality.High, percent(h.Quality))
	p.printf("  %-18s %10.2f %10.2f   %+.2f  [%+.2f, %+.2f]  %+.0f %%\n", "latency (ms)", h.LatencyMS.Before, h.LatencyMS.After,
		h.Effect.LatencyMS.Estimate, h.Effect.LatencyMS.Low, h.Effect.LatencyMS.High, percent(h.LatencyMS))
	s := r.Swap
	p.printf("\nCost: %d runs in %.1f s, %d of them the experiment's.\n", r.Runs, r.Seconds, r.Experiment)
	p.printf("Swap: %d requests came meanwhile, %d answered by %s and %d by the version after it; %d failed, %d mixed (%d compared).\n",
		s.Requests, s.Before, r.VersionBefore, s.After, s.Failed, s.Mixed, s.Checked)
	p.printf("\nThe data lies in %s. Look at it with:\n", r.DataDir)
	commands := []string{"graph versions docsearch", "telemetry stats", "telemetry traces --graph docsearch --newest --limit 5",
		"rsi analyze docsearch@" + r.VersionBefore, `run docsearch --input '{"question": "copy from a reader to a writer"}'`}
	if r.Improved {
		commands = slices.Insert(commands, 1, "graph diff docsearch@"+r.VersionBefore+" "+r.VersionAfter)
	}
	for _, c := range commands {
		p.printf("  spark --data-dir %s %s\n", r.DataDir, c)
	}
}

func percent(m Measure) float64 {
	if m.Before == 0 {
		return 0
	}
	return 100 * (m.After - m.Before) / m.Before
}
