package peers

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
)

// stockPath is where `make build` leaves the stock module.
var stockPath = filepath.Join("..", "plugins", "nodes", "wasm", "stock.wasm")

// stockModule returns the stock module, as the product embeds it.
func stockModule(tb testing.TB) []byte {
	tb.Helper()
	wasm, err := os.ReadFile(stockPath)
	if err != nil {
		tb.Fatalf("%v\nbuild it first, in the root of the repository: go run ./sdk/node/cmd/modbuild -o plugins/nodes/wasm/stock.wasm ./plugins/nodes/stock", err)
	}
	return wasm
}

// faultyModule builds the module of node types that misbehave, once a process.
var faultyModule = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "spark-peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "faulty.wasm")
	if _, err := modbuild.Build(context.Background(), filepath.Join("..", "plugins", "nodes", "faulty"), out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// openNodes returns a node host whose compiled code is kept from run to run.
func openNodes(tb testing.TB) *wasmhost.Host {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	h, err := wasmhost.Open(tb.Context(), wasmhost.Config{CacheDir: filepath.Join(cache, "spark-peers")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return h
}

// openNode returns a node of a trusted module, with the timeout of a step that
// core/host sets when a graph names none.
func openNode(tb testing.TB, h *wasmhost.Host, wasm []byte, spec wasmhost.NodeSpec) *wasmhost.Node {
	tb.Helper()
	m, err := h.Admit(wasm, true)
	if err != nil {
		tb.Fatal(err)
	}
	if spec.Timeout == 0 {
		spec.Timeout = 30 * time.Second
	}
	n, err := h.Node(tb.Context(), m, spec)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { n.Close(); m.Release() })
	return n
}

// cpu returns the processor time this process has used.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
