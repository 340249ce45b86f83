package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Document is a graph to apply, with its policy when there is one.
type Document struct {
	Graph      []byte // YAML or JSON
	GraphFile  string // its name for messages; assets are relative to its folder
	Policy     []byte // empty keeps the stored policy
	PolicyFile string // its name; the dataset is relative to its folder
	Author     string // default file:GRAPHFILE
	// Assets overrides where the asset of a name is read from.
	Assets map[string]string
}

// Applied says what Apply did.
type Applied struct {
	Graph    string         `json:"graph"`
	Version  string         `json:"version"`
	ID       string         `json:"id"`
	Previous string         `json:"previous,omitempty"` // label that was active before
	Changed  bool           `json:"changed"`            // false: what the document stands for is active already
	Findings graph.Findings `json:"findings,omitempty"` // warnings
}

// Lint returns every finding of a document without changing anything. The error
// is for what kept it from looking.
func (h *Host) Lint(ctx context.Context, doc Document) (graph.Findings, error) {
	_, _, own, ofPolicy, err := h.decode(ctx, doc)
	return append(own, placed(doc.PolicyFile, ofPolicy)...), err
}

// Apply verifies a document whole, makes it ready, stores it as a new version and
// swaps it in; runs under way end on the version they began with. A bad document
// leaves the active version running. A document that the active version, or one
// it descends from, was made of changes nothing but the policy, unless a module or
// an asset that it refers to has changed: then the active version is locked anew.
func (h *Host) Apply(ctx context.Context, doc Document) (*Applied, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	h.apply.Lock()
	defer h.apply.Unlock()
	g, pol, findings, ofPolicy, err := h.decode(ctx, doc)
	if err != nil {
		return nil, err
	}
	if err := findings.Err(doc.GraphFile); err != nil {
		return nil, err
	}
	if err := ofPolicy.Err(doc.PolicyFile); err != nil {
		return nil, err
	}
	findings = append(findings, placed(doc.PolicyFile, ofPolicy)...)
	active, err := h.store.Active(ctx, g.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	res := &Applied{Graph: g.Name, Findings: findings}
	parent := ""
	if active != nil {
		parent, res.Previous = active.ID, active.Label
		if g, err = h.carry(ctx, g, active); err != nil {
			return nil, err
		}
	}
	l, err := h.lock(ctx, g, nil, doc)
	if err != nil {
		return nil, err
	}
	if res.ID = graph.Digest(l); res.ID == parent {
		res.Version = active.Label
		return res, h.repolicy(ctx, pol, doc, active)
	}
	// The policy is part of what is verified: limits and profile are read from
	// it, so it is stored before the version is made ready, and put back when
	// that fails.
	undo, err := h.swapPolicy(ctx, pol, doc)
	if err != nil {
		return nil, err
	}
	d, err := h.prepare(ctx, l, l.Graph.Version)
	if err != nil {
		undo()
		return nil, fault.Wrap("", doc.GraphFile, err, "graph %s", g.Name)
	}
	author := doc.Author
	if author == "" {
		author = "file:" + filepath.Base(doc.GraphFile)
	}
	v, err := h.publish(ctx, d, store.Origin{Label: l.Graph.Version, Parent: parent, Author: author})
	if err != nil {
		undo()
		return nil, err
	}
	res.Version, res.Changed = v.Label, true
	return res, nil
}

// carry returns the graph that a document stands for: the document's, or the
// active version's when the document is what one of its ancestors was made of. A
// file that nobody changed thus keeps what was improved since, and only modules
// and assets that changed under it make a new version.
func (h *Host) carry(ctx context.Context, g *graph.Graph, active *store.Version) (*graph.Graph, error) {
	line, err := h.store.Lineage(ctx, g.Name, active.ID)
	if err != nil {
		return nil, err
	}
	spec := graph.Digest(&graph.Locked{Graph: g})
	for _, v := range line {
		if graph.Digest(&graph.Locked{Graph: v.Locked.Graph}) == spec {
			return active.Locked.Graph, nil
		}
	}
	return g, nil
}

// publish stores a prepared deployment as a version, activates it and swaps it
// in. The deployment is freed when it fails. The caller holds h.apply.
func (h *Host) publish(ctx context.Context, d *deployment, o store.Origin) (*store.Version, error) {
	v, _, err := h.store.PutVersion(ctx, d.locked, o)
	if err == nil {
		err = h.store.Activate(ctx, v.Graph, v.ID, o.Parent)
	}
	if err != nil {
		d.release()
		return nil, err
	}
	d.label = v.Label
	old, _ := h.router.Current(v.Graph)
	if !h.router.Swap(v.Graph, old, d) {
		d.release()
		return nil, fault.New(fault.Conflict, v.Graph, "another version was swapped in meanwhile")
	}
	if old != nil {
		old.release()
	}
	h.log.Info("version is active", "graph", v.Graph, "version", v.Label, "id", v.ID[:12], "author", v.Author)
	return v, nil
}

// decode reads both documents and collects every finding of each.
func (h *Host) decode(ctx context.Context, doc Document) (g *graph.Graph, pol *graph.Policy, own, ofPolicy graph.Findings, err error) {
	g, own = graph.Decode(doc.Graph, doc.GraphFile)
	if len(doc.Policy) > 0 {
		pol, ofPolicy = graph.DecodePolicy(doc.Policy, doc.PolicyFile)
	}
	if own.HasErrors() || g == nil {
		return g, pol, own, ofPolicy, nil
	}
	var failed error
	known := func(ref string) (*abi.NodeType, error) {
		_, nt, err := h.store.Resolve(ctx, ref)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
			failed = err
		}
		return nt, err
	}
	opts := []graph.Option{graph.Nested(func(ref string) (*graph.NestedLock, error) { return h.nested(ctx, ref) })}
	limits := pol
	if limits == nil {
		stored, err := h.policy(ctx, g)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, nil, nil, nil, err
		}
		if stored != nil {
			limits = stored.Policy
		}
	}
	if limits != nil && limits.Limits.Steps > 0 {
		opts = append(opts, graph.StepsLimited())
	}
	own = append(own, g.Validate(known, opts...)...)
	if !ofPolicy.HasErrors() {
		own = append(own, h.checkCollector(g, limits)...)
	}
	if pol != nil && !ofPolicy.HasErrors() {
		ofPolicy = append(ofPolicy, h.checkPolicy(g, pol)...)
	}
	return g, pol, own, ofPolicy, failed
}

