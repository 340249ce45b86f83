// Package lists is how nodes change one list of a document and leave the rest of
// it as it came.
package lists

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// Max bounds how many items a list may have.
const Max = 10_000

// Editor reads a document with a list in it and writes it with another list in
// that place. The zero Editor is ready to use. Not safe for concurrent use.
type Editor struct {
	Items []node.Value // of the list read last, views of the document

	doc, list node.Value
	w         node.Writer
	buf       []byte
}

// Read reads the document in, whose list stands at path. Invalid when in is no
// JSON or has no list there, Limit beyond Max items.
func (e *Editor) Read(in []byte, path string) (err error) {
	e.Items = e.Items[:0]
	if e.doc, err = node.Parse(in); err != nil {
		return err
	}
	if e.list = e.doc.Path(path); e.list.Kind() != node.Array {
		return fault.New(fault.Invalid, path, "is %s, want an array", e.list.Kind())
	}
	for v := range e.list.Items() {
		if len(e.Items) == Max {
			return fault.New(fault.Limit, path, "has more than %d items", Max).WithHint("split the list before")
		}
		e.Items = append(e.Items, v)
	}
	return nil
}

// Write writes the document read last with items for its list.
func (e *Editor) Write(out *node.Writer, items []node.Value) {
	e.w.Reset()
	e.w.Array()
	for _, v := range items {
		e.w.Raw(v.Raw())
	}
	e.w.End()
	doc, list := e.doc.Raw(), e.list.Raw()
	from := cap(doc) - cap(list) // both are views that reach to the end of one buffer
	e.buf = append(e.buf[:0], doc[:from]...)
	e.buf = append(e.buf, e.w.Bytes()...)
	e.buf = append(e.buf, doc[from+len(list):]...)
	out.Raw(e.buf)
}
