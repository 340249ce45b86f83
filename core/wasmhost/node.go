package wasmhost

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Grant says what a node may use besides the host calls that all may use. What
// its type does not want it does not get.
type Grant struct {
	Clock    bool // the time, for now and for the language's own clock
	Random   bool // random numbers; without it the language sees the same ones in every instance
	Generate bool // model calls

	// HTTP are the origins that may be reached, such as https://api.example.com: no
	// other scheme, host or port. One that lies inside (localhost, a private or
	// special address) must stand in Config.PrivateOrigins, too.
	HTTP []string
}

// NodeSpec says what a node is.
type NodeSpec struct {
	Type    string           // one of the manifest's
	Config  json.RawMessage  // JSON object, or empty
	Assets  map[string]Asset // by the name under which the node asks for them
	Grant   Grant
	Timeout time.Duration // of one call, waiting and configuring included; 0 for none
	Reset   bool          // a fresh instance for each call, as with Config.Reset
}

// Node is a configured node type. Safe for concurrent use.
type Node struct {
	pool    *pool
	doc     string
	timeout time.Duration
	kind    run.NodeType
	close   sync.Once
}

// Node makes a node of m and proves that the module takes its configuration by
// configuring one instance, for which it has Config.StartTimeout. Errors: NotFound
// for an unknown type; Denied for a wanted capability that was not granted;
// Invalid with the path config for what the module refuses; Limit for memory.
// Close the node.
func (h *Host) Node(ctx context.Context, m *Module, spec NodeSpec) (*Node, error) {
	i := slices.IndexFunc(m.manifest.Nodes, func(t abi.NodeType) bool { return t.Type == spec.Type })
	if i < 0 {
		var have []string
		for _, t := range m.manifest.Nodes {
			have = append(have, t.Type)
		}
		return nil, fault.New(fault.NotFound, "type", "module %s@%s has no node type %q, it has %s", m.manifest.Name,
			m.manifest.Version, spec.Type, strings.Join(have, ", "))
	}
	t := &m.manifest.Nodes[i]
	grant, reach, assets, err := h.granted(t, &spec)
	if err != nil {
		return nil, err
	}
	memory := h.cfg.MemoryMiB
	if t.MemoryMiB > memory {
		return nil, fault.New(fault.Limit, "memory_mib", "node type %s wants %d MiB, the host gives at most %d", t.Type, t.MemoryMiB, memory).
			WithHint("raise nodes.memory_mib of the host")
	}
	if t.MemoryMiB > 0 {
		memory = t.MemoryMiB
	}
	doc, err := json.Marshal(abi.Configuration{Node: spec.Type, Config: spec.Config, Assets: assetNames(assets)})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "config", err, "not JSON")
	}
	p, err := m.pool(grant, reach, assets, memory, spec.Reset || h.cfg.Reset)
	if err != nil {
		return nil, err
	}
	n := &Node{pool: p, doc: string(doc), timeout: spec.Timeout,
		kind: run.NodeType{Name: t.Type, Version: t.Version, Digest: m.digest}}
	if err := n.prove(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// granted returns what a node of type t gets of what spec grants: all it wants,
// or a Denied fault, and nothing it does not want.
func (h *Host) granted(t *abi.NodeType, spec *NodeSpec) (g Grant, a *access, assets map[string]Asset, err error) {
	for _, want := range t.Capabilities {
		have := true
		switch want {
		case abi.CapClock:
			have, g.Clock = spec.Grant.Clock, true
		case abi.CapRandom:
			have, g.Random = spec.Grant.Random, true
		case abi.CapGenerate:
			have, g.Generate = spec.Grant.Generate, true
			if have && h.cfg.Generator == nil {
				return g, nil, nil, fault.New(fault.Unavailable, "grant.generate", "node type %s wants to call models, but the host has none", t.Type).
					WithHint("configure a model provider")
			}
		case abi.CapHTTP:
			if have = len(spec.Grant.HTTP) > 0; have {
				a = &access{fetcher: h.fetch, readOnly: t.Effects != abi.EffectsWrite}
				if a.origins, err = h.fetch.granted(spec.Grant.HTTP); err != nil {
					return g, nil, nil, err
				}
			}
		case abi.CapAsset:
			have, assets = len(spec.Assets) > 0, spec.Assets
		default:
			have = false
		}
		if !have {
			where, hint := "grant."+string(want), "grant it in the graph: grant: {"+string(want)+": true}"
			switch want {
			case abi.CapAsset:
				where, hint = "assets", "give the node an asset in the graph: assets: [name]"
			case abi.CapHTTP:
				hint = "grant it the origins that it may reach: grant: {http: [https://api.example.com]}"
			}
			return g, nil, nil, fault.New(fault.Denied, where, "node type %s wants the capability %q, which is not granted", t.Type, want).
				WithHint("%s", hint)
		}
	}
	return g, a, assets, nil
}

// pool returns the pool for nodes with the same rights, made when there is none.
func (m *Module) pool(g Grant, a *access, assets map[string]Asset, memory int, reset bool) (*pool, error) {
	key := strconv.FormatBool(reset) + strconv.FormatBool(g.Clock) + strconv.FormatBool(g.Random) + strconv.FormatBool(g.Generate) +
		strconv.Itoa(memory) + "\x00" + a.key() + "\x00" + assetKey(assets)
	p, err := m.join(key, nil)
	if p != nil || err != nil {
		return p, err
	}
	open, err := openAssets(assets) // reads the files, so without the lock
	if err != nil {
		return nil, err
	}
	fresh := &pool{module: m, key: key, grant: g, access: a, assets: open, memory: memory << 20, reset: reset, drained: make(chan struct{})}
	p, err = m.join(key, fresh)
	if p != fresh {
		closeAssets(open)
	}
	return p, err
}

// join adds a node to the pool called key; to fresh when there is none.
func (m *Module) join(key string, fresh *pool) (*pool, error) {
	h := m.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || m.refs == 0 {
		return nil, fault.New(fault.Unavailable, m.manifest.Name, "module was released")
	}
	p := m.pools[key]
	if p == nil && fresh != nil {
		p = fresh
		m.pools[key] = p
		h.pools[p] = struct{}{}
		m.refs++ // until the pool is drained
	}
	if p != nil {
		p.refs++
	}
	return p, nil
}

// prove configures one instance unless one with this configuration is idle.
func (n *Node) prove(ctx context.Context) error {
	limit := n.pool.module.host.cfg.StartTimeout
	end := until(ctx, limit)
	if end.node > 0 {
		end.start = limit
	}
	in, err := n.ready(ctx, end, false)
	if err != nil {
		return err
	}
	n.pool.put(in)
	return nil
}

// ready returns an instance that has the node's configuration.
func (n *Node) ready(ctx context.Context, end deadline, goesOn bool) (*instance, error) {
	p := n.pool
	in, err := p.take(ctx, end, n.doc, goesOn)
	if err != nil || in.doc == n.doc {
		return in, err
	}
	from := time.Now()
	if err := in.setUp(ctx, end, n.doc); err != nil {
		p.put(in)
		return nil, err
	}
	p.paid(time.Since(from))
	return in, nil
}

// Type returns what the node runs.
func (n *Node) Type() run.NodeType { return n.kind }

// RunNode hands the step's input to an instance and returns its output, which
// is the caller's. The call ends at ctx's deadline or the node's timeout,
// whichever comes first, also while it waits for an instance or configures one.
//
// Errors are faults: the kind the node gave when it failed by its own word,
// else Timeout (the message says which limit passed), Cancelled, Trap, Limit
// (memory, payload), or Rejected for output that is not JSON. Output is checked
// to be JSON always for foreign modules, for trusted ones at the first output
// of an instance and every hundredth after it. What the node reported stands in
// s.Trail also when it failed. While the node awaits an effect, the call holds no
// instance.
func (n *Node) RunNode(ctx context.Context, s *run.Step) ([]byte, error) {
	end := until(ctx, n.timeout)
	in, err := n.ready(ctx, end, false)
	if err != nil {
		return nil, err
	}
	out, e, err := in.run(ctx, end, s)
	if e != nil {
		n.pool.hold()
		defer n.pool.letGo()
	}
	n.pool.put(in)
	if e != nil {
		return n.follow(ctx, end, s, e)
	}
	return out, err
}

// Close gives the node's instances back. Calls that run are not disturbed; new
// ones must not be made. Safe to call twice.
func (n *Node) Close() {
	n.close.Do(func() {
		p := n.pool
		h := p.module.host
		h.mu.Lock()
		p.refs--
		last := p.refs == 0
		if last && p.module.pools[p.key] == p {
			delete(p.module.pools, p.key)
		}
		h.mu.Unlock()
		if last {
			p.close()
		}
	})
}
