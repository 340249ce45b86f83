package graph

import (
	"encoding/json"
	"slices"
	"strings"
)

// typing is what lint reads of a JSON Schema: enough to tell missing keys and
// types that cannot meet. Every value that fits the schema fits its typing. Nil
// says nothing. Parts of a schema that need more than these fields say nothing
// either.
type typing struct {
	class    string // string, number, boolean, array, object or null; "" is any
	props    map[string]*typing
	required []string
	closed   bool // an object with no keys but props
	more     bool // an object that is expected to have others
	items    *typing

	// any are the forms of which a value has one, when there are several; the fields
	// above then hold for all of them.
	any []*typing
}

// The bounds of reading a schema. What lies beyond says nothing.
const (
	maxTyping = 4096 // schemas inside it, those that references lead to included
	maxForms  = 16
)

// typingOf reads a schema.
func typingOf(schema []byte) *typing {
	r := &schemaReader{root: schema, left: maxTyping, open: map[string]bool{}}
	return r.read(schema, true)
}

type schemaReader struct {
	root []byte
	left int
	open map[string]bool // references that are being followed
}

func (r *schemaReader) read(schema []byte, root bool) *typing {
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
		Additional json.RawMessage            `json:"additionalProperties"`
		Pattern    json.RawMessage            `json:"patternProperties"`
		Items      json.RawMessage            `json:"items"`
		Prefix     json.RawMessage            `json:"prefixItems"`
		ID         json.RawMessage            `json:"$id"`
		Ref        *string                    `json:"$ref"`
		AnyOf      []json.RawMessage          `json:"anyOf"`
		OneOf      []json.RawMessage          `json:"oneOf"`
		AllOf      json.RawMessage            `json:"allOf"`
		If         json.RawMessage            `json:"if"`
		Dependent  json.RawMessage            `json:"dependentSchemas"`
		Dynamic    json.RawMessage            `json:"$dynamicRef"`
	}
	r.left--
	if r.left < 0 || len(schema) == 0 || json.Unmarshal(schema, &s) != nil || s.AllOf != nil || s.If != nil || s.Dependent != nil ||
		s.Dynamic != nil || !root && s.ID != nil {
		return nil
	}
	t := &typing{required: s.Required}
	var one string
	var several []string
	if json.Unmarshal(s.Type, &one) == nil {
		t.class = classNamed(one)
	} else if json.Unmarshal(s.Type, &several) == nil && len(several) == 1 {
		t.class, several = classNamed(several[0]), nil
	}
	if len(s.Properties) > 0 {
		t.props = make(map[string]*typing, len(s.Properties))
		for k, v := range s.Properties {
			t.props[k] = r.read(v, false)
		}
	}
	t.closed = string(s.Additional) == "false" && s.Pattern == nil
	t.more = s.Pattern != nil || s.Additional != nil && !t.closed
	if s.Prefix == nil {
		t.items = r.read(s.Items, false)
	}
	if len(several) > 0 {
		var forms []*typing
		for _, name := range several {
			if f := (&typing{class: classNamed(name)}); !slices.ContainsFunc(forms, func(o *typing) bool { return o.class == f.class }) {
				forms = append(forms, f)
			}
		}
		t = both(t, either(forms))
	}
	if s.Ref != nil {
		t = both(t, r.follow(*s.Ref))
	}
	for _, list := range [][]json.RawMessage{s.AnyOf, s.OneOf} {
		if list == nil {
			continue
		}
		var forms []*typing
		for _, f := range list {
			forms = append(forms, r.read(f, false))
		}
		t = both(t, either(forms))
	}
	return t
}

func classNamed(name string) string {
	if name == "integer" {
		return "number"
	}
	return name
}

// follow reads what a reference inside the schema leads to; nil for one that
// leads elsewhere or into itself.
func (r *schemaReader) follow(ref string) *typing {
	if r.open[ref] || ref != "#" && !strings.HasPrefix(ref, "#/") || strings.Contains(ref, "%") {
		return nil
	}
	at := json.RawMessage(r.root)
	for key := range strings.SplitSeq(strings.TrimPrefix(ref, "#"), "/") {
		if key == "" && len(at) == len(r.root) {
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(at, &object) != nil {
			return nil
		}
		at = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]
	}
	r.open[ref] = true
	defer delete(r.open, ref)
	return r.read(at, ref == "#")
}

