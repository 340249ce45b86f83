package graph

import (
	"encoding/json"
	"slices"
)

// typing is what lint reads of a JSON Schema: enough to tell missing keys and
// types that cannot meet. Nil says nothing. Parts of a schema that need more than
// these fields say nothing either.
type typing struct {
	class    string // string, number, boolean, array, object or null; "" is any
	props    map[string]*typing
	required []string
	closed   bool // no keys but props
	items    *typing
}

// typingOf reads a schema.
func typingOf(schema []byte) *typing {
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
		Additional json.RawMessage            `json:"additionalProperties"`
		Pattern    json.RawMessage            `json:"patternProperties"`
		Items      json.RawMessage            `json:"items"`
		Prefix     json.RawMessage            `json:"prefixItems"`
		Ref        json.RawMessage            `json:"$ref"`
		AnyOf      json.RawMessage            `json:"anyOf"`
		OneOf      json.RawMessage            `json:"oneOf"`
		AllOf      json.RawMessage            `json:"allOf"`
		If         json.RawMessage            `json:"if"`
	}
	if len(schema) == 0 || json.Unmarshal(schema, &s) != nil || s.Ref != nil || s.AnyOf != nil || s.OneOf != nil || s.AllOf != nil || s.If != nil {
		return nil
	}
	t := &typing{required: s.Required}
	var one string
	if json.Unmarshal(s.Type, &one) == nil {
		if t.class = one; one == "integer" {
			t.class = "number"
		}
	}
	if len(s.Properties) > 0 {
		t.props = make(map[string]*typing, len(s.Properties))
		for k, v := range s.Properties {
			t.props[k] = typingOf(v)
		}
	}
	t.closed = string(s.Additional) == "false" && s.Pattern == nil
	if s.Prefix == nil {
		t.items = typingOf(s.Items)
	}
	return t
}

// key returns the typing of one key of an object.
func (t *typing) key(name string) (sub *typing, found, certain bool) {
	if t == nil {
		return nil, false, false
	}
	sub, found = t.props[name]
	return sub, found, found && slices.Contains(t.required, name)
}

func (t *typing) is(class string) bool { return t == nil || t.class == "" || t.class == class }

// classOf returns the class of t, "" when it is open.
func classOf(t *typing) string {
	if t == nil {
		return ""
	}
	return t.class
}

// typingOfValue returns what is known about the decoded value of a mapping's
// literal.
func typingOfValue(v any) *typing {
	switch v.(type) {
	case nil:
		return &typing{class: "null"}
	case bool:
		return &typing{class: "boolean"}
	case json.Number:
		return &typing{class: "number"}
	case string:
		return &typing{class: "string"}
	case []any:
		return &typing{class: "array"}
	}
	return nil
}

// typingOfKey returns what a declared key of the state reads as.
func typingOfKey(k *Key) *typing {
	if k == nil {
		return nil
	}
	switch t := typingOf(k.Schema); k.Reduce {
	case ReduceSum, ReduceMax:
		return &typing{class: "number"}
	case ReduceAppend:
		return &typing{class: "array", items: t}
	default:
		return t
	}
}
