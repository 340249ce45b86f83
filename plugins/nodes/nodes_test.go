package nodes

import (
	"testing"
	"testing/fstest"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

func TestStock(t *testing.T) {
	wasm, err := stock(fstest.MapFS{"wasm/stock.wasm": {Data: []byte("bytes")}})
	if err != nil || string(wasm) != "bytes" {
		t.Errorf("%q, %v", wasm, err)
	}
	_, err = stock(fstest.MapFS{"wasm/.keep": {}})
	if !fault.Is(err, fault.NotFound) || fault.HintOf(err) != "run make build" || err.Error() != "stock modules are not built into this binary" {
		t.Errorf("without the module: %v, hint %q", err, fault.HintOf(err))
	}
}

// The folder that is embedded either has the module or says that it has not.
func TestEmbedded(t *testing.T) {
	wasm, err := Stock()
	if err != nil {
		if !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		return
	}
	m, err := abi.ReadManifest(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil || m.Name != "stock" {
		t.Errorf("module %s: %v", m.Name, err)
	}
}
