package transform

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// function is what may stand behind a bar.
type function struct {
	takes       string // the arguments, for people
	least, most int    // number of arguments; most -1 for any number
	missing     bool   // runs on a missing value, too
	check       func(args []argument) error

	// One of them, or both: what it does to a value, and to the elements of an array.
	value func(m *machine, v node.Value, args []argument) (result, error)
	list  func(m *machine, l *list, args []argument) (result, error)
}

var functions map[string]*function

func functionNames() []string { return slices.Sorted(maps.Keys(functions)) }

func init() {
	none := "no argument"
	functions = map[string]*function{
		// Lists.
		"take":    {takes: "a number", least: 1, most: 1, check: integer, list: take},
		"skip":    {takes: "a number", least: 1, most: 1, check: integer, list: skip},
		"reverse": {takes: none, list: reverse},
		"sort":    {takes: "a path and desc, both optional", most: 2, list: sorted},
		"unique":  {takes: "an optional path", most: 1, list: unique},
		"where":   {takes: "a path, one of == != < <= > >= contains, and a value", least: 3, most: 3, check: comparison, list: where},
		"flatten": {takes: none, list: flatten},
		"join":    {takes: "an optional text", most: 1, list: join},
		"sum":     {takes: none, list: sum},
		"mean":    {takes: none, list: mean},
		"min":     {takes: none, list: least},
		"max":     {takes: none, list: most},
		// Objects, and lists of them.
		"keys":   {takes: none, value: keys},
		"values": {takes: none, value: values},
		"pick":   {takes: "names", least: 1, most: -1, value: pick},
		"drop":   {takes: "names", least: 1, most: -1, value: drop},
		// Texts.
		"lower": {takes: none, value: lower},
		"upper": {takes: none, value: upper},
		"trim":  {takes: none, value: trim},
		"split": {takes: "a text", least: 1, most: 1, check: text, value: split},
		"text":  {takes: none, value: toText},
		"parse": {takes: none, value: fromText},
		// Any value.
		"length":  {takes: none, value: length, list: count},
		"number":  {takes: none, value: toNumber},
		"default": {takes: "a value", least: 1, most: 1, missing: true, value: otherwise},
	}
}

func integer(args []argument) error {
	if n, ok := args[0].value.Int(); !ok || n < 0 || n > 1<<30 {
		return errors.New("it is no integer from 0 on")
	}
	return nil
}

func text(args []argument) error {
	if args[0].text == "" {
		return errors.New("it is empty")
	}
	return nil
}

var operators = []string{"==", "!=", "<", "<=", ">", ">=", "contains"}

func comparison(args []argument) error {
	if !slices.Contains(operators, args[1].text) {
		return errors.New(args[1].text + " is none")
	}
	return nil
}

func want(v node.Value, what string) error {
	return fault.New(fault.Rejected, "", "value is %s, want %s", v.Kind(), what)
}

func keys(m *machine, v node.Value, _ []argument) (result, error) {
	if v.Kind() != node.Object {
		return result{}, want(v, "an object")
	}
	l := m.list()
	for k := range v.Fields() {
		l.items = append(l.items, keyed{value: k})
	}
	return result{list: l}, nil
}

func values(m *machine, v node.Value, _ []argument) (result, error) {
	if v.Kind() != node.Object {
		return result{}, want(v, "an object")
	}
	l := m.list()
	l.every(v, nil)
	return result{list: l}, nil
}

func pick(m *machine, v node.Value, args []argument) (result, error) {
	return m.members(v, args, true)
}

func drop(m *machine, v node.Value, args []argument) (result, error) {
	return m.members(v, args, false)
}

// members returns the object v, or each object of the array v, with or without
// the members that args name.
func (m *machine) members(v node.Value, args []argument, with bool) (result, error) {
	w := m.writer()
	switch v.Kind() {
	case node.Object:
		m.some(w, v, args, with)
	case node.Array:
		w.Array()
		for x := range v.Items() {
			if x.Kind() != node.Object {
				return result{}, want(x, "objects only")
			}
			m.some(w, x, args, with)
		}
		w.End()
	default:
		return result{}, want(v, "an object or an array of objects")
	}
	return written(w), nil
}

