package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/fault"
)

// file writes a configuration and returns its path.
func file(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spark.yaml")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string, environ []string, flags map[string]any) *Config {
	t.Helper()
	c, err := Load(path, environ, flags)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := load(t, "", nil, nil)
	here, _ := os.Getwd()
	if c.DataDir != filepath.Join(here, ".spark") || c.Environment != "development" || time.Duration(c.DrainTimeout) != 30*time.Second {
		t.Errorf("%+v", c)
	}
	if got, want := js(t, c.Telemetry.Profiles), js(t, map[string]telemetry.Config{"default": telemetry.Defaults()}); got != want {
		t.Errorf("profiles %s, want %s", got, want)
	}
}

func js(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExample proves that what `spark config default` prints is what the program
// does without it.
func TestExample(t *testing.T) {
	path := file(t, Example())
	got, want := load(t, path, nil, nil), load(t, "", nil, nil)
	want.DataDir = filepath.Join(filepath.Dir(path), ".spark")
	want.Nodes.Timeout = got.Nodes.Timeout // the host's default, named
	if js(t, got) != js(t, want) {
		t.Errorf("the example gives\n%s\nthe defaults are\n%s", js(t, got), js(t, want))
	}
	if time.Duration(got.Nodes.Timeout) != 30*time.Second {
		t.Errorf("nodes.timeout %v", got.Nodes.Timeout)
	}
	// What is commented out names settings that exist, too.
	var all strings.Builder
	for line := range strings.Lines(Example()) {
		if at := strings.Index(line, "# "); at >= 0 && strings.Contains(line[at:], ":") && !strings.HasPrefix(line, "# Every") &&
			strings.TrimSpace(line[:at]) == "" && !strings.HasPrefix(line[at:], "# (SPARK") && !strings.HasPrefix(line[at:], "# paths") {
			line = line[:at] + line[at+2:]
		}
		all.WriteString(line)
	}
	if _, err := Load(file(t, all.String()), []string{"API_TOKEN=t", "TELEMETRY_DATABASE=postgres://db"}, nil); err != nil {
		t.Errorf("%v in\n%s", err, all.String())
	}
}

func TestLayers(t *testing.T) {
	path := file(t, "environment: file\nlog_level: debug\nparallel: 2\ngraphs: g\n")
	env := []string{"SPARK_ENVIRONMENT=env", "SPARK_PARALLEL=3", "SPARK_DATA_DIR=d", "SPARK_LOG_LEVEL="}
	c := load(t, path, env, map[string]any{"environment": "flag"})
	if c.Environment != "flag" || c.Parallel != 3 || c.LogLevel != "debug" {
		t.Errorf("%+v", c)
	}
	// Paths of the file are relative to the file, those of variables to here.
	here, _ := os.Getwd()
	if c.Graphs != filepath.Join(filepath.Dir(path), "g") || c.DataDir != filepath.Join(here, "d") {
		t.Errorf("graphs %s, data folder %s", c.Graphs, c.DataDir)
	}
	if c := load(t, path, env[:1], nil); c.Environment != "env" || c.Parallel != 2 {
		t.Errorf("%+v", c)
	}
	if c := load(t, path, nil, nil); c.Environment != "file" {
		t.Errorf("%+v", c)
	}
}

func TestEnvironment(t *testing.T) {
	c := load(t, "", []string{
		"SPARK_NODES__MEMORY_MIB=64", "SPARK_NODES__TIMEOUT=1.5",
		"SPARK_TELEMETRY__PROFILES__PROD__SAMPLING_RATE=0.25", "SPARK_TELEMETRY__PROFILES__PROD__ENABLE_EVENTS=false",
		"SPARK_TELEMETRY__PROFILES__PROD__EXPORT_INTERVAL=2", "SPARK_TELEMETRY__PROFILES__PROD__BUFFER_SIZE=7",
		"SPARK_TELEMETRY__PROFILES__PROD__INSTRUMENT_NODES=a", "SPARK_TELEMETRY__DEFAULT=prod",
		"SPARK_HOME=/opt/other", "SPARK_LOCAL_IP=::1", "SPARK_CONFIG=x", "SPARK_OUTPUT=json", "PATH=/bin",
	}, nil)
	if c.Nodes.MemoryMiB != 64 || time.Duration(c.Nodes.Timeout) != 1500*time.Millisecond {
		t.Errorf("%+v", c.Nodes)
	}
	want := telemetry.Defaults()
	want.SamplingRate, want.EnableEvents, want.ExportInterval, want.BufferSize = .25, false, telemetry.Duration(2*time.Second), 7
	want.InstrumentNodes = telemetry.Names{"a"}
	if got := js(t, c.Telemetry.Profiles["prod"]); got != js(t, want) {
		t.Errorf("%s, want %s", got, js(t, want))
	}
}

func TestSecrets(t *testing.T) {
	path := file(t, "token: pre-${env:A}-${env:B}\ntelemetry: {profiles: {default: {resource_attributes: {service.name: \"${env:A}\"}}}}\n")
	c := load(t, path, []string{"A=one", "B=two"}, nil)
	if c.Token != "pre-one-two" {
		t.Errorf("token %q", c.Token)
	}
	// A key with a dot is one key.
	if c.Telemetry.Profiles["default"].ResourceAttributes["service.name"] != "one" {
		t.Errorf("%+v", c.Telemetry.Profiles["default"])
	}
	if s := c.String(); strings.Contains(s, "pre-one") || !strings.Contains(s, "(set)") {
		t.Errorf("the token is printed: %s", s)
	}
	_, err := Load(path, []string{"A=one"}, nil)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), ":1: token: environment variable B is not set") || fault.HintOf(err) == "" {
		t.Error(err)
	}
}

