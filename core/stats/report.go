package stats

import (
	"fmt"
	"math"
)

// Standing says how an objective of the candidate compares with the baseline's.
type Standing string

// The standings: the repeated interval lies on the better side of no change, on the worse side, or holds it.
const (
	Better    Standing = "better"
	Worse     Standing = "worse"
	Undecided Standing = "undecided"
)

// Method names the score that judged an experiment.
type Method string

// The methods.
const (
	MethodSignFlip   Method = "sign_flip"   // score of the mean of U
	MethodSignedRank Method = "signed_rank" // Wilcoxon's score and the Hodges-Lehmann estimate, for a lone ratio metric
)

// Unit is the unit of a Row's change.
type Unit string

// The units.
const (
	Percent Unit = "percent" // of the baseline's mean
	Points  Unit = "points"  // hundredths
)

// Report is an experiment for a person and for the record. An absent pointer is not known, never 0.
type Report struct {
	Verdict Verdict `json:"verdict"`
	Cause   Cause   `json:"cause"`
	Reason  string  `json:"reason"`

	// Effect is the improvement in percent, above 0 is better: of the metric when one ratio metric alone is judged,
	// else of the weighted objectives. The interval is the repeated one, valid however often was looked.
	Effect   *Interval `json:"effect,omitempty"`
	PBetter  *float64  `json:"p_better,omitempty"` // probability that U > 0, in [0,1]
	Method   Method    `json:"method"`
	Z        *float64  `json:"z,omitempty"`        // score on the pairs of this report
	Boundary float64   `json:"boundary,omitempty"` // of the latest look, or what a look now would need before the first

	PairsUsed    int `json:"pairs_used"`    // pairs that the score rests on
	PairsRun     int `json:"pairs_run"`     // pairs added before the decision
	PairsPlanned int `json:"pairs_planned"` // N
	PairsLate    int `json:"pairs_late"`    // pairs that came after the decision and were not used
	Looks        int `json:"looks"`

	FailedBaseline  int `json:"failed_baseline"`  // runs that failed
	FailedCandidate int `json:"failed_candidate"` // runs that failed
	PairsFailed     int `json:"pairs_failed"`     // pairs with a failed side

	Objectives  []Row        `json:"objectives"`
	Constraints []Constraint `json:"constraints"`

	// SmallestEffect is the improvement in percent that all planned pairs would find with probability 80 %.
	SmallestEffect *float64 `json:"smallest_effect,omitempty"`
	Notes          []string `json:"notes,omitempty"`
}

// Row is one objective of a Report. The last row is success when the design did not name it.
type Row struct {
	Objective string    `json:"objective"`
	Kind      Kind      `json:"kind"`
	Direction Direction `json:"direction"`
	Weight    float64   `json:"weight"`              // normalised
	Baseline  *float64  `json:"baseline,omitempty"`  // mean over the pairs used
	Candidate *float64  `json:"candidate,omitempty"` // mean over the pairs used
	// Change is the candidate against the baseline in Unit and in the metric's own direction: -20 percent of a latency
	// is an improvement. The interval is the repeated one.
	Change           *Interval `json:"change,omitempty"`
	Unit             Unit      `json:"unit"`
	State            Standing  `json:"state"`
	Pairs            int       `json:"pairs"`             // used for this row
	Failed           int       `json:"failed"`            // pairs left out because a side failed
	BaselineMissing  int       `json:"baseline_missing"`  // successful runs without the metric
	CandidateMissing int       `json:"candidate_missing"` // successful runs without the metric
}

