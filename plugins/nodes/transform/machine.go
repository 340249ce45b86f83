package transform

import (
	"bytes"
	"slices"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// machine evaluates expressions. What they make on the way stands in writers that
// are used again for the next document.
type machine struct {
	doc     node.Value
	writers []*node.Writer
	used    int
	list    []keyed
	text    []byte
	text2   []byte
}

// keyed is an element and what it is sorted by.
type keyed struct{ value, key node.Value }

func (m *machine) reset(doc node.Value) { m.doc, m.used = doc, 0 }

// mark returns the place up to which release lets writers be used again.
func (m *machine) mark() int        { return m.used }
func (m *machine) release(mark int) { m.used = mark }

// writer returns an empty writer, valid until it is released.
func (m *machine) writer() *node.Writer {
	if m.used == len(m.writers) {
		m.writers = append(m.writers, &node.Writer{})
	}
	w := m.writers[m.used]
	m.used++
	w.Reset()
	return w
}

// value returns what was written to w.
func value(w *node.Writer) node.Value {
	v, err := node.Parse(w.Bytes())
	if err != nil {
		return node.Value{} // a writer nested too deep
	}
	return v
}

// eval returns the value of e, Missing when its path leads nowhere.
func (m *machine) eval(e *expression, item node.Value) (node.Value, error) {
	v := m.doc
	if e.root == '@' {
		v = item
	}
	v = m.walk(v, e.path)
	for i := range e.calls {
		c := &e.calls[i]
		if v.Kind() == node.Missing && !c.function.missing {
			return v, nil
		}
		var err error
		if v, err = c.function.run(m, v, c.args); err != nil {
			return v, fault.Wrap("", e.text, err, "cannot be evaluated")
		}
	}
	return v, nil
}

// walk returns what p leads to from v: for a path with a * an array.
func (m *machine) walk(v node.Value, p path) node.Value {
	for i, s := range p {
		if s.every {
			if v.Kind() != node.Array && v.Kind() != node.Object {
				return node.Value{}
			}
			w := m.writer()
			w.Array()
			m.every(v, p[i+1:], w)
			w.End()
			return value(w)
		}
		v = s.down(v)
	}
	return v
}

// every writes what p leads to from every element or member of v.
func (m *machine) every(v node.Value, p path, w *node.Writer) {
	for x := range v.Items() {
		m.collect(x, p, w)
	}
	for _, x := range v.Fields() {
		m.collect(x, p, w)
	}
}

func (m *machine) collect(v node.Value, p path, w *node.Writer) {
	for i, s := range p {
		if s.every {
			m.every(v, p[i+1:], w)
			return
		}
		v = s.down(v)
	}
	if v.Kind() != node.Missing {
		w.Value(v)
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

// elements fills the list with the elements of the array v and what stands at p
// in each.
func (m *machine) elements(v node.Value, p path) error {
	if v.Kind() != node.Array {
		return fault.New(fault.Rejected, "", "value is %s, want an array", v.Kind())
	}
	m.list = m.list[:0]
	for x := range v.Items() {
		m.list = append(m.list, keyed{x, m.walk(x, p)})
	}
	return nil
}

// array returns the elements of the list as an array.
func (m *machine) array(list []keyed) node.Value {
	w := m.writer()
	w.Array()
	for _, x := range list {
		w.Value(x.value)
	}
	w.End()
	return value(w)
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

func (m *machine) sort(descending bool) {
	slices.SortStableFunc(m.list, func(a, b keyed) int {
		if descending {
			a, b = b, a
		}
		return m.compare(a.key, b.key)
	})
}
