package wasmhost

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/sparkrsi/spark/core/run"
)

// attr reads doc, a JSON scalar, as an attribute called key; false for null and
// for what is no scalar or no JSON. Guests record attributes in their inner
// loops, so plain scalars are read here without a decoder.
func attr(key string, doc []byte) (run.Attr, bool) {
	s := scanner{doc: doc}
	v := s.value()
	if s.bad || s.peek() != 0 || s.at < len(doc) {
		return run.Attr{}, false
	}
	return v.attr(key)
}

// readAttrs returns the scalars of a JSON object in their order and how many
// others it has; a malformed rest, or a document above maxEventDoc, counts as
// one.
func readAttrs(doc []byte) (attrs []run.Attr, lost int) {
	if len(doc) > maxEventDoc {
		return nil, 1
	}
	s := scanner{doc: doc}
	if s.peek() == 0 && s.at == len(doc) {
		return nil, 0
	}
	s.expect('{')
	for first := true; !s.bad && !s.take('}'); first = false {
		if !first {
			s.expect(',')
		}
		if s.peek() != '"' {
			s.bad = true
			break
		}
		key := s.value()
		s.expect(':')
		v := s.value()
		if s.bad {
			break
		}
		a, ok := v.attr(key.text(maxName))
		if !ok || len(attrs) == maxEventAttrs {
			lost++
			continue
		}
		if attrs == nil {
			attrs = make([]run.Attr, 0, min(bytes.Count(doc, comma)+1, maxEventAttrs))
		}
		attrs = append(attrs, a)
	}
	if s.bad || s.peek() != 0 || s.at < len(doc) {
		lost++
	}
	return attrs, lost
}

var comma = []byte{','}

// value is one JSON value as it was written.
type value []byte

// attr returns a scalar as an attribute: integers that fit as such, other
// numbers as floats. False for null, compound values and numbers too large.
func (v value) attr(key string) (run.Attr, bool) {
	switch v[0] {
	case '"':
		return run.String(key, v.text(maxText)), true
	case 't', 'f':
		return run.Bool(key, v[0] == 't'), true
	case 'n', '{', '[':
		return run.Attr{}, false
	}
	if !bytes.ContainsAny(v, ".eE") {
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return run.Int(key, n), true
		}
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return run.Float(key, f), err == nil
}

// text returns what a string says, cut to n bytes.
func (v value) text(n int) string {
	if inner := v[1 : len(v)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return clip(inner, n)
	}
	var s string
	_ = json.Unmarshal(v, &s) // the scanner has found it to be a string
	return clip([]byte(s), n)
}

// scanner walks a JSON document. What is no JSON sets bad; compound values are
// handed to encoding/json to find their ends.
type scanner struct {
	doc []byte
	at  int
	bad bool
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.doc) {
		switch c := s.doc[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) expect(c byte) { s.bad = !s.take(c) || s.bad }

// value steps over one value and returns it.
func (s *scanner) value() value {
	c, from := s.peek(), s.at
	rest := s.doc[from:]
	n := 0
	switch {
	case c == '"':
		n = quoted(rest)
	case c == '-' || c >= '0' && c <= '9':
		n = number(rest)
	case c == '{' || c == '[':
		dec := json.NewDecoder(bytes.NewReader(rest))
		if dec.Decode(new(json.RawMessage)) == nil {
			n = int(dec.InputOffset())
		}
	default:
		for _, word := range []string{"true", "false", "null"} {
			if bytes.HasPrefix(rest, []byte(word)) {
				n = len(word)
			}
		}
	}
	s.at += n
	s.bad = s.bad || n == 0
	return value(rest[:n])
}

// quoted returns the length of the JSON string at the head of b, 0 when there is
// none.
func quoted(b []byte) int {
	escapes := false
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if escapes && !json.Valid(b[:i+1]) {
				return 0
			}
			return i + 1
		case c == '\\':
			escapes = true
			i++
		case c < ' ':
			return 0
		}
	}
	return 0
}

// number returns the length of the JSON number at the head of b, 0 when there is
// none.
func number(b []byte) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[0] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}
