package rsi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/sdk/fault"
)

func TestCycleImproves(t *testing.T) {
	w := newWorld(t, 1, 230)
	w.policy.RSI.Screen, w.policy.RSI.Confirm = 90, 140
	r := w.cycle(7)
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if r.Verdict != Improved || !r.ImprovementsDeployed || r.NumImprovements != 1 || len(r.Improvements) != 1 {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	i := r.Improvements[0]
	if i.Version != "1.0.0+rsi.1" || i.VersionID != w.active || len(w.released) != 1 {
		t.Errorf("released %q as %s, the active version is %s", i.Version, i.VersionID, w.active)
	}
	rel := w.released[0]
	if rel.Author != "hypothesis:"+i.Hypothesis.ID || rel.Version.Graph.Version != "1.0.0+rsi.1" || !json.Valid(rel.Evidence) {
		t.Errorf("released %+v", rel)
	}
	q, l := i.Impact[Quality], i.Impact[Latency]
	if *q.After <= *q.Before || *l.Change > -20 || *l.Low > *l.Change || l.Unit != "s" || l.ChangeUnit != "percent" {
		t.Errorf("impact %+v", i.Impact)
	}
	if i.Experiment.Verdict != stats.Pass || i.Experiment.SmallestEffect == nil || len(i.Hypothesis.Changes) == 0 {
		t.Errorf("experiment %+v", i.Experiment)
	}
	var names []string
	for _, s := range r.Stages {
		names = append(names, s.Phase)
	}
	if got := strings.Join(names, " "); got != "analyze propose screen validate experiment release learn" {
		t.Errorf("stages %s", got)
	}
	for _, kind := range []string{KindHypothesis, KindExperiment, KindRelease, KindExperience, KindCycle} {
		if list, _ := w.List(t.Context(), kind, "search"); len(list) != 1 {
			t.Errorf("%d records of kind %s", len(list), kind)
		}
	}
	if e := recorded[Experience](w, KindExperience); e.Outcome != Improved || len(e.Values) != len(i.Hypothesis.Changes) || e.Effect == nil {
		t.Errorf("experience %+v", e)
	}
	if w.most > 8 {
		t.Errorf("%d arms were open at once", w.most)
	}
	if r.Runs != len(w.runs) || r.Runs > w.policy.RSI.Budget.Runs {
		t.Errorf("%d runs reported, %d made", r.Runs, len(w.runs))
	}
}

func TestCycleFollowsItsSeed(t *testing.T) {
	changes := func(seed uint64) string {
		r := newWorld(t, 1, 150).cycle(seed)
		return graph.FormatChanges(r.Candidate.Hypothesis.Changes) + fmt.Sprint(r.Runs, *r.Candidate.Impact[Latency].Change)
	}
	if a, b, c := changes(7), changes(7), changes(8); a != b || a == c {
		t.Errorf("seed 7:\n%s\nagain:\n%s\nseed 8:\n%s", a, b, c)
	}
}

func TestCycleKeepsWhatIsProtected(t *testing.T) {
	// The protected node holds the largest gain; it must not be touched, not even
	// in a run.
	w := newWorld(t, 2, 150)
	quality := w.quality
	w.quality = func(c config, input float64) float64 { return quality(c, input) * (1 - .08*c.Style) }
	r := w.cycle(3)
	for _, run := range w.runs {
		if run.conf.Style != 5 {
			t.Fatalf("ran with style %v", run.conf.Style)
		}
	}
	if r.Candidate == nil || slices.Contains(r.Candidate.Hypothesis.Targets, "answer") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// A proposal may say that it targets one node and change another.
func TestCycleRefusesHiddenChanges(t *testing.T) {
	w := newWorld(t, 2, 150)
	c := New(Config{Telemetry: w, Lab: w, Catalog: w, Releaser: w, Ledger: w, Proposers: []Proposer{proposal{&Hypothesis{
		Type: "config_change", Targets: []string{"retrieve"}, Rationale: "harmless",
		Changes: []graph.Change{{Kind: graph.NodeConfigUpdate, Target: "answer", Path: "style", Old: json.RawMessage("5"), New: json.RawMessage("1")}}}}}})
	r, err := c.Cycle(t.Context(), w.request(3))
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != NotImproved || len(w.released) != 0 {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	for _, run := range w.runs {
		if run.conf.Style != 5 {
			t.Fatal("the candidate ran")
		}
	}
	if out := stageOutput[screened](t, r, "screen"); out.Refused != 1 || !strings.Contains(out.RefusedFor, "protected") {
		t.Errorf("screen %+v", out)
	}
}

func TestConfirmInputsChooseNothing(t *testing.T) {
	w := newWorld(t, 4, 200)
	r := w.cycle(5)
	e := recorded[Evidence](w, KindExperiment)
	if len(e.Screen) != 80 || len(e.Confirm) != 120 {
		t.Fatalf("%d inputs to choose, %d to confirm", len(e.Screen), len(e.Confirm))
	}
	confirm := map[string]bool{}
	for _, id := range e.Confirm {
		confirm[id] = true
	}
	for _, id := range e.Screen {
		if confirm[id] {
			t.Fatalf("%s is in both sets", id)
		}
	}
	met := map[config]bool{}
	for _, run := range w.runs {
		if confirm[fmt.Sprint("x", run.input)] {
			met[run.conf] = true
		}
	}
	if len(met) != 2 {
		t.Errorf("%d configurations met CONFIRM, want the baseline and the winner (%s)", len(met), r.Verdict)
	}
	for i, p := range e.Pairs {
		if p.Input != e.Confirm[i] || len(p.Baseline.Values) != 2 || len(p.Candidate.Values) != 2 {
			t.Fatalf("pair %d: %+v", i, p)
		}
	}
}

func TestFlatSurfacesAreNotPromoted(t *testing.T) {
	// 120 cycles in which every configuration is the same. At most 2.5 % are
	// promoted by chance, 3 expected; more than 8 in fewer than .4 % of such tests.
	const cycles = 120
	promoted := 0
	verdicts := map[string]int{}
	for seed := range uint64(cycles) {
		w := newWorld(t, seed+100, 100)
		w.flatten()
		w.policy.RSI.Budget.Runs = 300
		r := w.cycle(seed + 1)
		verdicts[r.Verdict]++
		if r.ImprovementsDeployed {
			promoted++
		}
	}
	t.Logf("%d of %d promoted: %v", promoted, cycles, verdicts)
	if promoted > 8 {
		t.Errorf("%d of %d promoted", promoted, cycles)
	}
	if verdicts[NotImproved]+verdicts[Inconclusive]+promoted != cycles {
		t.Errorf("verdicts %v", verdicts)
	}
}

func TestBudgetIsHard(t *testing.T) {
	t.Run("runs", func(t *testing.T) {
		w := newWorld(t, 1, 100)
		w.policy.RSI.Budget.Runs = 60
		r := w.cycle(1)
		if r.Verdict != BudgetExhausted || len(w.runs) > 60 {
			t.Errorf("%s after %d runs: %s", r.Verdict, len(w.runs), r.Reason)
		}
	})
	t.Run("choosing leaves the runs that confirming needs", func(t *testing.T) {
		for seed := range uint64(10) {
			w := newWorld(t, seed, 100)
			w.policy.RSI.Budget.Runs = 300
			r := w.cycle(seed + 1)
			if r.Verdict == BudgetExhausted || r.Candidate == nil || len(w.runs) > 300 {
				t.Errorf("%s after %d runs: %s", r.Verdict, len(w.runs), r.Reason)
			}
			if out := stageOutput[screened](t, r, "screen"); out.Runs > 300-124 || out.Runs < 80 {
				t.Errorf("%d runs to choose", out.Runs)
			}
		}
	})
	t.Run("cost", func(t *testing.T) {
		w := newWorld(t, 1, 100)
		w.cost = .01
		w.policy.RSI.Budget.CostUSD = 1 // 60 runs choose, 40 are left for 124
		r := w.cycle(1)
		if r.Verdict != BudgetExhausted || r.CostUSD > 1+w.cost || len(w.released) != 0 {
			t.Errorf("%s after $%v: %s", r.Verdict, r.CostUSD, r.Reason)
		}
	})
	t.Run("time", func(t *testing.T) {
		w := newWorld(t, 1, 100)
		w.policy.RSI.Budget.Time = graph.Duration(5 * time.Second)
		m := w.improver()
		start := time.Unix(1e9, 0)
		m.Now = func() time.Time { return start.Add(time.Duration(len(w.runs)) * 50 * time.Millisecond) }
		r, err := m.Cycle(t.Context(), w.request(1))
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != BudgetExhausted || len(w.runs) > 101 || !strings.Contains(r.Reason, "5s") {
			t.Errorf("%s after %d runs: %s", r.Verdict, len(w.runs), r.Reason)
		}
	})
}

func TestConflictReleasesNothing(t *testing.T) {
	w := newWorld(t, 1, 150)
	w.active = "someone else's"
	r := w.cycle(7)
	if r.Verdict != Conflict || r.ImprovementsDeployed || !strings.Contains(r.Reason, "someone else changed") || r.Candidate == nil {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	if p := recorded[Promotion](w, KindRelease); p.Status != PromotionRefused {
		t.Errorf("promotion %+v", p)
	}
}

func TestWithoutAutoDeployACandidateWaits(t *testing.T) {
	w := newWorld(t, 1, 150)
	w.policy.RSI.AutoDeploy = new(bool)
	r := w.cycle(7)
	if r.Verdict != WaitingForReview || r.ImprovementsDeployed || len(w.released) != 0 {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	p := recorded[Promotion](w, KindRelease)
	e := recorded[Evidence](w, KindExperiment)
	if p.Status != PromotionWaiting || p.Version == nil || graph.Digest(p.Version) != e.Candidate || p.Label != "1.0.0+rsi.1" {
		t.Errorf("promotion %+v", p)
	}
}

func TestInsufficientData(t *testing.T) {
	w := newWorld(t, 1, 150)
	w.agg.Runs.Recorded = 12
	r := w.cycle(1)
	if r.Verdict != InsufficientData || r.Reason != "insufficient data: 12 of 100 runs" || len(w.runs) != 0 {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	w = newWorld(t, 1, 25)
	if r := w.cycle(1); r.Verdict != InsufficientData || !strings.Contains(r.Reason, "15 inputs to confirm") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

func TestBadRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(w *world, r *Request, m *Improver)
		kind fault.Kind
		says string
	}{
		{"unknown graph", func(w *world, r *Request, _ *Improver) {
			other := *w.base
			other.Graph = w.base.Graph.Clone()
			other.Graph.Name = "nosuch"
			r.Version = &other
		}, fault.NotFound, `no graph "nosuch"`},
		{"no dataset", func(_ *world, r *Request, _ *Improver) { r.Dataset = nil }, fault.Invalid, "no dataset"},
		{"no objective", func(w *world, r *Request, _ *Improver) { w.policy.Objectives = nil }, fault.Invalid, "no objective"},
		{"too many inputs wanted", func(w *world, r *Request, _ *Improver) { w.policy.RSI.Confirm = 1000 }, fault.Invalid, "1000 inputs are wanted"},
		{"score outside", func(w *world, _ *Request, _ *Improver) {
			w.quality = func(config, float64) float64 { return 1.5 }
		}, fault.Invalid, "grader: the scorer gave example"},
		{"volatile backend", func(w *world, _ *Request, _ *Improver) { w.source.Persistent = false }, fault.Unavailable, "keeps nothing"},
		{"mute backend", func(w *world, _ *Request, _ *Improver) { w.source.Queryable = false }, fault.Unavailable, "cannot be queried"},
		{"unknown phase", func(_ *world, _ *Request, m *Improver) {
			m.Document = []byte("graph: mine\nstart: a\nnodes: {a: {native: rsi.dream}}\n")
		}, fault.Invalid, `no phase "rsi.dream"`},
		{"bad document", func(_ *world, _ *Request, m *Improver) { m.Document = []byte("graph: mine\n") }, fault.Invalid, "start"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 150)
			r, m := w.request(1), w.improver()
			c.edit(w, &r, m)
			report, err := m.Cycle(t.Context(), r)
			if !fault.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) || report != nil {
				t.Errorf("%s: %v", fault.KindOf(err), err)
			}
			if len(w.released) != 0 || w.open != 0 {
				t.Errorf("%d released, %d arms open", len(w.released), w.open)
			}
		})
	}
}

func TestAScoreOutsideNamesTheScorerAndTheValue(t *testing.T) {
	w := newWorld(t, 1, 150)
	w.quality = func(config, float64) float64 { return -.25 }
	_, err := w.improver().Cycle(t.Context(), w.request(1))
	if !strings.Contains(fmt.Sprint(err), "grader") || !strings.Contains(fmt.Sprint(err), "-0.25") {
		t.Errorf("%v", err)
	}
	if c := recorded[Report](w, KindCycle); c.Verdict != Failed || len(c.Stages) == 0 {
		t.Errorf("the ledger says %s", c.Verdict)
	}
}

func TestFailingCandidatesLose(t *testing.T) {
	// What is fastest crashes.
	w := newWorld(t, 6, 150)
	w.fails = func(c config) bool { return c.Depth < 12 }
	r := w.cycle(6)
	if r.Verdict != Improved {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	for _, c := range r.Candidate.Hypothesis.Changes {
		if c.Path == "depth" && (string(c.New) < "12" && len(c.New) < 3) {
			t.Errorf("released %s", c)
		}
	}
}

func TestACandidateDoesNotGradeItself(t *testing.T) {
	w := newWorld(t, 1, 150)
	w.metrics = map[string]Metric{qualityMetric: {Value: .5, Nodes: []string{"retrieve"}}}
	r := w.request(1)
	r.Scorers = nil
	report, err := w.improver().Cycle(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if out := stageOutput[proposed](t, report, "propose"); out.Frozen["retrieve"] == "" {
		t.Errorf("frozen %v", out.Frozen)
	}
	for _, run := range w.runs {
		if run.conf.Depth != 50 {
			t.Fatal("the node that emits the objective was tuned")
		}
	}
	// A node that turns out to emit it only in the candidate is an error.
	if _, err := metric(Outcome{Metrics: w.metrics}, qualityMetric, map[string]bool{"retrieve": true}); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestTagsFixTheSplit(t *testing.T) {
	w := newWorld(t, 1, 200)
	for i := range w.data {
		switch {
		case i < 60:
			w.data[i].Tags = []string{"easy", TagScreen}
		case i < 150:
			w.data[i].Tags = []string{TagConfirm}
		}
	}
	w.cycle(1)
	for _, run := range w.runs {
		if run.input >= 150 {
			t.Fatalf("input %d is tagged neither way", run.input)
		}
	}
	if e := recorded[Evidence](w, KindExperiment); len(e.Screen) != 60 || len(e.Confirm) != 90 {
		t.Errorf("%d and %d inputs", len(e.Screen), len(e.Confirm))
	}
}

func TestExperienceSteersTheNextCycle(t *testing.T) {
	w := newWorld(t, 1, 150)
	r := w.cycle(7)
	first := r.Improvements[0].Hypothesis
	// The next cycle starts from what was released: its label counts on.
	w.base = w.released[0].Version
	second := w.cycle(8)
	if second.VersionID != r.Improvements[0].VersionID {
		t.Errorf("started from %s", second.VersionID)
	}
	for _, i := range second.Improvements {
		if i.Version != "1.0.0+rsi.2" {
			t.Errorf("second release is %s", i.Version)
		}
	}
	// Undone by a person: the old winner is the first thing tried.
	w = newWorld(t, 2, 150)
	shares := &Analysis{Nodes: []NodeReport{{Node: "retrieve", CriticalShare: .8}}}
	h, err := Tuner{}.Propose(t.Context(), &Situation{Base: w.base, Policy: w.policy, Analysis: shares, Catalog: w, Frozen: frozen(w.policy),
		Experience: []Experience{{Type: ParameterTuning, Outcome: Improved, Values: valuesOf(first.Changes)}}})
	if err != nil || len(h) != 1 || len(h[0].seeds) != 1 {
		t.Fatalf("%v, %v", h, err)
	}
	if _, changes, _ := h[0].build(w.base.Graph, h[0].seeds[0]); graph.FormatChanges(changes) != graph.FormatChanges(first.Changes) {
		t.Errorf("seed %v, winner %v", changes, first.Changes)
	}
}

func TestRejectedCandidatesAreNotTriedAgain(t *testing.T) {
	w := newWorld(t, 1, 150)
	w.policy.Protected = []string{"answer", "retrieve"} // leaves one switch: a single candidate
	w.latency = func(_ config, input float64) float64 { return .1 }
	phase := ""
	w.quality = func(c config, input float64) float64 { // good while choosing, useless afterwards
		if c.Stem && phase == "screen" {
			return .9
		}
		return .5
	}
	q := w.request(1)
	q.Progress = func(p Progress) { phase = p.Phase }
	r, err := w.improver().Cycle(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if r.Candidate == nil || r.Verdict != NotImproved && r.Verdict != Inconclusive {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	w.runs = nil
	again := w.cycle(1)
	if again.Candidate != nil || again.Verdict != NotImproved || !strings.Contains(again.Reason, "refused before") {
		t.Errorf("%s: %s", again.Verdict, again.Reason)
	}
}

func TestTheDocumentIsTheUsers(t *testing.T) {
	run := func(edit func(string) string) (*world, *Report, error) {
		w := newWorld(t, 1, 150)
		m := w.improver()
		m.Document = []byte(edit(string(CycleDocument())))
		r, err := m.Cycle(t.Context(), w.request(7))
		return w, r, err
	}
	t.Run("tighter gate", func(t *testing.T) {
		w, r, err := run(func(s string) string {
			return strings.Replace(s, "when: output.found", "when: output.found && output.score > 5.0", 1)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(w.released) != 0 || r.ImprovementsDeployed || r.Stages[len(r.Stages)-1].Phase != "learn" || len(r.Stages) != 4 {
			t.Errorf("%s: %s, %d stages", r.Verdict, r.Reason, len(r.Stages))
		}
	})
	t.Run("always hold", func(t *testing.T) {
		w, r, err := run(func(s string) string { return strings.Replace(s, "native: rsi.release", "native: rsi.hold", 1) })
		if err != nil || r.Verdict != WaitingForReview || len(w.released) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("no experiment", func(t *testing.T) {
		w, _, err := run(func(s string) string {
			return strings.Replace(s, "{from: validate, to: experiment, when: output.valid}", "{from: validate, to: release, when: output.valid}", 1)
		})
		if !fault.Is(err, fault.Invalid) || len(w.released) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("gate removed", func(t *testing.T) {
		flat := newWorld(t, 1, 150)
		flat.flatten()
		m := flat.improver()
		m.Document = []byte(strings.Replace(string(CycleDocument()), `'output.verdict == "pass" && output.deploy'`, "'true'", 1))
		if _, err := m.Cycle(t.Context(), flat.request(7)); !fault.Is(err, fault.Invalid) || len(flat.released) != 0 {
			t.Errorf("%v", err)
		}
	})
}

func stageOutput[T any](t *testing.T, r *Report, phase string) T {
	t.Helper()
	var v T
	for _, s := range r.Stages {
		if s.Phase == phase {
			if err := json.Unmarshal(s.Output, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no stage %s", phase)
	return v
}
