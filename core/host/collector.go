package host

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// collector runs the graph that the batches of a profile go through before they
// reach the backend. It is not tied to the runs of the host: a batch is also
// collected while the host closes.
type collector struct {
	host    *Host
	profile string // whose batches these are
	graph   string

	mu   sync.Mutex  // guards last
	last *deployment // retained; nil until the graph is there
}

// run returns the output of the graph's active version for a batch. Its run is
// recorded nowhere.
func (c *collector) run(ctx context.Context, input []byte) ([]byte, error) {
	d, err := c.pick(ctx)
	if err != nil {
		return nil, err
	}
	defer d.release()
	res, err := d.run(ctx, input, engine.Options{Info: d.info(run.Production), Parallel: c.host.cfg.Parallel})
	if err != nil {
		return nil, fault.Wrap("", c.path(), err, "collect by graph %s", c.graph)
	}
	return res.Output, nil
}

func (c *collector) path() string { return "telemetry." + c.profile + ".collector" }

// pick returns the version that collects now, retained for one run: the one that
// is served, or else the last one, since every newer one is served first.
func (c *collector) pick(ctx context.Context) (*deployment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.host.router.Pick(c.graph)
	switch {
	case ok && d == c.last:
		return d, nil
	case ok:
		if d.profile.rec != nil { // Apply refuses that; the settings may have changed since
			d.release()
			return nil, c.recorded()
		}
		d.Retain()
	case c.last != nil:
		c.last.Retain()
		return c.last, nil
	default:
		var err error
		if d, err = c.prepare(ctx); err != nil {
			return nil, err
		}
		d.Retain()
	}
	if c.last != nil {
		c.last.release()
	}
	c.last = d
	return d, nil
}

// prepare makes the active version ready.
func (c *collector) prepare(ctx context.Context) (*deployment, error) {
	v, err := c.host.store.Active(ctx, c.graph)
	if err != nil {
		return nil, fault.Wrap("", c.path(), err, "find the graph that collects").(*fault.Error).
			WithHint("apply graph %s, or take it out of the profile; batches wait meanwhile", c.graph)
	}
	pol, err := c.host.policy(ctx, v.Locked.Graph)
	if err != nil {
		return nil, err
	}
	name := ""
	if pol != nil {
		name = pol.Policy.Telemetry
	}
	if !c.host.silent(name) {
		return nil, c.recorded()
	}
	return c.host.prepare(ctx, v.Locked, v.Label)
}

// recorded is the fault of a collector graph whose own runs are recorded. It is
// not one that makes a batch be given up.
func (c *collector) recorded() error {
	return fault.New(fault.Conflict, c.path(), "the telemetry of graph %s is on, so collecting would make more to collect", c.graph).
		WithHint("set telemetry: off in the policy of graph %s", c.graph)
}

func (c *collector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil {
		c.last.release()
		c.last = nil
	}
}

// silent reports whether a graph whose policy names this profile records nothing.
func (h *Host) silent(name string) bool {
	return name == off || name == "" && h.cfg.DefaultProfile == off
}

// checkCollector finds that a graph which collects telemetry is recorded itself, or
// has checkpoints. Pol is the policy in force, nil for none.
func (h *Host) checkCollector(g *graph.Graph, pol *graph.Policy) (findings graph.Findings) {
	var of []string
	for profile, cfg := range h.cfg.Telemetry {
		if cfg.Enabled && cfg.Collector == g.Name {
			of = append(of, profile)
		}
	}
	if len(of) == 0 {
		return nil
	}
	slices.Sort(of)
	name := ""
	if pol != nil {
		name = pol.Telemetry
	}
	if !h.silent(name) {
		findings = append(findings, graph.Finding{Severity: graph.SeverityError, Path: "policy",
			Message: fmt.Sprintf("graph %s collects the telemetry of profile %s, so its own must be off", g.Name, of[0]),
			Hint:    "set telemetry: off in its policy"})
	}
	if g.Durable || slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return n.Wait != nil }) {
		findings = append(findings, graph.Finding{Severity: graph.SeverityError, Path: "durable",
			Message: fmt.Sprintf("graph %s collects the telemetry of profile %s, whose batches have no checkpoints and wait for nobody", g.Name, of[0]),
			Hint:    "remove durable and wait: a batch that was not acknowledged is sent again by itself"})
	}
	return findings
}

// Receive stores a batch from outside, such as another host, as one that a profile
// exports: through its collector graph, when it has one, to the backend. It
// returns once the batch is durable there. "" is the default profile.
func (h *Host) Receive(ctx context.Context, name string, b *backend.Batch) ([]backend.Quarantined, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := h.recording(ctx, name)
	if err != nil {
		return nil, err
	}
	bad, err := p.sink.Write(ctx, b)
	if err != nil {
		return nil, err
	}
	return bad, p.writer.Flush(ctx)
}
