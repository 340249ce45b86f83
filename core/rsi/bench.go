package rsi

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// entrant is an open arm and the nodes in which it differs from the baseline.
type entrant struct {
	Arm
	changed map[string]bool
}

func (s *session) open(ctx context.Context, g *graph.Graph) (*entrant, error) {
	arm, err := s.Lab.Prepare(ctx, s.base, g)
	if err != nil {
		return nil, err
	}
	return &entrant{arm, changedNodes(s.base, arm.Locked())}, nil
}

// changedNodes returns the nodes whose module or config is not the same in both
// versions.
func changedNodes(a, b *graph.Locked) map[string]bool {
	changed := map[string]bool{}
	identity := func(l *graph.Locked, n *graph.Node) string {
		i := slices.IndexFunc(l.Locks, func(k graph.Lock) bool { return k.Node == n.Name })
		if i < 0 {
			return n.Native + string(n.Config)
		}
		return l.Locks[i].Digest + l.Locks[i].Type + string(n.Config)
	}
	for _, n := range b.Graph.Nodes {
		if old := a.Graph.Node(n.Name); old == nil || identity(a, old) != identity(b, n) {
			changed[n.Name] = true
		}
	}
	return changed
}

// measure runs one example on an arm, scores it and charges the budget, of which
// it may use a. errSpent when that is gone.
func (s *session) measure(ctx context.Context, arm *entrant, example int, a allowance) (sample, error) {
	if err := s.budget.take(a); err != nil {
		return sample{}, err
	}
	e := &s.data[example]
	out, err := arm.Run(ctx, e.Input)
	if err != nil {
		return sample{}, fault.Wrap("", e.ID, err, "run an experiment")
	}
	s.budget.cost += out.Usage.Cost
	m := sample{values: make([]float64, len(s.objectives)), ok: out.Err == nil, err: out.Err}
	for k, o := range s.objectives {
		m.values[k] = math.NaN()
		if !m.ok {
			continue
		}
		switch o.Name {
		case Latency:
			m.values[k] = out.Latency.Seconds()
		case Cost:
			m.values[k] = out.Usage.Cost
		case Reliability:
			m.values[k] = 1
		case Quality:
			if len(s.scorers) > 0 {
				m.values[k], err = s.grade(ctx, e, out.Output)
			} else {
				m.values[k], err = metric(out, qualityMetric, arm.changed)
				if v := m.values[k]; err == nil && (v < 0 || v > 1) {
					err = fault.New(fault.Invalid, nodesOf(out, qualityMetric), "metric %s is %v, outside [0,1]", qualityMetric, v).
						WithHint("a quality lies between 0 and 1")
				}
			}
		default:
			m.values[k], err = metric(out, o.Name, arm.changed)
		}
		if err != nil {
			return sample{}, err
		}
	}
	return m, nil
}

// grade returns the mean of the scorers.
func (s *session) grade(ctx context.Context, e *Example, output []byte) (float64, error) {
	var sum float64
	for _, scorer := range s.scorers {
		v, _, err := scorer.Score(ctx, e.Input, e.Expected, output)
		if err != nil {
			return 0, fault.Wrap("", scorer.Name(), err, "score example %q", e.ID)
		}
		if !(v >= 0 && v <= 1) {
			return 0, fault.New(fault.Invalid, scorer.Name(), "the scorer gave example %q %v, outside [0,1]", e.ID, v).
				WithHint("a score lies between 0 and 1")
		}
		sum += v
	}
	return sum / float64(len(s.scorers)), nil
}

// metric returns a metric of a run, NaN when the run has none. A candidate must
// not grade itself: Invalid when a node that it changed emitted the metric.
func metric(out Outcome, name string, changed map[string]bool) (float64, error) {
	v, ok := out.Metrics[name]
	if !ok {
		return math.NaN(), nil
	}
	for _, node := range v.Nodes {
		if changed[node] {
			return 0, fault.New(fault.Invalid, "nodes."+node, "the candidate changes this node, which emits the objective %s", name).
				WithHint("judge %s by a scorer outside the graph, or protect the node", name)
		}
	}
	return v.Value, nil
}

func nodesOf(out Outcome, metric string) string {
	return "nodes." + strings.Join(out.Metrics[metric].Nodes, ",")
}

// probe opens the baseline, runs it once to pay what only first runs cost, and
// returns the nodes that must stay as they are: protected ones, and those that
// emit an objective.
func (s *session) probe(ctx context.Context) (map[string]string, error) {
	fixed := frozen(s.policy)
	arm, err := s.open(ctx, s.base.Graph)
	if err != nil {
		return nil, fault.Wrap("", s.base.Graph.Name, err, "prepare the active version")
	}
	defer arm.Close()
	if err := s.budget.take(everything); err != nil {
		return fixed, nil // the phases that need runs say so
	}
	out, err := arm.Run(ctx, s.data[s.screen[0]].Input)
	if err != nil {
		return nil, fault.Wrap("", s.data[s.screen[0]].ID, err, "run the active version")
	}
	s.budget.cost += out.Usage.Cost
	for _, o := range s.objectives {
		name := o.Name
		if name == Quality && len(s.scorers) == 0 {
			name = qualityMetric
		}
		for _, node := range out.Metrics[name].Nodes {
			if fixed[node] == "" {
				fixed[node] = "emits the objective " + name
			}
		}
	}
	return fixed, nil
}

