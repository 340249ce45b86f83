package abi

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
)

// property is what Spark reads of one property in a config schema.
type property struct {
	Type       json.RawMessage            `json:"type"`
	Enum       []json.RawMessage          `json:"enum"`
	Default    json.RawMessage            `json:"default"`
	Minimum    *float64                   `json:"minimum"`
	Maximum    *float64                   `json:"maximum"`
	Properties map[string]json.RawMessage `json:"properties"`
	Tunable    json.RawMessage            `json:"x-tunable"`
	Prompt     *bool                      `json:"x-prompt"`
}

// is returns the one type that p declares, "" for several or none.
func (p *property) is() string {
	var s string
	json.Unmarshal(p.Type, &s) // of several types there is no one
	return s
}

// properties looks at the properties of the object that the schema at path
// describes.
func (f *findings) properties(path string, object *property) {
	for _, key := range slices.Sorted(maps.Keys(object.Properties)) {
		at := path + ".properties." + key
		var p property
		if err := json.Unmarshal(object.Properties[key], &p); err != nil {
			var b bool
			if json.Unmarshal(object.Properties[key], &b) != nil {
				f.add(at, "is not a JSON Schema: %v", err)
			}
			continue
		}
		if p.Prompt != nil && *p.Prompt && p.is() != "string" {
			f.add(at+".x-prompt", "stands at a property of type %s, want \"string\"", p.Type)
		}
		if mark := string(p.Tunable); mark != "" && mark != "false" && mark != "null" {
			f.tunable(at+".x-tunable", &p)
		}
		f.properties(at, &p)
	}
}

// tunable checks the mark of p: true, or an object.
func (f *findings) tunable(path string, p *property) {
	var t Tunable
	if string(p.Tunable) != "true" {
		if err := decode(p.Tunable, path, tunableKeys, &t); err != nil {
			f.list = append(f.list, err)
			return
		}
	}
	switch p.is() {
	case "number", "integer":
		f.numeric(path, p, &t)
	case "string", "boolean":
		f.choice(path, p, &t)
	default:
		f.add(path, "stands at a property of type %s, want number, integer, string or boolean", p.Type)
	}
}

// numeric checks a tunable of a number: a range inside the schema's own.
func (f *findings) numeric(path string, p *property, t *Tunable) {
	if len(t.Values) > 0 {
		f.add(path+".values", "numbers take min and max")
	}
	lo, hi := or(t.Min, p.Minimum), or(t.Max, p.Maximum)
	if lo == nil || hi == nil {
		f.add(path, "number without min and max, here or as the schema's minimum and maximum")
		return
	}
	if !(*lo < *hi) {
		f.add(path, "min %v is not below max %v", *lo, *hi)
		return
	}
	if p.Minimum != nil && *lo < *p.Minimum {
		f.add(path+".min", "is %v, below the schema's minimum %v", *lo, *p.Minimum)
	}
	if p.Maximum != nil && *hi > *p.Maximum {
		f.add(path+".max", "is %v, above the schema's maximum %v", *hi, *p.Maximum)
	}
	if t.Step < 0 || t.Step > *hi-*lo {
		f.add(path+".step", "is %v, want 0 to %v", t.Step, *hi-*lo)
	}
	if t.Log && *lo <= 0 {
		f.add(path+".log", "needs a min above 0, it is %v", *lo)
	}
	if p.is() == "integer" && (*lo != math.Trunc(*lo) || *hi != math.Trunc(*hi) || t.Step != math.Trunc(t.Step)) {
		f.add(path, "min, max and step of an integer are integers")
	}
	if p.Default != nil {
		var d float64
		if json.Unmarshal(p.Default, &d) != nil || d < *lo || d > *hi {
			f.add(path, "default %s is outside %v to %v", p.Default, *lo, *hi)
		}
	}
}

// choice checks a tunable of a string or boolean: at least two values, each of
// the property's type.
func (f *findings) choice(path string, p *property, t *Tunable) {
	if t.Min != nil || t.Max != nil || t.Step != 0 || t.Log {
		f.add(path, "a %s takes values, not min, max, step or log", p.is())
	}
	values := t.Values
	if len(values) == 0 {
		values = p.Enum
	}
	if len(values) == 0 && p.is() == "boolean" {
		return // both
	}
	if len(values) < 2 {
		f.add(path, "%d values to choose from, want 2 or more, here or as the schema's enum", len(values))
	}
	for i, v := range values {
		var s string
		var b bool
		if p.is() == "string" && json.Unmarshal(v, &s) != nil || p.is() == "boolean" && json.Unmarshal(v, &b) != nil {
			f.add(path+".values."+strconv.Itoa(i), "%s is not a %s", v, p.is())
		}
	}
}

func or(a, b *float64) *float64 {
	if a != nil {
		return a
	}
	return b
}
