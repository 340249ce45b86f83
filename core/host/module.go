package host

import (
	"context"

	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Pushed says what PushModule did.
type Pushed struct {
	*store.Module
	New bool `json:"new"`
}

// PushModule verifies a module and stores it. A module that is not trusted is
// admitted first, that is compiled and checked against every limit, so that a
// bad one is never stored. Source says where it came from.
func (h *Host) PushModule(ctx context.Context, wasm []byte, trusted bool, source string) (*Pushed, error) {
	m, err := abi.ReadManifest(wasm)
	if err != nil {
		return nil, fault.Wrap("", source, err, "read the module")
	}
	if !trusted {
		admitted, err := h.nodes.Admit(wasm, false)
		if err != nil {
			return nil, fault.Wrap("", source, err, "admit the module")
		}
		admitted.Release()
	}
	mod, created, err := h.store.PutModule(ctx, wasm, m, trusted, source)
	if err != nil {
		return nil, err
	}
	return &Pushed{Module: mod, New: created}, nil
}
