package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

// maxDepth bounds how deep the documents that Decode takes may nest.
const maxDepth = 64

// Decode decodes exactly one JSON document into v, a pointer, as encoding/json
// does but strictly: unknown keys, keys that differ only in case, duplicate keys,
// invalid UTF-8, more than 64 levels and trailing text are Invalid faults. The
// path of a fault is path and the keys that lead to the finding, joined by dots;
// for an unknown key the hint names the keys there are. Empty data counts as {}.
// When it fails, what v points to is undefined.
func Decode(path string, data []byte, v any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	if !utf8.Valid(data) {
		return fault.New(fault.Invalid, path, "not valid UTF-8")
	}
	w := walker{json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	if err := w.value(path, reflect.TypeOf(v).Elem(), 0); err != nil {
		return err
	}
	if _, err := w.dec.Token(); err != io.EOF {
		return fault.New(fault.Invalid, path, "text after the end of the document")
	}
	err := json.Unmarshal(data, v)
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		if mismatch.Field != "" {
			path = strings.TrimPrefix(path+"."+mismatch.Field, ".")
		}
		return fault.New(fault.Invalid, path, "a JSON %s where a %s belongs", mismatch.Value, mismatch.Type)
	case err != nil:
		return fault.Wrap(fault.Invalid, path, err, "not usable")
	}
	return nil
}

// walker reads a document token by token beside the type that it is meant for.
type walker struct{ dec *json.Decoder }

// value reads one value. t is nil where any value is welcome.
func (w walker) value(path string, t reflect.Type, depth int) error {
	if depth > maxDepth {
		return fault.New(fault.Invalid, path, "more than %d levels deep", maxDepth)
	}
	tok, err := w.dec.Token()
	if err != nil {
		return notJSON(path, err)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		t = nil // it has a form of its own
	}
	switch tok {
	case json.Delim('{'):
		err = w.object(path, t, depth)
	case json.Delim('['):
		var elem reflect.Type
		if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
			elem = t.Elem()
		}
		for i := 0; w.dec.More() && err == nil; i++ {
			err = w.value(path+"."+strconv.Itoa(i), elem, depth+1)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := w.dec.Token(); err != nil { // the closing bracket
		return notJSON(path, err)
	}
	return nil
}

// object reads the keys and values of an object, without its brackets.
func (w walker) object(path string, t reflect.Type, depth int) error {
	var fields map[string]reflect.Type
	var elem reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct:
		fields = map[string]reflect.Type{}
		addFields(fields, t)
	case t.Kind() == reflect.Map:
		elem = t.Elem()
	}
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return notJSON(path, err)
		}
		key := tok.(string)
		at := strings.TrimPrefix(path+"."+key, ".")
		if seen[key] {
			return fault.New(fault.Invalid, at, "the key is given twice")
		}
		seen[key] = true
		next := elem
		if fields != nil {
			field, ok := fields[key]
			if !ok {
				return fault.New(fault.Invalid, at, "unknown key").WithHint("%s", known(fields))
			}
			next = field
		}
		if err := w.value(at, next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// addFields adds the JSON names of the fields of t, those of embedded structs
// included.
func addFields(fields map[string]reflect.Type, t reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			addFields(fields, f.Type)
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
}

func known(fields map[string]reflect.Type) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no keys are known here"
	}
	slices.Sort(names)
	return "the known keys are " + strings.Join(names, ", ")
}

func notJSON(path string, err error) error {
	var syntax *json.SyntaxError
	where := ""
	if errors.As(err, &syntax) {
		where = fmt.Sprintf(" at byte %d", syntax.Offset)
	} else if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.Wrap(fault.Invalid, path, err, "not JSON%s", where)
}
