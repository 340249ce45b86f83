package graph

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Violation is one way in which a value breaks its schema.
type Violation struct {
	Path    string // inside the value, such as weights[2]; empty for the value itself
	Message string
	Hint    string
}

// Schema is a compiled JSON Schema (2020-12). Nil accepts everything. It is
// immutable and safe for concurrent use.
type Schema struct{ compiled *jsonschema.Schema }

// CompileSchema compiles a schema; an empty one gives nil. References to other
// documents are refused. It fails with Invalid.
func CompileSchema(schema []byte) (*Schema, error) {
	if len(schema) == 0 {
		return nil, nil
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(schema)))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "schema is not JSON")
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	const name = "spark:config"
	if err := c.AddResource(name, doc); err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "schema")
	}
	compiled, err := c.Compile(name)
	var invalid *jsonschema.SchemaValidationError
	if errors.As(err, &invalid) { // one line, of the cause nearest to the value
		lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
		return nil, fault.New(fault.Invalid, "", "is no JSON Schema: %s", strings.TrimLeft(lines[len(lines)-1], " -"))
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "schema")
	}
	return &Schema{compiled}, nil
}

// Check returns every way in which a JSON value breaks the schema. It fails with
// Invalid when the value is not JSON.
func (s *Schema) Check(value []byte) ([]Violation, error) {
	if s == nil {
		return nil, nil
	}
	v, err := decodeJSON(value)
	if err != nil {
		return nil, err
	}
	var ve *jsonschema.ValidationError
	if err := s.compiled.Validate(v); errors.As(err, &ve) {
		return violations(nil, ve), nil
	} else if err != nil {
		return nil, fault.Wrap(fault.Invalid, "", err, "value")
	}
	return nil, nil
}

// CheckSchema checks a JSON value against a JSON Schema (2020-12) and returns
// every violation. References to other documents are refused. It fails with
// Invalid when the schema or the value is not usable; an empty schema accepts
// everything and an empty value is {}.
func CheckSchema(schema, value []byte) ([]Violation, error) {
	s, err := CompileSchema(schema)
	if err != nil {
		return nil, err
	}
	if len(value) == 0 {
		value = []byte("{}")
	}
	return s.Check(value)
}

// violations appends the leaves of e, which name the actual causes.
func violations(vs []Violation, e *jsonschema.ValidationError) []Violation {
	for _, c := range e.Causes {
		vs = violations(vs, c)
	}
	if len(e.Causes) > 0 {
		return vs
	}
	path := ""
	for _, t := range e.InstanceLocation {
		if i, err := strconv.Atoi(t); err == nil {
			path = index(path, i)
		} else {
			path = join(path, t)
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, p := range k.Properties {
			vs = append(vs, Violation{Path: join(path, p), Message: fmt.Sprintf("unknown key %q", p)})
		}
		return vs
	case *kind.Required:
		for _, p := range k.Missing {
			vs = append(vs, Violation{Path: join(path, p), Message: fmt.Sprintf("key %q is missing", p),
				Hint: fmt.Sprintf("add %q", p)})
		}
		return vs
	case *kind.Type:
		return append(vs, Violation{Path: path, Message: fmt.Sprintf("is of type %s, want %s", k.Got, strings.Join(k.Want, " or "))})
	}
	msg := "breaks the schema"
	if out := e.BasicOutput(); out.Error != nil {
		msg = out.Error.String()
	}
	return append(vs, Violation{Path: path, Message: msg})
}
