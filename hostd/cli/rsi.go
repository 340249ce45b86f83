package cli

import (
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) rsiCommand() *cobra.Command {
	return parent("rsi", "Analyse and improve a graph",
		`Analysis reads what the production runs of a graph recorded. A cycle goes on from
there: it proposes changes, chooses among them on one part of the policy's dataset,
confirms the best on the other, releases what is confirmed, and remembers.`,
		a.analyzeCommand(), a.cycleCommand())
}

func (a *app) analyzeCommand() *cobra.Command {
	var in api.Analyze
	var window time.Duration
	cmd := &cobra.Command{
		Use: "analyze GRAPH[@VERSION]", Short: "Show what the runs of a graph showed",
		Long: `Show success, latency, cost, bottlenecks, failure patterns and opportunities of the
runs of a version. Too few runs are no error: the verdict is then inconclusive.`,
		Example: "  spark rsi analyze search\n  spark rsi analyze search@1.0.0 --window 1h --min-executions 20 -o json",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Graph, in.Version, err = target(args[0]); err != nil {
				return err
			}
			in.WindowSeconds = window.Seconds()
			return a.with(cmd.Context(), func(c *api.Client) error {
				r, err := c.Analyze(cmd.Context(), in)
				if err != nil {
					return err
				}
				return a.print(r, func(w io.Writer) { r.WriteText(w) })
			})
		},
	}
	f := cmd.Flags()
	f.DurationVar(&window, "window", 0, "how far back; default the policy's, else 24h")
	f.IntVar(&in.MinExecutions, "min-executions", 0, "runs that a verdict needs; default the policy's, else 100")
	f.BoolVar(&in.AllowVolatile, "allow-volatile", false, "accept a backend that forgets")
	f.SortFlags = false
	return cmd
}

func (a *app) cycleCommand() *cobra.Command {
	var in api.Cycle
	cmd := &cobra.Command{
		Use: "cycle GRAPH", Short: "Try to improve a graph once",
		Long: `Run one improvement cycle from the active version and release at most one version.
What better means, the dataset, the limits and the budget come from the graph's
policy, which a cycle cannot change. Nothing better found is no error: the verdict
says it, and the exit status is 0.`,
		Example: "  spark rsi cycle search\n  spark rsi cycle search --seed 7 -o json",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Graph = args[0]
			if in.Dataset != "" {
				abs, err := filepath.Abs(in.Dataset)
				if err != nil {
					return fault.Wrap(fault.Invalid, in.Dataset, err, "resolve")
				}
				in.Dataset = abs
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				p := a.progress()
				defer p.done()
				r, err := c.Cycle(cmd.Context(), in, func(x rsi.Progress) { p.step(x.Phase, x.Done, x.Total, x.Message) })
				p.done()
				if err != nil {
					return err
				}
				return a.print(r, func(w io.Writer) { r.WriteText(w) })
			})
		},
	}
	cmd.Flags().Uint64Var(&in.Seed, "seed", 0, "of every random choice; default a fresh one, which the report names")
	cmd.Flags().StringVar(&in.Dataset, "dataset", "", "JSON lines in place of the policy's dataset")
	return cmd
}
