package stats

import (
	"fmt"
	"math"
)

// Rule says what a constraint demands.
type Rule string

// The rules.
const (
	RuleMargin   Rule = "margin"   // not worse than the baseline by more than Limit
	RuleMin      Rule = "min"      // a candidate mean of Limit at least
	RuleMax      Rule = "max"      // a candidate mean of Limit at most
	RuleReported Rule = "reported" // present as often as at the baseline, within Limit points
)

// ConstraintState says how a constraint stands.
type ConstraintState string

// The states. Only held lets a candidate pass; broken ends the experiment.
const (
	Held   ConstraintState = "held"   // violation below 0.35
	Open   ConstraintState = "open"   // in between, or too little data
	Broken ConstraintState = "broken" // violation above 0.95
)

const (
	heldBelow   = 0.35
	brokenAbove = 0.95
)

// Constraint is one condition a candidate must meet before its benefit counts, and how it stands.
type Constraint struct {
	Objective string          `json:"objective"`
	Rule      Rule            `json:"rule"`
	Limit     float64         `json:"limit"`               // in Unit
	Unit      Unit            `json:"unit,omitempty"`      // empty for a value in the objective's own unit
	Violation *float64        `json:"violation,omitempty"` // how likely it is violated, in [0,1]; absent when not known
	State     ConstraintState `json:"state"`
}

// constraints returns every constraint of t in a fixed order.
func (t *track) constraints() []Constraint {
	var list []Constraint
	add := func(rule Rule, limit float64, unit Unit, margin float64) {
		v := math.NaN()
		if t.m.n >= fewestPairs {
			v = violation(t.m.mean, t.stdErr(), margin)
		}
		list = append(list, newConstraint(t.Name, rule, limit, unit, v))
	}
	if t.Margin != nil {
		m, unit := *t.Margin, Percent
		switch {
		case t.Kind == Rate || t.Kind == Success:
			unit = Points
		case t.Kind == Ratio && t.Direction == Minimize:
			m = math.Log1p(m)
		case t.Kind == Ratio:
			m = -math.Log1p(-m)
		default:
			m *= t.unit()
		}
		add(RuleMargin, 100**t.Margin, unit, m)
	}
	if t.Min != nil {
		margin := t.baseline.mean - *t.Min
		if t.Kind == Ratio {
			margin = math.Log(t.baseline.mean / *t.Min)
		}
		add(RuleMin, *t.Min, "", margin)
	}
	if t.Max != nil {
		margin := *t.Max - t.baseline.mean
		if t.Kind == Ratio {
			margin = math.Log(*t.Max / t.baseline.mean)
		}
		add(RuleMax, *t.Max, "", margin)
	}
	if t.baselineMissing+t.candidateMissing > 0 {
		v := math.NaN()
		if t.reported.n >= fewestPairs {
			v = violation(t.reported.mean, withPseudoPair(t.reported, 1), marginPoints)
		}
		list = append(list, newConstraint(t.Name, RuleReported, 100*marginPoints, Points, v))
	}
	return list
}

func newConstraint(name string, rule Rule, limit float64, unit Unit, v float64) Constraint {
	c := Constraint{Objective: name, Rule: rule, Limit: limit, Unit: unit, Violation: known(v), State: Open}
	switch {
	case v < heldBelow:
		c.State = Held
	case v > brokenAbove:
		c.State = Broken
	}
	return c
}

// violation returns v = Phi((-margin - mean)/se): how likely the true improvement is below -margin.
func violation(mean, se, margin float64) float64 {
	if gap := -margin - mean; se > 0 {
		return upperTail(-gap / se)
	} else if se == 0 && gap != 0 {
		return indicator(gap > 0)
	}
	return math.NaN()
}

// known returns x, or nil when it is no number that JSON and a reader could use.
func known(x float64) *float64 {
	if !finite(x) {
		return nil
	}
	return &x
}

// String returns the constraint as a sentence, for example "latency: 99 % likely worse than the baseline by more than
// 2 percent".
func (c Constraint) String() string {
	var what string
	switch c.Rule {
	case RuleMargin:
		what = fmt.Sprintf("worse than the baseline by more than %.3g %s", c.Limit, c.Unit)
	case RuleMin:
		what = fmt.Sprintf("below the minimum of %g", c.Limit)
	case RuleMax:
		what = fmt.Sprintf("above the maximum of %g", c.Limit)
	case RuleReported:
		what = fmt.Sprintf("missing more often than at the baseline by more than %.3g %s", c.Limit, c.Unit)
	}
	likely := "not yet known whether"
	if c.Violation != nil {
		likely = fmt.Sprintf("%.3g %% likely", min(100**c.Violation, 99.9))
	}
	return fmt.Sprintf("%s: %s %s", c.Objective, likely, what)
}
