package wasmhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sparkrsi/spark/sdk/node/abi"
)

// both is one module twice: as written and with fuel.
type both struct {
	plain, metered api.Module
	ticks          int
}

// startBoth instantiates wasm as it is and rewritten.
func startBoth(t testing.TB, cfg wazero.RuntimeConfig, wasm []byte, interval uint32) *both {
	t.Helper()
	lim := trustedLimits
	lim.module, lim.pages = 64<<20, 4096
	p, err := parse(wasm, lim)
	if err != nil {
		t.Fatal(err)
	}
	metered, err := rewrite(p, interval)
	if err != nil {
		t.Fatal(err)
	}
	b := &both{}
	start := func(wasm []byte) api.Module {
		ctx := context.Background()
		rt := wazero.NewRuntimeWithConfig(ctx, cfg.WithCoreFeatures(api.CoreFeaturesV2))
		t.Cleanup(func() { rt.Close(ctx) })
		return instantiateRaw(t, rt, wasm, func() { b.ticks++ })
	}
	b.plain, b.metered = start(wasm), start(metered)
	return b
}

// instantiateRaw starts wasm in rt with host functions that do nothing, but for
// fuel, and calls nothing.
func instantiateRaw(t testing.TB, rt wazero.Runtime, wasm []byte, fuel func()) api.Module {
	t.Helper()
	ctx := context.Background()
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	host := rt.NewHostModuleBuilder(abi.Host)
	for name, f := range hostFunctions() {
		call := func(context.Context, []uint64) {}
		if name == abi.FuelImport {
			call = func(context.Context, []uint64) { fuel() }
		}
		host.NewFunctionBuilder().WithGoFunction(api.GoFunc(call), f.params, f.results).Export(name)
	}
	if _, err := host.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	mod, err := rt.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

// call calls name in both and fails unless results, crash and memory agree. It
// returns the results, nil after a crash.
func (b *both) call(t testing.TB, name string, args ...uint64) []uint64 {
	t.Helper()
	r1, e1 := b.plain.ExportedFunction(name).Call(context.Background(), args...)
	r2, e2 := b.metered.ExportedFunction(name).Call(context.Background(), args...)
	if (e1 == nil) != (e2 == nil) || !slices.Equal(r1, r2) {
		t.Fatalf("%s%v: %v, %v as written; %v, %v with fuel", name, args, r1, e1, r2, e2)
	}
	if e1 != nil {
		c1, _ := crash(e1)
		c2, _ := crash(e2)
		if c1 != c2 {
			t.Fatalf("%s%v crashes with %q as written, %q with fuel", name, args, c1, c2)
		}
	}
	m1, _ := b.plain.Memory().Read(0, b.plain.Memory().Size())
	m2, _ := b.metered.Memory().Read(0, b.metered.Memory().Size())
	if !bytes.Equal(m1, m2) {
		t.Fatalf("%s%v: memories differ", name, args)
	}
	return r1
}

// TestRewriteMovesIndices has a function index in every place one can stand.
func TestRewriteMovesIndices(t *testing.T) {
	log := asmImport{module: "spark", name: abi.Log, params: []byte{typeI32, typeI32, typeI32}}
	a := &asm{min: 1, imports: []asmImport{log}}
	a.exports = append(a.exports, asmExport{"memory", externMemory, 0})
	ten := a.export("ten", asmFunc{results: one, code: c32(10)})
	eleven := a.export("eleven", asmFunc{results: one, code: c32(11)})
	// Enough functions that indices need two bytes, and 127 becomes 128.
	for len(a.funcs) < 126 {
		a.fn(asmFunc{results: one, code: c32(int32(len(a.funcs)))})
	}
	last := a.export("last", asmFunc{results: one, code: callTo(ten)})
	a.export("sum", asmFunc{results: one, code: cat(callTo(ten), callTo(eleven), []byte{opI32Add}, callTo(last), []byte{opI32Add})})
	indirect := a.export("indirect", asmFunc{params: one, results: one,
		code: []byte{opLocalGet, 0, opCallIndirect, 1 /* type of ten */, 0}})
	a.export("reflected", asmFunc{results: one, code: cat(c32(5), []byte{opRefFunc}, appendU32(nil, last), []byte{opTableSet, 0}, c32(5), callTo(indirect))})
	mark := a.fn(asmFunc{code: cat(c32(100), c32(77), []byte{0x36, 2, 0})})
	a.start = int(mark) + 1
	a.tables = [][]byte{{0x70, 0, 8}}
	ref := func(i uint32) []byte { return append(appendU32([]byte{opRefFunc}, i), opEnd) }
	a.globals = [][]byte{append([]byte{0x70, 0}, ref(last)...), {typeI32, 1, opI32Const, 3, opEnd}}
	a.elems = [][]byte{
		cat([]byte{0, opI32Const, 0, opEnd}, vec(appendU32(nil, ten), appendU32(nil, eleven))),
		cat([]byte{2, 0, opI32Const, 2, opEnd, 0}, vec(appendU32(nil, last))),
		cat([]byte{4, opI32Const, 3, opEnd}, vec(ref(eleven))),
		cat([]byte{6, 0, opI32Const, 4, opEnd, 0x70}, vec(ref(ten), []byte{opRefNull, 0x70, opEnd})),
		cat([]byte{3, 0}, vec(appendU32(nil, last))),
		cat([]byte{1, 0}, vec(appendU32(nil, last))),
		cat([]byte{5, 0x70}, vec(ref(last))),
		cat([]byte{7, 0x70}, vec(ref(last))),
	}
	a.custom = map[string][]byte{
		"name": cat([]byte{0}, sized(sized([]byte("m"))), []byte{1}, sized(vec(cat(appendU32(nil, ten), sized([]byte("ten"))),
			cat(appendU32(nil, last), sized([]byte("last"))))), []byte{2}, sized(vec())),
		"keep.me":     []byte("as it is"),
		".debug_info": []byte("offsets"),
	}
	b := startBoth(t, wazero.NewRuntimeConfig(), a.wasm(), 1000)
	for name, want := range map[string]uint64{"ten": 10, "eleven": 11, "last": 10, "sum": 31, "reflected": 10} {
		if r := b.call(t, name); len(r) != 1 || r[0] != want {
			t.Errorf("%s = %v, want %d", name, r, want)
		}
	}
	for i, want := range []uint64{10, 11, 10, 11, 10, 10} { // 5 was set by reflected or is null
		r := b.call(t, "indirect", uint64(i))
		if i < 5 && (len(r) != 1 || r[0] != want) {
			t.Errorf("indirect(%d) = %v, want %d", i, r, want)
		}
	}
	if v, _ := b.metered.Memory().ReadUint32Le(100); v != 77 {
		t.Errorf("the start function left %d", v)
	}

	lim := trustedLimits
	lim.module, lim.pages = 1<<20, 16
	p, err := parse(a.wasm(), lim)
	if err != nil {
		t.Fatal(err)
	}
	metered, err := rewrite(p, 1000)
	if err != nil {
		t.Fatal(err)
	}
	q, err := parse(metered, lim)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(q.custom("keep.me")); got != "as it is" {
		t.Errorf("custom section %q", got)
	}
	if q.custom(".debug_info") != nil {
		t.Error("debug section with old offsets kept")
	}
	names := q.custom("name")
	want := cat([]byte{1}, sized(vec(cat(appendU32(nil, ten+1), sized([]byte("ten"))), cat(appendU32(nil, last+1), sized([]byte("last"))))))
	if !bytes.HasSuffix(names, want) {
		t.Errorf("names % x", names)
	}
}

// TestRewriteChargesLoopsAndCalls counts ticks: a guest must not get away with
// more than an interval of steps between two.
func TestRewriteChargesLoopsAndCalls(t *testing.T) {
	down := func(body ...byte) []byte { // loop { body; n-- } while n != 0
		return cat([]byte{opLoop, blockVoid}, body, []byte{opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd})
	}
	a := &asm{min: 1}
	a.exports = append(a.exports, asmExport{"memory", externMemory, 0})
	a.export("loop", asmFunc{params: one, code: down()})
	a.export("late loop", asmFunc{params: one, code: cat([]byte{opLocalGet, 0, opIf, blockVoid}, down(), []byte{opEnd})})
	self := uint32(len(a.funcs))
	a.export("recurse", asmFunc{params: one, code: cat([]byte{opLocalGet, 0, opIf, blockVoid, opLocalGet, 0, opI32Const, 1, opI32Sub},
		callTo(self), []byte{opEnd})})
	leaf := a.fn(asmFunc{results: one, code: c32(1)})
	a.export("leaf", asmFunc{params: one, code: down(append(callTo(leaf), 0x1a)...)})
	// A body of 25,600 instructions counts as 101 steps.
	a.export("long body", asmFunc{params: one, code: down(rep(12800, 0x41, 0, 0x1a)...)})
	b := startBoth(t, wazero.NewRuntimeConfig(), a.wasm(), 1000)
	for name, want := range map[string][2]int{
		"loop": {99, 101}, "late loop": {99, 101}, "recurse": {99, 101}, "leaf": {99, 101}, "long body": {9900, 10300},
	} {
		t.Run(name, func(t *testing.T) {
			b.ticks = 0
			n := uint64(100_000)
			b.call(t, name, n)
			if b.ticks < want[0] || b.ticks > want[1] {
				t.Errorf("%d ticks for %d rounds, want %d to %d", b.ticks, n, want[0], want[1])
			}
		})
	}
}

// TestRewriteBulk compares memory.fill and memory.copy of every shape with the
// chunked functions that replace them.
func TestRewriteBulk(t *testing.T) {
	three := []byte{typeI32, typeI32, typeI32}
	args := []byte{opLocalGet, 0, opLocalGet, 1, opLocalGet, 2}
	a := &asm{min: 128}
	a.exports = append(a.exports, asmExport{"memory", externMemory, 0})
	a.export("fill", asmFunc{params: three, code: append(bytes.Clone(args), opMisc, miscMemoryFill, 0)})
	a.export("copy", asmFunc{params: three, code: append(bytes.Clone(args), opMisc, miscMemoryCopy, 0, 0)})
	b := startBoth(t, wazero.NewRuntimeConfig(), a.wasm(), 1000)
	rnd := rand.New(rand.NewPCG(1, 2))
	const size = 128 << 16
	for _, m := range []api.Module{b.plain, b.metered} {
		mem, _ := m.Memory().Read(0, size)
		same := rand.New(rand.NewPCG(3, 4))
		for i := 0; i < size; i += 8 {
			binary.LittleEndian.PutUint64(mem[i:], same.Uint64())
		}
	}
	near := []uint64{0, 1, bulkChunk - 1, bulkChunk, bulkChunk + 1, 2 * bulkChunk, 3*bulkChunk + 7, size - 1, size, size + 1, 1 << 31, 1<<32 - 1}
	pick := func() uint64 {
		if rnd.IntN(3) == 0 {
			return near[rnd.IntN(len(near))]
		}
		return rnd.Uint64N(size)
	}
	crashed := 0
	for range 150 {
		name := []string{"fill", "copy"}[rnd.IntN(2)]
		if b.call(t, name, pick(), pick(), pick()) == nil {
			crashed++
		}
	}
	for _, c := range [][3]uint64{{0, 5, 4 * bulkChunk}, {5, 0, 4 * bulkChunk}, {9, 9, 2*bulkChunk + 1}, {size, 0, 0}, {0, size, 0},
		{1<<32 - 1, 0, bulkChunk + 5}, {0, 1<<32 - 8, 2 * bulkChunk}, {size - bulkChunk - 1, 0, bulkChunk + 1}} {
		b.call(t, "copy", c[0], c[1], c[2])
		b.call(t, "fill", c[0], c[1], c[2])
	}
	if crashed == 0 || crashed == 150 {
		t.Fatalf("%d of 150 crashed: the cases are not mixed", crashed)
	}
	b.ticks = 0
	b.call(t, "fill", 0, 1, size)
	if b.ticks < 7 {
		t.Errorf("%d ticks while 8 MiB are filled", b.ticks)
	}
}

func TestMergeSegments(t *testing.T) {
	at := func(offset int32, s string) []byte {
		return cat([]byte{0}, c32(offset), []byte{opEnd}, sized([]byte(s)))
	}
	for name, c := range map[string]struct {
		data [][]byte
		want int
	}{
		"neighbours":  {[][]byte{at(0, "ab"), at(2, "cd"), at(10, "ef")}, 1},
		"far":         {[][]byte{at(0, "ab"), at(1000, "cd")}, 2},
		"unordered":   {[][]byte{at(1000, "z"), at(0, "ab"), at(4, "cd"), at(1001, "y")}, 2},
		"overlapping": {[][]byte{at(4, "abcdef"), at(0, "012345")}, 2},
		"passive":     {[][]byte{at(0, "a"), at(1, "b"), cat([]byte{1}, sized([]byte("p")))}, 3},
		"at a global": {[][]byte{at(0, "a"), at(1, "b"), cat([]byte{0, opGlobalGet, 0, opEnd}, sized([]byte("p")))}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asm{min: 1, data: c.data, count: true}
			a.exports = append(a.exports, asmExport{"memory", externMemory, 0})
			a.export("f", asmFunc{})
			if name == "at a global" {
				a.imports = nil
				a.globals = [][]byte{{typeI32, 0, opI32Const, 50, opEnd}}
			}
			lim := foreignLimits
			lim.module, lim.pages = 1<<20, 16
			p, err := parse(a.wasm(), lim)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(mergeSegments(p.data)); got != c.want {
				t.Errorf("%d segments, want %d", got, c.want)
			}
			if name != "at a global" { // only imported globals may stand there
				startBoth(t, wazero.NewRuntimeConfig(), a.wasm(), 1000).call(t, "f")
			}
		})
	}
}

