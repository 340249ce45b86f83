package transform

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// function is what may stand behind a bar.
type function struct {
	takes       string // the arguments, for people
	least, most int    // number of arguments; most -1 for any number
	missing     bool   // runs on a missing value, too
	check       func(args []argument) error
	run         func(m *machine, v node.Value, args []argument) (node.Value, error)
}

var functions map[string]*function

func functionNames() []string { return slices.Sorted(maps.Keys(functions)) }

func init() {
	none := "no argument"
	functions = map[string]*function{
		// Lists.
		"take":    {takes: "a number", least: 1, most: 1, check: integer, run: take},
		"skip":    {takes: "a number", least: 1, most: 1, check: integer, run: skip},
		"reverse": {takes: none, run: reverse},
		"sort":    {takes: "a path and desc, both optional", most: 2, run: sorted},
		"unique":  {takes: "an optional path", most: 1, run: unique},
		"where":   {takes: "a path, one of == != < <= > >= contains, and a value", least: 3, most: 3, check: comparison, run: where},
		"flatten": {takes: none, run: flatten},
		"join":    {takes: "an optional text", most: 1, run: join},
		"sum":     {takes: none, run: sum},
		"mean":    {takes: none, run: mean},
		"min":     {takes: none, run: least},
		"max":     {takes: none, run: most},
		// Objects, and lists of them.
		"keys":   {takes: none, run: keys},
		"values": {takes: none, run: values},
		"pick":   {takes: "names", least: 1, most: -1, run: pick},
		"drop":   {takes: "names", least: 1, most: -1, run: drop},
		// Texts.
		"lower": {takes: none, run: lower},
		"upper": {takes: none, run: upper},
		"trim":  {takes: none, run: trim},
		"split": {takes: "a text", least: 1, most: 1, check: text, run: split},
		"text":  {takes: none, run: toText},
		"parse": {takes: none, run: fromText},
		// Any value.
		"length":  {takes: none, run: length},
		"number":  {takes: none, run: toNumber},
		"default": {takes: "a value", least: 1, most: 1, missing: true, run: otherwise},
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

func take(m *machine, v node.Value, args []argument) (node.Value, error) {
	if err := m.elements(v, nil); err != nil {
		return v, err
	}
	n, _ := args[0].value.Int()
	return m.array(m.list[:min(int(n), len(m.list))]), nil
}

func skip(m *machine, v node.Value, args []argument) (node.Value, error) {
	if err := m.elements(v, nil); err != nil {
		return v, err
	}
	n, _ := args[0].value.Int()
	return m.array(m.list[min(int(n), len(m.list)):]), nil
}

func reverse(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if err := m.elements(v, nil); err != nil {
		return v, err
	}
	slices.Reverse(m.list)
	return m.array(m.list), nil
}

func sorted(m *machine, v node.Value, args []argument) (node.Value, error) {
	var by path
	descending := false
	for _, a := range args {
		if a.text == "desc" {
			descending = true
		} else {
			by = a.path
		}
	}
	if err := m.elements(v, by); err != nil {
		return v, err
	}
	m.sort(descending)
	return m.array(m.list), nil
}

func unique(m *machine, v node.Value, args []argument) (node.Value, error) {
	var by path
	if len(args) > 0 {
		by = args[0].path
	}
	if err := m.elements(v, by); err != nil {
		return v, err
	}
	kept := m.list[:0]
next:
	for _, x := range m.list {
		for i := range kept {
			if exact.Equal(kept[i].key, x.key) {
				continue next
			}
		}
		kept = append(kept, x)
	}
	return m.array(kept), nil
}

func where(m *machine, v node.Value, args []argument) (node.Value, error) {
	if err := m.elements(v, args[0].path); err != nil {
		return v, err
	}
	kept := m.list[:0]
	for _, x := range m.list {
		if m.holds(x.key, args[1].text, args[2].value) {
			kept = append(kept, x)
		}
	}
	return m.array(kept), nil
}

// holds reports whether v stands to w as op says. Only values of the same kind
// are smaller or larger than each other.
func (m *machine) holds(v node.Value, op string, w node.Value) bool {
	switch op {
	case "==":
		return exact.Equal(v, w)
	case "!=":
		return !exact.Equal(v, w)
	case "contains":
		if v.Kind() == node.String && w.Kind() == node.String {
			m.text, m.text2 = v.AppendText(m.text[:0]), w.AppendText(m.text2[:0])
			return bytes.Contains(m.text, m.text2)
		}
		for x := range v.Items() {
			if exact.Equal(x, w) {
				return true
			}
		}
		return false
	}
	if v.Kind() != w.Kind() {
		return false
	}
	c := m.compare(v, w)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func flatten(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if v.Kind() != node.Array {
		return v, want(v, "an array")
	}
	w := m.writer()
	w.Array()
	for x := range v.Items() {
		if x.Kind() != node.Array {
			w.Value(x)
		}
		for y := range x.Items() {
			w.Value(y)
		}
	}
	w.End()
	return value(w), nil
}

func join(m *machine, v node.Value, args []argument) (node.Value, error) {
	if v.Kind() != node.Array {
		return v, want(v, "an array")
	}
	m.text = m.text[:0]
	i := 0
	for x := range v.Items() {
		if i > 0 && len(args) > 0 {
			m.text = append(m.text, args[0].text...)
		}
		m.text = plain(m.text, x)
		i++
	}
	return m.string(m.text), nil
}

// plain appends what a string reads, and other values as they are written.
func plain(dst []byte, v node.Value) []byte {
	if v.Kind() == node.String {
		return v.AppendText(dst)
	}
	return append(dst, v.Raw()...)
}

func (m *machine) string(text []byte) node.Value {
	w := m.writer()
	w.Text(text)
	return value(w)
}

func (m *machine) float(f float64) node.Value {
	w := m.writer()
	w.Float(f)
	return value(w)
}

// fold returns the sum, the smallest, the largest and the number of the numbers
// in the array v.
func fold(v node.Value) (total, lo, hi float64, n int, err error) {
	if v.Kind() != node.Array {
		return 0, 0, 0, 0, want(v, "an array of numbers")
	}
	for x := range v.Items() {
		f, ok := x.Float()
		if !ok {
			return 0, 0, 0, 0, fault.New(fault.Rejected, "", "element %d is %s, want a number", n, x.Kind())
		}
		if n == 0 {
			lo, hi = f, f
		}
		total, lo, hi, n = total+f, min(lo, f), max(hi, f), n+1
	}
	return total, lo, hi, n, nil
}

func sum(m *machine, v node.Value, _ []argument) (node.Value, error) {
	total, _, _, _, err := fold(v)
	return m.float(total), err
}

func mean(m *machine, v node.Value, _ []argument) (node.Value, error) {
	total, _, _, n, err := fold(v)
	return m.ofSome(total/max(1, float64(n)), n), err
}

func least(m *machine, v node.Value, _ []argument) (node.Value, error) {
	_, lo, _, n, err := fold(v)
	return m.ofSome(lo, n), err
}

func most(m *machine, v node.Value, _ []argument) (node.Value, error) {
	_, _, hi, n, err := fold(v)
	return m.ofSome(hi, n), err
}

// ofSome returns f when it was made of n > 0 numbers, else Missing.
func (m *machine) ofSome(f float64, n int) node.Value {
	if n == 0 {
		return node.Value{}
	}
	return m.float(f)
}

func keys(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if v.Kind() != node.Object {
		return v, want(v, "an object")
	}
	w := m.writer()
	w.Array()
	for k := range v.Fields() {
		w.Value(k)
	}
	w.End()
	return value(w), nil
}

func values(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if v.Kind() != node.Object {
		return v, want(v, "an object")
	}
	w := m.writer()
	w.Array()
	for _, x := range v.Fields() {
		w.Value(x)
	}
	w.End()
	return value(w), nil
}

func pick(m *machine, v node.Value, args []argument) (node.Value, error) {
	return m.members(v, args, true)
}

func drop(m *machine, v node.Value, args []argument) (node.Value, error) {
	return m.members(v, args, false)
}

// members returns the object v, or each object of the array v, with or without
// the members that args name.
func (m *machine) members(v node.Value, args []argument, with bool) (node.Value, error) {
	w := m.writer()
	switch v.Kind() {
	case node.Object:
		m.some(w, v, args, with)
	case node.Array:
		w.Array()
		for x := range v.Items() {
			if x.Kind() != node.Object {
				return v, want(x, "objects only")
			}
			m.some(w, x, args, with)
		}
		w.End()
	default:
		return v, want(v, "an object or an array of objects")
	}
	return value(w), nil
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

func lower(m *machine, v node.Value, _ []argument) (node.Value, error) {
	return m.recase(v, 'A', bytes.ToLower)
}

func upper(m *machine, v node.Value, _ []argument) (node.Value, error) {
	return m.recase(v, 'a', bytes.ToUpper)
}

// recase changes the case of the string v: ASCII letters in place from first on,
// others by whole.
func (m *machine) recase(v node.Value, first byte, whole func([]byte) []byte) (node.Value, error) {
	if v.Kind() != node.String {
		return v, want(v, "a string")
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

func trim(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if v.Kind() != node.String {
		return v, want(v, "a string")
	}
	m.text = v.AppendText(m.text[:0])
	return m.string(bytes.TrimSpace(m.text)), nil
}

func split(m *machine, v node.Value, args []argument) (node.Value, error) {
	if v.Kind() != node.String {
		return v, want(v, "a string")
	}
	m.text = v.AppendText(m.text[:0])
	m.text2 = append(m.text2[:0], args[0].text...)
	w := m.writer()
	w.Array()
	for part := range bytes.SplitSeq(m.text, m.text2) {
		w.Text(part)
	}
	w.End()
	return value(w), nil
}

func toText(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if v.Kind() == node.String {
		return v, nil
	}
	return m.string(v.Raw()), nil
}

func fromText(m *machine, v node.Value, _ []argument) (node.Value, error) {
	if v.Kind() != node.String {
		return v, want(v, "a string that holds JSON")
	}
	m.text = v.AppendText(m.text[:0])
	w := m.writer()
	w.Raw(m.text)
	return node.Parse(w.Bytes())
}

func length(m *machine, v node.Value, _ []argument) (node.Value, error) {
	w := m.writer()
	switch v.Kind() {
	case node.String:
		m.text = v.AppendText(m.text[:0])
		w.Int(int64(utf8.RuneCount(m.text)))
	case node.Array, node.Object:
		w.Int(int64(v.Len()))
	default:
		return v, want(v, "a string, an array or an object")
	}
	return value(w), nil
}

func toNumber(m *machine, v node.Value, _ []argument) (node.Value, error) {
	switch v.Kind() {
	case node.Number:
		return v, nil
	case node.String:
		m.text = bytes.TrimSpace(v.AppendText(m.text[:0]))
		if f, err := strconv.ParseFloat(string(m.text), 64); err == nil && f-f == 0 {
			return m.float(f), nil
		}
		return v, fault.New(fault.Rejected, "", "text %.40q is no number", m.text)
	case node.Bool:
		f := 0.0
		if b, _ := v.Bool(); b {
			f = 1
		}
		return m.float(f), nil
	}
	return v, want(v, "a number, a string or a boolean")
}

func otherwise(_ *machine, v node.Value, args []argument) (node.Value, error) {
	if k := v.Kind(); k == node.Missing || k == node.Null {
		return args[0].value, nil
	}
	return v, nil
}
