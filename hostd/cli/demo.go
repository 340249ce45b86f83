package cli

import (
	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/hostd/demo"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) demoCommand() *cobra.Command {
	var o demo.Options
	var check bool
	cmd := &cobra.Command{
		Use: "demo", Short: "See the whole loop work on the documentation of your Go installation",
		Long: `Serve a search over the documentation comments of the Go standard library, answer
requests, analyse them, run one improvement cycle, swap the improved version in while
requests keep coming, and measure both versions on questions that the cycle never saw.

Nothing of the outcome is fixed: when the cycle finds nothing better, the demo says so.
The data stays in --data-dir, by default a new folder for temporary files, and every
command of spark can look at it.`,
		Example: "  spark demo\n  spark demo --corpus /usr/local/go -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			wasm, err := a.Stock()
			if err != nil {
				return err
			}
			o.Stock = [][]byte{wasm}
			if a.global.flags.Lookup("data-dir").Changed || a.env("SPARK_DATA_DIR") != "" {
				c, err := a.settings()
				if err != nil {
					return err
				}
				o.DataDir = c.DataDir
			}
			o.Logger = a.logger(a.global.logLevel, "warn")
			// With -o json standard output holds the result alone.
			out := a.Stdout
			if a.json() {
				out = a.Stderr
			}
			o.Show = &demo.Printer{W: out, Terminal: terminal(out)}
			r, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json() {
				if err := a.printJSON(r); err != nil {
					return err
				}
			}
			if s := r.Swap; check && (s.Failed > 0 || s.Mixed > 0 || s.Checked == 0) {
				err := fault.New(fault.Internal, "swap", "%d requests failed and %d were mixed, of %d", s.Failed, s.Mixed, s.Requests)
				if a.json() {
					return shown{err}
				}
				return err
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Corpus, "corpus", "", "Go installation, or a corpus file; default $GOROOT, go env GOROOT, the usual folders")
	f.Uint64Var(&o.Seed, "seed", 1, "of the search and of all random orders; 0 draws one")
	f.IntVar(&o.Requests, "requests", 0, "requests before the analysis, at least 230")
	f.BoolVar(&check, "check", false, "fail when a request failed or met two versions")
	f.SortFlags = false
	return cmd
}
