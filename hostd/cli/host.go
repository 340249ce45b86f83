package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/hostd/config"
	"github.com/sparkrsi/spark/hostd/daemon"
	"github.com/sparkrsi/spark/sdk/fault"
)

func (a *app) serveCommand() *cobra.Command {
	var graphs, modules string
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the graphs of a folder, and the HTTP API",
		Long: `Open the data folder and serve it until SIGTERM or an interrupt: over the unix socket
spark.sock in the folder, and at --address when one is set. The folders graphs and
modules of the configuration are watched: a file that changed is verified whole and
then swapped in; runs under way end on the version they began with. A bad file leaves
the version before in place, and the log says what is wrong, where, and what to do.

Runs with checkpoints that were under way when an earlier process ended are taken up
at the start, those that wait for a person when their deadline comes.

At the end no new runs are taken and those under way have drain_timeout to finish;
runs with checkpoints that are not done by then go on at the next start. A second
signal ends the process at once; what telemetry had not yet written is then lost, and
nothing else.`,
		Example: "  spark serve --config spark.yaml\n  spark serve --graphs ./graphs --address 127.0.0.1:7275",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.settings()
			if err != nil {
				return err
			}
			for flag, p := range map[string]*string{"graphs": &c.Graphs, "modules": &c.Modules} {
				if f := cmd.Flags().Lookup(flag); f.Changed {
					if *p, err = filepath.Abs(f.Value.String()); err != nil {
						return fault.Wrap(fault.Invalid, "--"+flag, err, "resolve")
					}
				}
			}
			log := a.logger(c.LogLevel, "info")
			h, handler, err := a.open(cmd.Context(), c, log, true)
			if err != nil {
				return err
			}
			return daemon.Serve(cmd.Context(), daemon.Config{Host: h, Handler: handler, DataDir: c.DataDir, Address: c.Address, Token: c.Token,
				Graphs: c.Graphs, Modules: c.Modules, DrainTimeout: time.Duration(c.DrainTimeout), Logger: log})
		},
	}
	cmd.Flags().StringVar(&graphs, "graphs", "", "folder of graphs to serve and watch")
	cmd.Flags().StringVar(&modules, "modules", "", "folder of modules to load and watch")
	return cmd
}

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Find everything wrong with the configuration",
		Long: `Read the settings as every command does (FILE or --config, SPARK_ variables, flags)
and print each problem with its place and a hint, or what the settings come to.`,
		Example: "  spark config check spark.yaml",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.global.config = args[0]
			}
			c, err := a.settings()
			if err != nil {
				return err
			}
			for _, dir := range []struct{ key, path string }{{"graphs", c.Graphs}, {"modules", c.Modules}} {
				if dir.path == "" {
					continue
				}
				if info, err := os.Stat(dir.path); err != nil || !info.IsDir() {
					return fault.New(fault.NotFound, dir.path, "the folder of setting %s is not there", dir.key).WithHint("create it, or mend the setting")
				}
			}
			return a.print(map[string]any{"valid": true, "file": a.global.config, "settings": c.Public()}, func(w io.Writer) { a.checked(w, c) })
		},
	}
	def := &cobra.Command{
		Use: "default", Short: "Print every setting with its default", Example: "  spark config default > spark.yaml", Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				c, err := config.Load("", nil, nil)
				if err != nil {
					return err
				}
				return a.printJSON(c)
			}
			_, err := io.WriteString(a.Stdout, config.Example())
			return err
		},
	}
	return parent("config", "Check the configuration", "Settings come from defaults, then the file of --config, then SPARK_ variables, then\nflags, each above the one before.", check, def)
}

