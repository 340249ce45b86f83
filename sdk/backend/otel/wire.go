package otel

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sparkrsi/spark/sdk/backend"
)

// message appends one Protocol Buffers message. Spans are written field by field
// rather than through generated types, which take about thirty times as long.
// Fields that hold their default are left out, as proto3 asks.
type message struct{ b []byte }

// About how many bytes a record and an attribute take: room is made once for a
// whole request.
const (
	recordSize    = 320
	attributeSize = 40
)

// The wire types of fields.
const (
	wireVarint = uint64(protowire.VarintType)
	wireFixed  = uint64(protowire.Fixed64Type)
	wireBytes  = uint64(protowire.BytesType)
)

// tag appends the number and type of a field: one byte for most.
func tag(b []byte, field protowire.Number, kind uint64) []byte {
	return uvarint(b, uint64(field)<<3|kind)
}

func uvarint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, v)
}

// measured appends s with its length before it.
func measured[T string | []byte](b []byte, s T) []byte {
	return append(uvarint(b, uint64(len(s))), s...)
}

func (m *message) uint(field protowire.Number, v uint64) {
	if v != 0 {
		m.b = uvarint(tag(m.b, field, wireVarint), v)
	}
}

func (m *message) fixed(field protowire.Number, v uint64) {
	if v != 0 {
		m.member(field, v)
	}
}

// member is fixed for a field whose presence says something.
func (m *message) member(field protowire.Number, v uint64) {
	m.b = binary.LittleEndian.AppendUint64(tag(m.b, field, wireFixed), v)
}

func (m *message) time(field protowire.Number, ns int64) { m.fixed(field, uint64(max(ns, 0))) }

func (m *message) bytes(field protowire.Number, v []byte) {
	m.b = measured(tag(m.b, field, wireBytes), v)
}

func (m *message) text(field protowire.Number, s string) {
	if s != "" {
		m.string(field, s)
	}
}

// string is text for a field whose presence says something.
func (m *message) string(field protowire.Number, s string) {
	m.b = measured(tag(m.b, field, wireBytes), valid(s))
}

// valid returns s as UTF-8: one text that is not would cost the whole request.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// open begins an embedded message and returns where; close ends it.
func (m *message) open(field protowire.Number) int {
	m.b = append(tag(m.b, field, wireBytes), 0)
	return len(m.b)
}

func (m *message) close(from int) {
	n := len(m.b) - from
	if n < 0x80 {
		m.b[from-1] = byte(n)
		return
	}
	var size [binary.MaxVarintLen64]byte // longer than the one byte kept free
	k := binary.PutUvarint(size[:], uint64(n))
	m.b = slices.Grow(m.b, k-1)[:len(m.b)+k-1]
	copy(m.b[from+k-1:], m.b[from:from+n])
	copy(m.b[from-1:], size[:k])
}

// attrs writes a list of KeyValue into one field.
type attrs struct {
	*message
	field protowire.Number
}

// begin appends a pair up to its value, whose oneof field takes n bytes.
func (a attrs) begin(key string, n int) []byte {
	key = valid(key)
	b := tag(a.b, a.field, wireBytes)
	b = uvarint(b, uint64(1+sized(len(key))+1+sized(n)))
	b = measured(append(b, 1<<3|byte(wireBytes)), key)
	return uvarint(append(b, 2<<3|byte(wireBytes)), uint64(n))
}

// sized is how many bytes n take with their length before them.
func sized(n int) int {
	if n < 0x80 {
		return 1 + n
	}
	return protowire.SizeBytes(n)
}

// str is text that leaves an empty one out.
func (a attrs) str(key, v string) {
	if v != "" {
		a.text(key, v)
	}
}

func (a attrs) text(key, v string) {
	v = valid(v)
	a.b = measured(append(a.begin(key, 1+sized(len(v))), 1<<3|byte(wireBytes)), v)
}

func (a attrs) bool(key string, v bool) {
	a.b = append(a.begin(key, 2), 2<<3|byte(wireVarint), byte(protowire.EncodeBool(v)))
}

func (a attrs) int(key string, v int64) {
	a.b = uvarint(append(a.begin(key, 1+protowire.SizeVarint(uint64(v))), 3<<3|byte(wireVarint)), uint64(v))
}

func (a attrs) float(key string, v float64) {
	a.b = binary.LittleEndian.AppendUint64(append(a.begin(key, 9), 4<<3|byte(wireFixed)), math.Float64bits(v))
}

// of writes attributes of the user, those whose name is taken under another.
func (a attrs) of(list []backend.Attr, taken map[string]bool) {
	for i := range list {
		x := &list[i]
		key := x.Key
		if key == "" {
			continue
		}
		if taken[key] || strings.HasPrefix(key, "spark.") {
			key = escape + key
		}
		a.one(key, x)
	}
}

func (a attrs) one(key string, x *backend.Attr) {
	switch x.Kind {
	case backend.KindInt:
		a.int(key, int64(x.Num))
	case backend.KindFloat:
		a.float(key, math.Float64frombits(x.Num))
	case backend.KindBool:
		a.bool(key, x.Num&1 == 1)
	default: // an empty text is a value too
		a.text(key, x.Str)
	}
}

// scoped writes one Resource message and, in the same ResourceX, one ScopeX whose
// records f appends in its field 2.
func (m *message) scoped(t *backend.Trace, repeats bool, f func()) {
	group := m.open(1)
	res := m.open(1)
	a := attrs{m, 1}
	for i := range t.Resource {
		if x := &t.Resource[i]; x.Key != "" {
			a.one(x.Key, x)
		}
	}
	m.close(res)
	scope := m.open(2)
	name := m.open(1)
	m.text(1, Scope)
	if repeats {
		attrs{m, 3}.bool(keyRepeats, true)
	}
	m.close(name)
	f()
	m.close(scope)
	m.close(group)
}

// sameProcess calls f for each stretch of pieces with one resource.
func sameProcess(p []piece, f func([]piece)) {
	for len(p) > 0 {
		n := 1
		for n < len(p) && slices.Equal(p[n].Resource, p[0].Resource) {
			n++
		}
		f(p[:n])
		p = p[n:]
	}
}
