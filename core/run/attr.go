package run

import "math"

// String returns an attribute with a string value.
func String(key, v string) Attr { return Attr{key, Value{Kind: StringValue, Str: v}} }

// Int returns an attribute with an integer value.
func Int(key string, v int64) Attr { return Attr{key, Value{Kind: IntValue, Num: uint64(v)}} }

// Float returns an attribute with a floating-point value.
func Float(key string, v float64) Attr {
	return Attr{key, Value{Kind: FloatValue, Num: math.Float64bits(v)}}
}

// Bool returns an attribute with a boolean value.
func Bool(key string, v bool) Attr {
	var n uint64
	if v {
		n = 1
	}
	return Attr{key, Value{Kind: BoolValue, Num: n}}
}

// Int returns the integer of an IntValue or BoolValue.
func (v Value) Int() int64 { return int64(v.Num) }

// Float returns the number of a FloatValue, or the integer as a number.
func (v Value) Float() float64 {
	if v.Kind == FloatValue {
		return math.Float64frombits(v.Num)
	}
	return float64(int64(v.Num))
}

// Bool reports whether a BoolValue is true.
func (v Value) Bool() bool { return v.Num != 0 }

// Any returns the value as string, int64, float64 or bool.
func (v Value) Any() any {
	switch v.Kind {
	case IntValue:
		return v.Int()
	case FloatValue:
		return v.Float()
	case BoolValue:
		return v.Bool()
	}
	return v.Str
}
