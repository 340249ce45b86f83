// Package nodes carries Spark's stock node types inside the program that
// imports it: one module, built by `make build` from the folder stock. The
// folders beside it hold one node type each.
package nodes

import (
	"embed"
	"errors"
	"io/fs"

	"github.com/sparkrsi/spark/sdk/fault"
)

//go:embed all:wasm
var built embed.FS

// Stock returns the module of the stock node types. The bytes are the caller's.
// NotFound, with the remedy, in a program that was compiled before the module
// was built.
func Stock() ([]byte, error) { return stock(built) }

func stock(files fs.FS) ([]byte, error) {
	wasm, err := fs.ReadFile(files, "wasm/stock.wasm")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "", "stock modules are not built into this binary").WithHint("run make build")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "stock.wasm", err, "embedded file")
	}
	return wasm, nil
}
