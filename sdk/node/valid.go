package node

import (
	"math/bits"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

// MaxDepth is how deep arrays and objects may nest in a document.
const MaxDepth = 64

// check returns an Invalid fault unless b is exactly one JSON value (RFC 8259)
// in valid UTF-8, nested at most MaxDepth deep.
func check(b []byte) error {
	if !utf8.Valid(b) {
		return fault.New(fault.Invalid, "", "document is not valid UTF-8")
	}
	i, d := scan(b)
	switch {
	case d == none:
		return nil
	case d == notJSON && i >= len(b):
		return fault.New(fault.Invalid, "", "document ends too early, after %d bytes", len(b))
	}
	return fault.New(fault.Invalid, "", "%s at byte %d", defects[d], i)
}

// defect is what is wrong at a byte of a text.
type defect uint8

const (
	none defect = iota
	notJSON
	control
	escape
	leadingZero
	tooDeep
	trailing
)

var defects = [...]string{notJSON: "not JSON", control: "control character in a string", escape: "bad escape",
	leadingZero: "number with a leading zero", tooDeep: "nested deeper than 64", trailing: "unexpected data after the document"}

// scan walks over the JSON text b up to its first defect and returns where that
// is. It keeps its state in local variables and calls little: in WASM, calls and
// what a receiver points to are dear.
func scan(b []byte) (i int, d defect) {
	open, depth := uint64(0), 0 // one bit for each open bracket, 1 for an object
	for {
		if i = skipSpace(b, i); i == len(b) {
			return i, notJSON
		}
		if open&1 == 1 { // at a key
			if b[i] != '"' {
				return i, notJSON
			}
			if end := i + 1 + first(inString(load(b, i+1))); end < len(b) && b[end] == '"' {
				i = end + 1
			} else if i, d = scanString(b, i+1); d != none {
				return i, d
			}
			if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
				return i, notJSON
			}
			if i = skipSpace(b, i+1); i == len(b) {
				return i, notJSON
			}
		}
		switch ch := b[i]; {
		case ch == '"':
			if end := i + 1 + first(inString(load(b, i+1))); end < len(b) && b[end] == '"' {
				i = end + 1
			} else if i, d = scanString(b, i+1); d != none {
				return i, d
			}
		case ch == '-' || ch-'0' < 10:
			if i, d = scanNumber(b, i); d != none {
				return i, d
			}
		case ch == '{' || ch == '[':
			if depth == MaxDepth {
				return i, tooDeep
			}
			depth++
			open = open<<1 | uint64(ch>>5&1) // { is 0x7b, [ is 0x5b
			if i = skipSpace(b, i+1); i == len(b) || b[i] != ch+2 {
				continue
			}
		case ch == 't' && word(b, i, "true"), ch == 'n' && word(b, i, "null"):
			i += 4
		case ch == 'f' && word(b, i, "false"):
			i += 5
		default:
			return i, notJSON
		}
		// Behind a value, or at the end of an empty array or object.
		for {
			i = skipSpace(b, i)
			if depth == 0 || i == len(b) {
				return i, atEnd(b, i, depth)
			}
			ch := b[i]
			if ch == ',' {
				i++
				break
			}
			if ch != ']'+byte(open&1)*('}'-']') {
				return i, notJSON
			}
			i++
			depth--
			open >>= 1
		}
	}
}

// atEnd returns what is wrong where no bracket is open or nothing is left.
func atEnd(b []byte, i, depth int) defect {
	switch {
	case depth > 0:
		return notJSON
	case i < len(b):
		return trailing
	}
	return none
}

func word(b []byte, i int, w string) bool { return len(b)-i >= len(w) && string(b[i:i+len(w)]) == w }

// scanString walks over the rest of a string behind its first quote.
func scanString(b []byte, i int) (int, defect) {
	for {
		for {
			m := inString(load(b, i))
			i += bits.TrailingZeros64(m) >> 3
			if m != 0 {
				break
			}
		}
		if i >= len(b) {
			return len(b), notJSON
		}
		switch ch := b[i]; {
		case ch == '"':
			return i + 1, none
		case ch != '\\':
			return i, control
		}
		if i++; i == len(b) {
			return i, notJSON
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if len(b)-i < 5 || hex4(b[i+1:]) < 0 {
				return i, escape
			}
			i += 4
		default:
			return i, escape
		}
		i++
	}
}

// scanNumber walks over a number.
func scanNumber(b []byte, i int) (int, defect) {
	if b[i] == '-' {
		i++
	}
	from := i
	if i = digits(b, i); i == from {
		return i, notJSON
	}
	if i > from+1 && b[from] == '0' {
		return i, leadingZero
	}
	if i < len(b) && b[i] == '.' {
		from = i + 1
		if i = digits(b, from); i == from {
			return i, notJSON
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from = i
		if i = digits(b, i); i == from {
			return i, notJSON
		}
	}
	return i, none
}

// digits returns where the digits at b[i] end.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

func isSpace(ch byte) bool { return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r' }

// hex4 returns the number that the first four bytes write in hex, or -1.
func hex4(b []byte) rune {
	var r rune
	for _, ch := range b[:4] {
		switch {
		case ch >= '0' && ch <= '9':
			r = r<<4 | rune(ch-'0')
		case ch|0x20 >= 'a' && ch|0x20 <= 'f':
			r = r<<4 | rune(ch|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}
