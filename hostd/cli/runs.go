package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/hostd/api"
)

func (a *app) runsCommand() *cobra.Command {
	return parent("runs", "List, answer, resume, cancel and replay runs",
		`Runs of graphs that are durable or wait for a person have checkpoints: they survive
their process, and can be listed and answered. A run is named by its id or the first
digits of it, at least six. Runs without checkpoints are listed while they execute.`,
		a.runsListCommand(), a.runsShowCommand(), a.runsAnswerCommand(), a.runsResumeCommand(), a.runsCancelCommand(),
		a.runsReplayCommand())
}

func (a *app) runsListCommand() *cobra.Command {
	var f store.RunFilter
	var status string
	cmd := &cobra.Command{
		Use: "list", Short: "List runs with checkpoints, and those that execute now",
		Long: `List runs with checkpoints, newest first, and in a daemon those without that execute
now. A run that is "interrupted" was under way when its process ended; a daemon takes
it up at its start, spark runs resume does it without one. With -o json that is the
status running with "live": false.`,
		Example: "  spark runs list\n  spark runs list --status waiting --graph approval -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.Status = store.RunStatus(status)
			return a.with(cmd.Context(), func(c *api.Client) error {
				list, err := c.Runs(cmd.Context(), f)
				if err != nil {
					return err
				}
				return a.print(map[string]any{"runs": list}, func(w io.Writer) { a.runsText(w, list) })
			})
		},
	}
	cmd.Flags().StringVar(&f.Graph, "graph", "", "runs of this graph")
	cmd.Flags().StringVar(&status, "status", "", "running, waiting, finished, failed or cancelled")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "runs at most, from 1 to 10000")
	cmd.Flags().SortFlags = false
	return cmd
}

func (a *app) runsText(w io.Writer, list []*host.RunState) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no runs")
		return
	}
	t := newTable("RUN", "GRAPH", "STATUS", "CHECKPOINTS ", "STARTED", "NOW")
	for _, s := range list {
		kept := "-"
		if s.Durable {
			kept = fmt.Sprint(s.Checkpoints)
		}
		t.row(short(s.ID), s.Graph+"@"+s.Label, statusText(s), kept, stamp(s.Created), oneLine(orDash(nowText(s)), 60))
	}
	t.write(w)
}

func statusText(s *host.RunState) string {
	if s.Status == store.RunRunning && !s.Live {
		return "interrupted"
	}
	return string(s.Status)
}

// nowText says what a run is about, in a few words.
func nowText(s *host.RunState) string {
	switch {
	case s.Status == store.RunWaiting:
		list, err := s.Questions()
		if err != nil {
			return err.Error()
		}
		var asks []string
		for _, q := range list {
			asks = append(asks, q.ID+": "+q.Prompt)
		}
		return strings.Join(asks, "; ")
	case s.Error != "":
		return s.Error
	}
	return strings.Join(s.Nodes, ", ")
}

func (a *app) runsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "Show one run: where it stands, what it asks, what it gave",
		Example: "  spark runs show 3f9a2c", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				s, err := c.ShowRun(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				questions, err := s.Questions()
				if err != nil {
					return err
				}
				return a.print(s, func(w io.Writer) {
					t := newTable("RUN", s.ID)
					t.row("graph", s.Graph+"@"+s.Label+" ("+short(s.Version)+")")
					t.row("status", statusText(s))
					if s.Durable {
						t.row("checkpoints", fmt.Sprint(s.Checkpoints))
					}
					if len(s.Nodes) > 0 {
						t.row("under way", strings.Join(s.Nodes, ", "))
					}
					t.row("started", stamp(s.Created))
					t.row("since", stamp(s.Changed))
					t.row("trace", s.TraceID)
					if s.Error != "" {
						t.row("error", s.Error)
					}
					t.write(w)
					switch {
					case len(questions) > 0:
						fmt.Fprintln(w)
						questionsText(w, s.ID, questions)
					case s.Status == store.RunFinished:
						fmt.Fprintf(w, "\n%s\n", indented(s.Output))
					case s.Status == store.RunRunning && !s.Live:
						fmt.Fprintf(w, "\ncontinue it with: spark runs resume %s\n", short(s.ID))
					}
				})
			})
		},
	}
}

// questionsText writes what a run asks and how to answer.
func questionsText(w io.Writer, id string, list []engine.Question) {
	for i, q := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", q.ID, q.Prompt)
		if len(q.Input) > 0 && string(q.Input) != "null" {
			fmt.Fprintf(w, "  about    %s\n", strings.ReplaceAll(string(indented(q.Input)), "\n", "\n           "))
		}
		answer := "JSON"
		if len(q.Choices) > 0 {
			fmt.Fprintf(w, "  choices  %s\n", strings.Join(q.Choices, ", "))
			answer = `"` + q.Choices[0] + `"`
		}
		if len(q.Schema) > 0 {
			fmt.Fprintf(w, "  schema   %s\n", q.Schema)
		}
		if !q.Deadline.IsZero() {
			fmt.Fprintf(w, "  until    %s (%s left)\n", stamp(q.Deadline), max(0, time.Until(q.Deadline)).Round(time.Second))
		}
		fmt.Fprintf(w, "  answer   spark runs answer %s %s '%s'\n", short(id), quoted(q.ID), answer)
	}
}

// quoted quotes the id of a question for a shell if it has to be.
func quoted(id string) string {
	if strings.ContainsAny(id, "#[]~ *?'") {
		return "'" + id + "'"
	}
	return id
}

func (a *app) runsAnswerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "answer RUN QUESTION JSON", Short: "Answer a question of a run, which then goes on",
		Long: `Answer a question that a run waits for and print what the run comes to: its output, or
what it asks next. The answer is JSON: as it stands, @FILE for a file, - for standard
input. One that is not among the choices or breaks the schema is refused, and the run
waits as before.`,
		Example: `  spark runs answer 3f9a2c approve '"yes"'
  spark runs answer 3f9a2c approve '{"verdict": "yes", "by": "Ada"}'`,
		Args: arguments(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := a.value(args[2], "answer", "answer", `write text in quotes for the shell and for JSON, such as '"yes"', and files as @FILE`)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(c *api.Client) error {
				return a.came(c.Answer(cmd.Context(), args[0], api.Answer{Question: args[1], Answer: body}))
			})
		},
	}
}

func (a *app) runsResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resume RUN", Short: "Continue a run that was interrupted",
		Long: `Continue a run whose process ended while it was under way, on the version it began
with, and print what it comes to. Steps whose results were recorded are not run again.
A daemon does this by itself at its start.`,
		Example: "  spark runs resume 3f9a2c", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error { return a.came(c.Resume(cmd.Context(), args[0])) })
		},
	}
}

func (a *app) runsCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel RUN...", Short: "End runs that execute, wait or were interrupted",
		Example: "  spark runs cancel 3f9a2c", Args: arguments(1, 1000),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(c *api.Client) error {
				for _, id := range args {
					if err := c.Cancel(cmd.Context(), id); err != nil {
						return err
					}
				}
				return a.print(map[string]any{"cancelled": args}, func(w io.Writer) {
					for _, id := range args {
						fmt.Fprintf(w, "run %s is cancelled\n", id)
					}
				})
			})
		},
	}
}
