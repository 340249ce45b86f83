package rsi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestReportText(t *testing.T) {
	w := newWorld(t, 1, 230)
	w.policy.RSI.Screen, w.policy.RSI.Confirm = 90, 140
	m := w.improver()
	m.Now = func() time.Time { return time.Unix(1e9, 0) }
	r, err := m.Cycle(t.Context(), w.request(7))
	if err != nil {
		t.Fatal(err)
	}
	r.Candidate.Hypothesis.ID = "h-1"
	r.Seconds = 12.34
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"improved: better by ",
		"started from version 1.0.0; ",
		" experiment runs in 12.3 s, model cost $0.0000, seed 7\n",
		"hypothesis h-1 (parameter_tuning, risk medium): tune retrieve.depth, retrieve.k1, normalize.stem together",
		"  normalize.stem  false  ->  true\n",
		"of 140 pairs used, 0 with a failed run\n",
		"  constraint latency",
		"smallest effect these inputs would find",
		"released as version 1.0.0+rsi.1\n",
		"  experiment  0 s\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("misses %q in\n%s", want, out.String())
		}
	}
	header, row, _ := strings.Cut(out.String()[strings.Index(out.String(), "objective  "):], "\n")
	if at := strings.Index(header, "change"); at < 0 || row[at-1] != ' ' || row[at] != '-' {
		t.Errorf("columns do not line up:\n%s\n%s", header, row)
	}
	if err := r.WriteText(failing{}); !errors.Is(err, errDisk) {
		t.Errorf("a full disk gives %v", err)
	}
}

var errDisk = errors.New("disk full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errDisk }

func TestReportJSON(t *testing.T) {
	w := newWorld(t, 1, 150)
	raw, err := json.Marshal(w.cycle(7))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Deployed     bool `json:"improvements_deployed"`
		Num          int  `json:"num_improvements"`
		Improvements []struct {
			Hypothesis map[string]any            `json:"hypothesis"`
			Experiment map[string]any            `json:"experiment"`
			Impact     map[string]map[string]any `json:"impact"`
			Version    string                    `json:"version"`
		} `json:"improvements"`
		Stages  []map[string]any `json:"stages"`
		Verdict string           `json:"verdict"`
		Reason  string           `json:"reason"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if !doc.Deployed || doc.Num != 1 || len(doc.Improvements) != 1 || len(doc.Stages) != 7 || doc.Verdict != Improved || doc.Reason == "" {
		t.Fatalf("%s", raw)
	}
	i := doc.Improvements[0]
	for _, key := range []string{"id", "type", "rationale", "risk_level", "changes"} {
		if i.Hypothesis[key] == nil {
			t.Errorf("hypothesis.%s is missing", key)
		}
	}
	for _, objective := range []string{Latency, Quality} {
		for _, key := range []string{"before", "after", "change", "low", "high", "unit"} {
			if i.Impact[objective][key] == nil {
				t.Errorf("impact.%s.%s is missing", objective, key)
			}
		}
	}
	// A cycle without improvement has the same keys.
	w = newWorld(t, 1, 150)
	w.agg.Runs.Recorded = 0
	raw, _ = json.Marshal(w.cycle(1))
	if !strings.Contains(string(raw), `"improvements_deployed":false,"num_improvements":0,"improvements":[]`) {
		t.Errorf("%s", raw)
	}
}

func TestACancelledCycleIsRemembered(t *testing.T) {
	w := newWorld(t, 1, 150)
	ctx, cancel := context.WithCancel(t.Context())
	q := w.request(1)
	q.Progress = func(p Progress) {
		if p.Phase == "experiment" {
			cancel()
		}
	}
	_, err := w.improver().Cycle(ctx, q)
	if !fault.Is(err, fault.Cancelled) || len(w.released) != 0 || w.open != 0 {
		t.Errorf("%v, %d released, %d arms open", err, len(w.released), w.open)
	}
	if c := recorded[Report](w, KindCycle); c.Verdict != Failed || c.Stages[len(c.Stages)-1].Error == "" {
		t.Errorf("the ledger says %s", c.Verdict)
	}
}
