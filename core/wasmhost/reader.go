package wasmhost

import (
	"encoding/binary"
	"fmt"
)

// reader walks a WASM binary. Its error is sticky: after the first one every
// read yields zero, so callers check once at the end of a unit.
type reader struct {
	b   []byte
	pos int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("offset %d: "+format, append([]any{r.pos}, args...)...)
	}
}

func (r *reader) left() int { return len(r.b) - r.pos }

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= len(r.b) {
		r.fail("unexpected end")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(r.left()) {
		r.fail("%d bytes wanted, %d left", n, r.left())
		return nil
	}
	p := r.b[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return p
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := uint(0); shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			r.fail("number exceeds 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	return 0
}

// signed skips or reads a signed LEB128 number of at most bits bits.
func (r *reader) signed(bits uint) int64 {
	var v int64
	for shift := uint(0); shift < bits; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if shift+7 < 64 && c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
	r.fail("number exceeds %d bits", bits)
	return 0
}

// count reads the length of a vector whose items take at least one byte each,
// so that a lying count cannot make anyone reserve memory.
func (r *reader) count() int {
	n := r.u32()
	if uint64(n) > uint64(r.left()) {
		r.fail("vector of %d items in %d bytes", n, r.left())
		return 0
	}
	return int(n)
}

func (r *reader) name() string { return string(r.take(r.u32())) }

// limits reads minimum and maximum; max is -1 when absent.
func (r *reader) limits() (min uint32, max int64) {
	switch flag := r.byte(); flag {
	case 0:
		return r.u32(), -1
	case 1:
		min = r.u32()
		return min, int64(r.u32())
	default:
		r.fail("limits of kind %#x", flag)
		return 0, -1
	}
}

// constExpr skips a constant expression and reports each function it names as
// the byte range of the index.
func (r *reader) constExpr(fn func(from, to int, index uint32)) {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opI32Const:
			r.signed(32)
		case opI64Const:
			r.signed(64)
		case opF32Const:
			r.take(4)
		case opF64Const:
			r.take(8)
		case opGlobalGet:
			r.u32()
		case opRefNull:
			r.byte()
		case opRefFunc:
			from := r.pos
			i := r.u32()
			fn(from, r.pos, i)
		case opVec:
			if sub := r.u32(); sub != vecConst {
				r.fail("instruction %#x %#x in a constant", op, sub)
			}
			r.take(16)
		default:
			r.fail("instruction %#x in a constant", op)
		}
	}
}

func appendU32(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendS32(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendSection(b []byte, id byte, body []byte) []byte {
	b = append(b, id)
	b = appendU32(b, uint32(len(body)))
	return append(b, body...)
}
