package wasmhost

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/node/abi"
)

// rewriter inserts the fuel counter into a module. It adds
//
//   - an import spark.fuel behind the module's own imports, so every function
//     the module defines moves up by one index;
//   - a mutable global, the steps left until the next call of spark.fuel;
//   - three functions behind the module's own: tick, which calls spark.fuel and
//     refills the counter, and fill and copy, which stand for memory.fill and
//     memory.copy and work in chunks, because one such instruction may touch
//     the whole memory and cannot be interrupted.
//
// A charge is inserted at the head of every loop and at the entry of every
// function that does not run straight into a loop and is not a small leaf.
type rewriter struct {
	*parsed
	interval uint32

	imports          uint32 // functions the module imported itself
	counter          uint32 // index of the global
	fuel             uint32 // indices of functions after the rewrite
	tick, fill, copy uint32
}

// rewrite returns p as a binary with fuel, interval steps between two calls of
// spark.fuel, and with its data segments merged where that changes nothing.
// Debug sections are dropped because their offsets no longer hold; all other
// custom sections survive.
func rewrite(p *parsed, interval uint32) ([]byte, error) {
	w := &rewriter{parsed: p, interval: interval}
	w.imports = uint32(len(p.imports))
	w.counter = uint32(p.globals)
	w.fuel = w.imports
	w.tick = w.imports + 1 + uint32(len(p.funcs))
	w.fill, w.copy = w.tick+1, w.tick+2

	code, err := w.code()
	if err != nil {
		return nil, err
	}
	segments := p.data
	if !code.usesSegments {
		segments = mergeSegments(segments)
	}
	out := make([]byte, 0, len(code.body)+len(code.body)/4)
	out = append(out, preamble...)
	next := secType
	// need writes the sections up to rank upto that the module lacks and the
	// counter needs.
	need := func(upto int) {
		for ; next < upto; next++ {
			for _, id := range []byte{secType, secImport, secFunction, secGlobal} {
				if rank[id] == next {
					out = appendSection(out, id, w.section(id, []byte{0}, segments))
				}
			}
		}
	}
	for _, s := range p.sections {
		switch {
		case s.id == secCustom && s.name == "name":
			out = appendSection(out, secCustom, append(customName(s.name), w.names(s.body)...))
		case s.id == secCustom && strings.HasPrefix(s.name, ".debug_"):
		case s.id == secCustom:
			out = appendSection(out, secCustom, append(customName(s.name), s.body...))
		default:
			need(rank[s.id])
			next = rank[s.id] + 1
			if s.id == secCode {
				out = appendSection(out, secCode, code.body)
			} else {
				out = appendSection(out, s.id, w.section(s.id, s.body, segments))
			}
		}
	}
	need(secDataCount)
	return out, nil
}

func customName(s string) []byte { return append(appendU32(nil, uint32(len(s))), s...) }

// moved returns the index that function i has after the rewrite.
func (w *rewriter) moved(i uint32) uint32 {
	if i < w.imports {
		return i
	}
	return i + 1
}

// Types that are added behind the module's own.
func (w *rewriter) typeNone() uint32 { return uint32(len(w.types)) }
func (w *rewriter) typeBulk() uint32 { return uint32(len(w.types)) + 1 }

func (w *rewriter) section(id byte, body []byte, segments []segment) []byte {
	var out []byte
	switch id {
	case secType:
		return extend(body, 2, []byte{typeFunc, 0, 0, typeFunc, 3, typeI32, typeI32, typeI32, 0})
	case secImport:
		item := append(customName(abi.Host), customName(abi.FuelImport)...)
		item = append(item, externFunc)
		return extend(body, 1, appendU32(item, w.typeNone()))
	case secFunction:
		item := appendU32(nil, w.typeNone())
		item = appendU32(item, w.typeBulk())
		return extend(body, 3, appendU32(item, w.typeBulk()))
	case secTable:
		return w.boundTables(body)
	case secGlobal:
		item := appendS32([]byte{typeI32, 1, opI32Const}, int32(w.interval))
		return extend(body, 1, append(item, opEnd))
	case secExport:
		r := &reader{b: body}
		n := r.count()
		out = appendU32(out, uint32(n))
		for range n {
			from := r.pos
			r.name()
			kind := r.byte()
			out = append(out, body[from:r.pos]...)
			i := r.u32()
			if kind == externFunc {
				i = w.moved(i)
			}
			out = appendU32(out, i)
		}
		return out
	case secStart:
		return appendU32(nil, w.moved((&reader{b: body}).u32()))
	case secElement:
		e := patch{src: body}
		rewriteElements(&reader{b: body}, &e, w.moved)
		return e.done()
	case secDataCount:
		return appendU32(nil, uint32(len(segments)))
	case secData:
		out = appendU32(out, uint32(len(segments)))
		for _, s := range segments {
			out = append(out, s.head...)
			out = appendU32(out, uint32(len(s.data)))
			out = append(out, s.data...)
		}
		return out
	}
	return body
}

