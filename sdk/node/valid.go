package node

import (
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
	c := checker{b: b}
	c.space()
	if !c.value(0) {
		return c.fault()
	}
	c.space()
	if c.i != len(b) {
		c.why = "unexpected data after the document"
		return c.fault()
	}
	return nil
}

// checker walks over JSON text. Its methods return false at the first defect
// and leave i there.
type checker struct {
	b   []byte
	i   int
	why string
}

func (c *checker) fault() error {
	if c.i >= len(c.b) && c.why == "" {
		return fault.New(fault.Invalid, "", "document ends too early, after %d bytes", len(c.b))
	}
	if c.why == "" {
		c.why = "not JSON"
	}
	return fault.New(fault.Invalid, "", "%s at byte %d", c.why, c.i)
}

func (c *checker) space() {
	for c.i < len(c.b) && isSpace(c.b[c.i]) {
		c.i++
	}
}

// next skips space and returns the byte there, 0 at the end.
func (c *checker) next() byte {
	c.space()
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

func (c *checker) value(depth int) bool {
	switch ch := c.next(); {
	case ch == '"':
		return c.str()
	case ch == '{' || ch == '[':
		if depth == MaxDepth {
			c.why = "nested deeper than 64"
			return false
		}
		c.i++
		return c.items(ch == '{', depth+1)
	case ch == '-' || ch >= '0' && ch <= '9':
		return c.number()
	case ch == 't':
		return c.word("true")
	case ch == 'f':
		return c.word("false")
	case ch == 'n':
		return c.word("null")
	}
	return false
}

// items walks over the rest of an object or array behind its bracket.
func (c *checker) items(object bool, depth int) bool {
	end := byte(']')
	if object {
		end = '}'
	}
	if c.next() == end {
		c.i++
		return true
	}
	for {
		if object {
			if c.next() != '"' || !c.str() || c.next() != ':' {
				return false
			}
			c.i++
		}
		if !c.value(depth) {
			return false
		}
		switch c.next() {
		case ',':
			c.i++
		case end:
			c.i++
			return true
		default:
			return false
		}
	}
}

func (c *checker) word(w string) bool {
	if len(c.b)-c.i < len(w) || string(c.b[c.i:c.i+len(w)]) != w {
		return false
	}
	c.i += len(w)
	return true
}

func (c *checker) str() bool {
	b := c.b
	for i := c.i + 1; i < len(b); i++ {
		switch ch := b[i]; {
		case ch == '"':
			c.i = i + 1
			return true
		case ch < 0x20:
			c.i, c.why = i, "control character in a string"
			return false
		case ch == '\\':
			i++
			if i == len(b) {
				c.i = i
				return false
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if len(b)-i < 5 || hex4(b[i+1:]) < 0 {
					c.i, c.why = i, "bad escape"
					return false
				}
				i += 4
			default:
				c.i, c.why = i, "bad escape"
				return false
			}
		}
	}
	c.i = len(b)
	return false
}

func (c *checker) number() bool {
	if c.b[c.i] == '-' {
		c.i++
	}
	switch n := c.digits(); {
	case n == 0:
		return false
	case n > 1 && c.b[c.i-n] == '0':
		c.why = "number with a leading zero"
		return false
	}
	if c.i < len(c.b) && c.b[c.i] == '.' {
		c.i++
		if c.digits() == 0 {
			return false
		}
	}
	if c.i < len(c.b) && c.b[c.i]|0x20 == 'e' {
		c.i++
		if c.i < len(c.b) && (c.b[c.i] == '+' || c.b[c.i] == '-') {
			c.i++
		}
		return c.digits() > 0
	}
	return true
}

// digits skips digits and returns how many there were.
func (c *checker) digits() int {
	start := c.i
	for c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9' {
		c.i++
	}
	return c.i - start
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
