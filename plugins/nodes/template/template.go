// Package template fills a text with values of the input document.
package template

import (
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// Template is a text with places to fill. A place is {{path}}, where path leads
// to a value of the document as node.Value.Path does, space around it is
// ignored, and {{.}} is the whole document. Strings are filled in as they read,
// other values as JSON. There is nothing else: no conditions, no loops. The zero
// Template is the empty text. Immutable.
type Template struct{ parts []part }

// part is literal text followed by a place; the last one's path is "".
type part struct{ text, path string }

// Parse returns the template written in text, or an Invalid fault for a place
// that is empty or not closed.
func Parse(text string) (Template, error) {
	var t Template
	for {
		before, rest, ok := strings.Cut(text, "{{")
		if !ok {
			t.parts = append(t.parts, part{text: text})
			return t, nil
		}
		path, after, ok := strings.Cut(rest, "}}")
		path = strings.TrimSpace(path)
		if !ok || path == "" {
			return Template{}, fault.New(fault.Invalid, "", "{{%.20s is not a place", rest).
				WithHint("write places as {{path.to.value}}")
		}
		t.parts = append(t.parts, part{before, path})
		text = after
	}
}

// Append appends the text filled from doc to dst. Without lenient a path that
// leads nowhere is a Rejected fault, with it nothing is filled in there.
func (t Template) Append(dst []byte, doc node.Value, lenient bool) ([]byte, error) {
	for _, p := range t.parts {
		dst = append(dst, p.text...)
		if p.path == "" {
			continue
		}
		switch v := doc.Path(p.path); v.Kind() {
		case node.Missing:
			if !lenient {
				return dst, fault.New(fault.Rejected, p.path, "the input has no such value")
			}
		case node.String:
			dst = v.AppendText(dst)
		default:
			dst = append(dst, v.Raw()...)
		}
	}
	return dst, nil
}

type renderer struct {
	template Template
	lenient  bool
	buf      []byte
}

// New returns a node that turns any document into {text}.
func New() node.Node { return &renderer{} }

func (r *renderer) Configure(c *node.Config) error {
	t, err := Parse(c.String("template", ""))
	if err != nil {
		c.Refuse("template", "%v", err)
	}
	r.template, r.lenient = t, c.String("missing", "error", "error", "empty") == "empty"
	return nil
}

func (r *renderer) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	if r.buf, err = r.template.Append(r.buf[:0], doc, r.lenient); err != nil {
		return err
	}
	out.Object()
	out.Key("text").Text(r.buf)
	out.End()
	return nil
}
