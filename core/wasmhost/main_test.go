package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
)

// tempDir holds the compile cache and the Go guest for all tests of the package.
var tempDir string

func TestMain(m *testing.M) {
	var err error
	if tempDir, err = os.MkdirTemp("", "wasmhost-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if left := ourGoroutines(); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", strings.Join(left, "\n\n"))
		code = 1
	}
	os.RemoveAll(tempDir)
	os.Exit(code)
}

// ourGoroutines returns the stacks, except the caller's, in which this package or
// wazero takes part.
func ourGoroutines() (left []string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for i, g := range strings.Split(string(stacks), "\n\n") {
		if i > 0 && (strings.Contains(g, "wasmhost.") || strings.Contains(g, "wazero")) {
			left = append(left, g)
		}
	}
	return left
}

// goGuest returns the module of testdata/guest.
var goGuest = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(tempDir, "guest.wasm")
	if _, err := modbuild.Build(context.Background(), filepath.Join("testdata", "guest"), out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

func guestModule(t testing.TB) []byte {
	t.Helper()
	wasm, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func openHost(t testing.TB, cfg Config) *Host {
	t.Helper()
	if cfg.CacheDir == "" {
		cfg.CacheDir = filepath.Join(tempDir, "cache")
	}
	h, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := h.Stats().Instances; n != 0 {
			t.Errorf("%d instances live after Close", n)
		}
	})
	return h
}

func admit(t testing.TB, h *Host, wasm []byte, trusted bool) *Module {
	t.Helper()
	m, err := h.Admit(wasm, trusted)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newNode(t testing.TB, h *Host, m *Module, spec NodeSpec) *Node {
	t.Helper()
	n, err := h.Node(t.Context(), m, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// handNode admits a hand-made guest and makes its node.
func handNode(t testing.TB, h *Host, a *asm, timeout time.Duration) *Node {
	t.Helper()
	return newNode(t, h, admit(t, h, a.module(t), true), NodeSpec{Type: "hand", Timeout: timeout})
}

func plainNode(t testing.TB, h *Host, timeout time.Duration) *Node {
	t.Helper()
	return newNode(t, h, admit(t, h, guestModule(t), true), NodeSpec{Type: "plain", Timeout: timeout})
}

func step(in string) *run.Step { return &run.Step{Node: "n", Input: []byte(in), Trail: &run.Trail{}} }

func do(verb string) *run.Step { return step(fmt.Sprintf(`{"do":%q}`, verb)) }

// wantFault fails unless err has the kind and its text holds all words.
func wantFault(t testing.TB, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Fatalf("error %v (%s), want kind %s", err, fault.KindOf(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("error %q lacks %q", err, w)
		}
	}
}

// wantEcho proves that the node still works.
func wantEcho(t testing.TB, n *Node) {
	t.Helper()
	in := do("echo")
	out, err := n.RunNode(context.Background(), in)
	if err != nil || !bytes.Equal(out, in.Input) {
		t.Fatalf("echo: %q, %v", out, err)
	}
}

func decode[T any](t testing.TB, doc []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return v
}
