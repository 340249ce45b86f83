package stats

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Direction says which way an objective improves.
type Direction string

// The directions.
const (
	Minimize Direction = "minimize"
	Maximize Direction = "maximize"
)

// Kind says how the improvement d of one input is computed from its baseline value b and candidate value c, written
// here for Maximize and with the opposite sign for Minimize.
type Kind string

// The kinds. A value that is not finite, negative, or outside [0,1] where that is said, is missing.
const (
	// Ratio is for values above 0 such as seconds or dollars: d = ln(c/b), clipped to +-1.5. A pair with a failed side
	// is left out. 0 on both sides is no change; 0 on one side counts as full harm when it is harm and is left out
	// when it would be gain, because a 0 cannot be told from something that was not measured. A metric that is 0
	// often belongs to Bounded.
	Ratio Kind = "ratio"
	// Bounded is for values from 0 up that may be 0 or sparse, such as a quality score: d = (c-b)/mean(b), or c-b
	// where mean(b) is 0. A failed run scores 0 when maximised; a pair with a failed side is left out when minimised.
	Bounded Kind = "bounded"
	// Rate is for shares in [0,1], 0 or 1 without repeats: d = c-b. A failed run has the worst value.
	Rate Kind = "rate"
	// Success is the rate of runs that did not fail, taken from the pair's flags; always maximised. Every design has
	// it as a constraint; name it to give it a weight, a margin or a minimum.
	Success Kind = "success"
)

// Objective is one thing to improve, and a thing that must not get worse.
type Objective struct {
	Name      string    `json:"name"`
	Weight    float64   `json:"weight"` // >= 0, normalised to a sum of 1; 0 makes it a constraint only
	Direction Direction `json:"direction"`
	Kind      Kind      `json:"kind"`

	// Margin is the loss that is still accepted: a share of the baseline for Ratio and Bounded (default 0.02), points
	// for Rate and Success (0.03 = 3 points, the default). With Min or Max and no Margin only those hold.
	Margin *float64 `json:"margin,omitempty"`
	// Scale divides the improvement before weighting; 0 means 1, the relative change itself.
	Scale float64 `json:"scale,omitempty"`
	// Min is the smallest mean a candidate may have; for Maximize only.
	Min *float64 `json:"min,omitempty"`
	// Max is the largest mean a candidate may have; for Minimize only.
	Max *float64 `json:"max,omitempty"`
}

// Design is an experiment before its first run. A zero field takes its default.
type Design struct {
	N          int         `json:"n"`          // pairs at most, one an input; default 200, at least 10
	FirstLook  int         `json:"first_look"` // pairs before the first look; default 20, at least 10
	Every      int         `json:"every"`      // pairs between looks; default 10
	Alpha      float64     `json:"alpha"`      // one-sided error a direction; default 0.025
	Futility   float64     `json:"futility"`   // stop when conditional power is below it; default 0.05, negative: never
	MinEffect  float64     `json:"min_effect"` // smallest estimate of U to release; default 0.02, negative: none
	Objectives []Objective `json:"objectives"`
}

// Defaults of a Design, and the limits that are not settings.
const (
	defaultPairs     = 200
	defaultFirstLook = 20
	defaultEvery     = 10
	defaultAlpha     = 0.025
	defaultFutility  = 0.05
	defaultMinEffect = 0.02

	marginRelative = 0.02 // of the baseline
	marginPoints   = 0.03 // of a rate

	maxPairs     = 100_000
	maxLooks     = 500 // keeps planning within seconds
	fewestPairs  = 10  // below it neither the normal scores nor the spread of an objective can be trusted
	futilityFrom = 40  // pairs before futility may stop an experiment
	maxLogRatio  = 1.5 // clip of a log ratio: one wild run must not decide
	successName  = "success"
)

func (d Design) withDefaults() Design {
	setDefault(&d.N, defaultPairs)
	setDefault(&d.FirstLook, defaultFirstLook)
	setDefault(&d.Every, defaultEvery)
	setDefault(&d.Alpha, defaultAlpha)
	setDefault(&d.Futility, defaultFutility)
	setDefault(&d.MinEffect, defaultMinEffect)
	d.MinEffect = max(d.MinEffect, 0)
	d.Objectives = slices.Clone(d.Objectives)
	return d
}

