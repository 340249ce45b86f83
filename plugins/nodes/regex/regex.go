// Package regex scores a text by whether a regular expression matches it.
package regex

import (
	"github.com/sparkrsi/spark/plugins/nodes/pattern"
	"github.com/sparkrsi/spark/plugins/nodes/score"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// maxPattern bounds the length of an expression, in bytes.
const maxPattern = 4096

type scorer struct {
	pair    score.Pair
	pattern string // of the settings, "" when what is expected holds it
	whole   bool
	negate  bool
	re      *pattern.Pattern // compiled last
	source  string           // what re was compiled from
	text    []byte
}

// New returns a node that turns {expected, output} into {score, comment}: 1 when
// the text matches, else 0. The expression, in the syntax of Go's package regexp
// (RE2, linear time), stands in the settings or in what is expected.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.pair = score.Configure(c)
	s.pattern = c.String("pattern", "")
	s.whole = c.Bool("whole", false)
	s.negate = c.Bool("negate", false)
	s.re, s.source = nil, ""
	if s.pattern != "" {
		if err := s.compile("", []byte(s.pattern)); err != nil {
			c.Refuse("pattern", "%v", err)
		}
	}
	return nil
}

func (s *scorer) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	got := s.pair.Output(doc)
	if s.pattern == "" {
		_, want, err := s.pair.Read(in)
		if err != nil {
			return err
		}
		if want.Kind() != node.String {
			return s.pair.Refuse(want, "a string that holds a regular expression")
		}
		if err := s.compile(s.pair.Where(), want.Text()); err != nil {
			return err
		}
	}
	switch got.Kind() {
	case node.Missing:
		s.pair.Missing(out)
		return nil
	case node.String:
		s.text = got.AppendText(s.text[:0])
	default:
		s.text = append(s.text[:0], got.Raw()...)
	}
	comment := "matches"
	matches := s.re.Match(s.text)
	if !matches {
		comment = "does not match"
	}
	if matches != s.negate {
		score.Write(out, 1, comment)
		return nil
	}
	score.Write(out, 0, comment)
	return nil
}

// compile makes expr, which stands at path, the expression, unless it is already.
func (s *scorer) compile(path string, expr []byte) error {
	if s.re != nil && s.source == string(expr) {
		return nil
	}
	if len(expr) > maxPattern {
		return fault.New(fault.Limit, path, "expression of %d bytes, limit %d", len(expr), maxPattern)
	}
	source := string(expr)
	re, err := pattern.Compile(source)
	if err == nil && s.whole {
		re, err = pattern.Compile(`\A(?:` + source + `)\z`)
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, path, err, "is no regular expression")
	}
	s.re, s.source = re, source
	return nil
}
