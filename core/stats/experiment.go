package stats

import (
	"fmt"
	"math"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Verdict is the outcome of an experiment. Only Pass promotes.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"         // better, and every constraint held
	Fail         Verdict = "fail"         // worse, or a constraint broken
	Inconclusive Verdict = "inconclusive" // neither shown; also no data, and while it runs
	Error        Verdict = "error"        // the experiment itself went wrong
)

// Cause says why an experiment stands where it does.
type Cause string

// The causes.
const (
	CauseBenefit    Cause = "benefit_shown"     // Pass
	CauseHarm       Cause = "harm_shown"        // Fail: the score crossed the lower boundary
	CauseConstraint Cause = "constraint_broken" // Fail
	CauseNoEffect   Cause = "no_useful_effect"  // Inconclusive: stopped for futility
	CauseHorizon    Cause = "horizon_reached"   // Inconclusive: every pair used
	CauseTooFew     Cause = "too_few_pairs"     // Inconclusive: every pair used, but fewer than 10 can be compared
	CauseUnfinished Cause = "unfinished"        // Inconclusive: no decision yet
	CauseAborted    Cause = "aborted"           // Error
)

// Pair is one input run by both arms. The values stand in the order of Design.Objectives; repeats of the input are
// averaged before (a run counts as successful only if every repeat was). NaN is a missing value; 0 is a value. The
// values of a run that failed are ignored, and so is the place of an objective of kind Success.
type Pair struct {
	Baseline, Candidate     []float64
	BaselineOK, CandidateOK bool
}

// Decision is what the latest look said.
type Decision struct {
	Done     bool     `json:"done"` // no more pairs are needed
	Verdict  Verdict  `json:"verdict"`
	Cause    Cause    `json:"cause"`
	Reason   string   `json:"reason"` // one sentence for a person
	Look     int      `json:"look"`   // looks taken so far
	Pairs    int      `json:"pairs"`  // pairs at this look
	Z        *float64 `json:"z,omitempty"`
	Boundary float64  `json:"boundary,omitempty"` // that z had to pass at this look; 0 before the first
}

// Experiment collects pairs and decides at the planned looks. It is not safe for concurrent use: one goroutine adds
// pairs, in the order of the inputs and not in the order in which they finished, because fast inputs finish first.
type Experiment struct {
	plan   *Plan
	tracks []track
	pairs  int
	late   int // pairs that came after the decision
	last   Decision

	failedBaseline, failedCandidate, failedPairs int

	u []float64 // improvements per input of the latest look; scratch
}

// Add takes one pair and, when a look is due, looks. It returns the standing decision; once Done is true further pairs
// are counted and change nothing, so that runs in flight need no care. A fault of kind Invalid, and no change, when the
// pair does not have one value an objective in each arm.
func (e *Experiment) Add(p Pair) (Decision, error) {
	if len(p.Baseline) != e.plan.given || len(p.Candidate) != e.plan.given {
		return e.last, fault.New(fault.Invalid, "", "a pair has %d and %d values for %d objectives",
			len(p.Baseline), len(p.Candidate), e.plan.given).WithOp("add pair")
	}
	if e.last.Done {
		e.late++
		return e.last, nil
	}
	for i := range e.tracks {
		var b, c float64
		if i < e.plan.given {
			b, c = p.Baseline[i], p.Candidate[i]
		}
		e.tracks[i].add(b, c, p.BaselineOK, p.CandidateOK)
	}
	e.pairs++
	if !p.BaselineOK {
		e.failedBaseline++
	}
	if !p.CandidateOK {
		e.failedCandidate++
	}
	if !p.BaselineOK || !p.CandidateOK {
		e.failedPairs++
	}
	if k := e.last.Look; e.pairs == e.plan.looks[k] {
		e.last = e.decide(k)
	}
	return e.last, nil
}

// Look returns the standing decision: that of the latest planned look.
func (e *Experiment) Look() Decision { return e.last }

// Abort ends the experiment with the verdict Error, whatever it said before: its runs cannot be trusted.
func (e *Experiment) Abort(reason string) {
	e.last.Done, e.last.Verdict, e.last.Cause, e.last.Reason = true, Error, CauseAborted, reason
}