func (m *machine) some(w *node.Writer, v node.Value, args []argument, with bool) {
	w.Object()
	for k, x := range v.Fields() {
		m.text = k.AppendText(m.text[:0])
		named := false
		for i := range args {
			named = named || args[i].text == string(m.text)
		}
		if named == with {
			w.KeyText(m.text).Value(x)
		}
	}
	w.End()
}

func lower(m *machine, v node.Value, _ []argument) (result, error) {
	return m.recase(v, 'A', bytes.ToLower)
}

func upper(m *machine, v node.Value, _ []argument) (result, error) {
	return m.recase(v, 'a', bytes.ToUpper)
}

// recase changes the case of the string v: ASCII letters in place from first on,
// others by whole.
func (m *machine) recase(v node.Value, first byte, whole func([]byte) []byte) (result, error) {
	if v.Kind() != node.String {
		return result{}, want(v, "a string")
	}
	m.text = v.AppendText(m.text[:0])
	for i, ch := range m.text {
		if ch >= utf8.RuneSelf {
			return m.string(whole(m.text)), nil
		}
		if ch >= first && ch < first+26 {
			m.text[i] = ch ^ 0x20
		}
	}
	return m.string(m.text), nil
}

func trim(m *machine, v node.Value, _ []argument) (result, error) {
	if v.Kind() != node.String {
		return result{}, want(v, "a string")
	}
	m.text = v.AppendText(m.text[:0])
	return m.string(bytes.TrimSpace(m.text)), nil
}

func split(m *machine, v node.Value, args []argument) (result, error) {
	if v.Kind() != node.String {
		return result{}, want(v, "a string")
	}
	m.text = v.AppendText(m.text[:0])
	m.text2 = append(m.text2[:0], args[0].text...)
	w := m.writer()
	w.Array()
	for part := range bytes.SplitSeq(m.text, m.text2) {
		w.Text(part)
	}
	w.End()
	return written(w), nil
}

func toText(m *machine, v node.Value, _ []argument) (result, error) {
	if v.Kind() == node.String {
		return result{value: v}, nil
	}
	return m.string(v.Raw()), nil
}

func fromText(m *machine, v node.Value, _ []argument) (result, error) {
	if v.Kind() != node.String {
		return result{}, want(v, "a string that holds JSON")
	}
	m.text = v.AppendText(m.text[:0])
	w := m.writer()
	w.Raw(m.text)
	parsed, err := node.Parse(w.Bytes())
	return result{value: parsed}, err
}

func length(m *machine, v node.Value, _ []argument) (result, error) {
	w := m.writer()
	switch v.Kind() {
	case node.String:
		m.text = v.AppendText(m.text[:0])
		w.Int(int64(utf8.RuneCount(m.text)))
	case node.Array, node.Object:
		w.Int(int64(v.Len()))
	default:
		return result{}, want(v, "a string, an array or an object")
	}
	return written(w), nil
}

func toNumber(m *machine, v node.Value, _ []argument) (result, error) {
	switch v.Kind() {
	case node.Number:
		return result{value: v}, nil
	case node.String:
		m.text = bytes.TrimSpace(v.AppendText(m.text[:0]))
		if f, err := strconv.ParseFloat(string(m.text), 64); err == nil && f-f == 0 {
			return m.float(f), nil
		}
		return result{}, fault.New(fault.Rejected, "", "text %.40q is no number", m.text)
	case node.Bool:
		f := 0.0
		if b, _ := v.Bool(); b {
			f = 1
		}
		return m.float(f), nil
	}
	return result{}, want(v, "a number, a string or a boolean")
}

func otherwise(_ *machine, v node.Value, args []argument) (result, error) {
	if k := v.Kind(); k == node.Missing || k == node.Null {
		return result{value: args[0].value}, nil
	}
	return result{value: v}, nil
}
