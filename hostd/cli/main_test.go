package cli_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/hostd/cli"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/plugins/backends/otlp"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/plugins/models/replay"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
)

// fixtures names the folder that TestMain fills: the modules, and a compile cache
// that has seen them.
const fixtures = "CLI_FIXTURES"

// TestMain makes this binary the spark program, too: scripts and tests start it
// under that name, and it starts itself as its plugins.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"spark": func() { os.Exit(cli.Main(program(), os.Args[1:])) }})
}

func program() cli.Config {
	return cli.Config{
		Version: "v0.0.0-test",
		Stock:   func() ([]byte, error) { return os.ReadFile(filepath.Join(os.Getenv(fixtures), "stock.wasm")) },
		Plugins: map[string]func() error{"memory": memory.Serve, "sqlite": sqlite.Serve, "otlp": otlp.Serve, "replay": replay.Serve},
	}
}

// suite prepares the fixtures before the tests of the top process.
type suite struct{ *testing.M }

func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "cli-fixtures-")
	if err == nil {
		defer os.RemoveAll(dir)
		os.Setenv(fixtures, dir)
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fixtures:", err)
		return 1
	}
	return s.M.Run()
}

func prepare(dir string) error {
	nodes := filepath.Join("..", "..", "plugins", "nodes")
	for _, name := range []string{"stock", "faulty"} {
		if _, err := modbuild.Build(context.Background(), filepath.Join(nodes, name), filepath.Join(dir, name+".wasm")); err != nil {
			return err
		}
	}
	// Compiling the modules once for all scripts keeps them short.
	warm := filepath.Join(dir, "warm.yaml")
	if err := os.WriteFile(warm, []byte("graph: warm\nstart: a\nnodes: {a: {module: echo@^1}}\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"graph", "apply", warm}, {"module", "push", filepath.Join(dir, "faulty.wasm")}} {
		c := program()
		c.Env = []string{"SPARK_TELEMETRY__DEFAULT=off", "SPARK_DATA_DIR=" + filepath.Join(dir, "data")}
		c.Stdout = os.Stderr
		if code := cli.Run(context.Background(), c, args); code != 0 {
			return fmt.Errorf("spark %s: exit status %d", strings.Join(args, " "), code)
		}
	}
	return nil
}

// warmCache gives a data folder the compile cache of the fixtures.
func warmCache(data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(data, "cache"), os.DirFS(filepath.Join(os.Getenv(fixtures), "data", "cache")))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv(fixtures, os.Getenv(fixtures))
			e.Setenv("TZ", "UTC")
			examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
			if err != nil {
				return err
			}
			e.Setenv("EXAMPLES", examples)
			e.Setenv("CHECKOUT", filepath.Dir(examples))
			if err := toolchain(e); err != nil {
				return err
			}
			return warmCache(filepath.Join(e.WorkDir, ".spark"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": fails, "await": await, "newer": newer, "unchanged": unchanged, "freeport": freeport, "firstid": firstID,
		},
	})
}

// toolchain lets scripts build with what is on this machine, and nothing else.
func toolchain(e *testscript.Env) error {
	names := []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		e.Setenv(names[i], line)
	}
	e.Setenv("GOPROXY", "off")
	e.Setenv("GOWORK", "off")
	return nil
}

// fails STATUS COMMAND... wants exactly this exit status.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("%v ended with %v, want exit status %d", args[1:], err, want)
	}
	if exit.ExitCode() != want {
		ts.Fatalf("%v: exit status %d, want %d", args[1:], exit.ExitCode(), want)
	}
}

// await FOLDER waits until a daemon answers on the socket of a data folder.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FOLDER")
	}
	ts.Check(answers(ts.MkAbs(args[0])))
}

func answers(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c := api.Unix(dir, func(ctx context.Context) (net.Conn, error) { return api.Dial(ctx, dir) })
		_, err := c.Health(ctx)
		c.Close()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no daemon answers in %s: %w", dir, err)
		case <-tick.C:
		}
	}
}

// newer FILE makes an SQLite file that of a schema version from the future.
func newer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer FILE")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	// The user version stands at byte 60 of the header. Source: SQLite, Database
	// File Format, section 1.3.
	_, err = f.WriteAt(binary.BigEndian.AppendUint32(nil, 9999), 60)
	ts.Check(err)
	ts.Check(f.Close())
}

// unchanged FOLDER MARK wants the files of a folder to be those that the first
// call with this mark saw.
func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unchanged FOLDER MARK")
	}
	var b strings.Builder
	dir := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err == nil && filepath.Base(path) != "lock" && !strings.HasSuffix(path, "-shm") {
			fmt.Fprintf(&b, "%s %d %x\n", strings.TrimPrefix(path, dir), len(body), body[:min(len(body), 100)])
		}
		return err
	}))
	if before := ts.Getenv("unchanged_" + args[1]); before == "" {
		ts.Setenv("unchanged_"+args[1], b.String())
	} else if before != b.String() {
		ts.Fatalf("%s changed:\n%s\nit was:\n%s", args[0], b.String(), before)
	}
}

// freeport VARIABLE sets a variable to a loopback address that nobody uses.
func freeport(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}
