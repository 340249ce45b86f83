// Package split cuts a list or a text into items, for nodes that work on one at a
// time.
package split

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// maxItems bounds how many items come out.
const maxItems = 10_000

type splitter struct {
	field         string
	units         unit
	n             int
	size, overlap int

	text []byte
	at   []span // of the units
}

// New returns a node that turns a document into {items, count}. Of a text an item
// is a text again; of a list it is an element when size is 1, else a list.
func New() node.Node { return &splitter{} }

func (s *splitter) Configure(c *node.Config) error {
	s.field = c.String("field", "text")
	s.units = units[c.String("by", "items", "items", "lines", "paragraphs", "sentences", "words", "characters")]
	s.n = c.Int("n", 0, 0, maxItems)
	s.size = c.Int("size", 1, 1, 1_000_000)
	s.overlap = min(c.Int("overlap", 0, 0, 999_999), s.size-1)
	return nil
}

func (s *splitter) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	v := doc.Path(s.field)
	s.at = s.at[:0]
	switch {
	case s.units == nil && v.Kind() == node.Array:
		// Spans of the list's own text; cap tells where a view begins.
		s.text = v.Raw()
		for x := range v.Items() {
			from := cap(s.text) - cap(x.Raw())
			s.at = append(s.at, span{from, from + len(x.Raw())})
		}
	case s.units == nil:
		return fault.New(fault.Invalid, s.field, "is %s, want an array", v.Kind()).
			WithHint("say by what a text is to be split: by: sentences, for example")
	case v.Kind() == node.String:
		s.text = v.AppendText(s.text[:0])
		for from := 0; from < len(s.text); {
			to := from + s.units(s.text[from:])
			if at := trim(s.text, from, to); at.from < at.to {
				s.at = append(s.at, at)
			}
			from = to
		}
	default:
		return fault.New(fault.Invalid, s.field, "is %s, want a string", v.Kind())
	}
	return s.write(out)
}

// write writes the units in items of size units, each beginning size - overlap
// units after the one before, or in n items as even as can be.
func (s *splitter) write(out *node.Writer) error {
	total, count := len(s.at), 0
	switch step := s.size - s.overlap; {
	case total == 0:
	case s.n > 0:
		count = min(s.n, total)
	case total > s.size:
		count = 1 + (total-s.size+step-1)/step
	default:
		count = 1
	}
	if count > maxItems {
		return fault.New(fault.Limit, s.field, "gives %d items, limit %d", count, maxItems).WithHint("make the items larger: size")
	}
	out.Object()
	out.Key("items").Array()
	for i := range count {
		from, to := i*(s.size-s.overlap), 0
		if s.n > 0 {
			from, to = i*total/count, (i+1)*total/count
		} else {
			to = min(from+s.size, total)
		}
		s.item(out, s.at[from:to])
	}
	out.End()
	out.Key("count").Int(int64(count))
	out.End()
	if s.units == nil {
		s.text = nil // a view of the input
	}
	return nil
}

// item writes one item of some units.
func (s *splitter) item(out *node.Writer, at []span) {
	switch {
	case s.units != nil:
		out.Text(s.text[at[0].from:at[len(at)-1].to])
	case s.size == 1 && s.n == 0:
		out.Raw(s.text[at[0].from:at[0].to])
	default:
		out.Array()
		for _, x := range at {
			out.Raw(s.text[x.from:x.to])
		}
		out.End()
	}
}

// span is a part of the text.
type span struct{ from, to int }

// trim returns text[from:to] without space around it.
func trim(text []byte, from, to int) span {
	for from < to && isSpace(text[from]) {
		from++
	}
	for from < to && isSpace(text[to-1]) {
		to--
	}
	return span{from, to}
}
