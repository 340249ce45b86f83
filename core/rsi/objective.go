package rsi

import (
	"maps"
	"math"
	"slices"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The objectives that the host measures. Any other name is a metric of the run.
const (
	Latency     = "latency"     // wall time, seconds
	Cost        = "cost"        // of model calls, US dollars
	Quality     = "quality"     // mean of the scorers, else the metric agent.output_quality; in [0,1]
	Reliability = "reliability" // share of runs that succeed
)

// qualityMetric is what quality falls back to without scorers.
const qualityMetric = "agent.output_quality"

// maxLogRatio clips the improvement of a ratio, as core/stats does.
const maxLogRatio = 1.5

// objectives returns the policy's objectives as core/stats wants them, by name.
// Invalid when the policy has none.
func objectives(p *graph.Policy) ([]stats.Objective, error) {
	if p == nil || len(p.Objectives) == 0 {
		return nil, fault.New(fault.Invalid, "objectives", "the policy names no objective").
			WithHint("add one, such as latency: {weight: 1, direction: minimize}")
	}
	var list []stats.Objective
	for _, name := range slices.Sorted(maps.Keys(p.Objectives)) {
		o := p.Objectives[name]
		kind := stats.Bounded
		switch name {
		case Latency, Cost:
			kind = stats.Ratio
		case Reliability:
			kind = stats.Success
		}
		list = append(list, stats.Objective{Name: name, Weight: o.Weight, Direction: stats.Direction(o.Direction), Kind: kind,
			Margin: o.Margin, Min: o.Min, Max: o.Max})
	}
	return list, nil
}

// unitOf returns the unit of an objective's values, empty when it has none.
func unitOf(objective string) string {
	switch objective {
	case Latency:
		return "s"
	case Cost:
		return "usd"
	case Quality:
		return "score"
	case Reliability:
		return "share"
	}
	return ""
}

// sample is what one or several runs of one arm on one input gave. Values stand
// in the order of the objectives, NaN where there is none.
type sample struct {
	values []float64
	ok     bool
	err    error // of the first run that failed
}

// mean joins the runs of one input: values of those that succeeded, ok when all
// did.
func mean(runs []sample) sample {
	out := sample{values: make([]float64, len(runs[0].values)), ok: true}
	for k := range out.values {
		sum, n := 0.0, 0
		for _, r := range runs {
			if r.ok && !math.IsNaN(r.values[k]) {
				sum += r.values[k]
				n++
			}
		}
		out.values[k] = sum / float64(n) // NaN when there is none
	}
	for _, r := range runs {
		if !r.ok && out.ok {
			out.ok, out.err = false, r.err
		}
	}
	return out
}

// improvement returns U of one input, the weighted relative improvement of c over
// b that experiments test as well; level is the baseline's mean over inputs of
// every objective. A candidate that fails where the baseline does not is worth
// the worst ratio: an experiment leaves such a pair out and judges success by
// itself, a search has only this number.
func improvement(list []stats.Objective, b, c sample, level []float64) float64 {
	var u float64
	for k, o := range list {
		d := difference(o, b.values[k], c.values[k], b.ok, c.ok, level[k])
		if o.Direction == stats.Minimize {
			d = -d
		}
		if !math.IsNaN(d) {
			u += o.Weight * d
		}
	}
	return u
}

// difference returns how much larger the candidate's value is, NaN when that is
// not known.
func difference(o stats.Objective, b, c float64, bOK, cOK bool, level float64) float64 {
	zeroed := o.Kind != stats.Ratio && o.Direction == stats.Maximize // a failed run is worth 0
	switch {
	case o.Kind == stats.Success:
		return indicator(cOK) - indicator(bOK)
	case zeroed:
		if !bOK {
			b = 0
		}
		if !cOK {
			c = 0
		}
	case !bOK:
		return math.NaN()
	case !cOK:
		if o.Direction == stats.Minimize {
			return maxLogRatio
		}
		return -maxLogRatio
	}
	if o.Kind == stats.Ratio {
		if b == c {
			return 0
		}
		return max(-maxLogRatio, min(maxLogRatio, math.Log(c/b)))
	}
	if level > 0 {
		return (c - b) / level
	}
	return c - b
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