func setDefault[T int | float64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate returns every finding of d joined into one error, each a *fault.Error of kind Invalid with its path and
// remedy; nil when d can be planned. Defaults are applied first.
func (d Design) Validate() error {
	d = d.withDefaults()
	var findings []error
	find := func(path, hint, format string, args ...any) {
		findings = append(findings, fault.New(fault.Invalid, path, format, args...).WithHint("%s", hint))
	}
	if d.N < fewestPairs || d.N > maxPairs {
		find("n", "give 10 to 100000 inputs", "%d pairs are outside [%d,%d]", d.N, fewestPairs, maxPairs)
	}
	if d.FirstLook < fewestPairs {
		find("first_look", "use 20, or 10 at least", "a first look at %d pairs is too early, the least is %d", d.FirstLook, fewestPairs)
	}
	if d.Every < 1 {
		find("every", "use 10", "looks every %d pairs", d.Every)
	} else if looks := (d.N-d.FirstLook)/d.Every + 1; looks > maxLooks {
		find("every", "look less often, such as every twentieth of n", "%d looks are more than %d", looks, maxLooks)
	}
	if !(d.Alpha > 0 && d.Alpha < 0.5) {
		find("alpha", "use 0.025", "%v is outside (0,0.5)", d.Alpha)
	}
	if !(d.Futility < 0.5) {
		find("futility", "use 0.05, or -1 to switch it off", "%v is not below 0.5", d.Futility)
	}
	if !(d.MinEffect < 10) {
		find("min_effect", "use a share such as 0.02 for 2 %", "%v is not below 10", d.MinEffect)
	}
	names := map[string]bool{}
	var weights float64
	for i, o := range d.Objectives {
		path := fmt.Sprintf("objectives[%d]", i)
		if o.Name == "" {
			find(path+".name", "name it", "an objective has no name")
		} else if path = "objectives." + o.Name; names[o.Name] {
			find(path, "name each objective once", "the name is used twice")
		}
		names[o.Name] = true
		if o.Kind == Success && i != d.successIndex() || o.Kind != Success && o.Name == successName {
			find(path+".kind", "give kind success to one objective and its name to no other", "kind %q clashes with success, which every design has", o.Kind)
		}
		o.validate(path, find)
		weights += o.Weight
	}
	if !(weights > 0) {
		find("objectives", "give at least one objective a weight above 0", "no objective has a weight")
	}
	return errors.Join(findings...)
}

func (o Objective) validate(path string, find func(path, hint, format string, args ...any)) {
	if !finite(o.Weight) || o.Weight < 0 {
		find(path+".weight", "use a number above 0, or 0 for a constraint only", "weight %v", o.Weight)
	}
	if o.Direction != Minimize && o.Direction != Maximize || o.Kind == Success && o.Direction != Maximize {
		find(path+".direction", "use minimize or maximize; success is maximised", "direction %q", o.Direction)
	}
	switch o.Kind {
	case Ratio, Bounded, Rate, Success:
	default:
		find(path+".kind", "use ratio, bounded, rate or success", "kind %q", o.Kind)
	}
	if m := o.Margin; m != nil && !(*m >= 0 && *m < 1) {
		find(path+".margin", "use a share such as 0.02 for 2 %", "margin %v is outside [0,1)", *m)
	}
	if !finite(o.Scale) || o.Scale < 0 {
		find(path+".scale", "leave it out, or use a number above 0", "scale %v", o.Scale)
	}
	if o.Min != nil && o.Direction == Minimize {
		find(path+".min", "use max, or maximise the objective", "min limits an objective that is minimised")
	}
	if o.Max != nil && o.Direction == Maximize {
		find(path+".max", "use min, or minimise the objective", "max limits an objective that is maximised")
	}
	checkLimit := func(field string, limit *float64) {
		if limit != nil && (!finite(*limit) || *limit < 0 || o.Kind == Ratio && *limit == 0) {
			find(path+"."+field, "use a value the objective can have", "%s is %v", field, *limit)
		}
	}
	checkLimit("min", o.Min)
	checkLimit("max", o.Max)
}

// successIndex is the place of the first objective of kind Success, -1 when there is none.
func (d Design) successIndex() int {
	return slices.IndexFunc(d.Objectives, func(o Objective) bool { return o.Kind == Success })
}