// Report returns how the experiment stands, on every pair added up to the decision. It may be called at any time and
// changes nothing; before a decision the verdict is Inconclusive.
func (e *Experiment) Report() Report {
	p := e.plan
	u := e.improvements(nil)
	z, bound := e.score(u), e.last.Boundary
	if bound == 0 && e.pairs > 0 {
		bound = upperQuantile(spending(p.design.Alpha, float64(e.pairs)/float64(p.design.N)))
	}
	r := Report{
		Verdict: e.last.Verdict, Cause: e.last.Cause, Reason: e.last.Reason,
		Method: MethodSignFlip, Boundary: bound,
		PairsUsed: len(u), PairsRun: e.pairs, PairsPlanned: p.design.N, PairsLate: e.late, Looks: e.last.Look,
		FailedBaseline: e.failedBaseline, FailedCandidate: e.failedCandidate, PairsFailed: e.failedPairs,
	}
	if p.ranked {
		r.Method = MethodSignedRank
	}
	if !e.last.Done {
		r.Reason = fmt.Sprintf("no decision after %d of %d pairs", e.pairs, p.design.N)
	}
	for i := range e.tracks {
		t := &e.tracks[i]
		r.Objectives = append(r.Objectives, t.row(bound, p.ranked))
		r.Constraints = append(r.Constraints, t.constraints()...)
		r.Notes = append(r.Notes, t.notes(p.design.N)...)
	}
	if len(u) < 2 {
		return r
	}
	if r.Z = known(z); r.Z != nil {
		r.PBetter = known(upperTail(-z))
	}
	var spread moments
	for _, x := range u {
		spread.add(x)
	}
	reach := float64(p.design.N) * float64(len(u)) / float64(e.pairs) // pairs that all planned ones would leave usable
	smallest := SmallestEffect(int(reach), spread.sd())
	if seen := e.percent(Interval{smallest, smallest, smallest}); seen != nil {
		r.SmallestEffect = &seen.Estimate
	}
	if effect, err := e.estimate(u, bound); err == nil {
		r.Effect = e.percent(effect)
	}
	return r
}

// gain turns an improvement d of t into percent, above 0 is better: 20 for a latency that fell by 20 %.
func (t *track) gain(d float64) float64 {
	switch {
	case t.Kind != Ratio:
		return 100 * d
	case t.Direction == Minimize:
		return -100 * math.Expm1(-d)
	}
	return 100 * math.Expm1(d)
}

// row reports t with its repeated interval at the boundary b.
func (t *track) row(b float64, ranked bool) Row {
	r := Row{
		Objective: t.Name, Kind: t.Kind, Direction: t.Direction, Weight: t.Weight, Unit: Percent, State: Undecided,
		Pairs: t.m.n, Failed: t.failed, BaselineMissing: t.baselineMissing, CandidateMissing: t.candidateMissing,
	}
	if t.Kind == Rate || t.Kind == Success || t.Kind == Bounded && t.baseline.mean == 0 {
		r.Unit = Points
	}
	if t.m.n == 0 {
		return r
	}
	r.Baseline, r.Candidate = known(t.baseline.mean), known(t.candidate.mean)
	var change Interval
	var err error
	limit := math.Inf(1)
	used := make([]float64, 0, t.m.n)
	for _, d := range t.d {
		if !math.IsNaN(d) {
			used = append(used, d/t.unit())
		}
	}
	if t.Kind == Ratio {
		limit = maxLogRatio
	}
	switch {
	case ranked && t.Weight > 0:
		change, err = HodgesLehmann(used, b)
	case t.Kind == Rate || t.Kind == Success:
		half := b * t.stdErr()
		change = Interval{Estimate: t.m.mean, Low: max(-1, t.m.mean-half), High: min(1, t.m.mean+half)}
	default:
		change, err = MeanInterval(used, b)
	}
	if err != nil {
		return r
	}
	if t.m.n >= fewestPairs {
		switch {
		case change.Low > 0:
			r.State = Better
		case change.High < 0:
			r.State = Worse
		}
	}
	r.Change = change.each(limit, t.gain)
	if r.Change != nil && t.Direction == Minimize {
		c := r.Change
		c.Estimate, c.Low, c.High = -c.Estimate, -c.High, -c.Low
	}
	return r
}

// successPairs is what a change of success by three points takes (0.95 to 0.98: 500 to 800 pairs).
const successPairs = 500

// notes says in words what a reader of the numbers could miss.
func (t *track) notes(planned int) []string {
	var notes []string
	note := func(format string, args ...any) {
		notes = append(notes, fmt.Sprintf("%s: ", t.Name)+fmt.Sprintf(format, args...))
	}
	if t.failed > 0 {
		note("%d of %d pairs left this comparison because a run failed", t.failed, len(t.d))
	}
	if t.baselineMissing+t.candidateMissing > 0 {
		note("missing in %d baseline and %d candidate runs that succeeded", t.baselineMissing, t.candidateMissing)
	}
	if t.zeros > 0 {
		note("%d pairs left out because one side is 0, which has no ratio; kind bounded compares differences", t.zeros)
	}
	if t.Kind == Success && t.Weight > 0 && planned < successPairs {
		note("a rise from 95 to 98 %% takes 500 to 800 pairs to show, %d were planned", planned)
	}
	return notes
}
