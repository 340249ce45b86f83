package wasmhost

import (
	"fmt"
)

// What a charge stands for. A loop or function costs one step and one more for
// every stepSize instructions in it, so that long bodies cannot stretch the
// time between two ticks; instructions whose work is not constant count as many.
const (
	stepSize  = 256
	leafSize  = 32 // a function of at most so many instructions without loop or call is free
	callSize  = 16 // a call counts for the free leaf behind it
	tableSize = 4096
	bulkShift = 9 // bytes of memory.fill and memory.copy a step, as a shift
	bulkChunk = 1 << 20
	initShift = 6 // bytes of memory.init an instruction, as a shift
	maxCost   = 1 << 30
	edgeGroup = 64 // edges that make each edge as much dearer as one local does
	edgeWork  = 8  // what an edge of the control flow costs the compiler besides its locals
)

type editKind uint8

const (
	editCharge editKind = iota // insert a charge of arg instructions
	editIndex                  // replace an index by arg
	editCall                   // replace an instruction by a call of arg
)

type edit struct {
	from, to int
	kind     editKind
	arg      uint32
}

type rewrittenCode struct {
	body         []byte
	usesSegments bool // some instruction names a data segment
}

// code rewrites all function bodies and adds the helpers.
func (w *rewriter) code() (rewrittenCode, error) {
	var c rewrittenCode
	total := 0
	for _, b := range w.bodies {
		total += len(b) + len(b)/8 + 16
	}
	out := make([]byte, 0, total)
	out = appendU32(out, uint32(len(w.bodies))+3)
	f := &body{w: w}
	var scratch []byte
	flow := 0
	for i, b := range w.bodies {
		if err := f.scan(b, len(w.types[w.funcs[i]].params)); err != nil {
			return c, malformed(fmt.Sprintf("function %d", len(w.parsed.imports)+i), err)
		}
		flow += f.flow
		if err := over("control flow of the module (edges times locals)", w.lim.allFlow, flow); err != nil {
			return c, err
		}
		c.usesSegments = c.usesSegments || f.usesSegments
		scratch = f.emit(scratch[:0])
		out = appendU32(out, uint32(len(scratch)))
		out = append(out, scratch...)
	}
	for _, h := range [][]byte{w.tickBody(), w.fillBody(), w.copyBody()} {
		out = appendU32(out, uint32(len(h)))
		out = append(out, h...)
	}
	c.body = out
	return c, nil
}

// body scans one function. Its slices are reused for the next.
type body struct {
	w            *rewriter
	src          []byte
	edits        []edit
	control      []open // open blocks
	owners       []int  // edits that own the instructions being counted
	usesSegments bool
	flow         int // edges times what is alive along each
}

// open is what an open block is: a loop, and whether a charge of its own counts
// the instructions in it.
type open struct{ loop, owns bool }

