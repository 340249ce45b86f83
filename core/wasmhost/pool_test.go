package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// gate blocks the guest in generate until it is opened.
type gate struct {
	entered chan string
	open    chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan string, 100), open: make(chan struct{})} }

func (g *gate) Generate(ctx context.Context, req []byte, _ *run.Trail) ([]byte, error) {
	g.entered <- string(req)
	select {
	case <-g.open:
		return []byte(`{"text":"x"}`), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func gatedNode(t *testing.T, h *Host, tag string, timeout time.Duration) *Node {
	t.Helper()
	m := admit(t, h, guestModule(t), true)
	t.Cleanup(m.Release)
	return newNode(t, h, m, NodeSpec{Type: "probe", Config: json.RawMessage(fmt.Sprintf(`{"tag":%q}`, tag)), Timeout: timeout,
		Grant: Grant{Clock: true, Random: true, Generate: true}, Assets: dataAsset("x")})
}

func hostStep() *run.Step {
	s := do("host")
	s.State = mapState{}
	return s
}

// waiting returns how many calls queue in the pool of n.
func (n *Node) waiting() int {
	n.pool.mu.Lock()
	defer n.pool.mu.Unlock()
	return len(n.pool.waiters)
}

func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("never happened")
		}
	}
}

func TestPoolQueue(t *testing.T) {
	g := newGate()
	h := openHost(t, Config{Instances: 1, ModelInstances: 1, Generator: g})
	n := gatedNode(t, h, "a", 0)
	first := make(chan error, 1)
	go func() {
		_, err := n.RunNode(t.Context(), hostStep())
		first <- err
	}()
	<-g.entered
	// The cap is reached: three queue, the second gives up, and the order holds.
	var order []int
	var mu sync.Mutex
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	errs := make([]error, 3)
	for i := range 3 {
		wg.Go(func() {
			c := t.Context()
			if i == 1 {
				c = ctx
			}
			_, errs[i] = n.RunNode(c, do("echo"))
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
		})
		eventually(t, func() bool { return n.waiting() == i+1 })
	}
	cancel()
	eventually(t, func() bool { return n.waiting() == 2 })
	if s := h.Stats(); s.Instances != 1 || s.Waits != 3 {
		t.Errorf("%+v", s)
	}
	close(g.open)
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	wantFault(t, errs[1], fault.Cancelled)
	if errs[0] != nil || errs[2] != nil {
		t.Error(errs)
	}
	if len(order) != 3 || order[0] != 1 {
		t.Errorf("order %v", order)
	}
	if s := h.Stats(); s.Instances != 1 || s.Started != 1 {
		t.Errorf("%+v", s)
	}

	// Waiting counts against the timeout.
	g.open = make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		_, err := n.RunNode(ctx, hostStep())
		first <- err
	}()
	<-g.entered
	quick := withTimeout(t, n, 20*time.Millisecond)
	_, err := quick.RunNode(t.Context(), do("echo"))
	wantFault(t, err, fault.Timeout, "node timeout of 20ms")
	cancel()
	wantFault(t, <-first, fault.Cancelled)
	wantEcho(t, n)
}

// withTimeout is n with another timeout, without the proof that would queue.
func withTimeout(t *testing.T, n *Node, timeout time.Duration) *Node {
	t.Helper()
	p, err := n.pool.module.join(n.pool.key, nil)
	if err != nil || p != n.pool {
		t.Fatal(err)
	}
	q := &Node{pool: p, doc: n.doc, timeout: timeout, kind: n.kind}
	t.Cleanup(q.Close)
	return q
}

