package wasmhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/plugins/nodes"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
	vectors "github.com/sparkrsi/spark/testkit/abi"
)

// faultyGuest returns the module of node types that misbehave.
var faultyGuest = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(tempDir, "faulty.wasm")
	if _, err := modbuild.Build(context.Background(), "../../plugins/nodes/faulty", out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// builtModule returns one of the modules that the project ships or tests with.
func builtModule(t testing.TB, name string) []byte {
	t.Helper()
	load := nodes.Stock
	if name == "faulty" {
		load = faultyGuest
	}
	wasm, err := load()
	if err != nil {
		t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	return wasm
}

// bare is one instance outside any pool, which takes documents as they come,
// also those that a Node would never send.
type bare struct {
	t    testing.TB
	in   *instance
	step run.Step
}

var _ vectors.Instance = (*bare)(nil)

func newBare(t testing.TB, m *Module, spec NodeSpec, state run.State) *bare {
	t.Helper()
	p, err := m.pool(spec.Grant, nil, spec.Assets, m.host.cfg.MemoryMiB, false)
	if err != nil {
		t.Fatal(err)
	}
	holder := &Node{pool: p}
	in, err := p.start(t.Context(), until(t.Context(), 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.close()
		holder.Close()
	})
	return &bare{t: t, in: in, step: run.Step{Trail: &run.Trail{}, State: state}}
}

func (b *bare) Configure(doc []byte) error {
	return b.in.setUp(b.t.Context(), until(b.t.Context(), 10*time.Second), string(doc))
}

func (b *bare) Process(doc []byte) ([]byte, error) {
	b.step.Input = doc
	return b.awaited(b.in.run(b.t.Context(), until(b.t.Context(), 10*time.Second), &b.step))
}

func (b *bare) Resume(doc []byte) ([]byte, error) {
	return b.awaited(b.in.again(b.t.Context(), until(b.t.Context(), 10*time.Second), &b.step, doc, counts{}))
}

// awaited returns an effect as the suite wants it.
func (b *bare) awaited(out []byte, e *effect, err error) ([]byte, error) {
	if e != nil {
		return nil, &vectors.Awaited{Effect: e.kind, Request: e.request, State: e.state}
	}
	return out, err
}

// TestVectors runs the vectors of the contract on the real modules.
func TestVectors(t *testing.T) {
	all, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	h := openHost(t, Config{Generator: generator(nil)})
	modules := map[string]*Module{}
	for _, name := range []string{"stock", "faulty"} {
		modules[name] = admit(t, h, builtModule(t, name), false)
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			spec := NodeSpec{Assets: map[string]Asset{}, Grant: Grant{Generate: slices.Contains(v.Capabilities, "generate")}}
			for name, text := range v.Assets {
				sum := sha256.Sum256([]byte(text))
				spec.Assets[name] = Asset{Digest: hex.EncodeToString(sum[:]), Data: strings.NewReader(text), Size: int64(len(text))}
			}
			state := mapState{}
			for key, value := range v.State {
				state[key] = value
			}
			b := newBare(t, modules[v.Module], spec, state)
			if err := v.Check(b); err != nil {
				t.Error(err)
			}
			if last := v.Steps[len(v.Steps)-1]; b.in.broken != last.Trap {
				t.Errorf("instance broken: %v", b.in.broken)
			}
		})
	}
}
