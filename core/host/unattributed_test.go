package host

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// TestAnalysisNamesTheUnattributed: records that name no graph are kept, counted
// as nobody's, and the analysis of a graph says that they are there.
func TestAnalysisNamesTheUnattributed(t *testing.T) {
	h := open(t, t.TempDir(), Config{})
	apply(t, h, doc("1.0.0"))
	if _, err := h.Run(t.Context(), Request{Graph: "greet", Input: json.RawMessage(`{"name":"x"}`)}); err != nil {
		t.Fatal(err)
	}
	analyze := func() *rsi.Analysis {
		t.Helper()
		a, err := h.RSI().Analyze(t.Context(), "greet", rsi.AnalyzeOptions{AllowVolatile: true})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := analyze(); a.Unattributed != 0 || len(a.Notes) != 0 {
		t.Errorf("before: %d, %v", a.Unattributed, a.Notes)
	}
	lost := backendtest.Samples(0, 3)
	for _, x := range lost {
		x.Graph, x.Version = "", ""
	}
	lost[1].Spans = nil // metrics alone
	if bad, err := h.Receive(t.Context(), "", &backend.Batch{ID: backendtest.ID(1), Traces: lost}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	a := analyze()
	if a.Unattributed != 3 || len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "unattributed: 3 traces") || a.Summary.Recorded != 1 {
		t.Errorf("after: %d, %v, %d runs", a.Unattributed, a.Notes, a.Summary.Recorded)
	}
	q, err := h.Query(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for row, err := range q.Traces(t.Context(), backend.Filter{Attrs: []backend.Cond{{Key: "graph_id", Op: "=", Value: ""}}}) {
		if n++; err != nil || row.Graph != "" {
			t.Errorf("%+v, %v", row, err)
		}
	}
	if n != 3 {
		t.Errorf("%d traces name no graph", n)
	}
}
