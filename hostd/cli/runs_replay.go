package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) runsReplayCommand() *cobra.Command {
	var in api.Replay
	var since, until, with string
	cmd := &cobra.Command{
		Use: "replay [RUN]", Short: "Try recorded runs again on another version",
		Long: `Try a recorded production run, or with --graph the newest of a graph, on another version
(--on) or on a document that is not applied (--with). Steps whose node and input are
as recorded are answered from the record and cost nothing; the others run. A node with
effects (effects: write) never runs: it is answered from the record, or its replay
fails and counts as held back. Outputs are compared as JSON.

It needs capture_inputs and capture_outputs in the telemetry profile of the graph. Runs
recorded without them are skipped, and the reason names the setting. The exit status
is 0 whatever differs.`,
		Example: `  spark runs replay 3f9a2c7d81e04b6f9a2c7d81e04b6f9a --on 1.1.0
  spark runs replay --graph search --since 24h --limit 50 --with search.yaml`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				in.Run = args[0]
				for _, flag := range []string{"since", "until", "limit"} {
					if cmd.Flags().Changed(flag) {
						return fault.New(fault.Invalid, "--"+flag, "does not go with one run").WithHint("leave out the run and name its graph with --graph")
					}
				}
			}
			if in.From, err = moment("--since", since, time.Now()); err != nil {
				return err
			}
			if in.To, err = moment("--until", until, time.Now()); err != nil {
				return err
			}
			if with != "" {
				if in.Version != "" {
					return fault.New(fault.Invalid, "--with", "does not go with --on").WithHint("give one of them")
				}
				in.Document = new(api.Document)
				if in.Document.Graph, in.Document.GraphFile, err = a.readDocument(with); err != nil {
					return err
				}
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				r, err := c.Replay(cmd.Context(), in)
				if err != nil {
					return err
				}
				return a.print(r, func(w io.Writer) { a.replayText(w, r) })
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Graph, "graph", "", "runs of this graph")
	f.StringVar(&in.Version, "on", "", "version to try them on, default the active one")
	f.StringVar(&with, "with", "", "document to try them on; it is not applied")
	f.StringVar(&since, "since", "", "started at or after: a time such as 2026-01-31T12:00:00Z, or 90m, 24h, 7d ago")
	f.StringVar(&until, "until", "", "started before, written likewise")
	f.IntVar(&in.Limit, "limit", 0, fmt.Sprintf("runs at most, newest first, up to %d; default 100", host.MaxReplays))
	f.SortFlags = false
	return cmd
}

// shownDiffs is how many differences the text shows; -o json has all.
const shownDiffs = 5

func (a *app) replayText(w io.Writer, r *host.ReplayReport) {
	if r.Runs == 0 && len(r.Skipped) == 0 {
		fmt.Fprintf(w, "no recorded runs of %s to replay\n", r.Graph)
		return
	}
	fmt.Fprintf(w, "%s of %s tried on %s: %d gave the same, %d differ", count(r.Runs, "run"), r.Graph, r.Version, r.Same, r.Differ)
	if r.Failed > 0 {
		fmt.Fprintf(w, ", %d of them failed", r.Failed)
	}
	if r.Held > 0 {
		fmt.Fprintf(w, ", %d where effects were held back", r.Held)
	}
	fmt.Fprintf(w, "\n%s answered from the record, %d ran", count(r.Answered, "step"), r.Ran)
	if len(r.Nodes) > 0 {
		fmt.Fprintf(w, ": %s", strings.Join(r.Nodes, ", "))
	}
	fmt.Fprintln(w)
	left := 0
	for _, one := range r.Replays {
		if one.Same {
			continue
		}
		if left++; left > shownDiffs {
			continue
		}
		fmt.Fprintf(w, "\nrun %s, recorded on %s, tried as %s\n", one.Run, one.Version, short(one.Replay))
		switch {
		case one.Error != "":
			fmt.Fprintf(w, "  failed: %s\n", one.Error)
		case one.Diff == "":
			fmt.Fprintln(w, "  the outputs differ; -o json has both")
		default:
			for line := range strings.Lines(one.Diff) {
				switch line[0] {
				case '-':
					line = a.red(w, strings.TrimSuffix(line, "\n")) + "\n"
				case '+':
					line = a.green(w, strings.TrimSuffix(line, "\n")) + "\n"
				}
				fmt.Fprint(w, "  "+line)
			}
		}
	}
	if left > shownDiffs {
		fmt.Fprintf(w, "\n%d more differ: -o json has all\n", left-shownDiffs)
	}
	if len(r.Skipped) > 0 {
		fmt.Fprintf(w, "\n%s skipped, the first because: %s\n", count(len(r.Skipped), "run"), r.Skipped[0].Reason)
		if r.Skipped[0].Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", r.Skipped[0].Hint)
		}
	}
}
