package host

import (
	"context"
	"os"
	"path/filepath"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/rollout"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// source answers analysis from the backend that a graph writes to; it implements
// rsi.Telemetry.
type source struct{ host *Host }

var _ rsi.Telemetry = source{}

func (s source) Source(ctx context.Context, name string) (rsi.Source, error) {
	p, err := s.host.profileOf(ctx, name)
	if err != nil {
		return rsi.Source{}, err
	}
	if p.rec == nil {
		return rsi.Source{}, fault.New(fault.Invalid, "telemetry", "telemetry of graph %q is off", name).
			WithHint("name a telemetry profile in its policy")
	}
	return rsi.Source{Backend: p.info.Name, Persistent: p.info.Capabilities.Persistent, Queryable: p.info.Capabilities.Queryable}, nil
}

func (s source) Flush(ctx context.Context, name string) error {
	p, err := s.host.profileOf(ctx, name)
	if err != nil || p.rec == nil {
		return err
	}
	return p.rec.Flush(ctx)
}

func (s source) Aggregate(ctx context.Context, f backend.Filter) (*backend.Aggregate, error) {
	p, err := s.host.profileOf(ctx, f.Graph)
	if err != nil {
		return nil, err
	}
	q, err := backend.AsQuerier(p.writer)
	if err != nil {
		return nil, err
	}
	a, err := q.Aggregate(ctx, f)
	if err != nil || f.Graph == "" {
		return a, err
	}
	// What names no graph is in no answer about one: the analysis names it beside.
	n, err := q.Count(ctx)
	if err != nil {
		return nil, err
	}
	a.Unattributed = n.Unattributed
	return a, nil
}

// catalog knows the stored manifests; it implements rsi.Catalog.
type catalog struct{ store *store.Store }

func (c catalog) NodeType(ctx context.Context, l graph.Lock) (*abi.NodeType, error) {
	return c.store.NodeType(ctx, l)
}

// releaser rolls candidates out; it implements rsi.Releaser.
type releaser struct{ host *Host }

func (r releaser) Release(ctx context.Context, rel rsi.Release) (rsi.Released, error) {
	if _, err := rollout.ParseStrategy(rel.Strategy); err != nil {
		return rsi.Released{}, err
	}
	h := r.host
	h.apply.Lock()
	defer h.apply.Unlock()
	d, err := h.prepare(ctx, rel.Version, rel.Label)
	if err != nil {
		return rsi.Released{}, err
	}
	v, err := h.publish(ctx, d, store.Origin{Label: rel.Label, Parent: rel.Base, Author: rel.Author, Evidence: rel.Evidence})
	if err != nil {
		return rsi.Released{}, err
	}
	return rsi.Released{ID: v.ID, Label: v.Label}, nil
}

// ledger keeps records in the store; it implements rsi.Ledger.
type ledger struct{ store *store.Store }

func (l ledger) Append(ctx context.Context, r rsi.Record) error {
	return l.store.Append(ctx, store.Record{Kind: r.Kind, ID: r.ID, Graph: r.Graph, Body: r.Body})
}

func (l ledger) List(ctx context.Context, kind, name string) ([]rsi.Record, error) {
	list, err := l.store.Records(ctx, name, kind)
	if err != nil {
		return nil, err
	}
	out := make([]rsi.Record, len(list))
	for i, r := range list {
		out[i] = rsi.Record{Kind: r.Kind, ID: r.ID, Graph: r.Graph, Time: r.Created, Body: r.Body}
	}
	return out, nil
}

// scorers opens the scorers that the policy of a graph names; done closes them.
func (h *Host) scorers(ctx context.Context, name string) (list []rsi.Scorer, done func(), err error) {
	var open []*scorer
	done = func() {
		for _, s := range open {
			s.close()
		}
	}
	v, err := h.store.Active(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	pol, err := h.policy(ctx, v.Locked.Graph)
	if err != nil || pol == nil || pol.Policy.Evaluation == nil {
		return nil, done, err
	}
	for i, spec := range pol.Policy.Evaluation.Scorers {
		s, err := h.scorer(ctx, spec)
		if err != nil {
			done()
			return nil, nil, fault.Wrap("", "evaluation.scorers["+itoa(i)+"]", err, "open scorer %s", spec.Module)
		}
		open = append(open, s)
		list = append(list, s)
	}
	return list, done, nil
}

// improver returns the improvement cycle wired to this host.
func (h *Host) improver() *rsi.Improver {
	return rsi.New(rsi.Config{Telemetry: source{h}, Lab: lab{h}, Catalog: catalog{h.store}, Releaser: releaser{h}, Ledger: ledger{h.store}})
}

// RSI analyses the graphs of a host and improves them. It holds no state; Close
// of the host waits for what it does.
type RSI struct{ host *Host }

// RSI returns the improvement of this host's graphs.
func (h *Host) RSI() RSI { return RSI{h} }

// Analyze summarises the production runs of a graph. Options that name no version
// take the active one and its policy. NotFound when there is no such graph.
func (r RSI) Analyze(ctx context.Context, name string, o rsi.AnalyzeOptions) (*rsi.Analysis, error) {
	h := r.host
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := h.store.Active(ctx, name)
	if err != nil {
		return nil, err
	}
	if o.Version == nil {
		o.Version = labelled(v)
	}
	if o.Policy == nil {
		pol, err := h.policy(ctx, o.Version.Graph)
		if err != nil {
			return nil, err
		}
		if pol != nil {
			o.Policy = pol.Policy
		}
	}
	return h.improver().Analyze(ctx, name, o)
}

// CycleOptions are the settings of one improvement cycle. The zero value serves.
type CycleOptions struct {
	Seed     uint64             // 0 draws one, which the report names
	Dataset  string             // JSONL file in place of the policy's
	Progress func(rsi.Progress) // called from one goroutine, often; may be nil
}

// Cycle runs one improvement cycle on the active version of a graph. No
// improvement is no error: the report's verdict says it. NotFound for a graph,
// policy or dataset that is missing, Invalid for one that cannot be used.
func (r RSI) Cycle(ctx context.Context, name string, o CycleOptions) (*rsi.Report, error) {
	h := r.host
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := h.store.Active(ctx, name)
	if err != nil {
		return nil, err
	}
	pol, err := h.policy(ctx, v.Locked.Graph)
	if err != nil {
		return nil, err
	}
	if pol == nil {
		return nil, fault.New(fault.NotFound, name, "graph %q has no policy, so nothing says what better means", name).
			WithHint("write objectives and a dataset into a policy and apply it with the graph: spark graph apply GRAPH POLICY")
	}
	data, err := h.dataset(pol, o.Dataset)
	if err != nil {
		return nil, err
	}
	scorers, done, err := h.scorers(ctx, name)
	if err != nil {
		return nil, err
	}
	defer done()
	// The router must serve what the cycle starts from before it can swap.
	if err := h.Serve(ctx, name); err != nil {
		return nil, err
	}
	return h.improver().Cycle(ctx, rsi.Request{Version: labelled(v), Policy: pol.Policy, Dataset: data, Scorers: scorers,
		Seed: o.Seed, Progress: o.Progress})
}

// labelled returns the locked graph of a version under the label that the store
// gave it, which differs from the document's when that was taken.
func labelled(v *store.Version) *graph.Locked {
	if v.Locked.Graph.Version == v.Label {
		return v.Locked
	}
	l := *v.Locked
	g := *l.Graph
	g.Version = v.Label
	l.Graph = &g
	return &l
}

// dataset reads the examples of a policy, or of path when it is given.
func (h *Host) dataset(pol *store.Policy, path string) ([]rsi.Example, error) {
	if path == "" {
		if pol.Policy.Evaluation == nil || pol.Policy.Evaluation.Dataset == "" {
			return nil, fault.New(fault.Invalid, "policy "+pol.Policy.Name+": evaluation.dataset", "the policy names no dataset").
				WithHint("add evaluation: {dataset: eval.jsonl} to the policy")
		}
		if path = pol.Policy.Evaluation.Dataset; !filepath.IsAbs(path) {
			path = filepath.Join(pol.Dir, path)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &fault.Error{Kind: fault.NotFound, Path: path, Msg: "read the dataset", Err: err,
			Hint: "put the file there, or mend evaluation.dataset of policy " + pol.Policy.Name}
	}
	defer f.Close()
	return rsi.ReadDataset(f, path)
}
