package transform

import (
	"bytes"
	"slices"

	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

func take(_ *machine, l *list, args []argument) (result, error) {
	n, _ := args[0].value.Int()
	l.items = l.items[:min(int(n), len(l.items))]
	return result{list: l}, nil
}

func skip(_ *machine, l *list, args []argument) (result, error) {
	n, _ := args[0].value.Int()
	l.items = append(l.items[:0], l.items[min(int(n), len(l.items)):]...)
	return result{list: l}, nil
}

func reverse(_ *machine, l *list, _ []argument) (result, error) {
	slices.Reverse(l.items)
	return result{list: l}, nil
}

func sorted(m *machine, l *list, args []argument) (result, error) {
	var by path
	descending := false
	for _, a := range args {
		if a.text == "desc" {
			descending = true
		} else {
			by = a.path
		}
	}
	m.key(l, by)
	m.sort(l, descending)
	return result{list: l}, nil
}

func unique(m *machine, l *list, args []argument) (result, error) {
	var by path
	if len(args) > 0 {
		by = args[0].path
	}
	m.key(l, by)
	kept := l.items[:0]
next:
	for _, x := range l.items {
		for i := range kept {
			if exact.Equal(kept[i].key, x.key) {
				continue next
			}
		}
		kept = append(kept, x)
	}
	l.items = kept
	return result{list: l}, nil
}

func where(m *machine, l *list, args []argument) (result, error) {
	m.key(l, args[0].path)
	kept := l.items[:0]
	for _, x := range l.items {
		if m.holds(x.key, args[1].text, args[2].value) {
			kept = append(kept, x)
		}
	}
	l.items = kept
	return result{list: l}, nil
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

func flatten(m *machine, l *list, _ []argument) (result, error) {
	flat := m.list()
	for _, x := range l.items {
		if x.value.Kind() != node.Array {
			flat.items = append(flat.items, x)
		}
		for y := range x.value.Items() {
			flat.items = append(flat.items, keyed{value: y})
		}
	}
	return result{list: flat}, nil
}

func join(m *machine, l *list, args []argument) (result, error) {
	m.text = m.text[:0]
	for i, x := range l.items {
		if i > 0 && len(args) > 0 {
			m.text = append(m.text, args[0].text...)
		}
		m.text = plain(m.text, x.value)
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

func (m *machine) string(text []byte) result {
	w := m.writer()
	w.Text(text)
	return written(w)
}

func (m *machine) float(f float64) result {
	w := m.writer()
	w.Float(f)
	return written(w)
}

// fold returns the sum, the smallest and the largest of the numbers in l.
func fold(l *list) (total, lo, hi float64, err error) {
	for i, x := range l.items {
		f, ok := x.value.Float()
		if !ok {
			return 0, 0, 0, fault.New(fault.Rejected, "", "element %d is %s, want a number", i, x.value.Kind())
		}
		if i == 0 {
			lo, hi = f, f
		}
		total, lo, hi = total+f, min(lo, f), max(hi, f)
	}
	return total, lo, hi, nil
}

func sum(m *machine, l *list, _ []argument) (result, error) {
	total, _, _, err := fold(l)
	return m.float(total), err
}

func mean(m *machine, l *list, _ []argument) (result, error) {
	total, _, _, err := fold(l)
	return m.of(l, total/max(1, float64(len(l.items)))), err
}

func least(m *machine, l *list, _ []argument) (result, error) {
	_, lo, _, err := fold(l)
	return m.of(l, lo), err
}

func most(m *machine, l *list, _ []argument) (result, error) {
	_, _, hi, err := fold(l)
	return m.of(l, hi), err
}

// of returns f, nothing when the list that it was made of is empty.
func (m *machine) of(l *list, f float64) result {
	if len(l.items) == 0 {
		return result{}
	}
	return m.float(f)
}

func count(m *machine, l *list, _ []argument) (result, error) {
	return m.float(float64(len(l.items))), nil
}