// both returns the typing of values that fit a and b, nil when that is not to be
// said.
func both(a, b *typing) *typing {
	if a == nil || b == nil {
		return nil
	}
	if len(a.any) > 0 || len(b.any) > 0 {
		var forms []*typing
		for _, x := range a.forms() {
			for _, y := range b.forms() {
				if x.class == "" || y.class == "" || x.class == y.class {
					forms = append(forms, both(x, y))
				}
			}
		}
		return either(forms)
	}
	t := &typing{class: a.class, closed: a.closed || b.closed, more: a.more || b.more, required: slices.Clone(a.required), items: a.items}
	if t.class == "" {
		t.class = b.class
	} else if b.class != "" && b.class != t.class {
		return nil // nothing fits
	}
	for _, k := range b.required {
		if !slices.Contains(t.required, k) {
			t.required = append(t.required, k)
		}
	}
	if t.items == nil {
		t.items = b.items
	} else if b.items != nil {
		t.items = both(a.items, b.items)
	}
	for _, o := range []*typing{a, b} {
		for k, v := range o.props {
			if t.props == nil {
				t.props = map[string]*typing{}
			}
			switch was, named := t.props[k]; {
			case !named || was == nil:
				t.props[k] = v
			case v != nil:
				t.props[k] = both(was, v)
			}
		}
	}
	return t
}

// forms returns the forms of t, t itself when it has one.
func (t *typing) forms() []*typing {
	if len(t.any) > 0 {
		return t.any
	}
	return []*typing{t}
}

// either returns the typing of values that have one of some forms, nil when that
// is not to be said.
func either(list []*typing) *typing {
	var forms []*typing
	for _, f := range list {
		if f == nil {
			return nil
		}
		forms = append(forms, f.forms()...)
	}
	switch {
	case len(forms) == 0 || len(forms) > maxForms:
		return nil
	case len(forms) == 1:
		return forms[0]
	}
	t := &typing{class: forms[0].class, any: forms}
	for _, f := range forms[1:] {
		if f.class != t.class {
			t.class = ""
		}
	}
	switch t.class {
	case "array":
		var items []*typing
		for _, f := range forms {
			items = append(items, f.items)
		}
		t.items = either(items)
	case "object":
		t.closed, t.required = true, slices.Clone(forms[0].required)
		keys := map[string]bool{}
		for _, f := range forms {
			t.closed, t.more = t.closed && f.closed, t.more || f.more
			t.required = slices.DeleteFunc(t.required, func(k string) bool { return !slices.Contains(f.required, k) })
			for k := range f.props {
				keys[k] = true
			}
		}
		t.props = make(map[string]*typing, len(keys))
		for k := range keys {
			var values []*typing
			for _, f := range forms {
				if v, named := f.props[k]; named || !f.closed {
					values = append(values, v)
				}
			}
			t.props[k] = either(values)
		}
	}
	return t
}

// cannot reports whether no value fits both: what gives got can never feed what
// wants want.
func cannot(got, want *typing) bool {
	if got == nil || want == nil {
		return false
	}
	if len(got.any) > 0 || len(want.any) > 0 {
		for _, g := range got.forms() {
			for _, w := range want.forms() {
				if !cannot(g, w) {
					return false
				}
			}
		}
		return true
	}
	if got.class != "" && want.class != "" && got.class != want.class {
		return true
	}
	if got.class != "object" || want.class != "object" {
		return false
	}
	lacks := func(has, needs *typing) bool {
		return has.closed && slices.ContainsFunc(needs.required, func(k string) bool { _, found := has.props[k]; return !found })
	}
	if lacks(got, want) || lacks(want, got) {
		return true
	}
	for k, v := range want.props {
		if sub, found, certain := got.key(k); found && (certain || slices.Contains(want.required, k)) && cannot(sub, v) {
			return true
		}
	}
	return false
}

// key returns the typing of one key of an object.
func (t *typing) key(name string) (sub *typing, found, certain bool) {
	if t == nil {
		return nil, false, false
	}
	sub, found = t.props[name]
	return sub, found, found && slices.Contains(t.required, name)
}

// is reports whether some value of t has the class.
func (t *typing) is(class string) bool {
	return t == nil || slices.ContainsFunc(t.forms(), func(f *typing) bool { return f.class == "" || f.class == class })
}

// what says in words what t is.
func (t *typing) what() string {
	var words []string
	for _, f := range t.forms() {
		if w := article(f.class); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, " or ")
}

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
