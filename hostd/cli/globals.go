package cli

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/sparkrsi/spark/hostd/config"
	"github.com/sparkrsi/spark/sdk/fault"
)

// globals are the flags of every command.
type globals struct {
	dataDir, config, address, token, output, logLevel string
	noColor                                           bool
	flags                                             *pflag.FlagSet
}

func (g *globals) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.dataDir, "data-dir", "", "data folder (SPARK_DATA_DIR; default .spark)")
	f.StringVar(&g.config, "config", "", "configuration file (SPARK_CONFIG)")
	f.StringVar(&g.address, "address", "", "HOST:PORT of a daemon; for serve, where to listen (SPARK_ADDRESS)")
	f.StringVar(&g.token, "token", "", "bearer token of that address (SPARK_TOKEN)")
	f.StringVarP(&g.output, "output", "o", "text", "text or json (SPARK_OUTPUT)")
	f.StringVar(&g.logLevel, "log-level", "", "debug, info, warn or error (SPARK_LOG_LEVEL)")
	f.BoolVar(&g.noColor, "no-color", false, "no colour (SPARK_NO_COLOR, NO_COLOR)")
	f.SortFlags = false
	g.flags = f
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if g.output != "text" && g.output != "json" {
			wrong := g.output
			g.output = "text"
			return fault.New(fault.Invalid, "--output", "%q is neither text nor json", wrong).WithHint("use -o text or -o json")
		}
		return nil
	}
}

// env returns a variable of the program's environment, or "".
func (a *app) env(name string) string {
	for _, kv := range slices.Backward(a.Env) {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// fromEnvironment fills the flags that are no settings from their variables. It
// runs before the flags are parsed, so that even their errors find the format.
func (a *app) fromEnvironment() {
	if v := a.env("SPARK_OUTPUT"); v != "" {
		a.global.output = v
	}
	a.global.config = a.env("SPARK_CONFIG")
	a.global.noColor = a.env("NO_COLOR") != "" || a.env("SPARK_NO_COLOR") != ""
}

// settings reads the configuration of this execution.
func (a *app) settings() (*config.Config, error) {
	flags := map[string]any{}
	for flag, key := range map[string]string{"data-dir": "data_dir", "address": "address", "token": "token", "log-level": "log_level"} {
		if f := a.global.flags.Lookup(flag); f.Changed {
			flags[key] = f.Value.String()
		}
	}
	return config.Load(a.global.config, a.Env, flags)
}

// json reports whether the output is JSON.
func (a *app) json() bool { return a.global.output == "json" }

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logger writes to standard error: text on a terminal, JSON lines otherwise.
func (a *app) logger(level, fallback string) *slog.Logger {
	if level == "" {
		level = fallback
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // the configuration was checked before
	}
	opts := &slog.HandlerOptions{Level: l}
	if terminal(a.Stderr) {
		return slog.New(slog.NewTextHandler(a.Stderr, opts))
	}
	return slog.New(slog.NewJSONHandler(a.Stderr, opts))
}
