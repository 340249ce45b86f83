package host

import (
	"context"
	"encoding/json"
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

// validation returns what the inputs and outputs of a node are held against: the
// schemas of its type, as often as the document asks. Start is true for the node
// that takes the input of the run.
func validation(m *module, typ string, spec *graph.Node, start bool) (v engine.Validation, err error) {
	v = engine.Validation{Mode: spec.Validate, Trusted: m.Trusted(), Start: start}
	types := m.Manifest().Nodes
	i := slices.IndexFunc(types, func(t abi.NodeType) bool { return t.Type == typ })
	if v.Input, err = graph.CompileSchema(types[i].Input); err == nil {
		v.Output, err = graph.CompileSchema(types[i].Output)
	}
	if err != nil {
		return v, fault.New(fault.Invalid, "", "the schemas of node type %s cannot be used: %v", typ, err).
			WithHint("use another build of the module, or set validate: off on the node")
	}
	return v, nil
}

// seen is a step of an experiment that is checked when the run is over: while it
// ran, the check would have counted as its time.
type seen struct {
	node          string
	input, output []byte
}

// check returns the Invalid fault of the first step that breaks a schema of its
// node type.
func (d *deployment) check(steps []seen) error {
	for _, s := range steps {
		c, ok := d.checks[s.node]
		if !ok {
			continue
		}
		outputs := []json.RawMessage{s.output}
		if c.each { // what the elements took is not known
			c.Input, outputs = nil, nil
			if err := json.Unmarshal(s.output, &outputs); err != nil {
				return fault.Wrap(fault.Invalid, "nodes."+s.node, err, "the output is no list")
			}
			outputs = slices.DeleteFunc(outputs, func(o json.RawMessage) bool { return string(o) == "null" })
		}
		for _, out := range outputs {
			if err := c.Check(s.input, out); err != nil {
				return fault.Wrap("", "nodes."+s.node, err, "")
			}
		}
	}
	return nil
}

// nodeCheck is what a node is held against.
type nodeCheck struct {
	engine.Validation
	each bool // it has foreach
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