// TestRefuse wants each problem to be named with its source, its key and a hint.
func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		body  string
		env   []string
		flags map[string]any
		want  string
		hint  string
	}{
		{body: "grahps: x", want: "spark.yaml:1: grahps: there is no such setting", hint: "did you mean graphs?"},
		{body: "zzz: x", want: "spark.yaml:1: zzz: there is no such setting", hint: "config default"},
		{body: "nodes:\n  memory_mb: 3", want: "spark.yaml:2: nodes.memory_mb: there is", hint: "did you mean nodes.memory_mib?"},
		{body: "parallel: many", want: `spark.yaml:1: parallel: want a whole number, not "many"`, hint: "a whole number"},
		{body: "parallel: 1.5", want: "spark.yaml:1: parallel: want a whole number, not 1.5"},
		{body: "parallel: true", want: "spark.yaml:1: parallel: want a whole number, not true"},
		{body: "parallel: -1", want: "spark.yaml:1: parallel: must not be negative"},
		{body: "nodes: 5", want: "spark.yaml:1: nodes: want a mapping, not 5"},
		{body: "nodes: {timeout: soon}", want: `spark.yaml:1: nodes.timeout: "soon" is not a duration`, hint: "5s"},
		{body: "environment: [a]", want: "spark.yaml:1: environment: want text, not a list"},
		{body: "log_level: loud", want: `spark.yaml:1: log_level: "loud" is not a log level`, hint: "debug"},
		{body: "address: localhost", want: `spark.yaml:1: address: "localhost" is not HOST:PORT`},
		{body: "address: \"[::]:80\"", want: "spark.yaml:1: address: [::]:80 is open to other machines", hint: "set token"},
		{body: "intake: true\ntelemetry: {default: \"off\"}", want: "spark.yaml:1: intake: what is received goes to the default profile", hint: "name a profile"},
		{body: "address: 127.evil.example:80", want: "spark.yaml:1: address: 127.evil.example:80 is open"},
		{body: "data_dir: ''", want: "spark.yaml:1: data_dir: no data folder is set"},
		{body: "telemetry: {default: prod, profiles: {dev: {}}}", want: `spark.yaml:1: telemetry.default: there is no profile "prod", only dev`},
		{body: "telemetry: {profiles: {default: {sampling_rate: 7}}}", want: "spark.yaml:1: telemetry.profiles.default.sampling_rate: 7: want a number from 0 to 1"},
		{body: "telemetry: {profiles: {default: {export_interval: never}}}", want: "telemetry.profiles.default.export_interval: \"never\" is not a duration"},
		{body: "telemetry: {profiles: {default: {resource_attributes: {a: 1}}}}", want: "resource_attributes.a: want text, not 1"},
		{body: "telemetry: {profiles: {off: {}, default: {}}}", want: "off is the name that switches telemetry off"},
		{body: "models: {m: {}}", want: "spark.yaml:1: models.m.plugin: no plugin is named"},
		{body: "graphs: a\ngraphs: b", want: "spark.yaml:2: not YAML: mapping key \"graphs\" already defined"},
		{body: "- a", want: "spark.yaml: want settings as KEY: VALUE, not a list"},
		{body: "a: [", want: "not YAML"},
		{body: "token: ${env:X", want: "spark.yaml:1: token: ${env: is not closed"},
		{env: []string{"SPARK_NODES__MEMORY_MIB=much"}, want: `environment variable SPARK_NODES__MEMORY_MIB: nodes.memory_mib: want a whole number, not "much"`},
		{env: []string{"SPARK_ENVIROMENT=x"}, want: "environment variable SPARK_ENVIROMENT: enviroment: there is no such setting", hint: "did you mean environment?"},
		{env: []string{"SPARK_NODES__FOO=x"}, want: "environment variable SPARK_NODES__FOO: nodes.foo: there is no such setting"},
		{flags: map[string]any{"log_level": "loud"}, want: `flag --log-level: log_level: "loud" is not a log level`},
	} {
		path := ""
		if c.body != "" {
			path = file(t, c.body)
		}
		_, err := Load(path, c.env, c.flags)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%q %q: %v (hint: %s), want %s", c.body, c.env, err, fault.HintOf(err), c.want)
		}
	}
	if _, err := Load("nowhere.yaml", nil, nil); !fault.Is(err, fault.NotFound) || fault.HintOf(err) == "" {
		t.Error(err)
	}
	if _, err := Load(t.TempDir(), nil, nil); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

