package wasmhost

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Section ids of the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

// rank is the place of each section in a module; custom sections stand anywhere.
var rank = [...]int{secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7,
	secStart: 8, secElement: 9, secDataCount: 10, secCode: 11, secData: 12}

// kinds of imports and exports
const (
	externFunc = iota
	externTable
	externMemory
	externGlobal
)

// limits bound what a module may ask of the compiler and of memory before it
// is compiled: compiling cannot be cancelled.
type limits struct {
	module, body, targets, nesting, locals, funcs, params, globals, table int
	reloads                                                               int // calls in a function x mutable globals
	flow, allFlow                                                         int // edges x locals, of a function and of the module
	pages                                                                 uint32
}

// The module size and memory come from the configuration. Bounds on shape stand
// where the compiler's time or memory grows faster than the code: one function of
// 123 KB with 13,000 branches among 1,024 locals took it 51 s and 3.7 GiB. With
// the bounds on control flow the worst found is 1.7 s a function and under a
// minute a module; a Go module of 3.4 MB reaches a third of them. Nesting is wide
// because Go nests one block for each point where a goroutine may resume. Trusted
// modules are what the operator built.
var (
	foreignLimits = limits{body: 128 << 10, targets: 4096, nesting: 4096, locals: 4096, funcs: 100_000, params: 128,
		globals: 1000, table: 65536, reloads: 1 << 20, flow: 400_000, allFlow: 12_000_000}
	trustedLimits = limits{body: 2 << 20, targets: 1 << 16, nesting: 1 << 16, locals: 50_000, funcs: 1_000_000, params: 1000,
		globals: 10_000, table: 1 << 20, reloads: 1 << 24, flow: 40_000_000, allFlow: 1 << 32}
)

type funcType struct{ params, results []byte }

func (t funcType) String() string {
	names := map[byte]string{typeI32: "i32", typeI64: "i64", 0x7d: "f32", 0x7c: "f64", 0x7b: "v128", 0x70: "funcref", 0x6f: "externref"}
	list := func(ts []byte) string {
		var b bytes.Buffer
		for i, t := range ts {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(names[t])
		}
		return b.String()
	}
	return fmt.Sprintf("(%s) -> (%s)", list(t.params), list(t.results))
}

func (t funcType) equal(o funcType) bool {
	return bytes.Equal(t.params, o.params) && bytes.Equal(t.results, o.results)
}

type importDecl struct {
	module, name string
	typ          uint32
}

type exportDecl struct {
	kind  byte
	index uint32
}

type segment struct {
	flag   uint32
	offset uint32 // of an active segment whose offset is a constant
	fixed  bool   // offset is set
	head   []byte // all before the bytes, as it was written
	data   []byte
}

type section struct {
	id   byte
	name string // of a custom section
	body []byte // without the name of a custom section
}

// parsed is a module taken apart, checked against limits.
type parsed struct {
	sections []section
	types    []funcType
	imports  []importDecl
	funcs    []uint32 // type of each function the module defines
	exports  map[string]exportDecl
	globals  int
	mutable  int
	memory   bool
	minPages uint32
	bodies   [][]byte
	data     []segment
	lim      limits
}

func tooLarge(what string, limit, actual int) error {
	return fault.New(fault.Limit, "module", "%s is %d, the limit is %d", what, actual, limit).
		WithHint("build the module smaller or simpler: docs/ABI.md lists the limits")
}

// over is tooLarge when actual passes limit, nil otherwise.
func over(what string, limit, actual int) error {
	if actual > limit {
		return tooLarge(what, limit, actual)
	}
	return nil
}

var preamble = []byte("\x00asm\x01\x00\x00\x00")

