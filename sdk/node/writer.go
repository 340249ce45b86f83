package node

import (
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Writer writes one JSON document into a buffer that the SDK reuses from call
// to call. Commas come by themselves:
//
//	w.Object()
//	w.Key("answer").String("yes")
//	w.Key("scores").Array()
//	w.Float(0.5)
//	w.End()
//	w.End()
//
// A Writer checks nothing: keys only in objects, one End for each Object and
// Array, at most MaxDepth of them open. The zero Writer is ready to use. Not
// safe for concurrent use.
type Writer struct {
	buf   []byte
	open  uint64 // one bit for each open bracket, 1 for an object
	depth int
	next  bool // a value stands before the place of the next one
}

// Reset empties w and keeps its memory.
func (w *Writer) Reset() { w.buf, w.open, w.depth, w.next = w.buf[:0], 0, 0, false }

// Bytes returns what was written, valid until the next call of a method.
func (w *Writer) Bytes() []byte { return w.buf }

// Len returns the number of bytes written.
func (w *Writer) Len() int { return len(w.buf) }

func (w *Writer) sep() {
	if w.next {
		w.buf = append(w.buf, ',')
	}
	w.next = true
}

func (w *Writer) begin(bracket byte, object uint64) {
	w.sep()
	w.buf = append(w.buf, bracket)
	w.open = w.open<<1 | object
	w.depth++
	w.next = false
}

// Object opens an object.
func (w *Writer) Object() { w.begin('{', 1) }

// Array opens an array.
func (w *Writer) Array() { w.begin('[', 0) }

// End closes the object or array opened last.
func (w *Writer) End() {
	bracket := byte(']')
	if w.open&1 == 1 {
		bracket = '}'
	}
	w.buf = append(w.buf, bracket)
	w.open >>= 1
	w.depth--
	w.next = true
}

// Key writes the key of the value that follows and returns w.
func (w *Writer) Key(key string) *Writer {
	w.sep()
	w.buf = append(appendQuoted(w.buf, key), ':')
	w.next = false
	return w
}

// KeyText is Key for bytes.
func (w *Writer) KeyText(key []byte) *Writer { return w.Key(view(key)) }

// Member writes a member as it stands in another object.
func (w *Writer) Member(key, value Value) {
	w.sep()
	w.buf = append(append(append(w.buf, key.raw...), ':'), value.raw...)
}

// String writes a string. Invalid UTF-8 is written as U+FFFD.
func (w *Writer) String(s string) {
	w.sep()
	w.buf = appendQuoted(w.buf, s)
}

// Text writes b as a string, like String.
func (w *Writer) Text(b []byte) {
	w.sep()
	w.buf = appendQuoted(w.buf, view(b))
}

// Int writes an integer.
func (w *Writer) Int(n int64) {
	w.sep()
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

// Float writes a number with the fewest digits that read back as f; null when f
// is infinite or not a number, which JSON cannot write.
func (w *Writer) Float(f float64) {
	w.sep()
	if math.IsInf(f, 0) || math.IsNaN(f) {
		w.buf = append(w.buf, "null"...)
		return
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	w.buf = strconv.AppendFloat(w.buf, f, format, -1, 64)
}

// Fixed writes f rounded to the given number of decimals, 0 to 9. It is cheaper
// than Float and made for scores; beyond 9e15/10^decimals it writes like Float.
func (w *Writer) Fixed(f float64, decimals int) {
	scale := pow10[decimals]
	if !(math.Abs(f)*scale < 9e15) {
		w.Float(f)
		return
	}
	w.sep()
	n := int64(math.Round(f * scale))
	if n < 0 {
		w.buf, n = append(w.buf, '-'), -n
	}
	w.buf = strconv.AppendInt(w.buf, n/int64(scale), 10)
	rest := n % int64(scale)
	if rest == 0 {
		return
	}
	for rest%10 == 0 {
		rest /= 10
		decimals--
	}
	at := len(w.buf)
	w.buf = append(w.buf, ".000000000"[:decimals+1]...)
	for i := len(w.buf) - 1; i > at; i-- {
		w.buf[i] = byte('0' + rest%10)
		rest /= 10
	}
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// Bool writes a boolean.
func (w *Writer) Bool(b bool) {
	w.sep()
	w.buf = strconv.AppendBool(w.buf, b)
}

// Null writes null.
func (w *Writer) Null() {
	w.sep()
	w.buf = append(w.buf, "null"...)
}

// Raw writes a value that is JSON already, as it is.
func (w *Writer) Raw(json []byte) {
	w.sep()
	w.buf = append(w.buf, json...)
}

// Value writes v; null when it is Missing.
func (w *Writer) Value(v Value) {
	if v.Kind() == Missing {
		w.Null()
		return
	}
	w.Raw(v.raw)
}

// closed reports whether every bracket has its End.
func (w *Writer) closed() bool { return w.depth == 0 }

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	from := 0
	for i := 0; ; {
		m := notPlain(load(b, i))
		if i += first(m); m == 0 {
			continue
		}
		if i >= len(b) {
			return append(append(dst, b[from:]...), '"')
		}
		ch := b[i]
		if ch >= utf8.RuneSelf {
			for i < len(b) && b[i] >= utf8.RuneSelf {
				r, n := utf8.DecodeRune(b[i:])
				if r == utf8.RuneError && n == 1 {
					dst = append(append(dst, b[from:i]...), "\uFFFD"...)
					from = i + 1
				}
				i += n
			}
			continue
		}
		dst = append(dst, b[from:i]...)
		switch ch {
		case '"', '\\':
			dst = append(dst, '\\', ch)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&15])
		}
		i++
		from = i
	}
}
