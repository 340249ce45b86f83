// Package merge joins the results of several steps, or the items of a list, into
// one list or object.
package merge

import (
	"bytes"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// maxKeys bounds the members of a merged object.
const maxKeys = 1000

type merger struct {
	from, field, as, conflict string
	names, nulls              bool
	members                   []member
	texts                     []byte
}

// member is one of the merged object. Text is what its key reads.
type member struct {
	text  []byte
	value node.Value
}

// New returns a node that takes an object (such as the outputs of joined steps by
// name) or an array and returns {items, count}, or the object that its objects
// make together.
func New() node.Node { return &merger{} }

func (m *merger) Configure(c *node.Config) error {
	m.from = c.String("from", ".")
	m.field = c.String("field", ".")
	m.as = c.String("as", "list", "list", "concat", "object")
	m.conflict = c.String("conflict", "last", "last", "first", "error")
	m.names = c.Bool("names", false)
	m.nulls = c.Bool("nulls", false)
	return nil
}

func (m *merger) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	src := doc.Path(m.from)
	if k := src.Kind(); k != node.Object && k != node.Array {
		return fault.New(fault.Invalid, m.from, "is %s, want an object or an array", k)
	}
	if m.as == "object" {
		return m.object(src, out)
	}
	count := int64(0)
	out.Object()
	out.Key("items").Array()
	for k, v := range src.Fields() {
		count += m.item(k, v, out)
	}
	for v := range src.Items() {
		count += m.item(node.Value{}, v, out)
	}
	out.End()
	out.Key("count").Int(count)
	out.End()
	return nil
}

// item writes what v, under the key k if it has one, adds to the items, and
// returns how many that are.
func (m *merger) item(k, v node.Value, out *node.Writer) (n int64) {
	v = v.Path(m.field)
	if m.as == "concat" && v.Kind() == node.Array {
		for x := range v.Items() {
			n += m.one(k, x, out)
		}
		return n
	}
	return m.one(k, v, out)
}

func (m *merger) one(k, v node.Value, out *node.Writer) int64 {
	if v.Kind() == node.Missing || v.Kind() == node.Null && !m.nulls {
		return 0
	}
	if !m.names {
		out.Value(v)
		return 1
	}
	out.Object()
	out.Key("name").Value(k)
	out.Key("value").Value(v)
	out.End()
	return 1
}

// object writes the members of all objects in src as one object.
func (m *merger) object(src node.Value, out *node.Writer) error {
	m.members, m.texts = m.members[:0], m.texts[:0]
	for _, v := range src.Fields() {
		if err := m.add(v); err != nil {
			return err
		}
	}
	for v := range src.Items() {
		if err := m.add(v); err != nil {
			return err
		}
	}
	out.Object()
	for _, x := range m.members {
		out.KeyText(x.text).Value(x.value)
	}
	out.End()
	return nil
}

// add adds the members of the object in v.
func (m *merger) add(v node.Value) error {
	v = v.Path(m.field)
	switch v.Kind() {
	case node.Object:
	case node.Missing, node.Null:
		return nil
	default:
		return fault.New(fault.Invalid, m.from+"."+m.field, "is %s, want an object", v.Kind())
	}
next:
	for k, x := range v.Fields() {
		if x.Kind() == node.Null && !m.nulls {
			continue
		}
		from := len(m.texts)
		m.texts = k.AppendText(m.texts)
		text := m.texts[from:]
		for i := range m.members {
			if !bytes.Equal(m.members[i].text, text) {
				continue
			}
			switch m.conflict {
			case "error":
				return fault.New(fault.Rejected, string(text), "stands in several of the objects").
					WithHint("set conflict to first or last to choose one")
			case "last":
				m.members[i].value = x
			}
			continue next
		}
		if len(m.members) == maxKeys {
			return fault.New(fault.Limit, m.from, "merged object has more than %d members", maxKeys)
		}
		m.members = append(m.members, member{text, x})
	}
	return nil
}
