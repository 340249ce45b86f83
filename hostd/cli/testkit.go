package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func (a *app) testkitCommand() *cobra.Command {
	return parent("testkit", "Hold a telemetry backend or a module of nodes against its contract", "Run the suites that Spark's own plugins pass against others.", a.testBackendCommand(), a.testNodeCommand(), a.suiteCommand())
}

// suiteName is the test under which the parts of the suite run.
const suiteName = "Backend"

// part is the outcome of one part of a suite.
type part struct {
	Name    string  `json:"name"`
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
	Output  string  `json:"output,omitempty"`
}

// conformance is the outcome of a suite.
type conformance struct {
	Backend  string   `json:"backend"`
	Passed   bool     `json:"passed"`
	Parts    []part   `json:"parts"`
	NotAsked []string `json:"not_asked"` // parts that need a power which the backend does not declare
}

func (a *app) testBackendCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: "backend PATH", Short: "Run the conformance suite against a telemetry backend",
		Long: `Start the executable at PATH as a telemetry backend, once and more for each part of
the suite, and hold it against its contract: order, idempotence, poison records, batch
limits, restarts, filters, aggregates, concurrency. Only what the backend declares is
asked of it; the rest is named.

The backend is opened with --config, in which {dir} stands for a fresh folder of each
part: a backend that keeps its data elsewhere must start empty every time.`,
		Example: "  spark testkit backend ./clickhouse\n  spark testkit backend ./sqlite --config '{\"db_path\": \"{dir}/telemetry.db\"}'",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !json.Valid([]byte(config)) || !strings.HasPrefix(strings.TrimSpace(config), "{") {
				return fault.New(fault.Invalid, "--config", "%q is no JSON object", config).WithHint(`such as '{"db_path": "{dir}/telemetry.db"}'`)
			}
			path, err := filepath.Abs(args[0])
			if err != nil {
				return fault.Wrap(fault.Invalid, args[0], err, "resolve")
			}
			if _, err := plughost.Digest(path); err != nil {
				return err
			}
			r, err := a.conform(cmd.Context(), path, config)
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) { a.conformanceText(w, r) }); err != nil || r.Passed {
				return err
			}
			failed := 0
			for _, p := range r.Parts {
				if !p.Passed {
					failed++
				}
			}
			return shown{fault.New(fault.Rejected, args[0], "%d of %s failed", failed, count(len(r.Parts), "part")).WithHint("the suite is testkit/backendtest")}
		},
	}
	cmd.Flags().StringVar(&config, "config", "{}", "JSON object that the backend is opened with; {dir} is a fresh folder")
	return cmd
}

func (a *app) conformanceText(w io.Writer, r *conformance) {
	for _, p := range r.Parts {
		if p.Passed {
			fmt.Fprintf(w, "%s %s, %s\n", a.green(w, "pass"), p.Name, seconds(p.Seconds))
			continue
		}
		fmt.Fprintf(w, "%s %s\n", a.red(w, "FAIL"), p.Name)
		for _, l := range strings.Split(p.Output, "\n") {
			fmt.Fprintf(w, "     %s\n", l)
		}
	}
	for _, n := range r.NotAsked {
		fmt.Fprintln(w, n)
	}
	if r.Passed {
		fmt.Fprintln(w, a.green(w, r.Backend+" passes"))
	}
}

// conform runs the suite in a process of its own, since package testing ends the
// process that it runs in, and reads what that prints.
func (a *app) conform(ctx context.Context, path, config string) (*conformance, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "", err, "find this program")
	}
	cmd := exec.CommandContext(ctx, self, "testkit", "suite", path, config)
	cmd.Args[0] = os.Args[0]
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = a.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "", err, "start the suite")
	}
	if err := cmd.Start(); err != nil {
		return nil, fault.Wrap(fault.Internal, "", err, "start the suite")
	}
	r, read := conformanceOf(out, path)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil, fault.Wrap("", "", context.Cause(ctx), "interrupted")
	}
	var exit *exec.ExitError
	switch {
	case read != nil:
		return nil, fault.Wrap(fault.Internal, path, read, "read the outcome of the suite")
	case err != nil && !errors.As(err, &exit):
		return nil, fault.Wrap(fault.Internal, path, err, "run the suite")
	}
	r.Passed = r.Passed && err == nil
	return r, nil
}

