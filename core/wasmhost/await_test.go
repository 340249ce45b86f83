package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// prompt is what a request asks.
func prompt(t testing.TB, req []byte) string {
	return decode[abi.GenerateRequest](t, req).Messages[0].Content
}

// TestAwaitHoldsNothing has a thousand steps wait for a model at once over a pool
// of four instances.
func TestAwaitHoldsNothing(t *testing.T) {
	const steps = 1000
	var waiting atomic.Int64
	all := make(chan struct{})
	h := openHost(t, Config{Instances: 2, ModelInstances: 4, Generator: generator(func(ctx context.Context, req []byte, trail *run.Trail) ([]byte, error) {
		if waiting.Add(1) == steps {
			close(all)
		}
		select {
		case <-all:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		trail.Calls = append(trail.Calls, run.ModelCall{Model: "m", Usage: run.Usage{Calls: 1, OutputTokens: 1}})
		return json.Marshal(abi.GenerateResponse{Text: "to " + prompt(t, req)})
	})})
	n := newNode(t, h, admit(t, h, builtModule(t, "stock"), true), NodeSpec{Type: "generate", Timeout: time.Minute,
		Config: json.RawMessage(`{"model":"m","prompt":"{{n}}"}`), Grant: Grant{Generate: true}})
	var wg sync.WaitGroup
	for i := range steps {
		wg.Go(func() {
			s := step(fmt.Sprintf(`{"n":%d}`, i))
			out, err := n.RunNode(t.Context(), s)
			if err != nil {
				t.Error(err)
				return
			}
			if got := decode[struct{ Text string }](t, out).Text; got != fmt.Sprintf("to %d", i) || len(s.Trail.Calls) != 1 {
				t.Errorf("step %d got %q with %d calls", i, got, len(s.Trail.Calls))
			}
		})
	}
	<-all // every step waits now
	if s := h.Stats(); s.Instances > 4 || s.Awaits != steps {
		t.Errorf("%d instances while %d effects are awaited", s.Instances, s.Awaits)
	}
	wg.Wait()
	if s := h.Stats(); s.Calls != 2*steps || s.Started > 4 || s.Discarded != 0 {
		t.Errorf("%d calls, %d instances started, %d discarded", s.Calls, s.Started, s.Discarded)
	}
}

func TestAwaitEnds(t *testing.T) {
	began := make(chan struct{}, 16)
	h := openHost(t, Config{Generator: generator(func(ctx context.Context, _ []byte, _ *run.Trail) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	n := newNode(t, h, admit(t, h, builtModule(t, "faulty"), true), NodeSpec{Type: "awaits", Timeout: 50 * time.Millisecond, Grant: Grant{Generate: true}})
	_, err := n.RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Timeout, "node timeout of 50ms passed")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		<-began
		cancel()
	}()
	n = newNode(t, h, admit(t, h, builtModule(t, "faulty"), true), NodeSpec{Type: "awaits", Grant: Grant{Generate: true}})
	_, err = n.RunNode(ctx, step(`{}`))
	wantFault(t, err, fault.Cancelled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is no context.Canceled", err)
	}
	if s := h.Stats(); s.Discarded != 0 || s.Traps != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAwaitErrors(t *testing.T) {
	answer := func() ([]byte, error) { return []byte(`{"text":"x"}`), nil }
	h := openHost(t, Config{MaxPayloadMiB: 2, MaxEventsPerSpan: 5, Generator: generator(func(context.Context, []byte, *run.Trail) ([]byte, error) { return answer() })})
	m := admit(t, h, builtModule(t, "faulty"), true)
	open := func(config string) *Node {
		return newNode(t, h, m, NodeSpec{Type: "awaits", Config: json.RawMessage(config), Grant: Grant{Generate: true}})
	}
	for kind, want := range map[fault.Kind]fault.Kind{fault.Denied: fault.Denied, fault.NotFound: fault.NotFound, fault.Invalid: fault.Invalid,
		fault.Limit: fault.Limit, fault.Timeout: fault.Timeout, fault.Unavailable: fault.Transient} {
		answer = func() ([]byte, error) { return nil, fault.New(kind, "model", "because") }
		_, err := open(`{}`).RunNode(t.Context(), step(`{}`))
		wantFault(t, err, want, "because")
	}
	answer = func() ([]byte, error) { return bytes.Repeat([]byte("x"), 2<<20), nil }
	_, err := open(`{}`).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Limit, "the limit is 2097152")
	answer = func() ([]byte, error) { return []byte(`{"text":"x"}`), nil }
	_, err = open(`{"state":1048577}`).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Limit)
	_, err = open(`{"times":1001}`).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Limit)
	out, err := open(`{"times":1000}`).RunNode(t.Context(), step(`{}`))
	if err != nil || len(decode[[]string](t, out)) != 1000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	_, err = open(`{"then":"resume_trap"}`).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Trap, "resuming", "trapped on purpose")
	_, err = open(`{"then":"trap"}`).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Trap, "processing")
}