// scan walks the body of a function with so many parameters and collects what to
// change.
func (f *body) scan(src []byte, params int) error {
	f.src, f.edits, f.control, f.owners, f.usesSegments = src, f.edits[:0], f.control[:0], f.owners[:0], false
	lim := &f.w.lim
	r := &reader{b: src}
	locals := uint64(params)
	for range r.count() {
		locals += uint64(r.u32())
		r.byte()
	}
	if locals > uint64(lim.locals) {
		return tooLarge("number of locals of a function", lim.locals, int(min(locals, 1<<40)))
	}
	// The entry charge comes first; it is taken back by a loop that is reached
	// without a branch, and for a small leaf.
	f.edits = append(f.edits, edit{from: r.pos, to: r.pos, kind: editCharge})
	f.owners = append(f.owners, 0)
	f.control = append(f.control, open{owns: true})
	const dropped = -1
	straight, leaf, calls := true, true, 0
	edges, arity, loops, nested := 0, 0, 0, 0
	for len(f.control) > 0 {
		if r.err != nil {
			return r.err
		}
		from := r.pos
		op := r.byte()
		cost := uint32(1)
		switch op {
		case opBlock, opIf, opLoop:
			arity = max(arity, f.w.arity(r.signed(33)))
			edges, nested = edges+1, nested+loops
			if err := over("nesting of blocks", lim.nesting, len(f.control)); err != nil {
				return err
			}
			owns := op == opLoop
			if op == opLoop {
				leaf = false
				loops++
				f.edits = append(f.edits, edit{from: r.pos, to: r.pos, kind: editCharge})
				if i := len(f.edits) - 1; straight {
					f.edits[i].arg = f.edits[0].arg
					f.edits[0].to = dropped
					f.owners[0], owns, straight = i, false, false
				} else {
					f.owners = append(f.owners, i)
				}
			}
			straight = straight && op == opBlock
			f.control = append(f.control, open{loop: op == opLoop, owns: owns})
		case opElse:
		case opEnd:
			last := len(f.control) - 1
			if f.control[last].owns && last > 0 {
				f.owners = f.owners[:len(f.owners)-1]
			}
			if f.control[last].loop {
				loops--
			}
			f.control = f.control[:last]
		case opBr, opBrIf:
			r.u32()
			edges, nested = edges+1, nested+loops
			straight = false
		case opBrTable:
			n := r.count()
			if err := over("number of targets of a br_table", lim.targets, n); err != nil {
				return err
			}
			for range n + 1 {
				r.u32()
			}
			edges, nested = edges+n+1, nested+loops
			straight = false
		case opReturn:
			straight = false
		case opCall:
			at := r.pos
			i := r.u32()
			f.edits = append(f.edits, edit{from: at, to: r.pos, kind: editIndex, arg: f.w.moved(i)})
			leaf, straight, cost = false, false, callSize
			calls++
		case opCallIndirect:
			r.u32()
			r.u32()
			leaf, straight, cost = false, false, callSize
			calls++
		case opRefFunc:
			at := r.pos
			i := r.u32()
			f.edits = append(f.edits, edit{from: at, to: r.pos, kind: editIndex, arg: f.w.moved(i)})
		case opMisc:
			cost = f.misc(r, from)
			leaf = leaf && cost == 1
		default:
			r.plain(op)
		}
		owner := &f.edits[f.owners[len(f.owners)-1]].arg
		*owner = min(*owner+cost, maxCost)
		if len(f.control) == 0 {
			break
		}
	}
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes after the end of the function", r.left())
	}
	if leaf && f.edits[0].arg <= leafSize {
		f.edits[0].to = dropped
	}
	f.flow = edges*(edgeWork+int(locals)+arity+edges/edgeGroup) + nested
	if err := over("control flow of a function (edges times locals)", lim.flow, f.flow); err != nil && r.err == nil {
		return err
	}
	if n := (calls + len(f.edits)) * (f.w.mutable + 1); n > lim.reloads {
		return tooLarge("number of calls of a function times mutable globals", lim.reloads, n)
	}
	return r.err
}

// misc steps over an instruction with prefix 0xfc and returns its cost.
func (f *body) misc(r *reader, from int) uint32 {
	switch sub := r.u32(); sub {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		return 1
	case miscMemoryInit:
		i := r.u32()
		r.byte()
		f.usesSegments = true
		if int64(i) >= int64(len(f.w.data)) {
			return 1 // the compiler's validation refuses it
		}
		return 1 + uint32(len(f.w.data[i].data))>>initShift
	case miscDataDrop:
		r.u32()
		f.usesSegments = true
		return 1
	case miscMemoryCopy:
		r.byte()
		r.byte()
		f.edits = append(f.edits, edit{from: from, to: r.pos, kind: editCall, arg: f.w.copy})
		return callSize
	case miscMemoryFill:
		r.byte()
		f.edits = append(f.edits, edit{from: from, to: r.pos, kind: editCall, arg: f.w.fill})
		return callSize
	case miscTableInit, miscTableCopy:
		r.u32()
		r.u32()
		return tableSize
	case miscElemDrop, miscTableSize:
		r.u32()
		return 1
	case miscTableGrow, miscTableFill:
		r.u32()
		return tableSize
	default:
		r.fail("unknown instruction 0xfc %#x", sub)
		return 1
	}
}

// emit appends the rewritten body to out.
func (f *body) emit(out []byte) []byte {
	last := 0
	for _, e := range f.edits {
		if e.to < 0 {
			continue
		}
		out = append(out, f.src[last:e.from]...)
		last = e.to
		switch e.kind {
		case editCharge:
			out = f.w.charge(out, 1+e.arg/stepSize)
		case editIndex:
			out = appendU32(out, e.arg)
		case editCall:
			out = appendU32(append(out, opCall), e.arg)
		}
	}
	return append(out, f.src[last:]...)
}

// charge appends: counter -= steps; if counter < 0 { tick() }.
func (w *rewriter) charge(out []byte, steps uint32) []byte {
	out = appendU32(append(out, opGlobalGet), w.counter)
	out = appendS32(append(out, opI32Const), int32(steps))
	return w.settle(append(out, opI32Sub))
}

