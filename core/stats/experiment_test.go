package stats

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

var (
	latencyOnly = Objective{Name: "latency", Weight: 1, Direction: Minimize, Kind: Ratio}
	qualityOnly = Objective{Name: "quality", Weight: 1, Direction: Maximize, Kind: Bounded}
)

func start(t *testing.T, d Design) *Experiment {
	t.Helper()
	e, err := NewExperiment(d)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// feed adds pairs until the decision, or until limit pairs were added, and returns the report.
func feed(t *testing.T, e *Experiment, limit int, next func(i int) Pair) Report {
	t.Helper()
	for i := range limit {
		d, err := e.Add(next(i))
		if err != nil {
			t.Fatal(err)
		}
		if d != e.Look() {
			t.Fatalf("Add said %+v, Look %+v", d, e.Look())
		}
		if d.Done {
			break
		}
	}
	return e.Report()
}

// one is a pair of a single objective whose runs succeeded.
func one(b, c float64) Pair {
	return Pair{Baseline: []float64{b}, Candidate: []float64{c}, BaselineOK: true, CandidateOK: true}
}

// noisy returns pairs of a latency near 1 whose candidate takes ratio times as long.
func noisy(seed uint64, ratio float64) func(int) Pair {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func(int) Pair {
		return one(math.Exp(0.1*rng.NormFloat64()), ratio*math.Exp(0.1*rng.NormFloat64()))
	}
}

func TestFasterCandidatePasses(t *testing.T) {
	e := start(t, Design{N: 140, Objectives: []Objective{latencyOnly}})
	r := feed(t, e, 140, noisy(1, 0.8))
	if r.Verdict != Pass || r.Cause != CauseBenefit || r.PairsRun != 20 || r.PairsUsed != 20 || r.PairsPlanned != 140 || r.Looks != 1 {
		t.Fatalf("report %+v", r)
	}
	if r.Method != MethodSignedRank || *r.Z < r.Boundary || *r.PBetter < 0.99 {
		t.Errorf("method %s, score %v, boundary %v, P(better) %v", r.Method, *r.Z, r.Boundary, *r.PBetter)
	}
	if !(r.Effect.Low < 20 && 20 < r.Effect.High && math.Abs(r.Effect.Estimate-20) < 6) {
		t.Errorf("effect %+v, the truth is 20 %%", r.Effect)
	}
	row := r.Objectives[0]
	if row.State != Better || row.Unit != Percent || *row.Change != (Interval{-r.Effect.Estimate, -r.Effect.High, -r.Effect.Low}) {
		t.Errorf("row %+v with change %+v", row, row.Change)
	}
	if math.Abs(*row.Baseline-1) > 0.1 || math.Abs(*row.Candidate-0.8) > 0.1 {
		t.Errorf("means %v and %v", *row.Baseline, *row.Candidate)
	}
	if s := r.Objectives[1]; s.Objective != "success" || *s.Candidate != 1 || s.State != Undecided || s.Unit != Points {
		t.Errorf("success row %+v", s)
	}
	// What 140 pairs find with a deviation near 0.14 is about 3.4 %.
	if s := *r.SmallestEffect; s < 2 || s > 5 {
		t.Errorf("smallest effect %v %%", s)
	}
	if !strings.Contains(r.Reason, "20 of 140 pairs") {
		t.Errorf("reason %q", r.Reason)
	}

	if d, err := e.Add(one(1, 9)); err != nil || !d.Done || d.Verdict != Pass {
		t.Errorf("a pair after the decision: %+v, %v", d, err)
	}
	late := e.Report()
	if late.PairsLate != 1 {
		t.Errorf("%d late pairs", late.PairsLate)
	}
	late.PairsLate = 0
	if !reflect.DeepEqual(late, r) {
		t.Error("a pair after the decision changed the report")
	}
}

func TestOutcomes(t *testing.T) {
	noMargin := latencyOnly
	noMargin.Margin = ptr(0.99)
	slowLimit := latencyOnly
	slowLimit.Max = ptr(0.5)
	goodScore := qualityOnly
	goodScore.Min = ptr(0.7)
	nan := math.NaN()
	both := []Objective{{Name: "quality", Weight: 0.5, Direction: Maximize, Kind: Bounded}, {Name: "latency", Weight: 0.5, Direction: Minimize, Kind: Ratio}}
	flags := func(b, c bool) Pair {
		return Pair{Baseline: []float64{1}, Candidate: []float64{0.5}, BaselineOK: b, CandidateOK: c}
	}
	for _, c := range []struct {
		name    string
		design  Design
		next    func(i int) Pair
		verdict Verdict
		cause   Cause
		reason  string
	}{
		{"slower", Design{N: 40, Objectives: []Objective{noMargin}}, noisy(2, 1.3), Fail, CauseHarm, "worse"},
		{"slower than the margin", Design{N: 40, Objectives: []Objective{latencyOnly}}, noisy(2, 1.3), Fail, CauseConstraint,
			"latency: 99.9 % likely worse than the baseline by more than 2 percent"},
		{"identical", Design{N: 140, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(1, 1) }, Inconclusive, CauseNoEffect, "no useful effect"},
		{"identical, no futility", Design{N: 60, Futility: -1, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(1, 1) }, Inconclusive, CauseHorizon,
			"no difference shown after all 60 pairs"},
		{"1 % faster", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(1, 0.99) }, Inconclusive, CauseHorizon, "less than the smallest useful effect"},
		{"1 % faster, no least effect", Design{N: 60, MinEffect: -1, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(1, 0.99) }, Pass, CauseBenefit, "better by 1.0 %"},
		{"faster but above max", Design{N: 60, Objectives: []Objective{slowLimit}}, noisy(3, 0.8), Fail, CauseConstraint, "latency: 99.9 % likely above the maximum of 0.5"},
		{"faster and below max", Design{N: 60, Objectives: []Objective{slowLimit}}, noisy(3, 0.4), Pass, CauseBenefit, ""},
		{"better but below min", Design{N: 60, Objectives: []Objective{goodScore}}, func(int) Pair { return one(0.5, 0.6) }, Fail, CauseConstraint, "quality: 99.9 % likely below the minimum of 0.7"},
		{"worse but above min", Design{N: 60, Objectives: []Objective{goodScore}}, func(int) Pair { return one(0.9, 0.8) }, Fail, CauseHarm, "worse"},
		{"a score from nothing", Design{N: 60, Objectives: []Objective{qualityOnly}}, func(int) Pair { return one(0, 0.5) }, Pass, CauseBenefit, ""},

		{"candidate fails always", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return flags(true, false) }, Fail, CauseConstraint, "success"},
		{"candidate fails every fourth time", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(i int) Pair { return flags(true, i%4 > 0) }, Fail, CauseConstraint, "success"},
		{"both fail always", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return flags(false, false) }, Inconclusive, CauseTooFew, "only 0 of 60 pairs"},
		{"baseline fails always", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return flags(false, true) }, Inconclusive, CauseTooFew, "only 0 of 60 pairs"},

		{"candidate reports nothing", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(1, nan) }, Fail, CauseConstraint, "latency: 99.9 % likely missing more often"},
		{"nobody reports anything", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(nan, nan) }, Inconclusive, CauseTooFew, ""},
		{"candidate takes 0 s", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(1, 0) }, Inconclusive, CauseTooFew, ""},
		{"baseline took 0 s", Design{N: 60, Objectives: []Objective{latencyOnly}}, func(int) Pair { return one(0, 1) }, Fail, CauseConstraint, "latency"},
		{"faster, nobody reports quality", Design{N: 60, Objectives: both}, func(int) Pair {
			return Pair{Baseline: []float64{nan, 1}, Candidate: []float64{nan, 0.5}, BaselineOK: true, CandidateOK: true}
		}, Inconclusive, CauseHorizon, "not every constraint is shown to hold"},
		{"faster, candidate hides quality", Design{N: 60, Objectives: both}, func(i int) Pair {
			p := Pair{Baseline: []float64{0.8, 1}, Candidate: []float64{0.8, 0.5}, BaselineOK: true, CandidateOK: true}
			if i%4 == 0 {
				p.Candidate[0] = nan
			}
			return p
		}, Fail, CauseConstraint, "quality: "},
		{"faster, quality halved", Design{N: 60, Objectives: both}, func(int) Pair {
			return Pair{Baseline: []float64{0.8, 1}, Candidate: []float64{0.4, 0.2}, BaselineOK: true, CandidateOK: true}
		}, Fail, CauseConstraint, "quality"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := feed(t, start(t, c.design), c.design.N, c.next)
			if r.Verdict != c.verdict || r.Cause != c.cause || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("%s, %s: %q; want %s, %s: %q", r.Verdict, r.Cause, r.Reason, c.verdict, c.cause, c.reason)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNoDataIsInconclusive(t *testing.T) {
	e := start(t, Design{Objectives: []Objective{latencyOnly}})
	r := e.Report()
	if r.Verdict != Inconclusive || r.Cause != CauseUnfinished || r.Effect != nil || r.PBetter != nil || r.Z != nil || r.SmallestEffect != nil {
		t.Errorf("report of nothing: %+v", r)
	}
	if r.Reason != "no decision after 0 of 200 pairs" || r.Objectives[0].Baseline != nil || r.Constraints[0].Violation != nil || r.Constraints[0].State != Open {
		t.Errorf("report of nothing: %+v", r)
	}
	r = feed(t, e, 15, noisy(4, 0.5)) // before the first look
	if r.Verdict != Inconclusive || r.Effect == nil || r.Looks != 0 || r.Boundary < 3.4 || r.Reason != "no decision after 15 of 200 pairs" {
		t.Errorf("report before the first look: %+v", r)
	}
}

func TestAbortIsAnError(t *testing.T) {
	e := start(t, Design{Objectives: []Objective{latencyOnly}})
	feed(t, e, 200, noisy(5, 0.5))
	e.Abort("the dataset changed")
	if r := e.Report(); r.Verdict != Error || r.Cause != CauseAborted || r.Reason != "the dataset changed" {
		t.Errorf("report %+v", r)
	}
}

func TestFailedPairsAreCounted(t *testing.T) {
	objectives := []Objective{
		{Name: "latency", Weight: 1, Direction: Minimize, Kind: Ratio},
		{Name: "quality", Weight: 1, Direction: Maximize, Kind: Bounded},
		{Name: "cost", Direction: Minimize, Kind: Bounded},
		{Name: "refused", Direction: Minimize, Kind: Rate},
	}
	e := start(t, Design{N: 200, FirstLook: 100, Objectives: objectives})
	values := []float64{1, 0.5, 0.01, 0}
	r := feed(t, e, 20, func(i int) Pair {
		p := Pair{Baseline: values, Candidate: values, BaselineOK: i > 0, CandidateOK: i < 18}
		if i == 5 {
			p.Candidate = []float64{math.Inf(1), -1, math.NaN(), 1.5}
		}
		return p
	})
	if r.FailedBaseline != 1 || r.FailedCandidate != 2 || r.PairsFailed != 3 || r.PairsRun != 20 {
		t.Errorf("failures %d, %d, %d of %d", r.FailedBaseline, r.FailedCandidate, r.PairsFailed, r.PairsRun)
	}
	// Failed runs leave what is minimised, score 0 where scores are maximised, and have the worst rate.
	for i, want := range []Row{
		{Pairs: 16, Failed: 3, CandidateMissing: 1, Baseline: ptr(1.0), Candidate: ptr(1.0)},
		{Pairs: 19, Failed: 0, CandidateMissing: 1, Baseline: ptr(0.5 * 18 / 19), Candidate: ptr(0.5 * 17 / 19)},
		{Pairs: 16, Failed: 3, CandidateMissing: 1, Baseline: ptr(0.01), Candidate: ptr(0.01)},
		{Pairs: 19, Failed: 0, CandidateMissing: 1, Baseline: ptr(1. / 19), Candidate: ptr(2. / 19)},
		{Pairs: 20, Baseline: ptr(0.95), Candidate: ptr(0.9)},
	} {
		got := r.Objectives[i]
		if got.Pairs != want.Pairs || got.Failed != want.Failed || got.CandidateMissing != want.CandidateMissing || got.BaselineMissing != 0 {
			t.Errorf("row %+v, want %+v", got, want)
		}
		near(t, got.Objective+" baseline", *got.Baseline, *want.Baseline, 1e-12)
		near(t, got.Objective+" candidate", *got.Candidate, *want.Candidate, 1e-12)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "latency: 3 of 20 pairs left this comparison because a run failed") ||
		!strings.Contains(notes, "quality: missing in 0 baseline and 1 candidate runs") {
		t.Errorf("notes %q", notes)
	}
}

func TestSuccessAsObjective(t *testing.T) {
	e := start(t, Design{N: 100, Objectives: []Objective{{Name: "reliability", Weight: 1, Direction: Maximize, Kind: Success, Margin: ptr(0.01)}}})
	r := feed(t, e, 100, func(i int) Pair {
		return Pair{Baseline: []float64{0}, Candidate: []float64{0}, BaselineOK: i%3 > 0, CandidateOK: true}
	})
	if r.Verdict != Pass || len(r.Objectives) != 1 || r.Objectives[0].State != Better || r.Objectives[0].Unit != Points || r.Method != MethodSignFlip {
		t.Errorf("report %+v", r)
	}
	if c := r.Constraints[0]; c.Limit != 1 || c.Unit != Points || c.State != Held {
		t.Errorf("constraint %+v", c)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "500 to 800 pairs") {
		t.Errorf("notes %q", r.Notes)
	}
}

// U is the weighted sum of relative changes over their scales, per input.
func TestComposite(t *testing.T) {
	e := start(t, Design{Objectives: []Objective{
		{Name: "quality", Weight: 3, Direction: Maximize, Kind: Bounded},
		{Name: "latency", Weight: 1, Direction: Minimize, Kind: Ratio, Scale: 2},
	}})
	add := func(bq, cq, bl, cl float64) {
		if _, err := e.Add(Pair{Baseline: []float64{bq, bl}, Candidate: []float64{cq, cl}, BaselineOK: true, CandidateOK: true}); err != nil {
			t.Fatal(err)
		}
	}
	add(0.4, 0.5, 1, 0.5)
	add(0.8, 0.8, 1, 100)         // clipped
	add(0.6, 0.3, math.NaN(), 1)  // latency says nothing
	add(math.NaN(), 0.1, 0, 0)    // no change in latency, no quality
	add(math.NaN(), 0.1, 1, -0.1) // nothing at all
	want := []float64{0.75*0.1/0.6 + 0.25*math.Ln2/2, -0.25 * 1.5 / 2, -0.75 * 0.3 / 0.6, 0}
	got := e.improvements(nil)
	if len(got) != len(want) {
		t.Fatalf("U is %v, want %v", got, want)
	}
	for i := range want {
		near(t, "U", got[i], want[i], 1e-12)
	}
	if r := e.Report(); r.PairsUsed != 4 || r.PairsRun != 5 || r.Method != MethodSignFlip {
		t.Errorf("report %+v", r)
	}
}

// The constraint's value by hand: v = Phi((-m - mean)/se), with a pair of full size in the variance of rates and scores.
func TestViolationByHand(t *testing.T) {
	e := start(t, Design{FirstLook: 50, Objectives: []Objective{latencyOnly, {Name: "quality", Direction: Maximize, Kind: Bounded}}})
	r := feed(t, e, 20, func(i int) Pair {
		c := 1.0
		if i%2 == 0 {
			c = 1.1
		}
		return Pair{Baseline: []float64{1, 0.5}, Candidate: []float64{c, 0.5}, BaselineOK: true, CandidateOK: i > 0}
	})
	phi := func(x float64) float64 { return upperTail(-x) }
	// 19 pairs of latency, 9 of them 10 % slower.
	mean := -9 * math.Log(1.1) / 19
	var m moments
	for i := range 19 {
		m.add(-math.Log(1.1) * indicator(i < 9))
	}
	near(t, "latency", *r.Constraints[0].Violation, phi((-math.Log(1.02)-mean)/m.stdErr()), 1e-9)
	// 20 scores: one lost 0.5 because its run failed.
	se := math.Hypot(0.5*math.Sqrt(0.05*0.95/19), 0.5/20)
	near(t, "quality", *r.Constraints[1].Violation, phi((-0.02*0.5+0.025)/se), 1e-9)
	se = math.Hypot(math.Sqrt(0.05*0.95/19), 1./20)
	near(t, "success", *r.Constraints[2].Violation, phi((-0.03+0.05)/se), 1e-9)
}

// Swapping the arms turns the score of a lone ratio metric round exactly, and the verdict with it.
func TestSwappingArms(t *testing.T) {
	margin := latencyOnly
	margin.Margin = ptr(0.99)
	plan, err := NewPlan(Design{N: 100, Futility: -1, Objectives: []Objective{margin}})
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[Verdict]Verdict{Pass: Fail, Fail: Pass, Inconclusive: Inconclusive}
	seen := map[Verdict]int{}
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 9))
		ratio := math.Exp(0.2 * rng.NormFloat64())
		a, b := plan.Start(), plan.Start()
		for range 100 {
			x, y := math.Exp(rng.NormFloat64()/2), ratio*math.Exp(rng.NormFloat64()/2)
			da, err1 := a.Add(one(x, y))
			db, err2 := b.Add(one(y, x))
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if da.Z != nil && *da.Z != -*db.Z {
				t.Fatalf("scores %v and %v", *da.Z, *db.Z)
			}
			if da.Done != db.Done || db.Verdict != verdicts[da.Verdict] {
				t.Fatalf("verdicts %s and %s", da.Verdict, db.Verdict)
			}
		}
		seen[a.Look().Verdict]++
	}
	if seen[Pass] == 0 || seen[Fail] == 0 || seen[Inconclusive] == 0 {
		t.Errorf("the property was not tried on every verdict: %v", seen)
	}
}

