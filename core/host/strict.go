package host

import (
	"context"
	"slices"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// The choices of Nodes.Isolation.
const (
	pooled = string(graph.IsolationPooled)
	reset  = string(graph.IsolationReset)
)

// validated returns a node of a module with its inputs and outputs held against
// the schemas of its type as the document asks. Start is true for the node that
// takes the input of the run.
func validated(n engine.NodeRunner, m *module, typ string, spec *graph.Node, start bool) (engine.NodeRunner, error) {
	if spec.Validate == graph.ValidateOff {
		return n, nil
	}
	v := engine.Validation{Mode: spec.Validate, Trusted: m.Trusted(), Start: start}
	types := m.Manifest().Nodes
	i := slices.IndexFunc(types, func(t abi.NodeType) bool { return t.Type == typ })
	var err error
	if v.Input, err = graph.CompileSchema(types[i].Input); err == nil {
		v.Output, err = graph.CompileSchema(types[i].Output)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "", "the schemas of node type %s cannot be used: %v", typ, err).
			WithHint("use another build of the module, or set validate: off on the node")
	}
	return engine.Validated(n, v), nil
}

// openCache opens the cache of nodes: in memory, and behind it on disk where its
// size is set.
func (h *Host) openCache(ctx context.Context) error {
	memory := engine.NewMemoryCache(int64(h.cfg.CacheMiB) << 20)
	h.cache = memory
	if h.cfg.Nodes.DiskCacheMiB == 0 {
		return nil
	}
	disk, err := h.store.OpenCache(ctx, int64(h.cfg.Nodes.DiskCacheMiB)<<20, h.log)
	if err != nil {
		return err
	}
	h.cache, h.closeCache = engine.NewTieredCache(memory, disk), disk.Close
	return nil
}
