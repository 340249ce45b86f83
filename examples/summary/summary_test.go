package summary_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/hostd/config"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/plugins/models/replay"
	"github.com/sparkrsi/spark/plugins/nodes"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// plugins are what the spark program serves; the test binary does the same when
// the host starts it as `plugin serve NAME`, so that each is a process of its own.
var plugins = map[string]func() error{"replay": replay.Serve, "sqlite": sqlite.Serve}

func TestMain(m *testing.M) {
	if a := os.Args[1:]; len(a) == 3 && a[0] == "plugin" && a[1] == "serve" && plugins[a[2]] != nil {
		if err := plugins[a[2]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var err error
	if dataDir, err = os.MkdirTemp("", "summary-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dataDir)
	os.Exit(code)
}

// dataDir is used by one test after the other, so that the stock module is
// compiled once.
var dataDir string

// open returns a host with the settings of this folder.
func open(t *testing.T) *host.Host {
	t.Helper()
	settings, err := config.Load("spark.yaml", nil, map[string]any{"data_dir": dataDir})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := settings.Host()
	if err != nil {
		t.Fatal(err)
	}
	stock, err := nodes.Stock()
	if err != nil {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
	cfg.Stock = [][]byte{stock}
	h, err := host.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// document returns the graph and policy of this folder with a text in one of
// them replaced.
func document(t *testing.T, replace ...string) host.Document {
	t.Helper()
	d := host.Document{Graph: read(t, "summary.yaml"), GraphFile: "summary.yaml", Policy: read(t, "summary.policy.yaml"), PolicyFile: "summary.policy.yaml"}
	for i := 0; i < len(replace); i += 2 {
		graph, policy := strings.Replace(string(d.Graph), replace[i], replace[i+1], 1), strings.Replace(string(d.Policy), replace[i], replace[i+1], 1)
		if graph == string(d.Graph) && policy == string(d.Policy) {
			t.Fatalf("neither document holds %q", replace[i])
		}
		d.Graph, d.Policy = []byte(graph), []byte(policy)
	}
	return d
}

func apply(t *testing.T, h *host.Host, d host.Document) {
	t.Helper()
	if _, err := h.Apply(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// spans returns what telemetry holds of the node that asks in one run: its step
// and the model call below it.
func spans(t *testing.T, h *host.Host, run string) (step, call telemetry.SpanRow) {
	t.Helper()
	q, err := h.Query(t.Context(), "summary")
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range q.Spans(t.Context(), backend.Filter{TraceID: run}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case s.Node == "write" && s.NodeType == "generate":
			step = s
		case s.Node == "write" && s.NodeType == "model":
			call = s
		}
	}
	if step.SpanID == "" || call.ParentID != step.SpanID || call.TraceID != step.TraceID {
		t.Fatalf("step %+v, call %+v", step, call)
	}
	return step, call
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 }

func TestNodeAsksModelThroughPlugin(t *testing.T) {
	h := open(t)
	apply(t, h, document(t))
	res, err := h.Run(t.Context(), host.Request{Graph: "summary", Input: read(t, "tides.json")})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Text string }
	if err := json.Unmarshal(res.Output, &out); err != nil {
		t.Fatal(err)
	}
	want := "Tides: The pull of the moon, uneven across the earth, gives most coasts two high and two low waters in about a day. (summarizer-1)"
	if out.Text != want {
		t.Errorf("answer %q, want %q", out.Text, want)
	}
	const tokens, cost = 72 + 26, (72*0.5 + 26*1.5) / 1e6
	if res.Steps != 3 || res.Tokens != tokens || !near(res.CostUSD, cost) {
		t.Errorf("result: %+v, want %d tokens and %v USD", res, tokens, cost)
	}

	// The plugins of this host are processes: each left its note.
	for _, name := range []string{"recorded", "sqlite"} {
		var note struct{ PID, Owner int }
		files, err := filepath.Glob(filepath.Join(dataDir, "plugins", name+"-*.json"))
		if err != nil || len(files) != 1 {
			t.Fatalf("notes of %s: %v, %v", name, files, err)
		}
		if err := json.Unmarshal(read(t, files[0]), &note); err != nil || note.PID == 0 || note.PID == os.Getpid() || note.Owner != os.Getpid() {
			t.Errorf("%s runs as %+v, %v; this is process %d", name, note, err, os.Getpid())
		}
	}

	step, call := spans(t, h, res.RunID)
	if !step.Success || step.Tokens != tokens || !near(step.Cost, cost) {
		t.Errorf("step: %+v", step)
	}
	if !call.Success || call.Tokens != tokens || !near(call.Cost, cost) || call.Kind != "CLIENT" {
		t.Errorf("call: %+v", call)
	}
	for key, want := range map[string]any{"gen_ai.provider.name": "recorded", "gen_ai.request.model": "summarizer-1",
		"gen_ai.usage.input_tokens": int64(72), "gen_ai.usage.output_tokens": int64(26)} {
		if got := call.Attributes[key]; got != want {
			t.Errorf("%s is %v (%T), want %v", key, got, got, want)
		}
	}
	q, err := h.Query(t.Context(), "summary")
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for e, err := range q.Events(t.Context(), backend.Filter{TraceID: res.RunID, Type: "llm_api_call"}) {
		if err != nil || e.Node != "write" {
			t.Errorf("%+v, %v", e, err)
		}
		events++
	}
	if events != 1 {
		t.Errorf("%d events llm_api_call, want 1", events)
	}
}

func TestUnknownRequestIsNotFound(t *testing.T) {
	h := open(t)
	apply(t, h, document(t))
	res, err := h.Run(t.Context(), host.Request{Graph: "summary", Input: json.RawMessage(`{"title": "Tides", "text": "What is new?"}`)})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no answer is recorded") || !strings.Contains(err.Error(), "What is new?") {
		t.Fatalf("error (%s) %v", fault.KindOf(err), err)
	}
	if res.Output != nil || res.Tokens != 0 || res.CostUSD != 0 {
		t.Errorf("a failed run gave %+v", res)
	}
	step, call := spans(t, h, res.RunID)
	if step.ErrorType != "not_found" || call.ErrorType != "not_found" || step.Success || call.Success {
		t.Errorf("step %+v, call %+v", step, call)
	}
}

func TestGrantIsNeeded(t *testing.T) {
	h := open(t)
	d := document(t, "graph: summary", "graph: ungranted", "    grant: {generate: true}             # without it the node may not ask\n", "")
	d.Policy = nil
	_, err := h.Apply(t.Context(), d)
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "nodes.write") || !strings.Contains(fault.HintOf(err), "grant: {generate: true}") {
		t.Fatalf("error (%s) %v, hint %q", fault.KindOf(err), err, fault.HintOf(err))
	}
	if _, err := h.Run(t.Context(), host.Request{Graph: "ungranted", Input: read(t, "tides.json")}); !fault.Is(err, fault.NotFound) {
		t.Errorf("the refused graph is served: %v", err)
	}
}

func TestPolicyLimitsCost(t *testing.T) {
	h := open(t)
	apply(t, h, document(t, "cost_usd: 0.01", "cost_usd: 0.00001"))
	res, err := h.Run(t.Context(), host.Request{Graph: "summary", Input: read(t, "tides.json")})
	if !fault.Is(err, fault.Limit) || !strings.Contains(err.Error(), "limits.cost_usd") || res.CostUSD == 0 {
		t.Fatalf("error (%s) %v, result %+v", fault.KindOf(err), err, res)
	}
}