func (a *app) checked(w io.Writer, c *config.Config) {
	fmt.Fprintln(w, a.green(w, "configuration is valid"))
	t := newTable("SETTING", "VALUE")
	t.row("file", orDash(a.global.config))
	t.row("data folder", c.DataDir)
	t.row("graphs", orDash(c.Graphs))
	t.row("modules", orDash(c.Modules))
	address := "unix socket " + filepath.Join(c.DataDir, api.SocketName)
	if c.Address != "" {
		address += " and http://" + c.Address
		if c.Token != "" {
			address += " with a token"
		}
	}
	t.row("serves", address)
	t.row("environment", c.Environment)
	for _, name := range sorted(c.Telemetry.Profiles) {
		p := c.Telemetry.Profiles[name]
		text := p.Backend
		if p.DBPath != "" {
			text += " " + p.DBPath
		}
		if !p.Enabled {
			text = "off"
		} else if p.SamplingRate < 1 {
			text += fmt.Sprintf(", %g %% of runs", 100*p.SamplingRate)
		}
		if name == c.Telemetry.Default {
			text += " (default)"
		}
		t.row("telemetry "+name, text)
	}
	for _, name := range sorted(c.Models) {
		t.row("model "+name, c.Models[name].Plugin)
	}
	t.write(w)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of the program", Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": a.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "spark %s (%s, %s)\n", v["version"], v["go"], v["platform"]) })
		},
	}
}

// pluginCommand serves built-in plugins to the host that started this process.
func (a *app) pluginCommand() *cobra.Command {
	serve := &cobra.Command{
		Use: "serve NAME", Short: "Be a built-in plugin for the host that starts this process", Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, ok := a.Plugins[args[0]]
			if !ok {
				return fault.New(fault.NotFound, args[0], "there is no built-in plugin of this name").
					WithHint("there are %s", strings.Join(sorted(a.Plugins), ", "))
			}
			if err := f(); err != nil {
				return fault.Wrap("", args[0], err, "serve")
			}
			return nil
		},
	}
	serve.Hidden = true
	list := &cobra.Command{
		Use: "list [FILE...]", Short: "List the plugins, and the digests of executables",
		Long: `List the built-in plugins and those of the configuration with whether their executable
is the one that is pinned. With files, print the digest that pins each.`,
		Example: "  spark plugin list\n  spark plugin list ./mybackend",
		RunE: func(_ *cobra.Command, args []string) error {
			rows, err := a.plugins(args)
			if err != nil {
				return err
			}
			return a.print(map[string]any{"plugins": rows}, func(w io.Writer) {
				t := newTable("PLUGIN", "STATE", "SHA256", "PATH")
				for _, r := range rows {
					t.row(r.Name, r.State, orDash(r.SHA256), orDash(r.Path))
				}
				t.write(w)
			})
		},
	}
	return parent("plugin", "Look at the plugins", "A plugin is a process of its own: a telemetry backend or a model provider.", list, serve)
}

// pluginRow is one plugin as the list shows it.
type pluginRow struct {
	Name   string `json:"name"`
	State  string `json:"state"` // built-in, pinned, changed, missing, or file
	SHA256 string `json:"sha256,omitempty"`
	Path   string `json:"path,omitempty"`
}

// plugins returns the known plugins, or the given files with their digests.
func (a *app) plugins(files []string) ([]pluginRow, error) {
	rows := []pluginRow{}
	for _, path := range files {
		digest, err := plughost.Digest(path)
		if err != nil {
			return nil, err
		}
		rows = append(rows, pluginRow{filepath.Base(path), "file", digest, path})
	}
	if len(files) > 0 {
		return rows, nil
	}
	c, err := a.settings()
	if err != nil {
		return nil, err
	}
	for _, name := range sorted(a.Plugins) {
		rows = append(rows, pluginRow{Name: name, State: "built-in"})
	}
	for _, name := range sorted(c.Plugins) {
		p := c.Plugins[name]
		row := pluginRow{name, "pinned", p.SHA256, p.Path}
		if digest, err := plughost.Digest(p.Path); err != nil {
			row.State = "missing"
		} else if digest != p.SHA256 {
			row.State, row.SHA256 = "changed", digest
		}
		rows = append(rows, row)
	}
	return rows, nil
}
