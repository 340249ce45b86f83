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

func (m *message) uint(field protowire.Number, v uint64) {
	if v != 0 {
		m.b = protowire.AppendTag(m.b, field, protowire.VarintType)
		m.b = protowire.AppendVarint(m.b, v)
	}
}

func (m *message) fixed(field protowire.Number, v uint64) {
	if v != 0 {
		m.member(field, v)
	}
}

// member is fixed for a field whose presence says something.
func (m *message) member(field protowire.Number, v uint64) {
	m.b = protowire.AppendTag(m.b, field, protowire.Fixed64Type)
	m.b = protowire.AppendFixed64(m.b, v)
}

func (m *message) time(field protowire.Number, ns int64) { m.fixed(field, uint64(max(ns, 0))) }

func (m *message) bytes(field protowire.Number, v []byte) {
	m.b = protowire.AppendTag(m.b, field, protowire.BytesType)
	m.b = protowire.AppendBytes(m.b, v)
}

func (m *message) text(field protowire.Number, s string) {
	if s != "" {
		m.string(field, s)
	}
}

// string is text for a field whose presence says something.
func (m *message) string(field protowire.Number, s string) {
	m.b = protowire.AppendTag(m.b, field, protowire.BytesType)
	m.b = protowire.AppendString(m.b, valid(s))
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
	m.b = append(protowire.AppendTag(m.b, field, protowire.BytesType), 0)
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
	b := protowire.AppendTag(a.b, a.field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(key))+1+protowire.SizeBytes(n)))
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendString(b, key)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(n))
}

// str is text that leaves an empty one out.
func (a attrs) str(key, v string) {
	if v != "" {
		a.text(key, v)
	}
}

func (a attrs) text(key, v string) {
	v = valid(v)
	b := a.begin(key, 1+protowire.SizeBytes(len(v)))
	a.b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), v)
}

func (a attrs) bool(key string, v bool) {
	b := protowire.AppendTag(a.begin(key, 2), 2, protowire.VarintType)
	a.b = protowire.AppendVarint(b, protowire.EncodeBool(v))
}

func (a attrs) int(key string, v int64) {
	b := a.begin(key, 1+protowire.SizeVarint(uint64(v)))
	a.b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(v))
}

func (a attrs) float(key string, v float64) {
	b := protowire.AppendTag(a.begin(key, 9), 4, protowire.Fixed64Type)
	a.b = protowire.AppendFixed64(b, math.Float64bits(v))
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
