package wasmhost

import (
	"slices"
	"testing"

	"github.com/sparkrsi/spark/sdk/node/abi"
)

// asm assembles WASM modules for tests. Function indices count imports first.
type asm struct {
	imports []asmImport
	funcs   []asmFunc
	exports []asmExport
	min     uint32 // pages of memory
	max     uint32 // 0 for none
	noMem   bool
	tables  [][]byte // reftype and limits
	globals [][]byte // type, mutability and expression
	elems   [][]byte
	start   int // function index + 1
	data    [][]byte
	count   bool // write a data count section
	custom  map[string][]byte
}

type asmImport struct {
	module, name    string
	params, results []byte
	kind            byte
}

type asmFunc struct {
	params, results []byte
	locals          []byte // as in the binary: a vector of (count, type); empty for none
	code            []byte // without the final end
}

type asmExport struct {
	name  string
	kind  byte
	index uint32
}

func vec(items ...[]byte) []byte {
	return append(appendU32(nil, uint32(len(items))), slices.Concat(items...)...)
}

func sized(b []byte) []byte { return append(appendU32(nil, uint32(len(b))), b...) }

func (a *asm) fn(f asmFunc) uint32 {
	a.funcs = append(a.funcs, f)
	return uint32(len(a.imports) + len(a.funcs) - 1)
}

func (a *asm) export(name string, f asmFunc) uint32 {
	i := a.fn(f)
	a.exports = append(a.exports, asmExport{name, externFunc, i})
	return i
}

func (a *asm) wasm() []byte {
	var types, imports, funcs, exports, code [][]byte
	typ := func(params, results []byte) []byte {
		types = append(types, slices.Concat([]byte{typeFunc}, sized(params), sized(results)))
		return appendU32(nil, uint32(len(types)-1))
	}
	for _, i := range a.imports {
		desc := []byte{externMemory, 0, 1}
		if i.kind == externFunc {
			desc = append([]byte{externFunc}, typ(i.params, i.results)...)
		}
		imports = append(imports, slices.Concat(sized([]byte(i.module)), sized([]byte(i.name)), desc))
	}
	for _, f := range a.funcs {
		funcs = append(funcs, typ(f.params, f.results))
		locals := f.locals
		if len(locals) == 0 {
			locals = []byte{0}
		}
		code = append(code, sized(slices.Concat(locals, f.code, []byte{opEnd})))
	}
	for _, e := range a.exports {
		exports = append(exports, slices.Concat(sized([]byte(e.name)), []byte{e.kind}, appendU32(nil, e.index)))
	}
	out := slices.Clone(preamble)
	add := func(id byte, items [][]byte) {
		if len(items) > 0 {
			out = appendSection(out, id, vec(items...))
		}
	}
	add(secType, types)
	add(secImport, imports)
	add(secFunction, funcs)
	add(secTable, a.tables)
	if !a.noMem {
		limits := appendU32([]byte{0}, a.min)
		if a.max > 0 {
			limits = appendU32(appendU32([]byte{1}, a.min), a.max)
		}
		add(secMemory, [][]byte{limits})
	}
	add(secGlobal, a.globals)
	add(secExport, exports)
	if a.start > 0 {
		out = appendSection(out, secStart, appendU32(nil, uint32(a.start-1)))
	}
	add(secElement, a.elems)
	if a.count {
		out = appendSection(out, secDataCount, appendU32(nil, uint32(len(a.data))))
	}
	add(secCode, code)
	add(secData, a.data)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range a.custom {
			if !yield(n) {
				return
			}
		}
	}) {
		out = appendSection(out, secCustom, append(sized([]byte(name)), a.custom[name]...))
	}
	return out
}

func c32(v int32) []byte { return appendS32([]byte{opI32Const}, v) }

func c64(v int64) []byte {
	out := []byte{opI64Const}
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func callTo(i uint32) []byte { return appendU32([]byte{opCall}, i) }

var (
	one  = []byte{typeI32}
	two  = []byte{typeI32, typeI32}
	long = []byte{typeI64}
)

// echoCode returns the input: ptr<<32 | len.
var echoCode = []byte{opLocalGet, 0, opI64ExtendU, opI64Const, 32, opI64Shl, opLocalGet, 1, opI64ExtendU, 0x84 /* i64.or */}

// inputAt is where guests of newGuest take their input.
const inputAt = 1024

// newGuest returns a module that echoes, or runs process, with the exports that
// ABI v1 wants. Imports must be given first so that indices are right.
func newGuest(process []byte, locals []byte, imports ...asmImport) *asm {
	a := &asm{min: 1, imports: imports}
	if process == nil {
		process = echoCode
	}
	a.exports = append(a.exports, asmExport{abi.Memory, externMemory, 0})
	a.export(abi.Marker, asmFunc{results: one, code: c32(1)})
	a.export(abi.Alloc, asmFunc{params: one, results: one, code: c32(inputAt)})
	a.export(abi.Configure, asmFunc{params: two, results: one, code: c32(0)})
	a.export(abi.Process, asmFunc{params: two, results: long, locals: locals, code: process})
	return a
}

var testManifest = &abi.Manifest{ABI: 1, Name: "hand", Version: "1.0.0", Nodes: []abi.NodeType{{Type: "hand", Version: "1.0.0",
	Summary: "Made by hand.", Effects: abi.EffectsNone, MemoryMiB: 8}}}

// module returns the assembled guest with a manifest.
func (a *asm) module(t testing.TB) []byte {
	t.Helper()
	wasm, err := abi.AppendManifest(a.wasm(), testManifest)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}