// placed returns findings of another file as findings beside those of the graph:
// their place becomes part of the message, since lines count in the graph's file.
func placed(file string, list graph.Findings) graph.Findings {
	for i := range list {
		f := &list[i]
		at := file
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", at, f.Line, f.Column)
		}
		f.Message, f.Line, f.Column = at+": "+f.Message, 0, 0
	}
	return list
}

// checkPolicy finds what a policy gets wrong about its graph and this host.
func (h *Host) checkPolicy(g *graph.Graph, pol *graph.Policy) (findings graph.Findings) {
	bad := func(path, msg, hint string) {
		findings = append(findings, graph.Finding{Severity: "error", Path: path, Message: msg, Hint: hint})
	}
	want := g.Policy
	if want == "" {
		want = g.Name
	}
	if pol.Name != want {
		bad("policy", "the policy is called "+pol.Name+", the graph wants "+want, "use the same name in both documents")
	}
	for i, name := range pol.Protected {
		if !slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return n.Name == name }) {
			bad("protected["+itoa(i)+"]", "the graph has no node "+name, "name a node of the graph")
		}
	}
	if _, ok := h.cfg.Telemetry[pol.Telemetry]; !ok && pol.Telemetry != "" && pol.Telemetry != off {
		bad("telemetry", "the host has no telemetry profile "+pol.Telemetry, "name one of the host's profiles, or off")
	}
	return findings
}

// lock pins what g refers to. A node whose module reference is the same in base
// keeps base's lock; assets of base are kept when doc gives none.
func (h *Host) lock(ctx context.Context, g *graph.Graph, base *graph.Locked, doc Document) (*graph.Locked, error) {
	l := &graph.Locked{Graph: g}
	for _, n := range g.Nodes {
		if n.Module == "" {
			continue
		}
		if k, ok := baseLock(base, n); ok {
			l.Locks = append(l.Locks, k)
			continue
		}
		k, _, err := h.store.Resolve(ctx, n.Module)
		if err != nil {
			return nil, fault.Wrap("", "nodes."+n.Name+".module", err, "resolve")
		}
		k.Node = n.Name
		l.Locks = append(l.Locks, k)
	}
	names := make([]string, 0, len(g.Assets))
	for name := range g.Assets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if base != nil {
			if i := slices.IndexFunc(base.Assets, func(a graph.AssetLock) bool { return a.Name == name }); i >= 0 {
				l.Assets = append(l.Assets, base.Assets[i])
				continue
			}
		}
		a, err := h.lockAsset(name, g.Assets[name], doc)
		if err != nil {
			return nil, err
		}
		l.Assets = append(l.Assets, a)
	}
	return l, graph.Nest(l, base, func(ref string) (*graph.NestedLock, error) { return h.nested(ctx, ref) })
}

