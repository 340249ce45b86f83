package graph

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSchema returns a schema as an object, with references into two
// definitions.
func randomSchema(r *rand.Rand, depth int) map[string]any {
	s := map[string]any{}
	keys := []string{"a", "b", "c"}
	classes := []string{"string", "integer", "boolean", "null", "object", "array", "number"}
	switch r.IntN(6) {
	case 0:
		s["type"] = []string{classes[r.IntN(7)], classes[r.IntN(7)]}
		if l := s["type"].([]string); l[0] == l[1] {
			s["type"] = l[:1]
		}
	case 1:
	case 2, 3:
		s["type"] = "object"
	default:
		s["type"] = classes[r.IntN(7)]
	}
	if depth == 0 {
		return s
	}
	if r.IntN(2) == 0 {
		props := map[string]any{}
		for _, k := range keys[:r.IntN(4)] {
			props[k] = randomSchema(r, depth-1)
		}
		s["properties"] = props
	}
	if r.IntN(3) == 0 {
		s["required"] = keys[:r.IntN(3)]
	}
	if r.IntN(3) == 0 {
		s["additionalProperties"] = r.IntN(4) == 0
	}
	if r.IntN(3) == 0 {
		s["items"] = randomSchema(r, depth-1)
	}
	if r.IntN(4) == 0 {
		s["$ref"] = []string{"#/$defs/x", "#/$defs/y", "#"}[r.IntN(3)]
	}
	for _, union := range []string{"anyOf", "oneOf"} {
		if r.IntN(4) == 0 {
			var forms []any
			for range 1 + r.IntN(3) {
				forms = append(forms, randomSchema(r, depth-1))
			}
			s[union] = forms
		}
	}
	return s
}

func randomSmall(r *rand.Rand, depth int) any {
	switch n := r.IntN(8); {
	case n < 4 && depth > 0:
		m := map[string]any{}
		for _, k := range []string{"a", "b", "c", "d"} {
			if r.IntN(2) == 0 {
				m[k] = randomSmall(r, depth-1)
			}
		}
		return m
	case n == 4 && depth > 0:
		return []any{randomSmall(r, depth-1)}
	case n == 5:
		return json.Number("1")
	case n == 6:
		return r.IntN(2) == 0
	case n == 7:
		return nil
	}
	return "x"
}

// admits reports whether a value has a typing, and why not.
func admits(t *typing, v any, path string) error {
	if t == nil {
		return nil
	}
	if len(t.any) > 0 && !slices.ContainsFunc(t.any, func(f *typing) bool { return admits(f, v, path) == nil }) {
		return fmt.Errorf("%s has none of the forms", path)
	}
	class := "object"
	if x := typingOfValue(v); x != nil {
		class = x.class
	}
	if t.class != "" && t.class != class {
		return fmt.Errorf("%s is %s, not %s", path, class, t.class)
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := admits(t.items, e, path+"[]"); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, k := range t.required {
			if _, ok := v[k]; !ok {
				return fmt.Errorf("%s lacks %s", path, k)
			}
		}
		for k, e := range v {
			sub, named := t.props[k]
			if !named && t.closed {
				return fmt.Errorf("%s has %s", path, k)
			}
			if err := admits(sub, e, path+"."+k); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestTypingIsSound: what lint believes of a schema holds for every value that
// fits the schema, and two schemas that lint takes for incompatible share none.
func TestTypingIsSound(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	known, fits, apart := 0, 0, 0
	random := func() (*Schema, *typing, string) {
		for {
			s := randomSchema(r, 3)
			s["$defs"] = map[string]any{"x": randomSchema(r, 1), "y": randomSchema(r, 2)}
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := CompileSchema(raw); err == nil {
				return c, typingOf(raw), string(raw)
			}
		}
	}
	for range 1000 {
		a, at, as := random()
		b, bt, bs := random()
		if at != nil {
			known++
		}
		clash := cannot(at, bt)
		if clash {
			apart++
		}
		for range 20 {
			v := randomSmall(r, 3)
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			inA, err := a.Check(raw)
			if err != nil {
				continue // a reference that never ends
			}
			if len(inA) > 0 {
				continue
			}
			fits++
			if err := admits(at, v, "value"); err != nil {
				t.Fatalf("%s fits %s, and lint believes: %v", raw, as, err)
			}
			if inB, err := b.Check(raw); err == nil && len(inB) == 0 && clash {
				t.Fatalf("%s fits %s and %s, which lint takes for incompatible", raw, as, bs)
			}
		}
	}
	if known < 300 || fits < 1000 || apart < 100 {
		t.Errorf("%d schemas were read, %d values fitted, %d pairs clashed: too few to prove anything", known, fits, apart)
	}
}
