package rsi

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The defaults of analysis, and its thresholds.
const (
	defaultWindow        = 24 * time.Hour
	defaultMinExecutions = 100

	slowFactor, verySlowFactor = 2, 5     // times the mean of the nodes' means
	errorRate, highErrorRate   = .05, .20 // of a node's executions
	opportunityShare           = .1       // of the critical path
)

// AnalyzeOptions narrow an analysis. A zero field takes its default.
type AnalyzeOptions struct {
	Version       *graph.Locked // whose runs are analysed; nil takes every version and leaves out structure and opportunities
	Policy        *graph.Policy // protected nodes and defaults; may be nil
	Window        time.Duration // default the policy's analysis_window_hours, else 24 h
	MinExecutions int           // default the policy's, else 100
	AllowVolatile bool          // accept a backend that does not persist; also by the policy
}

// Ready is the verdict of an analysis that rests on enough data to act on; the
// other one is Inconclusive.
const Ready = "ready"

// Analysis is what a graph's production runs showed. Durations are seconds,
// rates are shares, counts are estimates of all runs when traces are sampled. An
// absent pointer is not known or rests on too few runs to be shown.
type Analysis struct {
	Graph         string             `json:"graph"`
	Version       string             `json:"version,omitempty"` // label
	Backend       string             `json:"backend"`
	Period        Period             `json:"period"`
	Verdict       string             `json:"verdict"` // ready or inconclusive
	Reason        string             `json:"reason"`
	Summary       Summary            `json:"summary"`
	Nodes         []NodeReport       `json:"nodes"`
	Bottlenecks   []Bottleneck       `json:"bottlenecks"`
	Failures      []backend.Failure  `json:"failure_patterns"`
	Opportunities []Opportunity      `json:"opportunities"`
	Structure     *Structure         `json:"structure,omitempty"`
	Metrics       map[string]float64 `json:"metrics,omitempty"` // mean a run
	Unattributed  int64              `json:"unattributed"`      // traces of the backend that name no graph
	Notes         []string           `json:"notes,omitempty"`
}

// Period is the time that an analysis covers.
type Period struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Summary is the whole graph.
type Summary struct {
	Executions  float64  `json:"executions"`
	Recorded    int64    `json:"recorded"` // runs that the figures rest on
	SuccessRate float64  `json:"success_rate"`
	Mean        float64  `json:"mean_seconds"`
	P50         float64  `json:"p50_seconds"`
	P95         *float64 `json:"p95_seconds,omitempty"` // from 59 runs
	P99         *float64 `json:"p99_seconds,omitempty"` // from 299 runs
	CostUSD     float64  `json:"cost_usd"`
}

// NodeReport is one node.
type NodeReport struct {
	Node          string   `json:"node"`
	Executions    float64  `json:"executions"`
	Failures      float64  `json:"failures"`
	ErrorRate     float64  `json:"error_rate"`
	Mean          float64  `json:"mean_seconds"`
	P95           *float64 `json:"p95_seconds,omitempty"` // from 59 executions
	CriticalShare float64  `json:"critical_share"`        // of the runs' time that this node held up
	CostUSD       float64  `json:"cost_usd,omitempty"`
}

// Bottleneck is a node that is slow or fails often.
type Bottleneck struct {
	Node     string  `json:"node"`
	Issue    string  `json:"issue"`    // high_latency or high_error_rate
	Severity string  `json:"severity"` // medium, high or critical
	Impact   float64 `json:"impact"`   // share of the runs' time, or of the executions
	Detail   string  `json:"detail"`
}

// Opportunity is something that a cycle could try.
type Opportunity struct {
	Node     string   `json:"node"`
	Kind     string   `json:"kind"` // parameter_tuning
	Detail   string   `json:"detail"`
	Tunables []string `json:"tunables,omitempty"`
	Share    float64  `json:"critical_share"`
}

// Structure is the shape of a graph.
type Structure struct {
	Type   string `json:"type"` // sequential, branching, parallel or cyclic
	Nodes  int    `json:"nodes"`
	Edges  int    `json:"edges"`
	Depth  int    `json:"depth"`  // nodes on the longest way, cycles walked once
	Cycles int    `json:"cycles"` // edges that lead back
}

