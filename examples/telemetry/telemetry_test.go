package telemetry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/hostd/cli"
	"github.com/sparkrsi/spark/hostd/config"
	pgbackend "github.com/sparkrsi/spark/plugins/backends/postgres"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/plugins/nodes"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// TestMain makes the test binary the spark program, which starts itself as its
// plugins.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "plugin" {
		os.Exit(cli.Main(program(), os.Args[1:]))
	}
	postgres.Main(m)
}

func program() cli.Config {
	return cli.Config{Version: "test", Stock: nodes.Stock,
		Plugins: map[string]func() error{"sqlite": sqlite.Serve, "postgres": pgbackend.Serve}}
}

// spark runs a command with the settings of a file and returns what it printed.
type spark struct {
	file, data string
	env        []string
}

func (s spark) run(t *testing.T, args ...string) string {
	t.Helper()
	var out, log bytes.Buffer
	c := program()
	c.Stdout, c.Stderr, c.Env = &out, &log, s.env
	if code := cli.Run(t.Context(), c, append(args, "--config", s.file, "--data-dir", s.data)); code != 0 {
		t.Fatalf("spark %s: exit status %d\n%s%s", strings.Join(args, " "), code, &out, &log)
	}
	return out.String()
}

// people runs the example as its README says and returns what telemetry holds.
func (s spark) people(t *testing.T) (held struct{ Traces, Spans, Events, Sketches int }) {
	t.Helper()
	s.run(t, "graph", "apply", "graphs/greet.yaml")
	if out := s.run(t, "run", "greet", "--inputs", "people.jsonl"); !strings.Contains(out, "5 runs of greet") {
		t.Fatalf("%s", out)
	}
	var stats struct{ Stored any }
	stats.Stored = &held
	if err := json.Unmarshal([]byte(s.run(t, "telemetry", "stats", "-o", "json")), &stats); err != nil {
		t.Fatal(err)
	}
	return held
}

func TestDevelopment(t *testing.T) {
	s := spark{file: "dev.yaml", data: t.TempDir()}
	if n := s.people(t); n.Traces != 5 || n.Spans != 10 || n.Sketches == 0 {
		t.Errorf("stored %+v", n)
	}
	if out := s.run(t, "telemetry", "spans", "--node", "greet", "-o", "json"); strings.Count(out, "hello, Grace") == 0 {
		t.Errorf("no output was captured:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(s.data, "telemetry.db")); err != nil {
		t.Error(err)
	}
}

func TestStaging(t *testing.T) {
	server := postgres.Start(t)
	s := spark{file: "staging.yaml", data: t.TempDir(), env: []string{"TELEMETRY_DATABASE=" + server.URL()}}
	if n := s.people(t); n.Traces != 5 || n.Spans != 10 || n.Sketches == 0 {
		t.Errorf("stored %+v", n)
	}
	out := s.run(t, "telemetry", "spans", "-o", "json")
	if strings.Contains(out, "hello, ") || strings.Count(out, `"span_id"`) != 10 {
		t.Errorf("spans, or captured outputs:\n%s", out)
	}
	// What the database shows to others.
	sql, err := server.Psql(t.Context(), "-Atc", "select count(*), count(distinct trace_id) from spark_telemetry.spans where node_name = 'greet'").CombinedOutput()
	if err != nil || strings.TrimSpace(string(sql)) != "5|5" {
		t.Errorf("psql: %s, %v", sql, err)
	}
	// The password is in no output, and in no file beside the database's own.
	if out := s.run(t, "config", "check", "-o", "json"); strings.Contains(out, server.Password) || !strings.Contains(out, "********") {
		t.Errorf("settings show the password:\n%s", out)
	}
	if found, err := exec.Command("grep", "-rlF", server.Password, s.data).Output(); len(found) > 0 {
		t.Errorf("the password stands in %s (%v)", found, err)
	}
}

func TestCollector(t *testing.T) {
	s := spark{file: "collector.yaml", data: t.TempDir(), env: []string{"API_TOKEN=secret"}}
	s.run(t, "graph", "apply", "graphs/redact.yaml")
	if n := s.people(t); n.Traces != 5 || n.Spans != 10 || n.Sketches == 0 {
		t.Errorf("stored %+v", n)
	}
	for what, rows := range map[string]int{"traces": 5, "spans": 10, "events": 30, "metrics": 50} {
		out := s.run(t, "telemetry", what, "--limit", "100", "-o", "json")
		if strings.Contains(out, "Grace") || strings.Count(out, `"trace_id"`) != rows {
			t.Errorf("%s, want %d without texts:\n%s", what, rows, out)
		}
	}
	if found, err := exec.Command("grep", "-rlF", "Grace", s.data).Output(); len(found) > 0 {
		t.Errorf("what was captured stands in %s (%v)", found, err)
	}
}

func TestRates(t *testing.T) {
	env := []string{"TELEMETRY_DATABASE=postgres://spark@127.0.0.1/telemetry", "API_TOKEN=secret"}
	for name, rate := range map[string]float64{"dev": 1, "staging": 1, "production": .1, "collector": 1} {
		c, err := config.Load(name+".yaml", env, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Telemetry.Profiles[name]
		if c.Telemetry.Default != name || !p.Enabled || p.SamplingRate != rate {
			t.Errorf("%s: %+v", name, p)
		}
		if name == "production" && (!p.ForceSampleOnError || !p.EnableAdaptiveSampling) {
			t.Errorf("production leaves failures or slow runs out: %+v", p)
		}
		if _, err := config.Load(name+".yaml", nil, nil); name != "dev" && (err == nil || !strings.Contains(fmt.Sprint(err), " is not set")) {
			t.Errorf("%s without its variable: %v", name, err)
		}
	}
}
