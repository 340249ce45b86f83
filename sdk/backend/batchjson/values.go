package batchjson

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/backend"
)

type id backend.ID

// MarshalText writes hex digits.
func (v id) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, v[:]), nil }

// UnmarshalText reads them.
func (v *id) UnmarshalText(b []byte) error {
	if fixedHex(v[:], b) != nil {
		return fmt.Errorf("%q is not %d hex digits", b, 2*len(v))
	}
	return nil
}

type spanID backend.SpanID

// MarshalText writes hex digits.
func (v spanID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, v[:]), nil }

// UnmarshalText reads them.
func (v *spanID) UnmarshalText(b []byte) error {
	if fixedHex(v[:], b) != nil {
		return fmt.Errorf("%q is not %d hex digits", b, 2*len(v))
	}
	return nil
}

// text is a string that is written as UTF-8 whatever it holds.
type text string

// MarshalText mends what is not UTF-8.
func (v text) MarshalText() ([]byte, error) {
	return []byte(strings.ToValidUTF8(string(v), "\uFFFD")), nil
}

// nanos is a time: its digits as a text.
type nanos int64

// MarshalText writes the digits.
func (v nanos) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(v), 10), nil }

// UnmarshalText reads them.
func (v *nanos) UnmarshalText(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no time in nanoseconds", b)
	}
	*v = nanos(n)
	return nil
}

// number is an unsigned number: its digits as a text.
type number uint64

// MarshalText writes the digits.
func (v number) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(v), 10), nil }

// UnmarshalText reads them.
func (v *number) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no number", b)
	}
	*v = number(n)
	return nil
}

type status backend.Status

// MarshalText writes the word.
func (v status) MarshalText() ([]byte, error) { return []byte(backend.Status(v).String()), nil }

// UnmarshalText reads it.
func (v *status) UnmarshalText(b []byte) error {
	s, err := backend.ParseStatus(string(b))
	*v = status(s)
	return err
}

type derive backend.Derive

var derived = [...]struct {
	flag backend.Derive
	word string
}{{backend.DeriveEvents, "events"}, {backend.DeriveMetrics, "metrics"}}

// MarshalJSON writes a list of words.
func (v derive) MarshalJSON() ([]byte, error) {
	words := []string{}
	for _, x := range derived {
		if backend.Derive(v)&x.flag != 0 {
			words = append(words, x.word)
		}
	}
	return json.Marshal(words)
}

// UnmarshalJSON reads it.
func (v *derive) UnmarshalJSON(b []byte) error {
	var words []string
	if err := json.Unmarshal(b, &words); err != nil {
		return err
	}
	*v = 0
	for _, w := range words {
		n := *v
		for _, x := range derived {
			if w == x.word {
				n |= derive(x.flag)
			}
		}
		if n == *v {
			return fmt.Errorf("%q is neither events nor metrics, or given twice", w)
		}
		*v = n
	}
	return nil
}

// float is a number, or the word of one that JSON has no number for.
type float float64

func word(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case v > 0:
		return "Infinity"
	}
	return "-Infinity"
}

func ofWord(s string) (float64, error) {
	switch s {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	return 0, fmt.Errorf("%q is none of NaN, Infinity, -Infinity", s)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// MarshalJSON writes either form.
func (v float) MarshalJSON() ([]byte, error) {
	if !finite(float64(v)) {
		return json.Marshal(word(float64(v)))
	}
	return json.Marshal(float64(v))
}

// UnmarshalJSON reads either form.
func (v *float) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		x, err := ofWord(s)
		*v = float(x)
		return err
	}
	return json.Unmarshal(b, (*float64)(v))
}

// attrs is a list of attributes as an object, in their order.
type attrs []backend.Attr

// IsZero leaves an empty list out.
func (v attrs) IsZero() bool { return len(v) == 0 }

// MarshalJSON writes the first attribute of each name.
func (v attrs) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	seen := make(map[string]bool, len(v))
	for i := range v {
		a := &v[i]
		name := strings.ToValidUTF8(a.Key, "\uFFFD")
		if seen[name] {
			continue
		}
		seen[name] = true
		if len(out) > 1 {
			out = append(out, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		out = append(append(out, key...), ':')
		if out, err = appendValue(out, a); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func appendValue(out []byte, a *backend.Attr) ([]byte, error) {
	switch a.Kind {
	case backend.KindInt:
		return strconv.AppendInt(out, int64(a.Num), 10), nil
	case backend.KindBool:
		return strconv.AppendBool(out, a.Num&1 == 1), nil
	case backend.KindFloat:
		v := math.Float64frombits(a.Num)
		if !finite(v) {
			return fmt.Appendf(out, `{"float":%q}`, word(v)), nil
		}
		from := len(out)
		out = strconv.AppendFloat(out, v, 'g', -1, 64)
		if !bytes.ContainsAny(out[from:], ".e") {
			out = append(out, ".0"...) // or it would come back as an int
		}
		return out, nil
	}
	b, err := json.Marshal(strings.ToValidUTF8(a.Str, "\uFFFD"))
	return append(out, b...), err
}

// UnmarshalJSON reads an object whose keys are known to be different.
func (v *attrs) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	tok, err := d.Token()
	if err != nil {
		return err
	}
	*v = nil
	if tok == nil {
		return nil
	}
	if tok != json.Delim('{') {
		return fmt.Errorf("attributes are an object, not %v", tok)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		a := backend.Attr{Key: key.(string)} // the keys of an object are texts
		var value any
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := setValue(&a, value); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Key, err)
		}
		*v = append(*v, a)
	}
	return nil
}

func setValue(a *backend.Attr, value any) error {
	switch x := value.(type) {
	case string:
		a.Str = x
		return nil
	case bool:
		a.Kind = backend.KindBool
		if x {
			a.Num = 1
		}
		return nil
	case json.Number:
		if !strings.ContainsAny(x.String(), ".eE") {
			n, err := x.Int64()
			a.Kind, a.Num = backend.KindInt, uint64(n)
			return err
		}
		f, err := x.Float64()
		a.Kind, a.Num = backend.KindFloat, math.Float64bits(f)
		return err
	case map[string]any:
		if s, ok := x["float"].(string); ok && len(x) == 1 {
			f, err := ofWord(s)
			a.Kind, a.Num = backend.KindFloat, math.Float64bits(f)
			return err
		}
	}
	return fmt.Errorf("neither a text, a boolean nor a number")
}