// settle appends: counter = top of the stack; if counter < 0 { tick() }.
func (w *rewriter) settle(out []byte) []byte {
	out = appendU32(append(out, opGlobalSet), w.counter)
	out = appendU32(append(out, opGlobalGet), w.counter)
	out = append(out, opI32Const, 0, opI32LtS, opIf, blockVoid)
	out = appendU32(append(out, opCall), w.tick)
	return append(out, opEnd)
}

func (w *rewriter) tickBody() []byte {
	out := appendU32([]byte{0, opCall}, w.fuel)
	out = appendS32(append(out, opI32Const), int32(w.interval))
	out = appendU32(append(out, opGlobalSet), w.counter)
	return append(out, opEnd)
}

// noMemory is the body of fill and copy in a module without memory, which
// cannot contain those instructions.
var noMemory = []byte{0, opEnd}

// Operands of fill and copy: 0 the destination, 1 the value or source, 2 the
// length.

// bulkPrologue charges for the length, and ends the function with the plain
// instruction when one chunk is enough or an operand leaves the memory, so that
// the instruction itself decides and nothing is half-written.
func (w *rewriter) bulkPrologue(instruction []byte, pointers ...byte) []byte {
	out := appendU32([]byte{0, opGlobalGet}, w.counter)
	out = append(out, opLocalGet, 2, opI32Const, bulkShift, opI32ShrU, opI32Sub)
	out = w.settle(out)
	out = append(out, opLocalGet, 2)
	out = append(appendS32(append(out, opI32Const), bulkChunk), opI32LeU)
	for _, p := range pointers {
		out = append(out, opLocalGet, p, opI64ExtendU, opLocalGet, 2, opI64ExtendU, opI64Add,
			opMemorySize, 0, opI64ExtendU, opI64Const, 16, opI64Shl, opI64GtU, opI32Or)
	}
	out = append(out, opIf, blockVoid, opLocalGet, 0, opLocalGet, 1, opLocalGet, 2)
	out = append(out, instruction...)
	return append(out, opReturn, opEnd)
}

// addTo appends: local += n.
func addTo(out []byte, local byte, n int32) []byte {
	out = appendS32(append(out, opLocalGet, local, opI32Const), n)
	return append(out, opI32Add, opLocalSet, local)
}

// again appends: tick(); if length > chunk { continue the loop }.
func (w *rewriter) again(out []byte) []byte {
	out = appendU32(append(out, opCall), w.tick)
	out = append(appendS32(append(out, opI32Const), bulkChunk), opLocalGet, 2)
	return append(out, 0x49 /* i32.lt_u */, opBrIf, 0, opEnd)
}

func chunk(out []byte) []byte { return appendS32(append(out, opI32Const), bulkChunk) }

func (w *rewriter) fillBody() []byte {
	if !w.memory {
		return noMemory
	}
	fill := []byte{opMisc, miscMemoryFill, 0}
	out := w.bulkPrologue(fill, 0)
	out = append(out, opLoop, blockVoid, opLocalGet, 0, opLocalGet, 1)
	out = append(chunk(out), fill...)
	out = addTo(out, 0, bulkChunk)
	out = addTo(out, 2, -bulkChunk)
	out = w.again(out)
	out = append(out, opLocalGet, 0, opLocalGet, 1, opLocalGet, 2)
	return append(append(out, fill...), opEnd)
}

// copyBody copies upwards when the destination lies below the source, else
// downwards, so that overlapping ranges come out as from one instruction.
func (w *rewriter) copyBody() []byte {
	if !w.memory {
		return noMemory
	}
	cp := []byte{opMisc, miscMemoryCopy, 0, 0}
	out := w.bulkPrologue(cp, 0, 1)
	out = append(out, opLocalGet, 0, opLocalGet, 1, opI32LeU, opIf, blockVoid)
	out = append(out, opLoop, blockVoid, opLocalGet, 0, opLocalGet, 1)
	out = append(chunk(out), cp...)
	out = addTo(out, 0, bulkChunk)
	out = addTo(out, 1, bulkChunk)
	out = addTo(out, 2, -bulkChunk)
	out = w.again(out)
	out = append(out, opElse, opLoop, blockVoid)
	out = addTo(out, 2, -bulkChunk)
	out = append(out, opLocalGet, 0, opLocalGet, 2, opI32Add, opLocalGet, 1, opLocalGet, 2, opI32Add)
	out = append(chunk(out), cp...)
	out = w.again(out)
	out = append(out, opEnd, opLocalGet, 0, opLocalGet, 1, opLocalGet, 2)
	return append(append(out, cp...), opEnd)
}

// interval bounds: a shorter one only costs, a longer one breaks the promise on
// pauses.
const (
	minInterval     = 1_000
	defaultInterval = 20_000
	maxInterval     = 100_000
)
