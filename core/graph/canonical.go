package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Canonical returns the one spelling of a JSON value that digests and
// comparisons use: keys sorted, no spaces, no escaped HTML, integral numbers
// below 2^53 without fraction or exponent, the last of duplicate keys. It fails
// with Invalid when raw is not exactly one JSON value.
func Canonical(raw []byte) (json.RawMessage, error) {
	v, err := decodeJSON(raw)
	if err != nil {
		return nil, err
	}
	return appendCanonical(make([]byte, 0, len(raw)), v), nil
}

// decodeJSON decodes exactly one JSON value, numbers as json.Number.
func decodeJSON(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fault.New(fault.Invalid, "", "more than one JSON value")
	}
	return v, nil
}

// appendCanonical appends a value made of nil, bool, string, json.Number,
// []any and map[string]any.
func appendCanonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendString(b, v)
	case json.Number:
		return append(b, canonicalNumber(string(v))...)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, e)
		}
		return append(b, ']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b = append(b, '{')
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = appendCanonical(b, v[k])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("graph: %T in a JSON value", v))
}

// appendString appends s as a JSON string without escaping HTML. Invalid UTF-8
// becomes the replacement character.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			var w bytes.Buffer
			e := json.NewEncoder(&w)
			e.SetEscapeHTML(false)
			e.Encode(s) // a string always encodes
			return append(b, bytes.TrimSuffix(w.Bytes(), []byte("\n"))...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// maxExact is the largest magnitude below which a float holds every integer.
const maxExact = 1 << 53

// canonicalNumber returns the one spelling of a JSON number.
func canonicalNumber(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil { // out of range: the largest float keeps it a number
		f = math.Copysign(math.MaxFloat64, f)
	}
	return formatFloat(f)
}

// formatFloat writes a finite float, integral ones as integers.
func formatFloat(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < maxExact {
		return strconv.FormatInt(int64(f), 10)
	}
	out, err := json.Marshal(f)
	if err != nil {
		return "null"
	}
	return string(out)
}