// TestAwaitOutlivesClose: a step that waits when its node is closed ends as it
// would have, and the host waits for it.
func TestAwaitOutlivesClose(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	h, err := Open(t.Context(), Config{CacheDir: t.TempDir(), Generator: generator(func(context.Context, []byte, *run.Trail) ([]byte, error) {
		close(began)
		<-goOn
		return []byte(`{"text":"late"}`), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	n, err := h.Node(t.Context(), admit(t, h, builtModule(t, "faulty"), true), NodeSpec{Type: "awaits", Grant: Grant{Generate: true}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	go func() {
		out, err := n.RunNode(context.Background(), step(`{}`))
		done <- fmt.Sprint(string(out), err)
	}()
	<-began
	n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	wantFault(t, h.Close(ctx), fault.Timeout)
	close(goOn)
	if got := <-done; got != `["late"]<nil>` {
		t.Errorf("the step gave %s", got)
	}
	if err := h.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if s := h.Stats(); s.Instances != 0 {
		t.Errorf("%d instances left", s.Instances)
	}
}

// The parts of a guest made by hand that awaits. Its memory holds a request at 16.
const handRequest = `{"model":"m","messages":[{"role":"user","content":"hand"}]}`

// awaitingGuest awaits a model with its input as the state and then returns its
// input again: no language, no allocation, no parser of JSON.
func awaitingGuest() *asm {
	await := cat(c32(abi.AwaitGenerate), c32(16), c32(int32(len(handRequest))), []byte{opLocalGet, 0, opLocalGet, 1}, callTo(0),
		[]byte{opIf, blockVoid, 0x00 /* unreachable */, opEnd}, c64(0))
	a := newGuest(await, nil, asmImport{module: abi.Host, name: abi.Await, params: []byte{typeI32, typeI32, typeI32, typeI32, typeI32}, results: one, kind: externFunc})
	// (ptr + 8) << 32 | length of the state at ptr + 4
	a.export(abi.Resume, asmFunc{params: two, results: long, code: cat([]byte{opLocalGet, 0}, c32(8), []byte{opI32Add, opI64ExtendU, opI64Const, 32, opI64Shl,
		opLocalGet, 0, 0x28 /* i32.load */, 2, 4, opI64ExtendU, 0x84 /* i64.or */})})
	a.data = [][]byte{cat([]byte{0}, c32(16), []byte{opEnd}, sized([]byte(handRequest)))}
	return a
}

// TestAwaitByHand shows that the contract needs no SDK.
func TestAwaitByHand(t *testing.T) {
	manifest := *testManifest
	manifest.Nodes = []abi.NodeType{{Type: "hand", Version: "1.0.0", Summary: "Made by hand.", Effects: abi.EffectsRead, MemoryMiB: 8,
		Capabilities: []abi.Capability{abi.CapGenerate}}}
	wasm, err := abi.AppendManifest(awaitingGuest().wasm(), &manifest)
	if err != nil {
		t.Fatal(err)
	}
	asked := ""
	h := openHost(t, Config{Generator: generator(func(_ context.Context, req []byte, _ *run.Trail) ([]byte, error) {
		asked = prompt(t, req)
		return []byte(`{"text":"x"}`), nil
	})})
	n := newNode(t, h, admit(t, h, wasm, false), NodeSpec{Type: "hand", Grant: Grant{Generate: true}})
	out, err := n.RunNode(t.Context(), step(`{"a":"state"}`))
	if err != nil || string(out) != `{"a":"state"}` || asked != "hand" {
		t.Errorf("%s, %v, asked %q", out, err, asked)
	}
	_, err = h.Admit(newGuest(nil, nil, asmImport{module: abi.Host, name: abi.Await, params: []byte{typeI32, typeI32, typeI32, typeI32, typeI32}, results: one,
		kind: externFunc}).module(t), false)
	wantFault(t, err, fault.Invalid, abi.Resume)
	bad := newGuest(nil, nil)
	bad.export(abi.Resume, asmFunc{params: two, results: one, code: c32(0)})
	_, err = h.Admit(bad.module(t), false)
	wantFault(t, err, fault.Invalid, abi.Resume)
}

// BenchmarkAwait is one step with one effect that takes no time.
func BenchmarkAwait(b *testing.B) {
	h := openHost(b, Config{Generator: generator(func(context.Context, []byte, *run.Trail) ([]byte, error) { return []byte(`{"text":"x"}`), nil })})
	n := newNode(b, h, admit(b, h, builtModule(b, "stock"), true), NodeSpec{Type: "generate", Config: json.RawMessage(`{"model":"m","prompt":"{{n}}"}`),
		Grant: Grant{Generate: true}})
	s := step(`{"n":"` + strings.Repeat("x", 1000) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.RunNode(context.Background(), s); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAwaitMemory measures what a waiting step costs the host.
func TestAwaitMemory(t *testing.T) {
	const steps = 10_000
	var waiting atomic.Int64
	all, goOn := make(chan struct{}), make(chan struct{})
	h := openHost(t, Config{Instances: 2, ModelInstances: 4, Generator: generator(func(context.Context, []byte, *run.Trail) ([]byte, error) {
		if waiting.Add(1) == steps {
			close(all)
		}
		<-goOn
		return []byte(`{"text":"x"}`), nil
	})})
	n := newNode(t, h, admit(t, h, builtModule(t, "stock"), true), NodeSpec{Type: "generate", Config: json.RawMessage(`{"model":"m","prompt":"{{n}}"}`),
		Grant: Grant{Generate: true}})
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	var wg sync.WaitGroup
	for range steps {
		wg.Go(func() {
			if _, err := n.RunNode(context.Background(), step(`{"n":"x"}`)); err != nil {
				t.Error(err)
			}
		})
	}
	<-all
	each := (used() - before) / steps
	t.Logf("%d steps wait, %d bytes each, %d instances", steps, each, h.Stats().Instances)
	if each > 16<<10 || h.Stats().Instances > 4 {
		t.Errorf("%d bytes a waiting step, %d instances", each, h.Stats().Instances)
	}
	close(goOn)
	wg.Wait()
}
