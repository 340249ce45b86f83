package host

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
)

// lab runs versions as experiments; it implements rsi.Lab.
type lab struct{ host *Host }

var _ rsi.Lab = lab{}

func (l lab) Prepare(ctx context.Context, base *graph.Locked, g *graph.Graph) (rsi.Arm, error) {
	locked, err := l.host.lock(ctx, g, base, Document{})
	if err != nil {
		return nil, err
	}
	d, err := l.host.prepare(ctx, locked, g.Version)
	if err != nil {
		return nil, err
	}
	if d.program.Plan.Waits() {
		d.release()
		return nil, fault.New(fault.Invalid, "nodes", "graph %q waits for a person, so no experiment can run it", g.Name).
			WithHint("put what shall be improved into a graph of its own that this one holds, or try a version on old runs with `spark runs replay`")
	}
	return &arm{host: l.host, d: d}, nil
}

// arm is one version under experiment.
type arm struct {
	host *Host
	d    *deployment
}

func (a *arm) Locked() *graph.Locked { return a.d.locked }

func (a *arm) Close() { a.d.release() }

func (a *arm) Run(ctx context.Context, input []byte) (rsi.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return rsi.Outcome{}, err
	}
	info := a.d.info(run.Experiment)
	tap := &tap{metrics: map[string]rsi.Metric{}, points: map[string]int{}, checks: a.d.checks}
	if r := a.d.profile.rec.Begin(info); r != nil {
		tap.next = r
	}
	start := time.Now()
	res, err := engine.Run(ctx, a.d.program, input, engine.Options{Info: info, Observer: tap, Limits: a.d.limits, Parallel: a.host.cfg.Parallel})
	out := rsi.Outcome{Latency: time.Since(start), Err: err, Metrics: tap.metrics}
	if err != nil && ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err == nil {
		out.Err = a.d.check(tap.steps)
	}
	if res != nil {
		out.Output, out.Usage = res.Output, res.Usage
	}
	return out, nil
}

// tap collects the metrics and the steps of one run on their way to telemetry.
type tap struct {
	next    engine.Observer // nil when telemetry is off
	metrics map[string]rsi.Metric
	points  map[string]int
	checks  map[string]nodeCheck
	steps   []seen // that succeeded, of nodes in checks
}

func (t *tap) Observe(o *run.Observation) {
	if t.next != nil {
		t.next.Observe(o)
	}
	if o.Phase != run.StepFinished {
		return
	}
	if _, ok := t.checks[o.Node]; ok && o.Err == nil {
		t.steps = append(t.steps, seen{o.Node, bytes.Clone(o.Input), bytes.Clone(o.Output)})
	}
	if o.Trail == nil {
		return
	}
	for i := range o.Trail.Metrics {
		p := &o.Trail.Metrics[i]
		m := t.metrics[p.Name]
		if !slices.Contains(m.Nodes, o.Node) {
			m.Nodes = append(m.Nodes, o.Node)
		}
		switch n := t.points[p.Name]; p.Agg {
		case run.Counter:
			m.Value += p.Value
		case run.Gauge:
			m.Value = p.Value
		default:
			m.Value += (p.Value - m.Value) / float64(n+1)
		}
		t.points[p.Name]++
		t.metrics[p.Name] = m
	}
}

// scorer grades with a node; it implements rsi.Scorer.
type scorer struct {
	name   string
	node   *wasmhost.Node
	module *module
}

var _ rsi.Scorer = (*scorer)(nil)

// scorer opens the scorer that a policy names. Close it.
func (h *Host) scorer(ctx context.Context, s graph.Scorer) (*scorer, error) {
	lock, _, err := h.store.Resolve(ctx, s.Module)
	if err != nil {
		return nil, err
	}
	m, err := h.module(ctx, lock.Digest)
	if err != nil {
		return nil, err
	}
	n, err := h.nodes.Node(ctx, m.Module, wasmhost.NodeSpec{Type: lock.Type, Config: s.Config, Timeout: time.Duration(h.cfg.Nodes.Timeout)})
	if err != nil {
		m.release()
		return nil, err
	}
	return &scorer{name: lock.Type, node: n, module: m}, nil
}

func (s *scorer) close() {
	s.node.Close()
	s.module.release()
}

func (s *scorer) Name() string { return s.name }

func (s *scorer) Score(ctx context.Context, input, expected, output []byte) (float64, string, error) {
	or := func(b []byte) json.RawMessage {
		if len(b) == 0 {
			return json.RawMessage("null")
		}
		return b
	}
	in, err := json.Marshal(map[string]json.RawMessage{"input": or(input), "expected": or(expected), "output": or(output)})
	if err != nil {
		return 0, "", fault.Wrap(fault.Internal, "scorer "+s.name, err, "encode the input")
	}
	info := &run.Info{ID: run.NewID(), Graph: "scorer", Kind: run.Experiment, Started: time.Now()}
	body, err := s.node.RunNode(ctx, &run.Step{Info: info, Node: s.name, Input: in, Trail: &run.Trail{}})
	if err != nil {
		return 0, "", fault.Wrap("", "scorer "+s.name, err, "score")
	}
	var answer struct {
		Score   *float64 `json:"score"`
		Comment string   `json:"comment"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Score == nil {
		return 0, "", fault.New(fault.Rejected, "scorer "+s.name, "the answer %.80q has no score", strings.TrimSpace(string(body))).
			WithHint("a scorer answers {\"score\": 0 to 1, \"comment\": text}")
	}
	return *answer.Score, answer.Comment, nil
}
