package nodesuite

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/sparkrsi/spark/core/graph"
)

// samples returns documents that fit a schema, as far as that is easily made, and
// others that any node may meet.
func samples(schema json.RawMessage) (docs []json.RawMessage) {
	fitting, err := graph.CompileSchema(schema)
	for _, full := range []bool{false, true} {
		doc, merr := json.Marshal(sample(schema, full, 0))
		if merr != nil || err != nil {
			continue
		}
		if vs, err := fitting.Check(doc); err == nil && len(vs) == 0 {
			docs = append(docs, doc)
		}
	}
	for _, s := range []string{`{}`, `null`, `[]`, `"text"`, `1.5`, `{"text":"The quick brown fox. It jumps!"}`, `{"question":"How to read a file?"}`, `{"items":[1,"a",null]}`} {
		docs = append(docs, json.RawMessage(s))
	}
	return docs
}

// sample returns a value of a schema: its required keys, or all of them.
func sample(schema json.RawMessage, full bool, depth int) any {
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Enum       []json.RawMessage          `json:"enum"`
		Const      json.RawMessage            `json:"const"`
		Default    json.RawMessage            `json:"default"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
		Items      json.RawMessage            `json:"items"`
		Minimum    *float64                   `json:"minimum"`
		AnyOf      []json.RawMessage          `json:"anyOf"`
		OneOf      []json.RawMessage          `json:"oneOf"`
	}
	if depth > 8 || json.Unmarshal(schema, &s) != nil {
		return map[string]any{}
	}
	for _, given := range []json.RawMessage{s.Const, s.Default} {
		if given != nil {
			return given
		}
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	if forms := append(s.AnyOf, s.OneOf...); len(forms) > 0 && s.Type == nil {
		return sample(forms[0], full, depth+1)
	}
	var typ string
	if json.Unmarshal(s.Type, &typ) != nil {
		var several []string
		if json.Unmarshal(s.Type, &several) == nil && len(several) > 0 {
			typ = several[0]
		}
	}
	switch typ {
	case "string":
		return "text"
	case "boolean":
		return true
	case "null":
		return nil
	case "integer", "number":
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 1
	case "array":
		if !full || s.Items == nil {
			return []any{}
		}
		return []any{sample(s.Items, full, depth+1), sample(s.Items, full, depth+1)}
	}
	object := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		if full || slices.Contains(s.Required, key) {
			object[key] = sample(s.Properties[key], full, depth+1)
		}
	}
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			object[key] = map[string]any{}
		}
	}
	return object
}
