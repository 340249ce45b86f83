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
	return t.fill(dst, doc, lenient, false)
}

// AppendURL is Append without lenient for a URL: what is filled in is escaped, so
// that it can become a part of a path or the value of a parameter and nothing
// else. A template that is one place alone is filled with a URL as it is.
func (t Template) AppendURL(dst []byte, doc node.Value) ([]byte, error) {
	alone := len(t.parts) == 2 && t.parts[0].text == "" && t.parts[1].text == ""
	return t.fill(dst, doc, false, !alone)
}

func (t Template) fill(dst []byte, doc node.Value, lenient, escape bool) ([]byte, error) {
	for _, p := range t.parts {
		dst = append(dst, p.text...)
		if p.path == "" {
			continue
		}
		from := len(dst)
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
		if escape {
			dst = percent(dst, from)
		}
	}
	return dst, nil
}

// percent writes dst[from:] anew with every byte escaped that is not unreserved.
// Source: RFC 3986, section 2.
func percent(dst []byte, from int) []byte {
	const hex = "0123456789ABCDEF"
	end := len(dst)
	for i := from; i < end; i++ {
		switch ch := dst[i]; {
		case ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || ch == '-' || ch == '.' || ch == '_' || ch == '~':
			dst = append(dst, ch)
		default:
			dst = append(dst, '%', hex[ch>>4], hex[ch&15])
		}
	}
	return append(dst[:from], dst[end:]...)
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
