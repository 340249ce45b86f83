package stats

import "math"

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
	Limit     float64         `json:"limit"`               // share of the baseline, points or value, as Rule and Kind say
	Violation *float64        `json:"violation,omitempty"` // how likely it is violated, in [0,1]; absent when not known
	State     ConstraintState `json:"state"`
	points    bool            // Limit is in points
}

// constraints returns every constraint of t in a fixed order.
func (t *track) constraints() []Constraint {
	var list []Constraint
	add := func(rule Rule, limit, margin float64) {
		v := math.NaN()
		if t.m.n >= fewestPairs {
			v = violation(t.m.mean, t.stdErr(), margin)
		}
		list = append(list, newConstraint(t.Name, rule, limit, v, t.Kind == Rate || t.Kind == Success))
	}
	if t.Margin != nil {
		m := *t.Margin
		switch {
		case t.Kind == Ratio && t.Direction == Minimize:
			m = math.Log1p(m)
		case t.Kind == Ratio:
			m = -math.Log1p(-m)
		default:
			m *= t.unit()
		}
		add(RuleMargin, *t.Margin, m)
	}
	if t.Min != nil {
		margin := t.baseline.mean - *t.Min
		if t.Kind == Ratio {
			margin = math.Log(t.baseline.mean / *t.Min)
		}
		add(RuleMin, *t.Min, margin)
	}
	if t.Max != nil {
		margin := *t.Max - t.baseline.mean
		if t.Kind == Ratio {
			margin = math.Log(*t.Max / t.baseline.mean)
		}
		add(RuleMax, *t.Max, margin)
	}
	if t.baselineMissing+t.candidateMissing > 0 {
		v := math.NaN()
		if t.reported.n >= fewestPairs {
			v = violation(t.reported.mean, withPseudoPair(t.reported, 1), marginPoints)
		}
		list = append(list, newConstraint(t.Name, RuleReported, marginPoints, v, true))
	}
	return list
}

func newConstraint(name string, rule Rule, limit, v float64, points bool) Constraint {
	c := Constraint{Objective: name, Rule: rule, Limit: limit, Violation: known(v), State: Open, points: points}
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