// TestRewriteGo runs a Go guest as written and with fuel, interpreted because the
// compiler has the one with fuel in all other tests.
func TestRewriteGo(t *testing.T) {
	b := startBoth(t, wazero.NewRuntimeConfigInterpreter(), guestModule(t), defaultInterval)
	b.call(t, abi.Initialize)
	give := func(doc string) uint64 {
		t.Helper()
		ptr := b.call(t, abi.Alloc, uint64(len(doc)))[0]
		b.plain.Memory().WriteString(uint32(ptr), doc)
		b.metered.Memory().WriteString(uint32(ptr), doc)
		return ptr
	}
	conf := `{"node":"plain","config":{"tag":"x"}}`
	if r := b.call(t, abi.Configure, give(conf), uint64(len(conf))); r[0] != 0 {
		t.Fatalf("configure: %v", r)
	}
	for _, verb := range []string{"echo", "sort", "calls", "fail", "sort", "unknown"} {
		in := fmt.Sprintf(`{"do":%q}`, verb)
		r := b.call(t, abi.Process, give(in), uint64(len(in)))
		if ok := verb != "fail" && verb != "unknown"; ok != (r[0] != 0) {
			t.Errorf("%s: %v", verb, r)
		}
		out, _ := b.metered.Memory().Read(uint32(r[0]>>32), uint32(r[0]))
		if verb == "sort" && !strings.Contains(string(out), `"aaaaaaa"`) && len(out) < 100 {
			t.Errorf("sort: %s", out)
		}
	}
	if b.ticks == 0 {
		t.Error("no ticks")
	}
	if b.call(t, abi.Process, give(`{"do":"panic"}`), 14) != nil {
		t.Error("a panic that does not crash")
	}
}