var (
	partBegins = regexp.MustCompile(`^=== (?:RUN|NAME|CONT) +` + suiteName + `(?:/(\S+))?$`)
	partEnds   = regexp.MustCompile(`^ *--- (PASS|FAIL): ` + suiteName + `(?:/(\S+))? \(([0-9.]+)s\)$`)
	notAsked   = regexp.MustCompile(`^ *[a-z]+\.go:\d+: (.* not asked: .*)$`)
)

// conformanceOf reads the output of the suite. It passed when its last word says
// so and every part did.
func conformanceOf(out io.Reader, path string) (*conformance, error) {
	r := &conformance{Backend: path, Parts: []part{}, NotAsked: []string{}}
	said := map[string][]string{} // lines by part
	at, ended := "", false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		l := lines.Text()
		if m := partBegins.FindStringSubmatch(l); m != nil {
			at = m[1]
			continue
		}
		if m := partEnds.FindStringSubmatch(l); m != nil {
			if m[2] == "" {
				ended, r.Passed = true, m[1] == "PASS"
				continue
			}
			took, _ := strconv.ParseFloat(m[3], 64) // the expression lets only numbers by
			r.Parts = append(r.Parts, part{Name: m[2], Passed: m[1] == "PASS", Seconds: took})
			continue
		}
		if m := notAsked.FindStringSubmatch(l); m != nil && at == "" {
			r.NotAsked = append(r.NotAsked, m[1])
			continue
		}
		if l = strings.TrimSpace(l); l != "" && l != "PASS" && l != "FAIL" {
			said[at] = append(said[at], l)
		}
	}
	for i := range r.Parts {
		if p := &r.Parts[i]; !p.Passed {
			p.Output = strings.Join(said[p.Name], "\n")
			r.Passed = false
		}
	}
	if !ended || len(r.Parts) == 0 || !r.Passed && len(said[""]) > 0 {
		r.Passed = false
		r.Parts = append(r.Parts, part{Name: "(start)", Output: strings.Join(said[""], "\n")})
	}
	return r, lines.Err()
}

// suiteCommand runs the suite in this process and ends it.
func (a *app) suiteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "suite PATH CONFIG", Short: "Run a suite as package testing does", Hidden: true, Args: arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			digest, err := plughost.Digest(args[0])
			if err != nil {
				return err
			}
			// Flags of testing are read from the arguments of the process.
			os.Args = []string{os.Args[0], "-test.v", "-test.timeout=30m"}
			log := slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: suiteName, F: func(t *testing.T) {
				backendtest.Run(t, func(t *testing.T, dir string) backend.Writer { return launch(t, args[0], digest, args[1], dir, log) })
			}}}, nil, nil)
			return nil
		},
	}
}

// launch starts the plugin for one part of the suite.
func launch(t *testing.T, path, digest, config, dir string, log *slog.Logger) backend.Writer {
	t.Helper()
	quoted, err := json.Marshal(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plughost.Launch(t.Context(), plughost.Spec{Name: "backend", Kind: plughost.Backend, Path: path, SHA256: digest,
		Config: []byte(strings.ReplaceAll(config, "{dir}", strings.Trim(string(quoted), `"`))), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	c, err := backend.NewClient(t.Context(), p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &owned{otel.Over(c), p}
}

// owned is a backend whose process ends with it, as with its host.
type owned struct {
	backend.Remote
	plugin *plughost.Plugin
}

// Close ends the backend and its process. A second call finds both gone.
func (o *owned) Close(ctx context.Context) error {
	err := o.Remote.Close(ctx)
	if fault.Is(err, fault.Unavailable) && o.plugin.Info().PID == 0 {
		err = nil
	}
	return errors.Join(err, o.plugin.Close(ctx))
}
