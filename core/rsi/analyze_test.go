package rsi

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/backend"
)

func (w *world) analyze(o AnalyzeOptions) *Analysis {
	w.t.Helper()
	m := w.improver()
	m.Now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	a, err := m.Analyze(w.t.Context(), "search", o)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func TestAnalysis(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.agg.Nodes["normalize"].Failures = 30
	w.agg.Nodes["answer"].Failures = 100
	w.agg.Failures = []backend.Failure{{Node: "answer", ErrorType: "timeout", Count: 100, Samples: []string{"exceeded 2s"}}}
	w.agg.Unattributed = 3
	a := w.analyze(AnalyzeOptions{Version: w.base, Policy: w.policy})
	got := map[string]string{}
	for _, b := range a.Bottlenecks {
		got[b.Node+" "+b.Issue] = b.Severity
	}
	want := map[string]string{"retrieve high_latency": "medium", "normalize high_error_rate": "high", "answer high_error_rate": "critical"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q (all: %v)", k, got[k], v, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("bottlenecks %v", got)
	}
	if len(a.Opportunities) != 1 || a.Opportunities[0].Node != "retrieve" || len(a.Opportunities[0].Tunables) != 2 {
		t.Errorf("opportunities %+v", a.Opportunities)
	}
	if s := a.Structure; s == nil || *s != (Structure{"sequential", 3, 2, 3, 0}) {
		t.Errorf("structure %+v", s)
	}
	if a.Verdict != Ready || a.Summary.SuccessRate != .99 || a.Period.To.Sub(a.Period.From) != 24*time.Hour {
		t.Errorf("%+v", a)
	}
	var text bytes.Buffer
	if err := a.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want1 := `graph search, version 1.0.0, 2026-02-28 12:00:00 to 2026-03-01 12:00:00 (sqlite)
ready: 400 runs recorded

executions  400
success     99.00 %
mean        100 ms
p50         90 ms
p95         200 ms
p99         300 ms
model cost  $0.0000

node       executions  errors   mean   p95     critical path
retrieve   400         0.00 %   80 ms  160 ms  80 %
answer     400         25.00 %  19 ms  38 ms   19 %
normalize  400         7.50 %   1 ms   2 ms    1 %

bottlenecks:
  retrieve   medium    high_latency     mean 80 ms is 2.4 times the nodes' mean
  answer     critical  high_error_rate  25.0 % of 400 executions fail
  normalize  high      high_error_rate  7.5 % of 400 executions fail

failure patterns:
  answer  timeout  100 times  exceeded 2s

opportunities:
  retrieve  2 tunables on 80 % of the critical path  depth, k1

structure: sequential, 3 nodes, 2 edges, depth 3, 0 cycles
unattributed: 3 traces in sqlite name no graph and are not counted here
`
	if text.String() != want1 {
		t.Errorf("got:\n%s\nwant:\n%s", text.String(), want1)
	}
}

func TestAnalysisHidesThinQuantiles(t *testing.T) {
	w := newWorld(t, 1, 1)
	for _, c := range []struct {
		n        int64
		p95, p99 bool
	}{{58, false, false}, {59, true, false}, {298, true, false}, {299, true, true}} {
		w.agg.Runs.Recorded = c.n
		w.agg.Nodes["retrieve"].Recorded = c.n
		a := w.analyze(AnalyzeOptions{MinExecutions: 10})
		if (a.Summary.P95 != nil) != c.p95 || (a.Summary.P99 != nil) != c.p99 || (a.Nodes[0].P95 != nil) != c.p95 {
			t.Errorf("%d runs: p95 %v, p99 %v, node p95 %v", c.n, a.Summary.P95, a.Summary.P99, a.Nodes[0].P95)
		}
	}
}

func TestAnalysisOfTooLittleJudgesNothing(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.agg = &backend.Aggregate{}
	a := w.analyze(AnalyzeOptions{Version: w.base})
	if a.Verdict != "inconclusive" || a.Reason != "insufficient data: 0 of 100 runs" || len(a.Bottlenecks)+len(a.Opportunities) != 0 {
		t.Errorf("%+v", a)
	}
	w = newWorld(t, 1, 1)
	w.agg.Runs.Recorded = 99
	if a := w.analyze(AnalyzeOptions{Version: w.base}); a.Verdict != "inconclusive" || len(a.Bottlenecks) != 0 {
		t.Errorf("%s: %v", a.Verdict, a.Bottlenecks)
	}
	w.policy.RSI.MinExecutions = 99
	if a := w.analyze(AnalyzeOptions{Version: w.base, Policy: w.policy}); a.Verdict != Ready {
		t.Errorf("%s: %s", a.Verdict, a.Reason)
	}
}

func TestAVolatileBackendMayBeAllowed(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.source.Persistent = false
	if _, err := w.improver().Analyze(t.Context(), "search", AnalyzeOptions{}); err == nil || !strings.Contains(err.Error(), "keeps nothing") {
		t.Errorf("%v", err)
	}
	w.analyze(AnalyzeOptions{AllowVolatile: true})
	w.analyze(AnalyzeOptions{Policy: &graph.Policy{RSI: graph.RSI{AllowVolatile: true}}})
}