// The same experiment in other units of time gives the same decisions.
func TestUnitsDoNotMatter(t *testing.T) {
	d := Design{N: 100, Objectives: []Objective{
		{Name: "quality", Weight: 1, Direction: Maximize, Kind: Bounded},
		{Name: "latency", Weight: 1, Direction: Minimize, Kind: Ratio},
	}}
	s, ms := start(t, d), start(t, d)
	rng := rand.New(rand.NewPCG(8, 8))
	for range 100 {
		p := pairOf(scores(0.2, 0.1, 0), latencies(0.4, 0.9, 0))(rng)
		a, err1 := s.Add(p)
		p.Baseline[1], p.Candidate[1] = p.Baseline[1]*1024, p.Candidate[1]*1024
		p.Baseline[0], p.Candidate[0] = p.Baseline[0]*0.25, p.Candidate[0]*0.25
		b, err2 := ms.Add(p)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if a.Verdict != b.Verdict || a.Done != b.Done || a.Z != nil && math.Abs(*a.Z-*b.Z) > 1e-9 {
			t.Fatalf("decisions %+v and %+v", a, b)
		}
	}
}

func TestAddRefusesAnotherShape(t *testing.T) {
	e := start(t, Design{Objectives: []Objective{latencyOnly}})
	for _, p := range []Pair{{}, {Baseline: []float64{1}}, {Baseline: []float64{1, 2}, Candidate: []float64{1, 2}}} {
		if _, err := e.Add(p); !fault.Is(err, fault.Invalid) {
			t.Errorf("pair %+v: %v", p, err)
		}
	}
	if r := e.Report(); r.PairsRun != 0 {
		t.Errorf("a refused pair was counted: %+v", r)
	}
}

func TestReportSurvivesJSON(t *testing.T) {
	want := feed(t, start(t, Design{N: 60, Objectives: []Objective{latencyOnly, {Name: "quality", Direction: Maximize, Kind: Rate}}}), 60, func(i int) Pair {
		return Pair{Baseline: []float64{1, 1}, Candidate: []float64{0.7 + float64(i%3)/10, 1}, BaselineOK: true, CandidateOK: true}
	})
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s became %+v (%v)", text, got, err)
	}
	for _, key := range []string{`"verdict":"pass"`, `"cause":"benefit_shown"`, `"p_better":`, `"pairs_used":`, `"smallest_effect":`, `"violation":`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("%s is not in %s", key, text)
		}
	}
}
