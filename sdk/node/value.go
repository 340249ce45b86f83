package node

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Kind says what a Value is.
type Kind uint8

// The kinds of value. Missing is the zero Value: what a lookup that found
// nothing returns.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}

// String returns the kind with its article, fit for a message.
func (k Kind) String() string { return kindNames[k] }

// Value is one value of a JSON document: a view of its text, checked as a whole
// by Parse, in which lookups search when asked. It allocates nothing and is
// valid as long as the text it was parsed from. The zero Value is Missing, and
// every method accepts it, so lookups chain without checks between them. When a
// key stands twice in an object, the first counts.
type Value struct{ raw []byte }

// Parse returns a view of the document b, or an Invalid fault that names the
// byte at which b ceases to be JSON. Time is linear in len(b).
func Parse(b []byte) (Value, error) {
	if err := check(b); err != nil {
		return Value{}, err
	}
	return Value{bytes.Trim(b, " \t\r\n")}, nil
}

// Raw returns the text of v, nil when it is Missing. It must not be changed.
func (v Value) Raw() []byte { return v.raw }

// Kind returns what v is.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return Missing
	}
	switch v.raw[0] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// Get returns the value of key in an object, else Missing.
func (v Value) Get(key string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	b := v.view()
	for i := skipSpace(b, 1); b[i] != '}'; {
		end, escaped := skipString(b, i)
		found := end-i == len(key)+2 && string(b[i+1:end-1]) == key || escaped && Value{b[i:end]}.is(key)
		from := skipSpace(b, skipSpace(b, end)+1)
		end = skip(b, from)
		if found {
			return Value{b[from:end]}
		}
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return Value{}
}

// Path returns the value that a dotted path such as "hits.0.id" leads to:
// object keys and array indexes. The path "." or "" is v itself.
func (v Value) Path(path string) Value {
	if path == "" || path == "." {
		return v
	}
	for more := true; more; {
		var step string
		step, path, more = strings.Cut(path, ".")
		if v.Kind() == Array {
			i, err := strconv.Atoi(step)
			if err != nil {
				return Value{}
			}
			v = v.At(i)
		} else {
			v = v.Get(step)
		}
	}
	return v
}

// At returns element n of an array, from 0, else Missing.
func (v Value) At(n int) Value {
	if v.Kind() != Array {
		return Value{}
	}
	b := v.view()
	for i := skipSpace(b, 1); b[i] != ']'; n-- {
		end := skip(b, i)
		if n == 0 {
			return Value{b[i:end]}
		}
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return Value{}
}

// Len returns the number of elements of an array or members of an object, else 0.
func (v Value) Len() int {
	n := 0
	switch v.Kind() {
	case Array:
		for range v.Items() {
			n++
		}
	case Object:
		for range v.Fields() {
			n++
		}
	}
	return n
}

// Items yields the elements of an array in order, nothing for other kinds.
func (v Value) Items() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		b := v.view()
		for i := skipSpace(b, 1); b[i] != ']'; {
			end := skip(b, i)
			if !yield(Value{b[i:end]}) {
				return
			}
			if i = skipSpace(b, end); b[i] == ',' {
				i = skipSpace(b, i+1)
			}
		}
	}
}

// Fields yields the members of an object in order, nothing for other kinds. The
// keys are String values.
func (v Value) Fields() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		if v.Kind() != Object {
			return
		}
		b := v.view()
		for i := skipSpace(b, 1); b[i] != '}'; {
			keyEnd, _ := skipString(b, i)
			from := skipSpace(b, skipSpace(b, keyEnd)+1)
			end := 0
			if b[from] == '"' {
				end, _ = skipString(b, from)
			} else {
				end = skip(b, from)
			}
			if !yield(Value{b[i:keyEnd]}, Value{b[from:end]}) {
				return
			}
			if i = skipSpace(b, end); b[i] == ',' {
				i = skipSpace(b, i+1)
			}
		}
	}
}

// is reports whether the String v reads s.
func (v Value) is(s string) bool {
	in := v.raw[1 : len(v.raw)-1]
	if string(in) == s {
		return true
	}
	return bytes.IndexByte(in, '\\') >= 0 && string(v.Text()) == s
}

// Text returns what a string reads, nil for other kinds. It is a view of the
// document unless the string has escapes, and must not be changed or kept.
func (v Value) Text() []byte {
	if v.Kind() != String {
		return nil
	}
	if end := 1 + first(quotes(load(v.view(), 1))); end == len(v.raw)-1 {
		return v.raw[1:end] // short, as keys are
	}
	in := v.raw[1 : len(v.raw)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return in
	}
	return v.AppendText(nil)
}

// Str returns what a string reads as a string of its own, "" for other kinds.
func (v Value) Str() string { return string(v.Text()) }

// AppendText appends what a string reads to dst; nothing for other kinds.
// Halves of surrogate pairs read as U+FFFD.
func (v Value) AppendText(dst []byte) []byte {
	if v.Kind() != String {
		return dst
	}
	in := v.raw[1 : len(v.raw)-1]
	for {
		i := bytes.IndexByte(in, '\\')
		if i < 0 {
			return append(dst, in...)
		}
		dst = append(dst, in[:i]...)
		ch := in[i+1]
		in = in[i+2:]
		switch ch {
		case 'b':
			ch = '\b'
		case 'f':
			ch = '\f'
		case 'n':
			ch = '\n'
		case 'r':
			ch = '\r'
		case 't':
			ch = '\t'
		case 'u':
			r := hex4(in)
			in = in[4:]
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if len(in) >= 6 && in[0] == '\\' && in[1] == 'u' {
					low = hex4(in[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					in = in[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, ch)
	}
}

// Float returns the number of v, false for other kinds and for numbers outside
// the range of a float64.
func (v Value) Float() (float64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	if f, ok := short(v.raw); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(view(v.raw), 64)
	return f, err == nil
}

// short returns the number that b writes with at most 15 digits and no exponent,
// as most are; false for others. The digits are an integer below 2^53, which a
// float64 holds, as it does the power of ten, so that the quotient is the nearest
// one. Source: Clinger 1990, How to read floating point numbers accurately.
func short(b []byte) (float64, bool) {
	if len(b) > 17 {
		return 0, false
	}
	n, i, point := int64(0), 0, len(b)-1
	if b[0] == '-' {
		i = 1
	}
	for from := i; i < len(b); i++ {
		ch := b[i] - '0'
		if ch > 9 {
			if b[i] != '.' || i == from {
				return 0, false
			}
			point = i
			continue
		}
		n = n*10 + int64(ch)
	}
	decimals := len(b) - 1 - point
	if decimals >= len(pow10) || n >= 1e15 {
		return 0, false
	}
	f := float64(n) / pow10[decimals]
	if b[0] == '-' {
		f = -f
	}
	return f, true
}

// Int returns the number of v, false for other kinds and for numbers that are
// no integer in the range of an int64. 3.0 and 3e2 are integers.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	if n, err := strconv.ParseInt(view(v.raw), 10, 64); err == nil {
		return n, true
	}
	f, ok := v.Float()
	if !ok || f != float64(int64(f)) || f >= 1<<63 || f < -1<<63 {
		return 0, false
	}
	return int64(f), true
}

// Bool returns the boolean of v, false for other kinds.
func (v Value) Bool() (value, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.raw[0] == 't', true
}

// view returns the document from v on: what was checked ends where v does, and
// more behind it spares looks for the end.
func (v Value) view() []byte { return v.raw[:cap(v.raw)] }

// view returns b as a string that shares its bytes; for calls that keep nothing.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