// TestAllProblems wants every problem of a file at once, in its order.
func TestAllProblems(t *testing.T) {
	_, err := Load(file(t, "a: 1\nb: 2\n\n\n\n\n\n\nparallel: x\nc: 3\n"), nil, nil)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "4 problems") {
		t.Fatal(err)
	}
	at := -1
	for _, want := range []string{":1: a:", ":2: b:", ":9: parallel:", ":10: c:"} {
		i := strings.Index(err.Error(), want)
		if i <= at {
			t.Errorf("%s is missing or out of order in %v", want, err)
		}
		at = i
	}
}

// TestHost wants profiles, models and the profile off to reach the host.
func TestHost(t *testing.T) {
	c := load(t, file(t, "telemetry: {default: off, profiles: {p: {db_path: t.db}}}\nmodels: {m: {plugin: replay, config: {path: x}}}\n"), nil, nil)
	h, err := c.Host()
	if err != nil {
		t.Fatal(err)
	}
	if h.DefaultProfile != "off" || h.Telemetry["off"].Enabled || !h.Telemetry["p"].Enabled || !filepath.IsAbs(h.Telemetry["p"].DBPath) {
		t.Errorf("%+v", h.Telemetry)
	}
	if m := h.Models["m"]; m.Plugin != "replay" || string(m.Config) != `{"path":"x"}` {
		t.Errorf("%+v", m)
	}
}

// FuzzLoad wants any file to be refused with a fault or to give settings that are
// complete and can be printed.
func FuzzLoad(f *testing.F) {
	f.Add(Example())
	f.Add("nodes: {timeout: 5, memory_mib: 0x10}")
	f.Add("telemetry: {profiles: {a: {instrument_nodes: [x], error_sample_rate: 1}}, default: a}")
	f.Add("models: {m: {plugin: p, config: {a: [1, {b: null}]}}}")
	f.Add("a: &x [*x]")
	f.Add("? [a]\n: b")
	f.Add("<<: {graphs: a}\n1: 2")
	f.Add("data_dir: \"\\0\"")
	f.Fuzz(func(t *testing.T, body string) {
		l := &loader{sources: map[string]string{}, lookup: lookup(nil)}
		doc, err := l.parse("spark.yaml", []byte(body))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		c := Default()
		l.decode(doc, &c)
		if len(l.findings) == 0 {
			l.complete(&c, "spark.yaml")
		}
		if err := l.err("spark.yaml"); err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid([]byte(c.String())) || c.DataDir == "" || len(c.Telemetry.Profiles) == 0 && c.Telemetry.Default != "off" {
			t.Errorf("%s", c.String())
		}
		if _, err := c.Host(); err != nil {
			t.Error(err)
		}
	})
}