// boundTables gives every table a maximum.
func (w *rewriter) boundTables(body []byte) []byte {
	r := &reader{b: body}
	n := r.count()
	out := appendU32(nil, uint32(n))
	for range n {
		out = append(out, r.byte(), 1)
		lo, hi := r.limits()
		if hi < 0 {
			hi = int64(w.lim.table)
		}
		out = appendU32(appendU32(out, lo), uint32(hi))
	}
	return out
}

// extend returns the vector body with n items added that are written as items.
func extend(body []byte, n uint32, items []byte) []byte {
	r := &reader{b: body}
	have := r.u32()
	out := appendU32(make([]byte, 0, len(body)+len(items)+1), have+n)
	out = append(out, body[r.pos:]...)
	return append(out, items...)
}

// patch copies src while some ranges of it are replaced, in ascending order.
type patch struct {
	src, out []byte
	last     int
}

func (p *patch) upto(to int) { p.out, p.last = append(p.out, p.src[p.last:to]...), to }

func (p *patch) index(from, to int, i uint32) {
	p.upto(from)
	p.out, p.last = appendU32(p.out, i), to
}

func (p *patch) done() []byte {
	p.upto(len(p.src))
	return p.out
}

// rewriteElements walks an element section and writes each function index
// through move to out; a nil out only walks.
func rewriteElements(r *reader, out *patch, move func(uint32) uint32) {
	fix := func(from, to int, i uint32) {
		if out != nil && r.err == nil {
			out.index(from, to, move(i))
		}
	}
	for range r.count() {
		flag := r.u32()
		if flag > 7 {
			r.fail("element segment of kind %d", flag)
		}
		if flag&1 == 0 { // active
			if flag&2 != 0 {
				r.u32()
			}
			r.constExpr(fix)
		}
		if flag&3 != 0 {
			r.byte()
		}
		for range r.count() {
			if flag&4 != 0 {
				r.constExpr(fix)
				continue
			}
			from := r.pos
			i := r.u32()
			fix(from, r.pos, i)
		}
		if r.err != nil {
			return
		}
	}
}

// names rewrites the body of the name section: the module's and the functions'
// names stay, with indices moved; all else is dropped. A malformed one is
// dropped as a whole: it is only for people.
func (w *rewriter) names(body []byte) []byte {
	var out []byte
	r := &reader{b: body}
	for r.err == nil && r.left() > 0 {
		id := r.byte()
		sub := r.take(r.u32())
		switch id {
		case 0:
			out = appendSection(out, id, sub)
		case 1:
			e := patch{src: sub}
			n := &reader{b: sub}
			for range n.count() {
				from := n.pos
				i := n.u32()
				to := n.pos
				n.take(n.u32())
				if n.err != nil {
					return nil
				}
				e.index(from, to, w.moved(i))
			}
			out = appendSection(out, id, e.done())
		}
	}
	if r.err != nil {
		return nil
	}
	return out
}

// mergeGap is how many zero bytes between two data segments are cheaper to
// write than a segment of their own.
const mergeGap = 64

// mergeSegments joins neighbouring active segments at constant offsets, filling
// small gaps with zeros. That is what memory holds there anyway as long as no two
// segments overlap; otherwise the input is returned. A Go module has some 30,000
// segments, and each costs time at every start of an instance.
func mergeSegments(in []segment) []segment {
	for _, s := range in {
		if s.flag != 0 || !s.fixed {
			return in
		}
	}
	sorted := slices.Clone(in)
	slices.SortStableFunc(sorted, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	var end uint64
	for _, s := range sorted {
		if uint64(s.offset) < end {
			return in
		}
		end = uint64(s.offset) + uint64(len(s.data))
	}
	var out []segment
	for _, s := range sorted {
		if n := len(out); n > 0 {
			last := &out[n-1]
			gap := uint64(s.offset) - uint64(last.offset) - uint64(len(last.data))
			if gap <= mergeGap {
				last.data = append(append(last.data, make([]byte, gap)...), s.data...)
				continue
			}
		}
		// The three-index slice of data makes the first append copy it.
		out = append(out, s)
	}
	return out
}
