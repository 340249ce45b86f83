package stats

import "slices"

// Plan is a Design with its boundaries computed, which takes tens of milliseconds: plan once, start many. It does not
// change and is safe for concurrent use.
type Plan struct {
	design Design // defaults applied, weights normalised; success appended when the caller did not name it
	given  int    // objectives of the caller
	looks  []int
	bounds []float64
	ranked bool // a lone ratio metric is judged by ranks
}

// NewPlan validates d and computes its boundaries (Kim-DeMets, power 2). Errors as Design.Validate.
func NewPlan(d Design) (*Plan, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	d = d.withDefaults()
	p := &Plan{given: len(d.Objectives)}
	var total float64
	weighted := 0
	for _, o := range d.Objectives {
		total += o.Weight
		if o.Weight > 0 {
			weighted++
			p.ranked = o.Kind == Ratio
		}
	}
	p.ranked = p.ranked && weighted == 1
	for i := range d.Objectives {
		o := &d.Objectives[i]
		o.Weight /= total
		setDefault(&o.Scale, 1)
		if o.Margin == nil && o.Min == nil && o.Max == nil {
			o.Margin = o.Kind.defaultMargin()
		}
	}
	if d.successIndex() < 0 {
		d.Objectives = append(d.Objectives, Objective{Name: successName, Kind: Success, Direction: Maximize, Scale: 1,
			Margin: Success.defaultMargin()})
	}
	p.design = d
	p.looks = Looks(d.FirstLook, d.Every, d.N)
	var err error
	p.bounds, err = Boundaries(d.Alpha, spending, p.looks, d.N)
	return p, err
}

var spending = KimDeMets(2)

func (k Kind) defaultMargin() *float64 {
	m := marginRelative
	if k == Rate || k == Success {
		m = marginPoints
	}
	return &m
}

// Looks returns the planned numbers of pairs and, for each, the boundary of the score. The slices are the caller's.
func (p *Plan) Looks() ([]int, []float64) { return slices.Clone(p.looks), slices.Clone(p.bounds) }

// Start returns a fresh experiment of this plan.
func (p *Plan) Start() *Experiment {
	e := &Experiment{plan: p, tracks: make([]track, len(p.design.Objectives))}
	for i, o := range p.design.Objectives {
		e.tracks[i].Objective = o
	}
	e.last = Decision{Verdict: Inconclusive, Cause: CauseUnfinished}
	return e
}

// NewExperiment plans d and starts it. Errors as Design.Validate.
func NewExperiment(d Design) (*Experiment, error) {
	p, err := NewPlan(d)
	if err != nil {
		return nil, err
	}
	return p.Start(), nil
}
