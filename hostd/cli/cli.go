// Package cli is the spark command line. Every command asks a host through
// hostd/api: in the same process on a local data folder, through the unix socket
// of the daemon that owns the folder, or at an address.
//
// Start with Main. The package imports no plugin: the program hands them in.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Config is what a program that carries the command line is made of.
type Config struct {
	Version string                  // of the program
	Stock   func() ([]byte, error)  // the module of the stock node types
	Plugins map[string]func() error // built-in plugins by name, each serving until its host ends it

	Stdin  io.Reader // default the process's
	Stdout io.Writer
	Stderr io.Writer
	Env    []string // default os.Environ()
}

// Main runs the command that args (without the program's name) ask for and
// returns the exit status: 0, 1 for a failure, 2 for what the caller must mend.
// The first interrupt cancels what is under way, the second ends the process.
func Main(c Config, args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(1)
	}()
	return Run(ctx, c, args)
}

// Run is Main without signals.
func Run(ctx context.Context, c Config, args []string) int {
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	a := &app{Config: c}
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(cmd, err)
}

// app is one execution of the program.
type app struct {
	Config
	global globals
}

// root returns the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "spark",
		Short: "Run workflow graphs of WASM nodes, and let them improve on what they show",
		Long: `Spark runs versioned workflow graphs whose nodes are WASM modules, records what
every run did, and closes the loop: it analyses that telemetry, proposes
improvements, tests them on real inputs, releases what is confirmed, and learns.

Commands work on a data folder (--data-dir, default ./.spark). When a daemon owns
the folder they go through it; with --address they ask a daemon elsewhere.

Settings come from defaults, then the file of --config, then SPARK_ variables
(SPARK_DATA_DIR, SPARK_NODES__MEMORY_MIB), then flags.

Exit status: 0 when the command did its job, whatever the verdict; 1 when
something failed; 2 when the input, a document or a setting is wrong. Errors are
written to standard error as "spark: operation: place: what", with a hint on what
to do. With -o json standard output holds exactly one JSON document, for an error
{"error": {kind, op, path, message, hint}}.`,
		Example: `  spark graph apply search.yaml
  spark run search --input '{"question": "read a whole file"}'
  spark telemetry traces --newest --limit 5
  spark rsi cycle search`,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.Wrap(fault.Invalid, "", err, "flags").(*fault.Error).WithHint("`%s --help` shows them", cmd.CommandPath())
	})
	a.global.register(root)
	a.fromEnvironment()
	root.AddGroup(&cobra.Group{ID: "work", Title: "Work:"}, &cobra.Group{ID: "look", Title: "Look:"}, &cobra.Group{ID: "host", Title: "Host:"})
	root.AddCommand(
		in("work", a.runCommand()), in("work", a.runsCommand()), in("work", a.graphCommand()), in("work", a.moduleCommand()), in("work", a.rsiCommand()), in("work", a.demoCommand()),
		in("look", a.telemetryCommand()),
		in("work", a.initCommand()), in("work", a.testkitCommand()), in("host", a.serveCommand()), in("host", a.configCommand()), in("host", a.pluginCommand()), in("host", a.versionCommand()),
	)
	return root
}

func in(group string, cmd *cobra.Command) *cobra.Command {
	cmd.GroupID = group
	return cmd
}

// parent returns a command that only holds others.
func parent(use, short, long string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fault.New(fault.Invalid, "", "there is no command %q", args[0]).WithHint("`%s --help` shows them", cmd.CommandPath())
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(children...)
	return cmd
}

// arguments wants between least and most arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fault.New(fault.Invalid, "", "%d arguments, want %s", len(args), cmd.UseLine()).WithHint("`%s --help` explains them", cmd.CommandPath())
		}
		return nil
	}
}