// Analyze returns what the production runs of a graph showed in the window that
// ends now, after flushing telemetry. Too few executions are no error: the
// verdict is then inconclusive and nothing is judged. NotFound when the host does
// not know the graph; Unavailable when its backend cannot be queried or, unless
// allowed, does not persist.
func (m *Improver) Analyze(ctx context.Context, name string, o AnalyzeOptions) (*Analysis, error) {
	var rsi graph.RSI
	if o.Policy != nil {
		rsi = o.Policy.RSI
	}
	window := cmp.Or(o.Window, time.Duration(rsi.AnalysisWindowHours*float64(time.Hour)), defaultWindow)
	least := cmp.Or(o.MinExecutions, rsi.MinExecutions, defaultMinExecutions)

	src, err := m.Telemetry.Source(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := usable(src, o.AllowVolatile || rsi.AllowVolatile); err != nil {
		return nil, err
	}
	if err := m.Telemetry.Flush(ctx, name); err != nil {
		return nil, fault.Wrap("", src.Backend, err, "flush telemetry before analysis")
	}
	// Runs that end while we ask belong to the next analysis.
	to := m.Now()
	f := backend.Filter{Graph: name, RunKind: string(run.Production), From: to.Add(-window), To: to}
	if o.Version != nil {
		f.Version = o.Version.Graph.Version
	}
	agg, err := m.Telemetry.Aggregate(ctx, f)
	if err != nil {
		return nil, fault.Wrap("", src.Backend, err, "query telemetry of graph %q", name)
	}
	a := &Analysis{Graph: name, Version: f.Version, Backend: src.Backend, Period: Period{f.From, f.To},
		Verdict: Ready, Reason: fmt.Sprintf("%d runs recorded", agg.Runs.Recorded), Unattributed: agg.Unattributed,
		Bottlenecks: []Bottleneck{}, Opportunities: []Opportunity{}, Failures: agg.Failures}
	if a.Failures == nil {
		a.Failures = []backend.Failure{}
	}
	a.summarise(agg)
	if agg.Unattributed > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("unattributed: %d traces in %s name no graph and are not counted here", agg.Unattributed, src.Backend))
	}
	if err := a.shape(o.Version); err != nil {
		return nil, err
	}
	if agg.Runs.Recorded < int64(least) {
		a.Verdict = Inconclusive
		a.Reason = fmt.Sprintf("insufficient data: %d of %d runs", agg.Runs.Recorded, least)
		return a, nil
	}
	a.findBottlenecks()
	if o.Version != nil {
		return a, m.findOpportunities(ctx, a, o)
	}
	return a, nil
}

// usable refuses a backend that history cannot be read back from.
func usable(s Source, volatile bool) error {
	if !s.Queryable {
		return fault.New(fault.Unavailable, s.Backend, "this telemetry backend cannot be queried").
			WithHint("analysis needs a backend that answers queries, such as sqlite")
	}
	if !s.Persistent && !volatile {
		return fault.New(fault.Unavailable, s.Backend, "this telemetry backend keeps nothing over a restart").
			WithHint("use a backend that persists, such as sqlite, or set rsi.allow_volatile: true in the policy")
	}
	return nil
}

