package words

import (
	"encoding/binary"
	"math/bits"
)

// Text is looked at eight bytes at a time, which in WASM costs little more than
// to look at one. Each function marks bytes by their highest bit.
const (
	ones  = 0x0101010101010101
	lows  = 0x7f7f7f7f7f7f7f7f
	highs = 0x8080808080808080
)

// load returns the eight bytes from b[i] on, the first one lowest, with zeros
// behind the end of b.
func load(b []byte, i int) uint64 {
	if len(b)-i >= 8 {
		return binary.LittleEndian.Uint64(b[i:])
	}
	return loadEnd(b, i)
}

func loadEnd(b []byte, i int) uint64 {
	if len(b) >= 8 && i < len(b) {
		return binary.LittleEndian.Uint64(b[len(b)-8:]) >> (64 - 8*(len(b)-i))
	}
	var w uint64
	for n := len(b) - 1; n >= i; n-- {
		w = w<<8 | uint64(b[n])
	}
	return w
}

// first returns how many bytes stand before the first one that is marked.
func first(marks uint64) int { return bits.TrailingZeros64(marks&highs) >> 3 }

// zeros marks every byte that is 0.
func zeros(w uint64) uint64 { return ^((w&lows + lows) | w | lows) }

// within marks the ASCII characters from lo to hi.
func within(w uint64, lo, hi byte) uint64 {
	x := w & lows
	return (x + ones*uint64(128-int(lo))) &^ (x + ones*uint64(127-int(hi))) &^ w & highs
}

// letters marks ASCII letters.
func letters(w uint64) uint64 { return within(w|ones*0x20, 'a', 'z') }

// digits marks ASCII digits.
func digits(w uint64) uint64 { return within(w, '0', '9') }

// put adds the first n bytes of w to the cutter's memory, which keeps room for
// eight bytes behind them.
func (c *Cutter) put(w uint64, n int) {
	at := len(c.buf)
	if cap(c.buf)-at < 16 {
		c.buf = append(make([]byte, 0, 2*cap(c.buf)+64), c.buf...)
	}
	binary.LittleEndian.PutUint64(c.buf[at:at+8], w)
	c.buf = c.buf[:at+n]
}

// Hash returns a hash of the word w. Words of up to eight bytes never have the
// same, two longer ones with a probability of about 2^-60.
func Hash(w []byte) uint64 {
	h, i := uint64(len(w)), 0
	for ; len(w)-i > 8; i += 8 {
		h = mix(h, binary.LittleEndian.Uint64(w[i:]))
	}
	return mix(h, tail(w, i))
}

// tail returns the last bytes of w from i on, at most eight.
func tail(w []byte, i int) uint64 {
	if cap(w)-i < 8 {
		return loadEnd(w, i)
	}
	return binary.LittleEndian.Uint64(w[i:i+8:i+8]) & (1<<(8*(len(w)-i)) - 1)
}

// mix returns h with x in it, another one for every x. Source of the constant:
// Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators.
func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0xbf58476d1ce4e5b9
	return h ^ h>>29
}