// nested returns the version that a reference to a graph names today: the active
// one when its label lies in the range, else the stored one with the highest.
func (h *Host) nested(ctx context.Context, ref string) (*graph.NestedLock, error) {
	r, err := graph.ParseRef(ref)
	if err != nil {
		return nil, err
	}
	versions, err := h.store.Versions(ctx, r.Type)
	if err != nil {
		return nil, err
	}
	var labels []string
	for _, v := range versions {
		labels = append(labels, v.Label)
		if v.Active && r.Range.Match(v.Label) {
			return &graph.NestedLock{Version: v.Label, Locked: v.Locked}, nil
		}
	}
	best := r.Range.Best(labels)
	for _, v := range versions {
		if v.Label == best && best != "" {
			return &graph.NestedLock{Version: v.Label, Locked: v.Locked}, nil
		}
	}
	return nil, fault.New(fault.NotFound, ref, "graph %q has no version in this range, only %v", r.Type, labels).
		WithHint("change the range; `spark graph versions %s` lists them", r.Type)
}

func baseLock(base *graph.Locked, n *graph.Node) (graph.Lock, bool) {
	if base == nil {
		return graph.Lock{}, false
	}
	for _, old := range base.Graph.Nodes {
		if old.Name != n.Name || old.Module != n.Module {
			continue
		}
		for _, k := range base.Locks {
			if k.Node == n.Name {
				return k, true
			}
		}
	}
	return graph.Lock{}, false
}

func (h *Host) lockAsset(name, file string, doc Document) (graph.AssetLock, error) {
	path, ok := doc.Assets[name]
	if !ok {
		if path = file; !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(doc.GraphFile), path)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return graph.AssetLock{}, &fault.Error{Kind: fault.NotFound, Path: "assets." + name, Msg: "read the asset", Err: err,
			Hint: "put the file beside the graph document, or mend its path"}
	}
	defer f.Close()
	return h.store.PutAsset(name, f)
}

// swapPolicy stores the policy of a document and returns how to put the old one
// back.
func (h *Host) swapPolicy(ctx context.Context, pol *graph.Policy, doc Document) (undo func(), err error) {
	if pol == nil {
		return func() {}, nil
	}
	old, err := h.store.Policy(ctx, pol.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err := h.store.PutPolicy(ctx, pol, policyDir(doc)); err != nil {
		return nil, err
	}
	return func() {
		ctx := context.WithoutCancel(ctx)
		if old != nil {
			err = h.store.PutPolicy(ctx, old.Policy, old.Dir)
		} else {
			err = h.store.DropPolicy(ctx, pol.Name)
		}
		if err != nil {
			h.log.Error("the policy could not be put back", "policy", pol.Name, "error", err)
		}
	}, nil
}

func policyDir(doc Document) string {
	dir, err := filepath.Abs(filepath.Dir(doc.PolicyFile))
	if err != nil {
		return filepath.Dir(doc.PolicyFile)
	}
	return dir
}

// repolicy gives the active version a changed policy: the version is made ready
// anew, since limits and profile are read from the policy.
func (h *Host) repolicy(ctx context.Context, pol *graph.Policy, doc Document, active *store.Version) error {
	if pol == nil {
		return nil
	}
	if old, err := h.store.Policy(ctx, pol.Name); err == nil && old.Dir == policyDir(doc) {
		a, aerr := json.Marshal(old.Policy)
		b, berr := json.Marshal(pol)
		if aerr == nil && berr == nil && string(a) == string(b) {
			return nil
		}
	}
	undo, err := h.swapPolicy(ctx, pol, doc)
	if err != nil {
		return err
	}
	old, serving := h.router.Current(active.Graph)
	if !serving {
		return nil
	}
	d, err := h.prepare(ctx, active.Locked, active.Label)
	if err != nil {
		undo()
		return err
	}
	if h.router.Swap(active.Graph, old, d) {
		old.release()
	}
	return nil
}