func (a *Analysis) summarise(agg *backend.Aggregate) {
	r := &agg.Runs
	a.Summary = Summary{Executions: r.Count, Recorded: r.Recorded, Mean: r.Mean, P50: r.P50, CostUSD: r.Cost,
		P95: shown(r.P95, r.Recorded, .95), P99: shown(r.P99, r.Recorded, .99)}
	if r.Count > 0 {
		a.Summary.SuccessRate = 1 - r.Failures/r.Count
	}
	a.Nodes = make([]NodeReport, 0, len(agg.Nodes))
	for name, n := range agg.Nodes {
		row := NodeReport{Node: name, Executions: n.Count, Failures: n.Failures, Mean: n.Mean, CriticalShare: n.SelfBlame,
			CostUSD: n.Cost, P95: shown(n.P95, n.Recorded, .95)}
		if n.Count > 0 {
			row.ErrorRate = n.Failures / n.Count
		}
		a.Nodes = append(a.Nodes, row)
	}
	slices.SortFunc(a.Nodes, func(x, y NodeReport) int {
		return cmp.Or(cmp.Compare(y.CriticalShare, x.CriticalShare), cmp.Compare(x.Node, y.Node))
	})
	for _, name := range slices.Sorted(maps.Keys(agg.Metrics)) {
		if a.Metrics == nil {
			a.Metrics = map[string]float64{}
		}
		a.Metrics[name] = agg.Metrics[name].Mean
	}
}

// shown returns a quantile that enough runs stand behind, else nil.
func shown(x float64, n int64, q float64) *float64 {
	if !stats.QuantileShown(int(min(n, math.MaxInt32)), q) {
		return nil
	}
	return &x
}

func (a *Analysis) shape(l *graph.Locked) error {
	if l == nil {
		return nil
	}
	p, err := graph.Compile(l)
	if err != nil {
		return err
	}
	s := &Structure{Type: p.Type, Nodes: len(p.Nodes), Edges: len(p.Edges)}
	for _, level := range p.Levels {
		s.Depth = max(s.Depth, level+1)
	}
	for i := range p.Edges {
		if p.Edges[i].Back {
			s.Cycles++
		}
	}
	a.Structure = s
	return nil
}

func (a *Analysis) findBottlenecks() {
	var sum, time float64
	for _, n := range a.Nodes {
		sum += n.Mean
	}
	average := sum / float64(len(a.Nodes))
	time = a.Summary.Mean * a.Summary.Executions
	for _, n := range a.Nodes {
		if n.Mean > slowFactor*average {
			b := Bottleneck{Node: n.Node, Issue: "high_latency", Severity: "medium",
				Detail: fmt.Sprintf("mean %s is %.1f times the nodes' mean", seconds(n.Mean), n.Mean/average)}
			if n.Mean > verySlowFactor*average {
				b.Severity = "high"
			}
			if time > 0 {
				b.Impact = min(1, n.Mean*n.Executions/time)
			}
			a.Bottlenecks = append(a.Bottlenecks, b)
		}
		if n.ErrorRate > errorRate {
			b := Bottleneck{Node: n.Node, Issue: "high_error_rate", Severity: "high", Impact: n.ErrorRate,
				Detail: fmt.Sprintf("%.1f %% of %.0f executions fail", 100*n.ErrorRate, n.Executions)}
			if n.ErrorRate > highErrorRate {
				b.Severity = "critical"
			}
			a.Bottlenecks = append(a.Bottlenecks, b)
		}
	}
	slices.SortStableFunc(a.Bottlenecks, func(x, y Bottleneck) int { return cmp.Compare(y.Impact, x.Impact) })
}

// findOpportunities names the tunables of nodes on the critical path.
func (m *Improver) findOpportunities(ctx context.Context, a *Analysis, o AnalyzeOptions) error {
	tunables, err := m.tunables(ctx, o.Version, o.Policy)
	if err != nil {
		return err
	}
	for _, n := range a.Nodes {
		var paths []string
		for _, t := range tunables {
			if t.Node == n.Node {
				paths = append(paths, t.Path)
			}
		}
		if len(paths) > 0 && n.CriticalShare >= opportunityShare {
			a.Opportunities = append(a.Opportunities, Opportunity{Node: n.Node, Kind: ParameterTuning, Tunables: paths, Share: n.CriticalShare,
				Detail: fmt.Sprintf("%d tunables on %.0f %% of the critical path", len(paths), 100*n.CriticalShare)})
		}
	}
	return nil
}

// share returns the part of the critical path that node holds, 0 when unknown.
func (a *Analysis) share(node string) float64 {
	for _, n := range a.Nodes {
		if n.Node == node {
			return n.CriticalShare
		}
	}
	return 0
}
