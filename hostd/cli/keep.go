package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) flushCommand() *cobra.Command {
	var profile string
	cmd := &cobra.Command{
		Use: "flush", Short: "Write what was recorded to its backend, now",
		Long: `Return once everything recorded so far, statistics and what waits in the spool of
the disk included, is durable in the backend. Without --profile these are the default
profile and all that are in use.`,
		Example: "  spark telemetry flush\n  spark telemetry flush --profile production",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				f, err := c.Flush(cmd.Context(), profile)
				if err != nil {
					return err
				}
				return a.print(f, func(w io.Writer) {
					t := newTable("PROFILE", "EXPORTED ", "DROPPED ", "SPOOLED ")
					for _, name := range sorted(f.Profiles) {
						s := f.Profiles[name]
						t.row(name, fmt.Sprint(s.ExportedTraces), fmt.Sprint(s.Dropped), fmt.Sprint(s.SpoolTraces))
					}
					t.write(w)
				})
			})
		},
	}
	cmd.Flags().StringVar(&profile, "profile", "", "this profile only")
	return cmd
}

func (a *app) pruneCommand() *cobra.Command {
	var profile, before string
	cmd := &cobra.Command{
		Use: "prune --before DURATION|DATE", Short: "Remove old telemetry",
		Long: `Remove the traces that ended before a time from the backend of a profile, with their
spans, events and metrics, and statistics as old. The setting retention_days does so
every hour by itself.`,
		Example: "  spark telemetry prune --before 30d\n  spark telemetry prune --before 2026-01-31 --profile production",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := moment("--before", before, time.Now())
			if err != nil {
				return err
			}
			if t.IsZero() {
				return fault.New(fault.Invalid, "--before", "no time is given").WithHint("write 2026-01-31, 2026-01-31T12:00:00Z, 24h or 7d")
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				p, err := c.Prune(cmd.Context(), api.Prune{Profile: profile, Before: t})
				if err != nil {
					return err
				}
				return a.print(p, func(w io.Writer) {
					fmt.Fprintf(w, "%s removed, ended before %s\n", count(int(p.Traces), "trace"), stamp(p.Before))
				})
			})
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "a time such as 2026-01-31 or 2026-01-31T12:00:00Z, or 24h, 30d ago")
	cmd.Flags().StringVar(&profile, "profile", "", "profile whose backend is pruned; default the default one")
	return cmd
}

func (a *app) copyCommand() *cobra.Command {
	var in api.Copy
	cmd := &cobra.Command{
		Use: "copy --from PROFILE --to PROFILE", Short: "Copy telemetry from one backend to another",
		Long: `Write what the backend of one profile holds to that of another: traces with their
spans, events and metrics, and the rows of statistics. The source stays as it is; runs
may go on meanwhile.

A copy may be repeated, also one that was interrupted: what the target has is left
out. A target that cannot be asked, such as otlp, gets everything again. What is older
than the target's retention_days is removed there within the hour.`,
		Example: "  spark telemetry copy --from default --to production",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for flag, name := range map[string]string{"--from": in.From, "--to": in.To} {
				if name == "" {
					return fault.New(fault.Invalid, flag, "no profile is named").WithHint("name both: spark telemetry copy --from PROFILE --to PROFILE")
				}
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				p := a.progress()
				done, err := c.Copy(cmd.Context(), in, func(c host.Copied) {
					p.step("traces", int(c.Traces+c.Present+c.Quarantined), int(c.Total), "")
				})
				p.done()
				if err != nil {
					return err
				}
				return a.print(done, func(w io.Writer) {
					t := newTable("COPIED", " ")
					t.row("traces", fmt.Sprint(done.Traces))
					t.row("spans", fmt.Sprint(done.Spans))
					t.row("events", fmt.Sprint(done.Events))
					t.row("metrics", fmt.Sprint(done.Metrics))
					t.row("sketches", fmt.Sprint(done.Sketches))
					t.row("there before", fmt.Sprint(done.Present))
					t.row("refused", fmt.Sprint(done.Quarantined))
					t.write(w)
				})
			})
		},
	}
	cmd.Flags().StringVar(&in.From, "from", "", "profile whose backend is read")
	cmd.Flags().StringVar(&in.To, "to", "", "profile whose backend is written")
	return cmd
}