// parse takes a module apart. It fails with a Limit fault when a bound of lim
// is passed and with an Invalid fault when the binary is malformed. It reads
// the code only as far as its bodies' sizes.
func parse(wasm []byte, lim limits) (*parsed, error) {
	if err := over("size in bytes", lim.module, len(wasm)); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(wasm, preamble) {
		return nil, fault.New(fault.Invalid, "module", "not a WASM binary of version 1 (it begins with % x)", wasm[:min(len(wasm), 8)]).
			WithHint("build the module for wasip1 as a core module, not as a component")
	}
	p := &parsed{lim: lim, exports: map[string]exportDecl{}}
	r := &reader{b: wasm, pos: len(preamble)}
	last := 0
	for r.err == nil && r.left() > 0 {
		id := r.byte()
		body := r.take(r.u32())
		if r.err != nil {
			break
		}
		s := section{id: id, body: body}
		if id == secCustom {
			n := &reader{b: body}
			s.name = n.name()
			s.body = body[n.pos:]
			if n.err != nil {
				return nil, malformed("custom section", n.err)
			}
		} else {
			if int(id) >= len(rank) || rank[id] <= last {
				r.fail("section %d out of order or unknown", id)
				break
			}
			last = rank[id]
		}
		p.sections = append(p.sections, s)
		if err := p.section(s); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, malformed("module", r.err)
	}
	if len(p.bodies) != len(p.funcs) {
		return nil, malformed("code", fmt.Errorf("%d functions declared, %d bodies", len(p.funcs), len(p.bodies)))
	}
	return p, nil
}

// malformed makes an Invalid fault of a reading error; a fault passes as it is.
func malformed(where string, err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	return fault.Wrap(fault.Invalid, "module", err, "malformed %s", where)
}

func (p *parsed) section(s section) error {
	r := &reader{b: s.body}
	var what string
	var err error
	switch s.id {
	case secType:
		what, err = "type section", p.readTypes(r)
	case secImport:
		what, err = "import section", p.readImports(r)
	case secFunction:
		what, err = "function section", p.readFuncs(r)
	case secTable:
		what, err = "table section", p.readTables(r)
	case secMemory:
		what, err = "memory section", p.readMemory(r)
	case secGlobal:
		what, err = "global section", p.readGlobals(r)
	case secExport:
		what, err = "export section", p.readExports(r)
	case secElement:
		what = "element section"
		rewriteElements(r, nil, func(i uint32) uint32 { return i })
	case secStart, secDataCount:
		what = "start or data count section"
		r.u32()
	case secCode:
		what, err = "code section", p.readBodies(r)
	case secData:
		what = "data section"
		p.readData(r)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes after the last item", r.left())
	}
	if r.err != nil {
		return malformed(what, r.err)
	}
	return nil
}

func (p *parsed) readTypes(r *reader) error {
	for range r.count() {
		if r.byte() != typeFunc {
			r.fail("only function types are supported")
		}
		t := funcType{params: r.take(r.u32())}
		t.results = r.take(r.u32())
		if err := over("number of parameters or results of a function type", p.lim.params, max(len(t.params), len(t.results))); err != nil {
			return err
		}
		p.types = append(p.types, t)
		if r.err != nil {
			return nil
		}
	}
	return over("number of types", p.lim.funcs, len(p.types))
}

func (p *parsed) readImports(r *reader) error {
	for range r.count() {
		d := importDecl{module: r.name(), name: r.name()}
		kind := r.byte()
		if r.err != nil {
			return nil
		}
		if kind != externFunc {
			return fault.New(fault.Denied, "module", "imports %s.%s, which is not a function", d.module, d.name).
				WithHint("a module brings its own memory, table and globals")
		}
		d.typ = r.u32()
		if int64(d.typ) >= int64(len(p.types)) {
			r.fail("type %d of %d", d.typ, len(p.types))
		}
		p.imports = append(p.imports, d)
	}
	return over("number of imports", p.lim.funcs, len(p.imports))
}

func (p *parsed) readFuncs(r *reader) error {
	n := r.count()
	if err := over("number of functions", p.lim.funcs, n); err != nil {
		return err
	}
	p.funcs = make([]uint32, n)
	for i := range p.funcs {
		p.funcs[i] = r.u32()
		if int64(p.funcs[i]) >= int64(len(p.types)) {
			r.fail("type %d of %d", p.funcs[i], len(p.types))
		}
	}
	return nil
}

