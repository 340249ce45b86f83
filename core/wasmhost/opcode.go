package wasmhost

// Opcodes of the core specification 2.0 that admission looks at. All others
// are only stepped over.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableSet     = 0x26
	opFirstMem     = 0x28 // i32.load
	opLastMem      = 0x3e // i64.store32
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opFirstPlain   = 0x45 // i32.eqz
	opI32LtS       = 0x48
	opI32LeU       = 0x4d
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32Or        = 0x72
	opI32ShrU      = 0x76
	opI64GtU       = 0x56
	opI64Add       = 0x7c
	opI64Shl       = 0x86
	opI64ExtendU   = 0xad
	opLastPlain    = 0xc4 // i64.extend32_s
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVec          = 0xfd

	miscMemoryInit = 8
	miscDataDrop   = 9
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscElemDrop   = 13
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableSize  = 16
	miscTableFill  = 17

	vecConst   = 12
	vecShuffle = 13
	vecLast    = 0xff

	typeI32   = 0x7f
	typeI64   = 0x7e
	typeFunc  = 0x60
	blockVoid = 0x40
)

func (r *reader) memArg() {
	if align := r.u32(); align > 4 {
		r.fail("alignment 2^%d of a memory access", align)
	}
	r.u32()
}

// plain skips the operands of an instruction that neither branches, calls nor
// names a function.
func (r *reader) plain(op byte) {
	switch {
	case op == opUnreachable, op == 0x01, op == 0x1a, op == 0x1b, op == opRefIsNull:
	case op >= opFirstPlain && op <= opLastPlain:
	case op >= opLocalGet && op <= opTableSet:
		r.u32()
	case op >= opFirstMem && op <= opLastMem:
		r.memArg()
	case op == opMemorySize, op == opMemoryGrow:
		r.byte()
	case op == opI32Const:
		r.signed(32)
	case op == opI64Const:
		r.signed(64)
	case op == opF32Const:
		r.take(4)
	case op == opF64Const:
		r.take(8)
	case op == opRefNull:
		r.byte()
	case op == opSelectTyped:
		r.take(r.u32())
	case op == opVec:
		r.vector()
	default:
		r.fail("unknown instruction %#x", op)
	}
}

// vector skips a SIMD instruction after its prefix.
func (r *reader) vector() {
	switch sub := r.u32(); {
	case sub <= 11, sub == 0x5c, sub == 0x5d:
		r.memArg()
	case sub >= 0x54 && sub <= 0x5b:
		r.memArg()
		r.byte()
	case sub == vecConst, sub == vecShuffle:
		r.take(16)
	case sub >= 0x15 && sub <= 0x22:
		r.byte()
	case sub > vecLast:
		r.fail("unknown vector instruction %#x", sub)
	}
}
