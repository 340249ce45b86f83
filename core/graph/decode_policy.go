package graph

import (
	"fmt"
	"math"
	"slices"

	"go.yaml.in/yaml/v3"
)

// DecodePolicy reads a policy document under the same rules as Decode and checks
// it: weights are positive and come back normalised to a sum of 1, directions
// are known, min lies below max. The policy is nil when a finding is an error.
func DecodePolicy(data []byte, file string) (*Policy, Findings) {
	root, fs := parseDocument(data)
	if fs != nil {
		return nil, withFile(fs, file)
	}
	d := &decoder{pos: positions{}}
	p := &Policy{}
	if d.survey(root, "", 1) {
		d.policy(p, root)
	}
	if fs = withFile(sortFindings(d.fs), file); fs.HasErrors() {
		return nil, fs
	}
	sum := 0.0
	for _, o := range p.Objectives {
		sum += o.Weight
	}
	for name, o := range p.Objectives {
		o.Weight /= sum
		p.Objectives[name] = o
	}
	return p, fs
}

func (d *decoder) policy(p *Policy, root *yaml.Node) {
	ok := d.object(root, "", fields{
		"policy":     d.name(&p.Name),
		"protected":  d.words(&p.Protected),
		"telemetry":  d.str(&p.Telemetry),
		"objectives": func(n *yaml.Node, path string) { p.Objectives = d.objectives(n, path) },
		"evaluation": func(n *yaml.Node, path string) { p.Evaluation = d.evaluation(n, path) },
		"limits":     func(n *yaml.Node, path string) { d.limits(&p.Limits, n, path) },
		"rsi":        func(n *yaml.Node, path string) { d.rsi(&p.RSI, n, path) },
	}, "rollout", "release", "guardrails", "holdback", "cache", "validate")
	if ok {
		d.require(root, "", "policy")
	}
}

func (d *decoder) objectives(n *yaml.Node, path string) map[string]Objective {
	out := map[string]Objective{}
	d.entries(n, path, func(k, v *yaml.Node, path string) {
		var o Objective
		before := len(d.fs)
		if !d.object(v, path, fields{"weight": d.number(&o.Weight), "direction": d.str(&o.Direction),
			"min": d.numberPtr(&o.Min), "max": d.numberPtr(&o.Max), "margin": d.numberPtr(&o.Margin)}) {
			return
		}
		d.require(v, path, "weight", "direction")
		if len(d.fs) > before {
			return
		}
		at := func(key string) (*yaml.Node, string) { return lookup(v, key), join(path, key) }
		if n, p := at("weight"); !(o.Weight > 0) || o.Weight > 1e12 {
			d.errorf(n, p, "leave out an objective that does not count", "is %v, must be above 0 and at most 1e12", o.Weight)
		}
		if n, p := at("direction"); o.Direction != "minimize" && o.Direction != "maximize" {
			d.errorf(n, p, oneOf(o.Direction, []string{"minimize", "maximize"}), "%q is not a direction", o.Direction)
		}
		if o.Min != nil && o.Max != nil && *o.Min >= *o.Max {
			n, p := at("min")
			d.errorf(n, p, "", "is %v, must be below max %v", *o.Min, *o.Max)
		}
		if n, p := at("margin"); o.Margin != nil && !(*o.Margin > 0 && *o.Margin < 1) {
			d.errorf(n, p, "it is relative: 0.02 is 2 %", "is %v, must lie between 0 and 1", *o.Margin)
		}
		out[k.Value] = o
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.errorf(n, path, "add one, such as latency: {weight: 1, direction: minimize}", "names no objective")
	}
	return out
}

func (d *decoder) evaluation(n *yaml.Node, path string) *Evaluation {
	e := &Evaluation{}
	d.object(n, path, fields{
		"dataset": d.str(&e.Dataset),
		"scorers": func(n *yaml.Node, path string) {
			d.items(n, path, func(n *yaml.Node, path string) {
				var s Scorer
				d.object(n, path, fields{"module": d.str(&s.Module), "config": d.jsonObject(&s.Config)})
				d.require(n, path, "module")
				if s.Module != "" {
					if _, err := ParseRef(s.Module); err != nil {
						d.errorf(lookup(n, "module"), join(path, "module"), refHint, "%v", err)
					}
				}
				e.Scorers = append(e.Scorers, s)
			})
		},
	})
	d.require(n, path, "dataset")
	return e
}

func (d *decoder) limits(l *Limits, n *yaml.Node, path string) {
	tokens := 0
	d.object(n, path, fields{"time": d.duration(&l.Time), "steps": d.atLeast(0, &l.Steps),
		"cost_usd": d.within(0, math.MaxFloat64, &l.CostUSD), "tokens": d.atLeast(0, &tokens)})
	l.Tokens = int64(tokens)
}

func (d *decoder) rsi(r *RSI, n *yaml.Node, path string) {
	d.object(n, path, fields{
		"analysis_window_hours": d.within(0, 24*366, &r.AnalysisWindowHours),
		"min_executions":        d.atLeast(0, &r.MinExecutions),
		"max_hypotheses":        d.atLeast(0, &r.MaxHypotheses),
		"auto_deploy": func(n *yaml.Node, path string) {
			r.AutoDeploy = new(bool)
			d.boolean(r.AutoDeploy)(n, path)
		},
		"strategy": func(n *yaml.Node, path string) {
			d.str(&r.Strategy)(n, path)
			switch all := []string{"direct", "canary", "shadow", "blue-green"}; {
			case r.Strategy == "direct" || r.Strategy == "":
			case slices.Contains(all, r.Strategy):
				d.errorf(n, path, "use direct", "strategy %q is not supported by this version", r.Strategy)
			default:
				d.errorf(n, path, oneOf(r.Strategy, all), "%q is not a strategy", r.Strategy)
			}
		},
		"budget": func(n *yaml.Node, path string) {
			d.object(n, path, fields{"runs": d.atLeast(0, &r.Budget.Runs),
				"cost_usd": d.within(0, math.MaxFloat64, &r.Budget.CostUSD), "time": d.duration(&r.Budget.Time)})
		},
		"min_effect": func(n *yaml.Node, path string) {
			r.MinEffect = new(float64)
			d.within(0, 1, r.MinEffect)(n, path)
		},
		"allow_volatile": d.boolean(&r.AllowVolatile),
		"screen":         d.atLeast(0, &r.Screen),
		"confirm":        d.atLeast(0, &r.Confirm),
		"repeats":        d.atLeast(0, &r.Repeats),
	})
}

// within decodes a number from low to high.
func (d *decoder) within(low, high float64, to *float64) field {
	return func(n *yaml.Node, path string) {
		before := len(d.fs)
		d.number(to)(n, path)
		if len(d.fs) == before && !(*to >= low && *to <= high) {
			want := fmt.Sprintf("must be at least %v", low)
			if high < math.MaxFloat64 {
				want = fmt.Sprintf("must lie between %v and %v", low, high)
			}
			d.errorf(n, path, "", "is %v, %s", *to, want)
		}
	}
}
