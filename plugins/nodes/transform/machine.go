package transform

import (
	"bytes"
	"slices"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// machine evaluates expressions. What they make on the way stands in writers and
// lists that are used again for the next document.
type machine struct {
	doc     node.Value
	writers []*node.Writer
	lists   []*list
	used    mark
	text    []byte
	text2   []byte
}

// mark says how many writers and lists are in use.
type mark struct{ writers, lists int }

// list is the elements of an array that is not written as one.
type list struct{ items []keyed }

// keyed is an element and what it is compared by.
type keyed struct{ value, key node.Value }

// result is what an expression came to: a value, or a list, which saves writing
// and reading an array between two functions.
type result struct {
	value node.Value
	list  *list
}

func (m *machine) reset(doc node.Value) { m.doc, m.used = doc, mark{} }

// writer returns an empty writer, valid until the machine goes back before it.
func (m *machine) writer() *node.Writer {
	if m.used.writers == len(m.writers) {
		m.writers = append(m.writers, &node.Writer{})
	}
	w := m.writers[m.used.writers]
	m.used.writers++
	w.Reset()
	return w
}

// list returns an empty list, valid likewise.
func (m *machine) list() *list {
	if m.used.lists == len(m.lists) {
		m.lists = append(m.lists, &list{})
	}
	l := m.lists[m.used.lists]
	m.used.lists++
	l.items = l.items[:0]
	return l
}

// written returns what was written to w.
func written(w *node.Writer) result {
	v, err := node.Parse(w.Bytes())
	if err != nil {
		return result{} // nested too deep
	}
	return result{value: v}
}

// missing reports whether r is nothing at all.
func (r result) missing() bool { return r.list == nil && r.value.Kind() == node.Missing }

// write writes r.
func (r result) write(out *node.Writer) {
	if r.list == nil {
		out.Value(r.value)
		return
	}
	out.Array()
	for _, x := range r.list.items {
		out.Value(x.value)
	}
	out.End()
}

// value returns r as a value.
func (m *machine) value(r result) node.Value {
	if r.list == nil {
		return r.value
	}
	w := m.writer()
	r.write(w)
	return written(w).value
}

// elements returns r, an array, as a list.
func (m *machine) elements(r result) (*list, error) {
	if r.list != nil {
		return r.list, nil
	}
	if r.value.Kind() != node.Array {
		return nil, want(r.value, "an array")
	}
	l := m.list()
	for x := range r.value.Items() {
		l.items = append(l.items, keyed{value: x})
	}
	return l, nil
}

// eval returns what e comes to, nothing when its path leads nowhere.
func (m *machine) eval(e *expression, item node.Value) (result, error) {
	v := m.doc
	if e.root == '@' {
		v = item
	}
	r := m.walk(v, e.path)
	for i := range e.calls {
		f, args := e.calls[i].function, e.calls[i].args
		if r.missing() && !f.missing {
			return r, nil
		}
		var err error
		if f.value != nil && (r.list == nil || f.list == nil) {
			r, err = f.value(m, m.value(r), args)
		} else {
			var l *list
			if l, err = m.elements(r); err == nil {
				r, err = f.list(m, l, args)
			}
		}
		if err != nil {
			return result{}, fault.Wrap("", e.text, err, "cannot be evaluated")
		}
	}
	return r, nil
}

// walk returns what p leads to from v: for a path with a * a list.
func (m *machine) walk(v node.Value, p path) result {
	for i, s := range p {
		if s.every {
			if v.Kind() != node.Array && v.Kind() != node.Object {
				return result{}
			}
			l := m.list()
			l.every(v, p[i+1:])
			return result{list: l}
		}
		v = s.down(v)
	}
	return result{value: v}
}

// every adds what p leads to from every element or member of v.
func (l *list) every(v node.Value, p path) {
	for x := range v.Items() {
		l.collect(x, p)
	}
	for _, x := range v.Fields() {
		l.collect(x, p)
	}
}

func (l *list) collect(v node.Value, p path) {
	for i, s := range p {
		if s.every {
			l.every(v, p[i+1:])
			return
		}
		v = s.down(v)
	}
	if v.Kind() != node.Missing {
		l.items = append(l.items, keyed{value: v})
	}
}

// down returns what s leads to from v.
func (s step) down(v node.Value) node.Value {
	if v.Kind() != node.Array {
		return v.Get(s.name)
	}
	switch {
	case !s.isInt:
		return node.Value{}
	case s.index < 0:
		return v.At(v.Len() + s.index)
	}
	return v.At(s.index)
}

// key finds for each element what it is compared by, at p.
func (m *machine) key(l *list, p path) {
	for i := range l.items {
		x := &l.items[i]
		x.key = m.value(m.walk(x.value, p))
	}
}

// compare orders values: nothing, null, false, true, numbers, strings, arrays,
// objects. Arrays and objects are not ordered among themselves.
func (m *machine) compare(a, b node.Value) int {
	if a.Kind() != b.Kind() {
		return int(a.Kind()) - int(b.Kind())
	}
	switch a.Kind() {
	case node.Bool:
		x, _ := a.Bool()
		y, _ := b.Bool()
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	case node.Number:
		x, _ := a.Float()
		y, _ := b.Float()
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
	case node.String:
		m.text, m.text2 = a.AppendText(m.text[:0]), b.AppendText(m.text2[:0])
		return bytes.Compare(m.text, m.text2)
	}
	return 0
}

func (m *machine) sort(l *list, descending bool) {
	slices.SortStableFunc(l.items, func(a, b keyed) int {
		if descending {
			a, b = b, a
		}
		return m.compare(a.key, b.key)
	})
}
