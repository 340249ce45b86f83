package wasmhost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

func TestEcho(t *testing.T) {
	h := openHost(t, Config{Instances: 1})
	for name, n := range map[string]*Node{"hand": handNode(t, h, newGuest(nil, nil), 0), "go": plainNode(t, h, 0)} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 1000, 30_000, 5} {
				in := []byte(`{"do":"echo","pad":"` + strings.Repeat("x", size) + `"}`)
				s := &run.Step{Input: bytes.Clone(in), Trail: &run.Trail{}}
				out, err := n.RunNode(t.Context(), s)
				if err != nil || !bytes.Equal(out, in) {
					t.Fatalf("%d: %d bytes, %v", size, len(out), err)
				}
				clear(s.Input)
				if !bytes.Equal(out, in) {
					t.Fatal("the output is not a copy")
				}
			}
		})
	}
	if got := h.Stats(); got.Started != 2 || got.Configurations != 2 || got.Calls != 8 {
		t.Errorf("%+v", got)
	}
}

// TestEchoAllocates: a call costs one allocation, the copy of the output.
func TestEchoAllocates(t *testing.T) {
	h := openHost(t, Config{})
	n := plainNode(t, h, time.Minute)
	s := do("echo")
	if got := testing.AllocsPerRun(500, func() {
		if _, err := n.RunNode(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}); got > 1 {
		t.Errorf("%v allocations a call, want 1", got)
	}
}

// TestHostile runs guests that misbehave. Each is refused or stopped with its
// own kind, and none of them hurts the echo that runs beside it.
func TestHostile(t *testing.T) {
	h := openHost(t, Config{MaxPayloadMiB: 1})
	echo := handNode(t, h, newGuest(nil, nil), 0)
	hostLog := asmImport{module: "spark", name: abi.Log, params: []byte{typeI32, typeI32, typeI32}}
	ret := func(at, n uint32) []byte { return c64(int64(uint64(at)<<32 | uint64(n))) }
	for name, c := range map[string]struct {
		code    []byte
		locals  []byte
		imports []asmImport
		kind    fault.Kind
		words   []string
		keeps   bool // the instance may be used again
	}{
		"traps":                 {code: []byte{opUnreachable}, kind: fault.Trap, words: []string{"hand: module crashed while processing: unreachable"}},
		"divides by zero":       {code: cat(c32(1), c32(0), []byte{0x6d, 0x1a}, echoCode), kind: fault.Trap, words: []string{"divide by zero"}},
		"reads outside":         {code: cat(c32(-1), []byte{0x28, 2, 0, 0x1a}, echoCode), kind: fault.Trap, words: []string{"out of bounds"}},
		"recurses without end":  {code: cat(c32(0), c32(0), callTo(3)), kind: fault.Trap, words: []string{"stack overflow"}},
		"output outside":        {code: ret(1<<20, 10), kind: fault.Trap, words: []string{"output of 10 bytes at 0x100000 lies outside the memory of 65536 bytes"}},
		"output at the end":     {code: ret(65530, 10), kind: fault.Trap, words: []string{"outside"}},
		"output too long":       {code: ret(0, 2<<20), kind: fault.Limit, words: []string{"output of 2097152 bytes, the limit is 1048576"}, keeps: true},
		"negative length":       {code: ret(0, 1<<31), kind: fault.Limit, words: []string{"2147483648"}, keeps: true},
		"empty output":          {code: ret(8, 0), kind: fault.Rejected, words: []string{"not JSON"}, keeps: true},
		"output no JSON":        {code: ret(0, 4), kind: fault.Rejected, words: []string{"output of 4 bytes is not JSON"}, keeps: true},
		"fails silently":        {code: ret(0, 0), kind: fault.Rejected, words: []string{"without saying why"}, keeps: true},
		"host call outside":     {code: cat(c32(1), c32(-5), c32(100), callTo(0), echoCode), imports: []asmImport{hostLog}, kind: fault.Trap, words: []string{"host call with 100 bytes at 0xfffffffb outside"}},
		"host call of -1 bytes": {code: cat(c32(1), c32(0), c32(-1), callTo(0), echoCode), imports: []asmImport{hostLog}, kind: fault.Trap, words: []string{"4294967295 bytes"}},
		"wants memory": {code: cat([]byte{opLoop, blockVoid}, c32(16), []byte{opMemoryGrow, 0}, c32(-1), []byte{0x47 /* i32.ne */, opBrIf, 0, opEnd, opUnreachable}),
			kind: fault.Limit, words: []string{"more than its 8 MiB"}},
		"wants memory and goes on": {code: cat(c32(1000), []byte{opMemoryGrow, 0, 0x1a}, ret(0, 0)), kind: fault.Limit, words: []string{"more than its 8 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := admit(t, h, newGuest(c.code, c.locals, c.imports...).module(t), false)
			defer m.Release()
			if name == "recurses without end" {
				// Index 3 is process itself.
				if e := newGuest(c.code, nil).exports[4]; e.name != abi.Process || e.index != 3 {
					t.Fatal("process is not function 3")
				}
			}
			n := newNode(t, h, m, NodeSpec{Type: "hand", Timeout: 10 * time.Second})
			before := h.Stats().Discarded
			_, err := n.RunNode(t.Context(), step(`{}`))
			wantFault(t, err, c.kind, c.words...)
			if len(err.Error()) > 600 {
				t.Errorf("message of %d characters: %v", len(err.Error()), err)
			}
			if discarded := h.Stats().Discarded - before; (discarded == 0) != c.keeps {
				t.Errorf("%d instances discarded", discarded)
			}
			wantEcho(t, echo)
		})
	}
}

func TestHostileStart(t *testing.T) {
	h := openHost(t, Config{StartTimeout: 100 * time.Millisecond})
	spin := []byte{opLoop, blockVoid, opBr, 0, opEnd}
	for name, c := range map[string]struct {
		change func(a *asm)
		kind   fault.Kind
		words  []string
	}{
		"start loops":        {func(a *asm) { a.start = int(a.fn(asmFunc{code: spin})) + 1 }, fault.Timeout, []string{"start timeout of 100ms"}},
		"start crashes":      {func(a *asm) { a.start = int(a.fn(asmFunc{code: []byte{opUnreachable}})) + 1 }, fault.Trap, []string{"while starting"}},
		"initialize loops":   {func(a *asm) { a.export(abi.Initialize, asmFunc{code: spin}) }, fault.Timeout, []string{"start timeout"}},
		"initialize crashes": {func(a *asm) { a.export(abi.Initialize, asmFunc{code: []byte{opUnreachable}}) }, fault.Trap, []string{"while initializing"}},
		"other ABI":          {func(a *asm) { a.funcs[0].code = c32(9) }, fault.Invalid, []string{"ABI v9, the host v1"}},
		"no room":            {func(a *asm) { a.funcs[1].code = c32(0) }, fault.Limit, []string{"no room for an input"}},
		"buffer outside":     {func(a *asm) { a.funcs[1].code = c32(-100) }, fault.Trap, []string{"input buffer", "outside"}},
		"configure loops":    {func(a *asm) { a.funcs[2].code = append(bytes.Clone(spin), c32(0)...) }, fault.Timeout, []string{"start timeout"}},
		"configure crashes":  {func(a *asm) { a.funcs[2].code = []byte{opUnreachable} }, fault.Trap, []string{"while configuring"}},
		"configure refuses":  {func(a *asm) { a.funcs[2].code = c32(1) }, fault.Rejected, []string{"hand.config", "without saying why"}},
		"host call at start": {func(a *asm) {
			a.imports[0].module, a.start = "spark", int(a.fn(asmFunc{code: cat(c32(0), c32(0), c32(0), callTo(0))}))+1
		}, fault.Trap, []string{"host call from the start function"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newGuest(nil, nil, asmImport{module: "spark", name: abi.Log, params: []byte{typeI32, typeI32, typeI32}})
			c.change(a)
			m := admit(t, h, a.module(t), false)
			defer m.Release()
			_, err := h.Node(t.Context(), m, NodeSpec{Type: "hand"})
			wantFault(t, err, c.kind, c.words...)
			if n := h.Stats().Instances; n != 0 {
				t.Errorf("%d instances live", n)
			}
		})
	}
}

func TestGoGuest(t *testing.T) {
	h := openHost(t, Config{})
	n := plainNode(t, h, 5*time.Second)
	for verb, c := range map[string]struct {
		kind  fault.Kind
		words []string
	}{
		"fail":    {fault.Transient, []string{"guest: source: is away"}},
		"unknown": {fault.Rejected, []string{"unknown verb"}},
		"panic":   {fault.Trap, []string{"crashed while processing", "index out of range"}},
		"exit":    {fault.Trap, []string{"exited with code 3"}},
		"eat":     {fault.Limit, []string{"more than its 64 MiB"}},
		"notjson": {fault.Rejected, []string{"not JSON"}},
	} {
		t.Run(verb, func(t *testing.T) {
			m := admit(t, h, guestModule(t), false)
			defer m.Release()
			foreign := newNode(t, h, m, NodeSpec{Type: "plain", Timeout: 5 * time.Second})
			_, err := foreign.RunNode(t.Context(), do(verb))
			wantFault(t, err, c.kind, c.words...)
			if verb == "fail" && fault.HintOf(err) != "wait" {
				t.Errorf("hint %q", fault.HintOf(err))
			}
			wantEcho(t, foreign)
			wantEcho(t, n)
		})
	}
	s := do("print")
	if _, err := n.RunNode(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if l := s.Trail.Logs; len(l) != 2 || l[0].Level != "warn" || l[0].Msg != "said on stderr" || l[1].Level != "info" || l[1].Msg != "said on stdout" {
		t.Errorf("logs %+v", l)
	}
}

// TestOutputSample: a trusted module's output is looked at first and then every
// hundredth time.
func TestOutputSample(t *testing.T) {
	h := openHost(t, Config{Instances: 1})
	n := handNode(t, h, newGuest(nil, nil), 0)
	for i := range 2*sampleEvery + 1 {
		_, err := n.RunNode(t.Context(), step(`{broken`))
		if looked := i%sampleEvery == 0; looked != (err != nil) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

func TestNodeRefuses(t *testing.T) {
	h := openHost(t, Config{MemoryMiB: 32})
	if _, err := h.Admit(guestModule(t), true); err != nil {
		t.Fatal(err)
	}
	large := admit(t, h, guestModule(t), true)
	_, err := h.Node(t.Context(), large, NodeSpec{Type: "plain"})
	wantFault(t, err, fault.Limit, "plain wants 64 MiB", "at most 32")

	h = openHost(t, Config{})
	m := admit(t, h, guestModule(t), true)
	all := Grant{Clock: true, Random: true, Generate: true}
	path := filepath.Join(t.TempDir(), "corpus")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec  NodeSpec
		kind  fault.Kind
		words []string
	}{
		"unknown type":   {NodeSpec{Type: "other"}, fault.NotFound, []string{`guest@1.2.3 has no node type "other", it has plain, probe, reach, look`}},
		"no assets":      {NodeSpec{Type: "probe", Grant: all}, fault.Denied, []string{"assets", `"asset"`}},
		"no model":       {NodeSpec{Type: "probe", Grant: all, Assets: dataAsset("x")}, fault.Unavailable, []string{"grant.generate"}},
		"refused config": {NodeSpec{Type: "plain", Config: json.RawMessage(`{"tag":"refused"}`)}, fault.Invalid, []string{"guest.config: tag: must not be refused"}},
		"wrong type":     {NodeSpec{Type: "plain", Config: json.RawMessage(`{"tag":3}`)}, fault.Invalid, []string{"guest.config", "tag"}},
		"unknown key":    {NodeSpec{Type: "plain", Config: json.RawMessage(`{"tga":"x"}`)}, fault.Invalid, []string{"guest.config", "tga"}},
		"no JSON":        {NodeSpec{Type: "plain", Config: json.RawMessage(`{`)}, fault.Invalid, []string{"config"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Node(t.Context(), m, c.spec)
			wantFault(t, err, c.kind, c.words...)
		})
	}
	h = openHost(t, Config{Generator: generator(nil)})
	m = admit(t, h, guestModule(t), true)
	_, err = h.Node(t.Context(), m, NodeSpec{Type: "probe", Grant: all, Assets: map[string]Asset{"corpus": {Digest: "00", Path: path}}})
	wantFault(t, err, fault.Corrupt, "assets.corpus", path)
	_, err = h.Node(t.Context(), m, NodeSpec{Type: "probe", Grant: all, Assets: map[string]Asset{"corpus": {Digest: "00", Path: path + "x"}}})
	wantFault(t, err, fault.NotFound, "assets.corpus")
	_, err = h.Node(t.Context(), m, NodeSpec{Type: "probe", Grant: Grant{Random: true, Generate: true}, Assets: dataAsset("x")})
	wantFault(t, err, fault.Denied, "grant.clock")
}

func dataAsset(text string) map[string]Asset {
	sum := sha256.Sum256([]byte(text))
	return map[string]Asset{"corpus": {Digest: hex.EncodeToString(sum[:]), Data: strings.NewReader(text), Size: int64(len(text))}}
}

// generator is a Generator as a function; nil echoes the request as the answer.
type generator func(ctx context.Context, req []byte, trail *run.Trail) ([]byte, error)

func (g generator) Generate(ctx context.Context, req []byte, trail *run.Trail) ([]byte, error) {
	if g == nil {
		trail.Calls = append(trail.Calls, run.ModelCall{Model: "m", Usage: run.Usage{Calls: 1}})
		return []byte(`{"text":"an answer"}`), nil
	}
	return g(ctx, req, trail)
}

type mapState map[string][]byte

func (m mapState) Get(key string) ([]byte, bool) { v, ok := m[key]; return v, ok }
func (m mapState) Set(key string, value []byte) error {
	if key == "locked" {
		return errors.New("no")
	}
	m[key] = value
	return nil
}

// TestHostCalls makes every host call from a Go guest, granted and not.
func TestHostCalls(t *testing.T) {
	var asked []byte
	g := generator(func(ctx context.Context, req []byte, trail *run.Trail) ([]byte, error) {
		asked = req
		if _, ok := ctx.Deadline(); !ok {
			return nil, fault.New(fault.Internal, "", "no deadline")
		}
		return generator(nil).Generate(ctx, req, trail)
	})
	h := openHost(t, Config{Generator: g})
	m := admit(t, h, guestModule(t), true)
	path := filepath.Join(t.TempDir(), "corpus")
	text := strings.Repeat("0123456789", 7000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	n := newNode(t, h, m, NodeSpec{Type: "probe", Grant: Grant{Clock: true, Random: true, Generate: true}, Timeout: 10 * time.Second,
		Assets: map[string]Asset{"corpus": {Digest: hex.EncodeToString(sum[:]), Path: path}}})
	info := &run.Info{ID: run.ID{1}, TraceID: run.ID{2}, Graph: "g", Version: "1.0.0", Kind: run.Experiment}
	s := do("host")
	s.Info, s.State, s.Attempt = info, mapState{}, 2
	out, err := n.RunNode(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	r := decode[map[string]any](t, out)
	want := map[string]any{"set": true, "get": `{"v":1}`, "missing": true, "now": true, "clock": float64(time.Now().Year()), "asset": text, "generate": "an answer",
		"info": `{"run_id":"` + info.ID.String() + `","trace_id":"` + info.TraceID.String() + `","graph":"g","version":"1.0.0","node":"n","attempt":2,"kind":"experiment"}`}
	for key, v := range want {
		if r[key] != v {
			t.Errorf("%s = %.200v, want %.200v (%v)", key, r[key], v, r[key+"_error"])
		}
	}
	if e, _ := r["other_error"].(string); !strings.HasPrefix(e, "not_found") {
		t.Errorf("other asset: %v", r["other_error"])
	}
	if random, _ := r["random"].(string); len(random) != 32 || random == strings.Repeat("0", 32) {
		t.Errorf("random %v", r["random"])
	}
	if !bytes.Contains(asked, []byte("hello")) {
		t.Errorf("model was asked %s", asked)
	}
	tr := s.Trail
	if len(tr.Logs) != 1 || tr.Logs[0].Level != "warn" || tr.Logs[0].Msg != "a line" {
		t.Errorf("logs %+v", tr.Logs)
	}
	if len(tr.Metrics) != 1 || tr.Metrics[0].Name != "docs" || tr.Metrics[0].Value != 2.5 || tr.Metrics[0].Unit != "1" || tr.Metrics[0].Agg != run.Histogram {
		t.Errorf("metrics %+v", tr.Metrics)
	}
	wantAttrs := []run.Attr{run.String("color", "red"), run.Int("size", 7), run.Float("ratio", 0.5), run.Int("spark.dropped", 1)}
	if len(tr.Attrs) != 4 || tr.Attrs[0] != wantAttrs[0] || tr.Attrs[1] != wantAttrs[1] || tr.Attrs[2] != wantAttrs[2] || tr.Attrs[3] != wantAttrs[3] {
		t.Errorf("attrs %+v", tr.Attrs)
	}
	if len(tr.Events) != 1 || tr.Events[0].Type != "seen" || len(tr.Events[0].Attrs) != 4 || tr.Events[0].Attrs[3] != run.Float("f", 1.5) {
		t.Errorf("events %+v", tr.Events)
	}
	if len(tr.Calls) != 1 {
		t.Errorf("calls %+v", tr.Calls)
	}

	// Without grants the guest learns nothing, twice the same nothing.
	bare := newNode(t, h, m, NodeSpec{Type: "plain", Grant: Grant{Clock: true, Random: true, Generate: true}, Assets: dataAsset("x")})
	s = do("host")
	s.State = mapState{}
	if out, err = bare.RunNode(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r = decode[map[string]any](t, out)
	for _, key := range []string{"random", "asset", "generate", "other"} {
		if e, _ := r[key+"_error"].(string); !strings.HasPrefix(e, "denied") {
			t.Errorf("%s: %v %v, want denied", key, r[key], e)
		}
	}
	if r["now"] != false || r["clock"] != 2022.0 {
		t.Errorf("time seen without the capability: %v, %v", r["now"], r["clock"])
	}
	if e, _ := r["info_error"].(string); !strings.HasPrefix(e, "not_found") {
		t.Errorf("run info without a run: %v", r["info_error"])
	}
}

func TestGenerateErrors(t *testing.T) {
	var answer error
	h := openHost(t, Config{Generator: generator(func(ctx context.Context, _ []byte, _ *run.Trail) ([]byte, error) {
		if answer == nil {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, answer
	})})
	m := admit(t, h, guestModule(t), true)
	spec := NodeSpec{Type: "probe", Grant: Grant{Clock: true, Random: true, Generate: true}, Assets: dataAsset("x"), Timeout: 10 * time.Second}
	n := newNode(t, h, m, spec)
	for want, err := range map[string]error{
		"unavailable: generate: gateway: down": fault.New(fault.Unavailable, "gateway", "down"),
		"limit: generate: over budget":         fault.New(fault.Limit, "", "over budget"),
		"not_found: generate: no such model":   fault.New(fault.NotFound, "", "no such model"),
	} {
		answer = err
		s := do("host")
		s.State = mapState{}
		out, err := n.RunNode(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if got := decode[map[string]any](t, out)["generate_error"]; got != want {
			t.Errorf("guest saw %q, want %q", got, want)
		}
	}
	answer = nil
	spec.Timeout = 50 * time.Millisecond
	quick := newNode(t, h, m, spec)
	s := do("host")
	s.State = mapState{}
	_, err := quick.RunNode(t.Context(), s)
	wantFault(t, err, fault.Timeout, "node timeout of 50ms")
}

func TestTrailIsBounded(t *testing.T) {
	h := openHost(t, Config{MaxEventsPerSpan: 10})
	n := plainNode(t, h, 0)
	s := do("flood")
	if _, err := n.RunNode(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	tr := s.Trail
	if len(tr.Events) != 10 || len(tr.Metrics) != 10 || len(tr.Logs) != 10 || len(tr.Attrs) != 11 {
		t.Errorf("%d events, %d metrics, %d logs, %d attributes", len(tr.Events), len(tr.Metrics), len(tr.Logs), len(tr.Attrs))
	}
	if last := tr.Attrs[10]; last != run.Int("spark.dropped", 4*990) {
		t.Errorf("last attribute %+v", last)
	}
	if _, err := n.RunNode(t.Context(), &run.Step{Input: []byte(`{"do":"flood"}`)}); err != nil {
		t.Errorf("without a trail: %v", err)
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 5, "abc"}, {"abcdef", 3, "abc"}, {"aäö", 4, "aä"}, {"a\xffb", 9, "a\ufffdb"}, {"€€", 4, "€"}, {"\xff\xff", 1, ""}} {
		if got := clip([]byte(c.in), c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
