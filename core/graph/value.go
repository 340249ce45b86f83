package graph

import (
	"bytes"
	"encoding/base64"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/sparkrsi/spark/sdk/fault"
)

// lazy returns the CEL value of JSON bytes. Objects and lists keep the bytes and
// decode only what an expression asks for; of duplicate keys the first counts.
// Integral numbers are ints. Nil is null.
func lazy(raw []byte) ref.Val {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return types.NullValue
	}
	switch raw[0] {
	case '{':
		return &object{raw: raw}
	case '[':
		return &list{raw: raw}
	case '"':
		if skipString(raw, 0) != len(raw) {
			return badJSON()
		}
		return types.String(unquote(raw))
	}
	switch string(raw) {
	case "null":
		return types.NullValue
	case "true":
		return types.True
	case "false":
		return types.False
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return types.Int(n)
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return badJSON()
	}
	if f == math.Trunc(f) && math.Abs(f) < maxExact {
		return types.Int(int64(f))
	}
	return types.Double(f)
}

func badJSON() ref.Val { return types.NewErr("the data is not JSON") }

// object is a JSON object that is decoded on demand. It lives for one
// evaluation, on one goroutine.
type object struct {
	raw  []byte
	full traits.Mapper // all members, once something needs them
	keys []ref.Val     // in document order, with full
}

var _ traits.Mapper = (*object)(nil)

func (o *object) load() traits.Mapper {
	if o.full != nil {
		return o.full
	}
	m := map[ref.Val]ref.Val{}
	c := cursor{b: o.raw}
	for k, v, ok := c.next(true); ok; k, v, ok = c.next(true) {
		key := types.String(unquote(k))
		if _, twice := m[key]; !twice {
			m[key] = lazy(v)
			o.keys = append(o.keys, key)
		}
	}
	o.full = types.NewRefValMap(types.DefaultTypeAdapter, m)
	return o.full
}

// Find scans for one key.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	want, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	c := cursor{b: o.raw}
	for k, v, ok := c.next(true); ok; k, v, ok = c.next(true) {
		if keyIs(k, string(want)) {
			return lazy(v), true
		}
	}
	if c.bad {
		return badJSON(), false
	}
	return nil, false
}

func (o *object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok || v != nil {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

func (o *object) Contains(key ref.Val) ref.Val {
	v, ok := o.Find(key)
	if v != nil && types.IsError(v) {
		return v
	}
	return types.Bool(ok)
}

func (o *object) Size() ref.Val                               { return o.load().Size() }
func (o *object) Equal(other ref.Val) ref.Val                 { return o.load().Equal(other) }
func (o *object) Type() ref.Type                              { return types.MapType }
func (o *object) ConvertToType(t ref.Type) ref.Val            { return o.load().ConvertToType(t) }
func (o *object) Value() any                                  { return o.load().Value() }
func (o *object) ConvertToNative(t reflect.Type) (any, error) { return o.load().ConvertToNative(t) }

// Iterator walks the keys in document order.
func (o *object) Iterator() traits.Iterator {
	o.load()
	return types.NewRefValList(types.DefaultTypeAdapter, o.keys).Iterator()
}

// list is a JSON array that is decoded on demand.
type list struct {
	raw  []byte
	full traits.Lister
}

var _ traits.Lister = (*list)(nil)

func (l *list) load() traits.Lister {
	if l.full == nil {
		var elems []ref.Val
		c := cursor{b: l.raw}
		for _, v, ok := c.next(false); ok; _, v, ok = c.next(false) {
			elems = append(elems, lazy(v))
		}
		l.full = types.NewRefValList(types.DefaultTypeAdapter, elems)
	}
	return l.full
}

// Size counts without decoding.
func (l *list) Size() ref.Val {
	if l.full != nil {
		return l.full.Size()
	}
	n := 0
	c := cursor{b: l.raw}
	for _, _, ok := c.next(false); ok; _, _, ok = c.next(false) {
		n++
	}
	if c.bad {
		return badJSON()
	}
	return types.Int(n)
}

// Get decodes one element.
func (l *list) Get(at ref.Val) ref.Val {
	want, ok := at.(types.Int)
	if l.full != nil || !ok || want < 0 {
		return l.load().Get(at)
	}
	c := cursor{b: l.raw}
	for i := types.Int(0); ; i++ {
		_, v, ok := c.next(false)
		if !ok {
			return types.NewErr("index %d out of range, the list has %d elements", want, i)
		}
		if i == want {
			return lazy(v)
		}
	}
}

func (l *list) Add(other ref.Val) ref.Val                   { return l.load().Add(other) }
func (l *list) Contains(v ref.Val) ref.Val                  { return l.load().Contains(v) }
func (l *list) Iterator() traits.Iterator                   { return l.load().Iterator() }
func (l *list) Equal(other ref.Val) ref.Val                 { return l.load().Equal(other) }
func (l *list) Type() ref.Type                              { return types.ListType }
func (l *list) ConvertToType(t ref.Type) ref.Val            { return l.load().ConvertToType(t) }
func (l *list) Value() any                                  { return l.load().Value() }
func (l *list) ConvertToNative(t reflect.Type) (any, error) { return l.load().ConvertToNative(t) }

// appendValue appends the JSON of a CEL value. Bytes become base64, durations
// and timestamps their usual text.
func appendValue(b []byte, v ref.Val) ([]byte, error) {
	switch v := v.(type) {
	case *object:
		return append(b, v.raw...), nil
	case *list:
		return append(b, v.raw...), nil
	case types.Null:
		return append(b, "null"...), nil
	case types.Bool:
		return strconv.AppendBool(b, bool(v)), nil
	case types.Int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case types.Uint:
		return strconv.AppendUint(b, uint64(v), 10), nil
	case types.Double:
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return append(b, formatFloat(f)...), nil
		}
		return nil, fault.New(fault.Invalid, "", "JSON has no number %v", float64(v))
	case types.String:
		return appendString(b, string(v)), nil
	case types.Bytes:
		return appendString(b, base64.StdEncoding.EncodeToString(v)), nil
	case types.Duration:
		return appendString(b, v.Duration.String()), nil
	case types.Timestamp:
		return appendString(b, v.Time.UTC().Format(time.RFC3339Nano)), nil
	case traits.Lister:
		b = append(b, '[')
		n, _ := v.Size().(types.Int)
		for i := types.Int(0); i < n; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendValue(b, v.Get(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case traits.Mapper:
		return appendMap(b, v)
	}
	return nil, fault.New(fault.Invalid, "", "a value of type %s has no JSON form", v.Type().TypeName())
}

func appendMap(b []byte, m traits.Mapper) ([]byte, error) {
	var keys []string
	for it := m.Iterator(); it.HasNext() == types.True; {
		k, ok := it.Next().(types.String)
		if !ok {
			return nil, fault.New(fault.Invalid, "", "a map with keys that are not strings has no JSON form")
		}
		keys = append(keys, string(k))
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		var err error
		if b, err = appendValue(b, m.Get(types.String(k))); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
