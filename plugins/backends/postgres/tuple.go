package postgres

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/backend"
)

// tuples is rows in the binary form of COPY: a count of fields, then each field
// with its length before it, -1 for NULL.
type tuples []byte

var (
	copyHead = append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)
	copyTail = []byte{0xff, 0xff}
)

// epoch is the zero of a timestamptz, in Unix microseconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func (b *tuples) row(fields int)        { *b = binary.BigEndian.AppendUint16(*b, uint16(fields)) }
func (b *tuples) size(n int)            { *b = binary.BigEndian.AppendUint32(*b, uint32(n)) }
func (b *tuples) null()                 { b.size(-1) }
func (b *tuples) int16(v int)           { b.size(2); *b = binary.BigEndian.AppendUint16(*b, uint16(v)) }
func (b *tuples) int32(v int)           { b.size(4); *b = binary.BigEndian.AppendUint32(*b, uint32(clamp(v))) }
func (b *tuples) int64(v int64)         { b.size(8); *b = binary.BigEndian.AppendUint64(*b, uint64(v)) }
func (b *tuples) float(v float64)       { b.int64(int64(math.Float64bits(v))) }
func (b *tuples) bytes(v []byte)        { b.size(len(v)); *b = append(*b, v...) }
func (b *tuples) id(v *backend.ID)      { b.bytes(v[:]) }
func (b *tuples) span(v backend.SpanID) { b.bytes(v[:]) }

// clamp keeps a number that people read within a column; the block has it as it was.
func clamp(v int) int { return max(min(v, math.MaxInt32), math.MinInt32) }

func (b *tuples) bool(v bool) {
	b.size(1)
	if v {
		*b = append(*b, 1)
	} else {
		*b = append(*b, 0)
	}
}

// time writes Unix nanoseconds as a timestamptz, rounded down.
func (b *tuples) time(ns int64) { b.int64(micros(ns) - epoch) }

func micros(ns int64) int64 {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return us
}

func (b *tuples) text(s string) {
	s = quote(s)
	b.size(len(s))
	*b = append(*b, s...)
}

// maybe is text with NULL for the empty one.
func (b *tuples) maybe(s string) {
	if s == "" {
		b.null()
	} else {
		b.text(s)
	}
}

// maybeInt32 and maybeInt64 write NULL for zero.
func (b *tuples) maybeInt32(v int) {
	if v == 0 {
		b.null()
	} else {
		b.int32(v)
	}
}

func (b *tuples) maybeInt64(v int64) {
	if v == 0 {
		b.null()
	} else {
		b.int64(v)
	}
}

// attrs writes a jsonb object, NULL when there are no attributes.
func (b *tuples) attrs(attrs []backend.Attr) { b.object(attrs, "\x01") } // the version of jsonb's binary form

// json is attrs for a column of text.
func (b *tuples) json(attrs []backend.Attr) { b.object(attrs, "") }

func (b *tuples) object(attrs []backend.Attr, head string) {
	if len(attrs) == 0 {
		b.null()
		return
	}
	at := len(*b)
	b.size(0)
	out := append(append(*b, head...), '{')
	for i := range attrs {
		a := &attrs[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendJSON(out, a.Key), ':')
		switch a.Kind {
		case backend.KindInt:
			out = strconv.AppendInt(out, int64(a.Num), 10)
		case backend.KindBool:
			out = strconv.AppendBool(out, a.Num != 0)
		case backend.KindFloat:
			if v := math.Float64frombits(a.Num); math.IsNaN(v) || math.IsInf(v, 0) {
				out = appendJSON(out, strconv.FormatFloat(v, 'g', -1, 64))
			} else {
				out = strconv.AppendFloat(out, v, 'g', -1, 64)
			}
		default:
			out = appendJSON(out, a.Str)
		}
	}
	out = append(out, '}')
	binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
	*b = out
}

// mark begins a text that PostgreSQL would not take as it is.
const mark = `!"`

// plain reports whether PostgreSQL takes s and unquote returns it as it is.
func plain(s string) bool {
	return !strings.HasPrefix(s, mark) && strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// quote returns a text that PostgreSQL takes and from which unquote makes s: s
// itself, or a ! and a Go string literal when s has a NUL, is not UTF-8, or looks
// like such a text.
func quote(s string) string {
	if plain(s) {
		return s
	}
	return "!" + strconv.Quote(s)
}

func unquote(s string) string {
	if !strings.HasPrefix(s, mark) {
		return s
	}
	if v, err := strconv.Unquote(s[1:]); err == nil {
		return v
	}
	return s
}

// appendJSON appends s, quoted for the database if it must be, as a JSON string.
func appendJSON(dst []byte, s string) []byte {
	if simple(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	s = quote(s)
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		if c < ' ' {
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
		from = i + 1
	}
	return append(append(dst, s[from:]...), '"')
}

// simple reports whether s stands in JSON as it is: most texts do, and one look
// tells.
func simple(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s == "" || s[0] != mark[0]
}
