package graph

import (
	"bytes"
	"encoding/json"
)

// The functions of this file find their way through JSON bytes without decoding
// them. They never read past the end and answer -1 where the bytes cannot be
// JSON, but they do not validate what they skip.

// skipSpace returns the index of the first byte at or after i that is no space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at i, or -1.
func skipString(b []byte, i int) int {
	for i++; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n + 1
		escapes := 0
		for k := i - 2; k >= 0 && b[k] == '\\'; k-- {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
	return -1
}

// skipValue returns the index after the value that starts at i, or -1.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; i < len(b); {
			switch b[i] {
			case '"':
				if i = skipString(b, i); i < 0 {
					return -1
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	case ',', ':', '}', ']':
		return -1
	}
	for i < len(b) && !isEnd(b[i]) {
		i++
	}
	return i
}

func isEnd(c byte) bool {
	switch c {
	case ' ', '\n', '\t', '\r', ',', ':', '}', ']', '{', '[', '"':
		return true
	}
	return false
}

// cursor walks the members of one array or object.
type cursor struct {
	b   []byte
	i   int
	bad bool // the bytes are not JSON
}

// next returns the next member; key is nil in an array. It returns false at the
// end and when the bytes are bad.
func (c *cursor) next(object bool) (key, value []byte, ok bool) {
	b := c.b
	if c.i == 0 {
		c.i = skipSpace(b, 1)
		if c.i < len(b) && (b[c.i] == '}' || b[c.i] == ']') {
			return nil, nil, false
		}
	} else {
		c.i = skipSpace(b, c.i)
		switch {
		case c.i < len(b) && b[c.i] == ',':
			c.i = skipSpace(b, c.i+1)
		case c.i < len(b) && (b[c.i] == '}' || b[c.i] == ']'):
			return nil, nil, false
		default:
			c.bad = true
			return nil, nil, false
		}
	}
	if object {
		if c.i >= len(b) || b[c.i] != '"' {
			c.bad = true
			return nil, nil, false
		}
		end := skipString(b, c.i)
		if end < 0 {
			c.bad = true
			return nil, nil, false
		}
		key = b[c.i:end]
		c.i = skipSpace(b, end)
		if c.i >= len(b) || b[c.i] != ':' {
			c.bad = true
			return nil, nil, false
		}
		c.i = skipSpace(b, c.i+1)
	}
	end := skipValue(b, c.i)
	if end < 0 {
		c.bad = true
		return nil, nil, false
	}
	value = b[c.i:end]
	c.i = end
	return key, value, true
}

// keyIs reports whether a quoted key spells want.
func keyIs(quoted []byte, want string) bool {
	if in := quoted[1 : len(quoted)-1]; bytes.IndexByte(in, '\\') < 0 {
		return string(in) == want
	}
	return unquote(quoted) == want
}

// unquote returns the text of a quoted JSON string.
func unquote(quoted []byte) string {
	in := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return string(bytes.ToValidUTF8(in, []byte("\uFFFD")))
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return string(bytes.ToValidUTF8(in, []byte("\uFFFD")))
	}
	return s
}