// TestPoolPrefersConfigured: an idle instance with the right configuration is
// taken before one is configured anew, and dear instances are not multiplied.
func TestPoolPrefersConfigured(t *testing.T) {
	h := openHost(t, Config{Instances: 2, SpareMiB: -1})
	m := admit(t, h, guestModule(t), true)
	var nodes []*Node
	for i := range 3 {
		nodes = append(nodes, newNode(t, h, m, NodeSpec{Type: "plain", Config: json.RawMessage(fmt.Sprintf(`{"tag":"t%d"}`, i))}))
	}
	p := nodes[0].pool
	for _, n := range nodes {
		if n.pool != p {
			t.Fatal("nodes with the same rights have different pools")
		}
	}
	p.mu.Lock()
	p.price, p.rent = time.Hour, 0 // as of an index that takes long to build
	p.mu.Unlock()
	for round := range 30 {
		i := round % 3
		out, err := nodes[i].RunNode(t.Context(), do("calls"))
		if err != nil {
			t.Fatal(err)
		}
		if got := decode[struct{ Tag string }](t, out).Tag; got != fmt.Sprintf("t%d", i) {
			t.Fatalf("node %d was answered by the configuration %q", i, got)
		}
	}
	if s := h.Stats(); s.Started > 2 {
		t.Errorf("%d instances for calls one after another", s.Started)
	}
	before := h.Stats()
	for range 10 {
		if _, err := nodes[2].RunNode(t.Context(), do("calls")); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.Stats(); s.Configurations > before.Configurations+1 {
		t.Errorf("configured %d times for the same node", s.Configurations-before.Configurations)
	}

	// Once the rent has reached the price, a second instance ends the changes.
	p.mu.Lock()
	p.price, p.rent = 0, 0
	p.mu.Unlock()
	for range 4 {
		for i := range 2 {
			if _, err := nodes[i].RunNode(t.Context(), do("calls")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := h.Stats(); s.Instances != 2 {
		t.Errorf("%d instances, want 2: the cap", s.Instances)
	}
}

// TestPoolUnderLoad mixes good, crashing and slow calls of several nodes.
func TestPoolUnderLoad(t *testing.T) {
	h := openHost(t, Config{Instances: 3, SpareMiB: -1})
	m := admit(t, h, guestModule(t), true)
	var nodes []*Node
	for i := range 3 {
		nodes = append(nodes, newNode(t, h, m, NodeSpec{Type: "plain", Config: json.RawMessage(fmt.Sprintf(`{"tag":"t%d"}`, i))}))
	}
	var most, failed atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 7))
			for range 60 {
				i := rnd.IntN(3)
				if live := h.Stats().Instances; live > most.Load() {
					most.Store(live)
				}
				switch rnd.IntN(12) {
				case 0:
					if _, err := nodes[i].RunNode(t.Context(), do("panic")); !fault.Is(err, fault.Trap) {
						t.Errorf("panic: %v", err)
					}
					failed.Add(1)
				case 1:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Microsecond)
					if _, err := nodes[i].RunNode(ctx, do("loop")); !fault.Is(err, fault.Timeout) {
						t.Errorf("loop: %v", err)
					}
					cancel()
				default:
					out, err := nodes[i].RunNode(t.Context(), do("calls"))
					if err != nil {
						t.Error(err)
					} else if want := fmt.Sprintf(`"t%d"`, i); !bytes.Contains(out, []byte(want)) {
						t.Errorf("%s lacks %s", out, want)
					}
				}
			}
		})
	}
	wg.Wait()
	s := h.Stats()
	if most.Load() > 3 || s.Instances > 3 {
		t.Errorf("%d instances at most, %d at the end, cap 3", most.Load(), s.Instances)
	}
	if s.Traps != failed.Load() {
		t.Errorf("%d traps, want %d", s.Traps, failed.Load())
	}
}

// TestCloseWhileRunning: what runs is not disturbed, the host waits for it.
func TestCloseWhileRunning(t *testing.T) {
	g := newGate()
	h := openHost(t, Config{Instances: 2, Generator: g})
	n := gatedNode(t, h, "a", 0)
	done := make(chan error, 1)
	go func() {
		_, err := n.RunNode(context.Background(), hostStep())
		done <- err
	}()
	<-g.entered
	n.Close()
	n.Close()
	_, err := n.RunNode(t.Context(), do("echo"))
	wantFault(t, err, fault.Unavailable, "closed")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	wantFault(t, h.Close(ctx), fault.Timeout, "calls run")
	if h.Stats().Instances == 0 {
		t.Error("a running instance was freed")
	}
	close(g.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := h.Admit(guestModule(t), true); !fault.Is(err, fault.Unavailable) {
		t.Errorf("admitted by a closed host: %v", err)
	}
}

// countingGuest answers with how often its instance was called, from 1 to 9.
func countingGuest() *asm {
	count := cat([]byte{opGlobalGet, 0}, c32(1), []byte{opI32Add, opGlobalSet, 0},
		c32(512), []byte{opGlobalGet, 0}, c32('0'), []byte{opI32Add, 0x3a /* i32.store8 */, 0, 0}, c64(512<<32|1))
	a := newGuest(count, nil)
	a.globals = [][]byte{cat([]byte{typeI32, 1}, c32(0), []byte{opEnd})}
	return a
}

// TestReset: no call sees what an earlier one left in the guest.
func TestReset(t *testing.T) {
	for _, c := range []struct {
		name       string
		floor, own bool
		want       string
	}{{"pooled", false, false, "123"}, {"the node asks", false, true, "111"}, {"the host demands", true, false, "111"}} {
		t.Run(c.name, func(t *testing.T) {
			h := openHost(t, Config{Reset: c.floor})
			n := newNode(t, h, admit(t, h, countingGuest().module(t), true), NodeSpec{Type: "hand", Reset: c.own})
			got := ""
			for range 3 {
				out, err := n.RunNode(t.Context(), step(`{}`))
				if err != nil {
					t.Fatal(err)
				}
				got += string(out)
			}
			if got != c.want {
				t.Errorf("calls counted %s, want %s", got, c.want)
			}
			if s := h.Stats(); c.want == "111" && (s.Started != 3 || s.Instances != 0) {
				t.Errorf("%d instances started, %d left", s.Started, s.Instances)
			}
		})
	}
}

// TestResetTogether: calls at once are bounded as in other pools.
func TestResetTogether(t *testing.T) {
	h := openHost(t, Config{Instances: 3})
	n := newNode(t, h, admit(t, h, countingGuest().module(t), true), NodeSpec{Type: "hand", Reset: true})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if out, err := n.RunNode(t.Context(), step(`{}`)); err != nil || string(out) != "1" {
				t.Errorf("%s, %v", out, err)
			}
			if live := h.Stats().Instances; live > 3 {
				t.Errorf("%d instances", live)
			}
		})
	}
	wg.Wait()
}
