// Package transform shapes a document into another one.
//
// The wanted document is written as it shall look, with expressions in the place
// of what comes from the input. An expression is a string that begins with $, the
// input, or @, the element of the nearest $each around it; a text that begins so
// is written with the sign doubled.
//
//	{"question": "$.question | lower",
//	 "best": "$.hits.0.id",
//	 "ids": "$.hits.*.id",
//	 "good": {"$each": "$.hits | where score > 0.5 | take 3", "$as": {"id": "@.id", "asked": "$.question"}}}
//
// An expression is a path and functions behind bars. A path goes down by .name,
// ."any name", .0 (.-1 is the last element) and .* (what is below it for every
// element or member; what has no such value is left out). Functions take what
// stands before the bar, and arguments: numbers, "texts", true, false, null, or
// words. docs/NODES.md lists them.
package transform

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// maxDepth bounds the nesting of the wanted document.
const maxDepth = 32

type transformer struct {
	shape   *shape
	missing string
	machine machine
}

// New returns a node that makes the document that its settings describe.
func New() node.Node { return &transformer{} }

func (t *transformer) Configure(c *node.Config) error {
	t.missing = c.String("missing", "error", "error", "null", "omit")
	t.shape = &shape{expr: &expression{root: '$', text: "$"}}
	v := c.Value("output")
	switch v.Kind() {
	case node.Missing:
	case node.Object, node.String:
		made, err := compile(v, "", false, maxDepth)
		if err != nil {
			c.Refuse("output"+err.path, "%s", err.what)
			return nil
		}
		t.shape = made
	default:
		c.Refuse("output", "is %s, want an object or an expression", v.Kind())
	}
	return nil
}

func (t *transformer) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	t.machine.reset(doc)
	v, err := t.write(t.shape, node.Value{}, nil, out)
	if err != nil {
		return err
	}
	if !v {
		out.Null() // nothing to omit the value from
	}
	return nil
}

// write writes the document that s describes, for the element item, behind key if
// that is not nil. It returns false, with nothing written, when a value is missing
// and is to be omitted.
func (t *transformer) write(s *shape, item node.Value, key *string, out *node.Writer) (bool, error) {
	var v result
	if s.expr != nil {
		var err error
		if v, err = t.machine.eval(s.expr, item); err != nil {
			return false, err
		}
		if v.missing() {
			switch t.missing {
			case "omit":
				return false, nil
			case "error":
				return false, fault.New(fault.Rejected, s.expr.text, "gives no value").
					WithHint(`add "| default" and a value, or set missing to null or omit`)
			}
		}
	}
	if key != nil {
		out.Key(*key)
	}
	switch {
	case s.each != nil:
		return true, t.list(s, v, out)
	case s.expr != nil:
		v.write(out)
	case s.literal != nil:
		out.Raw(s.literal)
	case s.array:
		out.Array()
		for i := range s.parts {
			if _, err := t.write(&s.parts[i], item, nil, out); err != nil {
				return false, err
			}
		}
		out.End()
	default:
		out.Object()
		for i := range s.parts {
			if _, err := t.write(&s.parts[i], item, &s.keys[i], out); err != nil {
				return false, err
			}
		}
		out.End()
	}
	return true, nil
}

// list writes what s describes for each element of r.
func (t *transformer) list(s *shape, r result, out *node.Writer) error {
	k := r.value.Kind()
	if r.list == nil && k != node.Array && k != node.Missing && k != node.Null {
		return fault.New(fault.Rejected, s.expr.text, "is %s, want an array", k)
	}
	// What one element needs on the way is of no use for the next one.
	start := t.machine.used
	one := func(item node.Value) error {
		_, err := t.write(s.each, item, nil, out)
		t.machine.used = start
		return err
	}
	out.Array()
	if r.list != nil {
		for _, x := range r.list.items {
			if err := one(x.value); err != nil {
				return err
			}
		}
	}
	for item := range r.value.Items() {
		if err := one(item); err != nil {
			return err
		}
	}
	out.End()
	return nil
}

// shape is one value of the wanted document: an expression, a literal, an array,
// an object, or what each describes for every element that expr gives.
type shape struct {
	expr    *expression
	each    *shape
	literal []byte // JSON
	array   bool
	keys    []string // of the parts of an object
	parts   []shape
}

// refusal is what is wrong at a path of the wanted document.
type refusal struct{ path, what string }

// compile returns the shape written in v. Inside an $each, items may be asked for.
func compile(v node.Value, path string, inside bool, depth int) (*shape, *refusal) {
	if depth == 0 {
		return nil, &refusal{path, "is nested too deep"}
	}
	switch v.Kind() {
	case node.String:
		return leaf(v, path, inside)
	case node.Array:
		s := &shape{array: true}
		i := 0
		for x := range v.Items() {
			part, err := compile(x, path+"."+number(i), inside, depth-1)
			if err != nil {
				return nil, err
			}
			s.parts = append(s.parts, *part)
			i++
		}
		return s, nil
	case node.Object:
		if v.Get("$each").Kind() != node.Missing || v.Get("$as").Kind() != node.Missing {
			return each(v, path, inside, depth)
		}
		s := &shape{}
		for k, x := range v.Fields() {
			part, err := compile(x, path+"."+k.Str(), inside, depth-1)
			if err != nil {
				return nil, err
			}
			s.keys = append(s.keys, k.Str())
			s.parts = append(s.parts, *part)
		}
		return s, nil
	}
	return &shape{literal: append([]byte{}, v.Raw()...)}, nil
}

// each returns the shape of {"$each": expression, "$as": shape}.
func each(v node.Value, path string, inside bool, depth int) (*shape, *refusal) {
	if v.Len() != 2 || v.Get("$each").Kind() != node.String || v.Get("$as").Kind() == node.Missing {
		return nil, &refusal{path, `wants {"$each": an expression, "$as": what to make of each element}`}
	}
	s, err := leaf(v.Get("$each"), path+".$each", inside)
	if err != nil {
		return nil, err
	}
	if s.expr == nil {
		return nil, &refusal{path + ".$each", "is no expression"}
	}
	s.each, err = compile(v.Get("$as"), path+".$as", true, depth-1)
	return s, err
}

// leaf returns the shape of a string: an expression or a literal.
func leaf(v node.Value, path string, inside bool) (*shape, *refusal) {
	text := v.Str()
	if text == "" || text[0] != '$' && text[0] != '@' {
		return &shape{literal: append([]byte{}, v.Raw()...)}, nil
	}
	if len(text) > 1 && text[1] == text[0] {
		var w node.Writer
		w.String(text[1:])
		return &shape{literal: w.Bytes()}, nil
	}
	e, err := parse(text)
	if err != nil {
		return nil, &refusal{path, err.Error()}
	}
	if e.items && !inside {
		return nil, &refusal{path, "asks for an element outside of $as"}
	}
	return &shape{expr: e}, nil
}