// labBench measures the trials of one hypothesis on SCREEN.
type labBench struct {
	s        *session
	h        *Hypothesis
	allowed  allowance
	baseline map[int][]sample
	seen     map[*trial]map[int]sample
	broken   map[*trial]string // trials that could not be prepared or are not allowed, and why
	onRun    func()
}

var _ bench = (*labBench)(nil)

// measure implements bench. Trials are taken in random groups of as many arms as
// may be open, so that drift of the machine is noise and not a preference; within
// a group every input meets the arms in an order of its own.
func (b *labBench) measure(ctx context.Context, trials []*trial, inputs []int) error {
	s := b.s
	var todo []*trial
	for _, t := range trials {
		if b.broken[t] == "" && len(b.missing(t, inputs)) > 0 {
			todo = append(todo, t)
		}
	}
	s.rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	size := max(s.OpenArms-1, 1)
	groups := (len(todo) + size - 1) / size
	for g := range groups {
		// The default runs once on every input that anybody meets for the first time,
		// spread over the groups.
		var own []int
		for i, in := range inputs {
			news := slices.ContainsFunc(todo, func(t *trial) bool { _, done := b.seen[t][in]; return !done })
			if news && i%groups == g {
				own = append(own, in)
			}
		}
		if err := b.group(ctx, todo[g*size:min((g+1)*size, len(todo))], inputs, own); err != nil {
			return err
		}
	}
	return nil
}

func (b *labBench) missing(t *trial, inputs []int) []int {
	var list []int
	for _, in := range inputs {
		if _, ok := b.seen[t][in]; !ok {
			list = append(list, in)
		}
	}
	return list
}

// group measures trials side by side; the default runs on the inputs own.
func (b *labBench) group(ctx context.Context, trials []*trial, inputs, own []int) (err error) {
	s := b.s
	arms := map[*trial]*entrant{}
	defer func() {
		for _, a := range arms {
			a.Close()
		}
	}()
	if len(own) > 0 {
		if arms[nil], err = s.open(ctx, s.base.Graph); err != nil {
			delete(arms, nil)
			return err
		}
	}
	for _, t := range trials {
		arm, err := b.prepare(ctx, t)
		if err != nil {
			return err
		}
		if arm != nil {
			arms[t] = arm
		}
	}
	order := make([]*trial, 0, len(arms))
	for _, t := range append([]*trial{nil}, trials...) {
		if arms[t] != nil {
			order = append(order, t)
		}
	}
	// First runs pay for instances and caches: no arm is judged by them.
	for _, t := range order {
		if _, err := s.measure(ctx, arms[t], s.screen[inputs[0]], b.allowed); err != nil {
			return err
		}
	}
	for _, in := range inputs {
		s.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, t := range order {
			if _, done := b.seen[t][in]; done && t != nil || t == nil && !slices.Contains(own, in) {
				continue
			}
			m, err := s.measure(ctx, arms[t], s.screen[in], b.allowed)
			if err != nil {
				return err
			}
			b.onRun()
			if t == nil {
				b.baseline[in] = append(b.baseline[in], m)
				continue
			}
			if b.seen[t] == nil {
				b.seen[t] = map[int]sample{}
			}
			b.seen[t][in] = m
		}
	}
	return nil
}

// prepare opens the arm of a trial, nil when the trial is at fault: it is then
// out of the race.
func (b *labBench) prepare(ctx context.Context, t *trial) (*entrant, error) {
	g, changes, err := b.h.build(b.s.base.Graph, t.point)
	var arm *entrant
	if err == nil {
		arm, err = b.s.open(ctx, g)
	}
	switch fault.KindOf(err) {
	case "":
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Denied:
		b.broken[t] = err.Error()
		return nil, nil
	default:
		return nil, err
	}
	review, err := b.s.review(ctx, b.h, changes, arm.Locked())
	if err == nil && review.Valid {
		return arm, nil
	}
	b.broken[t] = review.Reason
	arm.Close()
	return nil, err
}

// score implements bench.
func (b *labBench) score(t *trial, inputs []int) float64 {
	if b.broken[t] != "" {
		return math.Inf(-1)
	}
	level := b.level()
	var sum float64
	n := 0
	for _, in := range inputs {
		if m, ok := b.seen[t][in]; ok && len(b.baseline[in]) > 0 {
			sum += improvement(b.s.objectives, mean(b.baseline[in]), m, level)
			n++
		}
	}
	if n == 0 {
		return math.Inf(-1)
	}
	return sum / float64(n)
}

// level returns the baseline's mean of every objective over all inputs met.
func (b *labBench) level() []float64 {
	level := make([]float64, len(b.s.objectives))
	for k := range level {
		var sum float64
		n := 0
		for in := range b.s.screen { // in a fixed order, so that a seed gives one result
			if runs := b.baseline[in]; len(runs) > 0 {
				if v := mean(runs).values[k]; !math.IsNaN(v) {
					sum += v
					n++
				}
			}
		}
		level[k] = sum / float64(max(n, 1))
	}
	return level
}
