package node

import (
	"math/bits"
	"unsafe"
)

// JSON text is looked at eight bytes at a time: in WASM, where every branch is
// dear, that costs about as much as one byte does. Source: Lamport 1975, Multiple
// byte processing with full-word instructions, CACM 18:8.
const (
	ones  = 0x0101010101010101
	lows  = 0x7f7f7f7f7f7f7f7f
	highs = 0x8080808080808080
)

// load returns the eight bytes from b[i] on, the first one lowest, with zeros
// behind the end of b. It takes the machine to be little-endian, as WASM, amd64
// and arm64 are; encoding/binary does not, and is not inlined here.
func load(b []byte, i int) uint64 {
	if i > len(b)-8 {
		return loadEnd(b, i)
	}
	return *(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}

//go:noinline
func loadEnd(b []byte, i int) uint64 {
	n := len(b) - i // of the bytes, less than 8
	p := unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i)
	switch {
	case n <= 0:
		return 0
	case len(b) >= 8:
		return *(*uint64)(unsafe.Add(p, n-8)) >> (64 - 8*n)
	case n >= 4:
		return uint64(*(*uint32)(p)) | uint64(*(*uint32)(unsafe.Add(p, n-4)))<<(8*n-32)
	case n >= 2:
		return uint64(*(*uint16)(p)) | uint64(*(*uint16)(unsafe.Add(p, n-2)))<<(8*n-16)
	}
	return uint64(b[i])
}

// first returns how many bytes of a word stand before the first one that is
// marked, 8 when none is.
func first(marks uint64) int { return bits.TrailingZeros64(marks) >> 3 }

// inString marks quotes, backslashes and control characters. Of the marks only
// the first one counts; so it is with the two below.
func inString(w uint64) uint64 {
	quote, slash := w^ones*'"', w^ones*'\\'
	return ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// notPlain marks what a string is not written with as it is, and what is not
// ASCII.
func notPlain(w uint64) uint64 { return inString(w) | w&highs }

// quotes marks quotes and backslashes.
func quotes(w uint64) uint64 {
	quote, slash := w^ones*'"', w^ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// ends marks what may stand behind a number or a name: a comma, a closing bracket
// or space; zeros, too.
func ends(w uint64) uint64 {
	comma, right := w^ones*',', (w|ones*0x20)^ones*'}'
	return ((w-ones*0x21)&^w | (comma-ones)&^comma | (right-ones)&^right) & highs
}

// zeros marks every byte that is 0.
func zeros(w uint64) uint64 { return ^((w&lows + lows) | w | lows) }

// skipSpace returns the index of the first byte from i on that is no space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && isSpace(b[i]) {
		i++
	}
	return i
}

// skip returns the index behind the value that starts at b[i]. The text was
// checked before, here and below.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		i, _ = skipString(b, i)
		return i
	case '{', '[':
		return skipBrackets(b, i)
	}
	for {
		m := ends(load(b, i))
		if i += first(m); m != 0 {
			return min(i, len(b))
		}
	}
}

// skipString returns the index behind the string that starts at b[i], and whether
// it has escapes.
func skipString(b []byte, i int) (end int, escaped bool) {
	for i++; ; {
		m := quotes(load(b, i))
		if i += first(m); m == 0 {
			continue
		}
		if b[i] == '"' {
			return i + 1, escaped
		}
		i += 2 // a backslash and what it escapes
		escaped = true
	}
}

// skipBrackets returns the index behind the array or object that starts at b[i].
// Bytes with an odd number of quotes before them stand in a string; brackets among
// them do not count.
func skipBrackets(b []byte, i int) int {
	depth, inside := 0, uint64(0)
	for {
		w, n := load(b, i), 8
		if slash := zeros(w ^ ones*'\\'); slash != 0 {
			n = first(slash)
			w &= 1<<(8*n) - 1
			n += 2 // a backslash and what it escapes
		}
		quoted := zeros(w ^ ones*'"')
		quoted ^= quoted << 8
		quoted ^= quoted << 16
		quoted ^= quoted<<32 ^ inside
		inside = uint64(int64(quoted)>>63) & highs
		curly := w | ones*0x20 // as which square brackets count, too
		open, shut := zeros(curly^ones*'{')&^quoted, zeros(curly^ones*'}')&^quoted
		if k := bits.OnesCount64(shut); k == 0 || k < depth {
			depth += bits.OnesCount64(open) - k
		} else {
			for m := open | shut; m != 0; m &= m - 1 {
				if open&m&-m != 0 {
					depth++
				} else if depth--; depth == 0 {
					return i + first(m) + 1
				}
			}
		}
		i += n
	}
}