// decide takes look k (from 0) on everything collected.
func (e *Experiment) decide(k int) Decision {
	design, bound := e.plan.design, e.plan.bounds[k]
	planned := design.N
	e.u = e.improvements(e.u[:0])
	z := e.score(e.u)
	d := Decision{Verdict: Inconclusive, Cause: CauseUnfinished, Look: k + 1, Pairs: e.pairs, Z: known(z), Boundary: bound}

	held := true
	for i := range e.tracks {
		for _, c := range e.tracks[i].constraints() {
			if c.State == Broken {
				return d.end(Fail, CauseConstraint, c.String())
			}
			held = held && c.State == Held
		}
	}
	enough := len(e.u) >= fewestPairs
	better := enough && z > bound
	if enough && z < -bound {
		return d.end(Fail, CauseHarm, fmt.Sprintf("the candidate is worse (score %.2f, limit %.2f) after %d of %d pairs", z, -bound, e.pairs, planned))
	}
	useful := false
	if better { // the estimate is needed only here, and for ranks it is the slow part
		u, err := e.estimate(e.u, bound)
		useful = err == nil && u.Estimate >= design.MinEffect
		if effect := e.percent(u); useful && held && effect != nil {
			return d.end(Pass, CauseBenefit, fmt.Sprintf("better by %.1f %% (%.1f to %.1f %%) after %d of %d pairs, and every constraint holds",
				effect.Estimate, effect.Low, effect.High, e.pairs, planned))
		}
	}
	if e.pairs == planned {
		return d.horizon(len(e.u), better, useful, planned)
	}
	d.Reason = fmt.Sprintf("no decision after %d of %d pairs", e.pairs, planned)
	if t := float64(e.pairs) / float64(planned); enough && e.pairs >= futilityFrom {
		power := ConditionalPower(z, t, e.plan.bounds[len(e.plan.bounds)-1])
		if power < design.Futility {
			return d.end(Inconclusive, CauseNoEffect, fmt.Sprintf("no useful effect: after %d of %d pairs the chance that the rest would show one is %.1f %%", e.pairs, planned, 100*power))
		}
	}
	return d
}

func (d Decision) end(v Verdict, c Cause, reason string) Decision {
	d.Done, d.Verdict, d.Cause, d.Reason = true, v, c, reason
	return d
}

// horizon ends an experiment that has used its pairs without a decision.
func (d Decision) horizon(used int, better, useful bool, planned int) Decision {
	switch {
	case used < fewestPairs:
		return d.end(Inconclusive, CauseTooFew, fmt.Sprintf("only %d of %d pairs can be compared, %d are needed", used, planned, fewestPairs))
	case better && !useful:
		return d.end(Inconclusive, CauseHorizon, fmt.Sprintf("better after all %d pairs, but by less than the smallest useful effect", planned))
	case better:
		return d.end(Inconclusive, CauseHorizon, fmt.Sprintf("better after all %d pairs, but not every constraint is shown to hold", planned))
	}
	return d.end(Inconclusive, CauseHorizon, fmt.Sprintf("no difference shown after all %d pairs", planned))
}

// improvements appends U_i = sum_k w_k d_ik / scale_k for every pair that has at least one d_ik to out. An objective
// that a pair has no value for says nothing about that pair: it adds 0, which draws the estimate towards no effect.
func (e *Experiment) improvements(out []float64) []float64 {
	for i := range e.pairs {
		u, any := 0.0, false
		for k := range e.tracks {
			t := &e.tracks[k]
			if d := t.d[i]; t.Weight > 0 && !math.IsNaN(d) {
				u += t.Weight / t.Scale * (d / t.unit())
				any = true
			}
		}
		if any {
			out = append(out, u)
		}
	}
	return out
}

func (e *Experiment) score(u []float64) float64 {
	if e.plan.ranked {
		return SignedRank(u)
	}
	return SignFlip(u)
}

// estimate returns U with its repeated interval at the boundary b.
func (e *Experiment) estimate(u []float64, b float64) (Interval, error) {
	if e.plan.ranked {
		return HodgesLehmann(u, b)
	}
	return MeanInterval(u, b)
}

// percent turns an improvement U into percent: of the metric itself when one ratio metric alone is judged, where log
// ratios are not percent, else 100 U. It is nil when the result is not finite.
func (e *Experiment) percent(u Interval) *Interval {
	if e.plan.ranked {
		for i := range e.tracks {
			if t := &e.tracks[i]; t.Weight > 0 {
				return u.each(maxLogRatio/t.Scale, func(x float64) float64 { return t.gain(x * t.Scale) })
			}
		}
	}
	return u.each(math.Inf(1), func(x float64) float64 { return 100 * x })
}

// each clips i to +-limit and maps it through f, which increases; nil when the result is not finite.
func (i Interval) each(limit float64, f func(float64) float64) *Interval {
	clip := func(x float64) float64 { return f(max(-limit, min(limit, x))) }
	out := Interval{Estimate: clip(i.Estimate), Low: clip(i.Low), High: clip(i.High)}
	if !finite(out.Estimate) || !finite(out.Low) || !finite(out.High) {
		return nil
	}
	return &out
}