func (p *parsed) readTables(r *reader) error {
	n := r.count()
	if err := over("number of tables", 1, n); err != nil {
		return err
	}
	for range n {
		r.byte()
		lo, hi := r.limits()
		if err := over("number of table entries", p.lim.table, int(max(int64(lo), hi))); err != nil {
			return err
		}
	}
	return nil
}

func (p *parsed) readMemory(r *reader) error {
	n := r.count()
	if err := over("number of memories", 1, n); err != nil {
		return err
	}
	for range n {
		p.memory = true
		p.minPages, _ = r.limits()
		if err := over("initial memory in pages of 64 KiB", int(p.lim.pages), int(p.minPages)); err != nil {
			return err
		}
	}
	return nil
}

func (p *parsed) readGlobals(r *reader) error {
	p.globals = r.count()
	if err := over("number of globals", p.lim.globals, p.globals); err != nil {
		return err
	}
	for range p.globals {
		r.byte()
		if r.byte() == 1 {
			p.mutable++
		}
		r.constExpr(func(int, int, uint32) {})
	}
	return nil
}

func (p *parsed) readExports(r *reader) error {
	n := r.count()
	if err := over("number of exports", p.lim.funcs, n); err != nil {
		return err
	}
	for range n {
		name := r.name()
		d := exportDecl{kind: r.byte(), index: r.u32()}
		if _, twice := p.exports[name]; twice {
			r.fail("export %q twice", name)
		}
		p.exports[name] = d
	}
	return nil
}

func (p *parsed) readBodies(r *reader) error {
	for range r.count() {
		n := r.u32()
		if err := over(fmt.Sprintf("size in bytes of function %d", len(p.imports)+len(p.bodies)), p.lim.body, int(n)); err != nil {
			return err
		}
		p.bodies = append(p.bodies, r.take(n))
		if r.err != nil {
			return nil
		}
	}
	return nil
}

func (p *parsed) readData(r *reader) {
	for range r.count() {
		from := r.pos
		s := segment{flag: r.u32()}
		switch s.flag {
		case 0:
			at := r.pos
			r.constExpr(func(int, int, uint32) {})
			if r.err == nil && r.b[at] == opI32Const {
				c := &reader{b: r.b, pos: at + 1}
				s.offset, s.fixed = uint32(c.signed(32)), c.pos+1 == r.pos
			}
		case 1:
		case 2:
			r.u32()
			r.constExpr(func(int, int, uint32) {})
		default:
			r.fail("data segment of kind %d", s.flag)
		}
		s.head = r.b[from:min(r.pos, len(r.b))]
		s.data = r.take(r.u32())
		p.data = append(p.data, s)
		if r.err != nil {
			return
		}
	}
}

// custom returns the body of the custom section called name, or nil.
func (p *parsed) custom(name string) []byte {
	for i := range p.sections {
		if p.sections[i].id == secCustom && p.sections[i].name == name {
			return p.sections[i].body
		}
	}
	return nil
}

// arity returns how many values a block of type t takes and leaves.
func (p *parsed) arity(t int64) int {
	if t < 0 || t >= int64(len(p.types)) {
		return 1
	}
	return len(p.types[t].params) + len(p.types[t].results)
}

// signature returns the type of the function exported as name, or false.
func (p *parsed) signature(name string) (funcType, bool) {
	e, ok := p.exports[name]
	if !ok || e.kind != externFunc {
		return funcType{}, false
	}
	i := int64(e.index)
	if i < int64(len(p.imports)) {
		return p.types[p.imports[i].typ], true
	}
	if i -= int64(len(p.imports)); i < int64(len(p.funcs)) {
		return p.types[p.funcs[i]], true
	}
	return funcType{}, false
}
