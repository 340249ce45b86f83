package otel

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/sparkrsi/spark/sdk/backend"
)

// maxNesting is how deep a nested value is followed.
const maxNesting = 32

// own removes the escape before an attribute whose name was taken.
func own(key string) string { return strings.TrimPrefix(key, escape) }

// attr returns an attribute with the value v, nested ones as JSON text.
func attr(key string, v *commonpb.AnyValue) backend.Attr {
	a := backend.Attr{Key: key}
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		a.Str = x.StringValue
	case *commonpb.AnyValue_BoolValue:
		a.Kind = backend.KindBool
		if x.BoolValue {
			a.Num = 1
		}
	case *commonpb.AnyValue_IntValue:
		a.Kind, a.Num = backend.KindInt, uint64(x.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		a.Kind, a.Num = backend.KindFloat, math.Float64bits(x.DoubleValue)
	default:
		a.Str = text(v)
	}
	return a
}

// text returns v as a person reads it: a text as it is, the rest as JSON.
func text(v *commonpb.AnyValue) string {
	switch x := plain(v, 0).(type) {
	case nil:
		return ""
	case string:
		return x
	default:
		b, err := json.Marshal(x)
		if err != nil { // a number that JSON does not know
			return ""
		}
		return string(b)
	}
}

func plain(v *commonpb.AnyValue, depth int) any {
	if depth > maxNesting {
		return nil
	}
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return x.BoolValue
	case *commonpb.AnyValue_IntValue:
		return x.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return x.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(x.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		out := []any{}
		for _, e := range x.ArrayValue.GetValues() {
			out = append(out, plain(e, depth+1))
		}
		return out
	case *commonpb.AnyValue_KvlistValue:
		out := map[string]any{}
		for _, kv := range x.KvlistValue.GetValues() {
			out[kv.GetKey()] = plain(kv.GetValue(), depth+1)
		}
		return out
	}
	return nil
}