// FuzzAdmit feeds arbitrary binaries to everything that reads them before the
// compiler does. Whatever the compiler takes as written it takes with fuel.
func FuzzAdmit(f *testing.F) {
	f.Add(newGuest(nil, nil).wasm())
	f.Add(newGuest(cat([]byte{opLoop, blockVoid, opBr, 0, opEnd}, echoCode), nil).wasm())
	vector := newGuest(cat([]byte{opVec, vecConst}, rep(16, 7), []byte{opVec, 0x15, 3, 0x1a}, echoCode), vec([]byte{2, typeI64}))
	vector.tables = [][]byte{{0x70, 1, 1, 4}}
	vector.data = [][]byte{{0, opI32Const, 8, opEnd, 1, 'x'}, {1, 1, 'y'}}
	vector.elems = [][]byte{{0, opI32Const, 0, opEnd, 1, 0}}
	vector.count = true
	vector.custom = map[string][]byte{"name": {0, 2, 1, 'm'}}
	f.Add(vector.wasm())
	bulk := newGuest(cat(c32(0), c32(1), c32(2), []byte{opMisc, miscMemoryFill, 0}, c32(0), c32(1), c32(2), []byte{opMisc, miscMemoryCopy, 0, 0}, echoCode), nil)
	f.Add(bulk.wasm())
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	f.Cleanup(func() { rt.Close(ctx) })
	f.Fuzz(func(t *testing.T, wasm []byte) {
		lim := foreignLimits
		lim.module, lim.pages = 1<<16, 16
		p, err := parse(wasm, lim)
		if err != nil {
			return
		}
		metered, err := rewrite(p, 1000)
		compiled, asWritten := rt.CompileModule(ctx, wasm)
		if asWritten != nil {
			return
		}
		compiled.Close(ctx)
		if err != nil {
			if strings.Contains(err.Error(), "the limit is") {
				return
			}
			t.Fatalf("the compiler takes it, admission says %v", err)
		}
		compiled, err = rt.CompileModule(ctx, metered)
		if err != nil {
			if len(p.bodies) == 0 {
				return // nothing to run, refused for want of exports
			}
			t.Fatalf("with fuel: %v", err)
		}
		compiled.Close(ctx)
	})
}
