package host

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
)

// deployment is one version made ready to run. It is immutable; users counts the
// runs on it plus one for whoever keeps it, and the last release frees it.
type deployment struct {
	locked  *graph.Locked
	id      string // of the version
	label   string
	limits  graph.Limits
	program *engine.Program
	profile *profile
	durable bool // its runs have checkpoints

	checks  map[string]nodeCheck // of nodes by path
	nodes   []*wasmhost.Node
	modules []*module
	users   atomic.Int64
	freed   sync.Once
}

// Retain takes the deployment for one run.
func (d *deployment) Retain() bool {
	for {
		n := d.users.Load()
		if n == 0 {
			return false
		}
		if d.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *deployment) release() {
	if d.users.Add(-1) == 0 {
		d.free()
	}
}

func (d *deployment) free() {
	d.freed.Do(func() {
		for _, n := range d.nodes {
			n.Close()
		}
		for _, m := range d.modules {
			m.release()
		}
	})
}

// prepare makes a locked graph ready: it compiles the plan, admits the modules
// and proves every node's configuration on an instance. Nothing is left behind
// when it fails.
func (h *Host) prepare(ctx context.Context, l *graph.Locked, label string) (_ *deployment, err error) {
	plan, err := graph.Compile(l)
	if err != nil {
		return nil, err
	}
	d := &deployment{locked: l, id: graph.Digest(l), label: label, checks: map[string]nodeCheck{}}
	d.users.Store(1)
	defer func() {
		if err != nil {
			d.free()
		}
	}()
	pol, err := h.policy(ctx, l.Graph)
	if err != nil {
		return nil, err
	}
	name := ""
	if pol != nil {
		d.limits, name = pol.Policy.Limits, pol.Policy.Telemetry
	}
	if d.profile, err = h.profile(ctx, name); err != nil {
		return nil, err
	}
	d.durable = plan.Graph.Durable || plan.Waits()
	d.program, err = engine.Build(plan, func(path string, plan *graph.Plan, n *graph.PlanNode) (r engine.NodeRunner, err error) {
		if n.Spec.Native != "" {
			fn, ok := h.cfg.Natives[n.Spec.Native]
			if !ok {
				return nil, fault.New(fault.NotFound, "nodes."+path+".native", "the host has no Go function %q", n.Spec.Native).
					WithHint("register it in host.Config.Natives")
			}
			r = fn
		} else if r, err = h.node(ctx, d, path, n.Spec, plan.Locked); err != nil {
			return nil, err
		}
		if d.durable {
			r = watched{r, &h.lives}
		}
		return r, nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// node opens one node of a deployment, which owns it. Path leads to it through
// the graphs that hold it.
func (h *Host) node(ctx context.Context, d *deployment, path string, spec *graph.Node, l *graph.Locked) (engine.NodeRunner, error) {
	path = "nodes." + path
	i := slices.IndexFunc(l.Locks, func(k graph.Lock) bool { return k.Node == spec.Name })
	if i < 0 {
		return nil, fault.New(fault.Internal, path+".module", "module %s is not locked", spec.Module)
	}
	lock := l.Locks[i]
	m, err := h.module(ctx, lock.Digest)
	if err != nil {
		return nil, fault.Wrap("", path+".module", err, "load module %s", spec.Module)
	}
	d.modules = append(d.modules, m)
	ns := wasmhost.NodeSpec{Type: lock.Type, Config: spec.Config, Timeout: time.Duration(spec.Timeout), Assets: map[string]wasmhost.Asset{},
		Reset: spec.Isolation == graph.IsolationReset}
	if ns.Timeout == 0 {
		ns.Timeout = time.Duration(h.cfg.Nodes.Timeout)
	}
	if g := spec.Grant; g != nil {
		ns.Grant = wasmhost.Grant{Clock: g.Clock, Random: g.Random, Generate: g.Generate, HTTP: g.HTTP}
	}
	for _, name := range spec.Assets {
		for _, a := range l.Assets {
			if a.Name == name {
				if err := h.store.HasAsset(a); err != nil {
					return nil, err
				}
				ns.Assets[name] = wasmhost.Asset{Digest: a.Digest, Path: h.store.AssetPath(a.Digest)}
			}
		}
	}
	n, err := h.nodes.Node(ctx, m.Module, ns)
	if err != nil {
		return nil, fault.Wrap("", path, err, "open node")
	}
	d.nodes = append(d.nodes, n)
	if spec.Validate == graph.ValidateOff {
		return n, nil
	}
	v, err := validation(m, lock.Type, spec, path == "nodes."+l.Graph.Start)
	if err != nil {
		return nil, fault.Wrap("", path+".module", err, "open node")
	}
	d.checks[strings.TrimPrefix(path, "nodes.")] = nodeCheck{v, spec.Foreach != nil}
	return engine.Validated(n, v), nil
}

// module admits the stored module with this digest. Its bytes are read and
// verified only when no deployment holds it yet. Release the module.
func (h *Host) module(ctx context.Context, digest string) (*module, error) {
	h.admitting.Lock()
	defer h.admitting.Unlock()
	if m := h.admitted[digest]; m != nil {
		m.refs++
		return m, nil
	}
	info, err := h.store.Module(ctx, digest)
	if err != nil {
		return nil, err
	}
	wasm, err := h.store.Wasm(digest)
	if err != nil {
		return nil, err
	}
	admitted, err := h.nodes.Admit(wasm, info.Trusted)
	if err != nil {
		return nil, err
	}
	m := &module{Module: admitted, host: h, digest: digest, refs: 1}
	h.admitted[digest] = m
	return m, nil
}

// module is an admitted module and how many deployments and scorers use it.
type module struct {
	*wasmhost.Module
	host   *Host
	digest string
	refs   int // guarded by host.admitting
}

func (m *module) release() {
	m.host.admitting.Lock()
	defer m.host.admitting.Unlock()
	if m.refs--; m.refs == 0 {
		delete(m.host.admitted, m.digest)
		m.Release()
	}
}

// policy returns the stored policy of a graph, nil when there is none.
func (h *Host) policy(ctx context.Context, g *graph.Graph) (*store.Policy, error) {
	name := g.Policy
	if name == "" {
		name = g.Name
	}
	p, err := h.store.Policy(ctx, name)
	if fault.Is(err, fault.NotFound) && g.Policy == "" {
		return nil, nil
	}
	return p, err
}
