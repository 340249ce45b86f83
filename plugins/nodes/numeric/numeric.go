// Package numeric scores a number by how near it is to the expected one.
package numeric

import (
	"math"
	"strconv"

	"github.com/sparkrsi/spark/plugins/nodes/score"
	"github.com/sparkrsi/spark/sdk/node"
)

type scorer struct {
	pair                       score.Pair
	tolerance, relative, slope float64
	text                       bool
	buf                        []byte
}

// New returns a node that turns {expected, output} into {score, comment}: 1 when
// the number of the output lies within the tolerance of the expected one, beyond
// it 0 or what the distance leaves.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.pair = score.Configure(c)
	s.tolerance = c.Float("tolerance", 0, 0, 1e12)
	s.relative = c.Float("relative", 0, 0, 1e6)
	s.slope = c.Float("slope", 0, 0, 1e12)
	s.text = c.Bool("in_text", false)
	return nil
}

func (s *scorer) Process(in []byte, out *node.Writer) error {
	got, want, err := s.pair.Read(in)
	if err != nil {
		return err
	}
	if got.Kind() == node.Missing {
		s.pair.Missing(out)
		return nil
	}
	w, ok := s.number(want)
	if !ok {
		return s.pair.Refuse(want, "a number")
	}
	g, ok := s.number(got)
	if !ok {
		score.Write(out, 0, "the output is no number")
		return nil
	}
	beyond := math.Abs(g-w) - max(s.tolerance, s.relative*math.Abs(w))
	switch {
	case beyond <= 0:
		score.Write(out, 1, "within the tolerance")
	case beyond < s.slope:
		score.Write(out, 1-beyond/s.slope, "near")
	default:
		score.Write(out, 0, "too far off")
	}
	return nil
}

// number returns the number that v is or, when texts count, the first one in the
// text that v is.
func (s *scorer) number(v node.Value) (float64, bool) {
	if v.Kind() != node.String || !s.text {
		return v.Float()
	}
	s.buf = v.AppendText(s.buf[:0])
	return First(s.buf)
}

// First returns the first number written in text with digits, false when there is
// none. Commas between digits are read as groups of thousands: "1,250.5" is
// 1250.5.
func First(text []byte) (float64, bool) {
	from := 0
	for from < len(text) && !isDigit(text[from]) {
		from++
	}
	if from == len(text) {
		return 0, false
	}
	var buf [64]byte
	b := buf[:0]
	point := from > 0 && text[from-1] == '.' && (from < 2 || !isLetter(text[from-2]))
	if point {
		from--
	}
	if from > 0 && text[from-1] == '-' && (from < 2 || !isDigit(text[from-2]) && !isLetter(text[from-2])) {
		b = append(b, '-')
	}
	if point {
		b = append(b, '0', '.')
		from++
	}
	for i := from; i < len(text); i++ {
		switch ch := text[i]; {
		case isDigit(ch):
			b = append(b, ch)
			continue
		case ch == '.' && !point && i+1 < len(text) && isDigit(text[i+1]):
			b, point = append(b, ch), true
			continue
		case ch == ',' && !point && thousands(text[i+1:]):
			continue
		case ch|0x20 == 'e' && exponent(text[i+1:]):
			b = append(b, ch, text[i+1])
			for i += 2; i < len(text) && isDigit(text[i]); i++ {
				b = append(b, text[i])
			}
		}
		break
	}
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil
}

// thousands reports whether text begins with three digits and no fourth.
func thousands(text []byte) bool {
	return len(text) >= 3 && isDigit(text[0]) && isDigit(text[1]) && isDigit(text[2]) && (len(text) == 3 || !isDigit(text[3]))
}

// exponent reports whether text begins with digits, or a sign and digits.
func exponent(text []byte) bool {
	return len(text) > 0 && (isDigit(text[0]) || len(text) > 1 && (text[0] == '-' || text[0] == '+') && isDigit(text[1]))
}

func isDigit(ch byte) bool  { return ch >= '0' && ch <= '9' }
func isLetter(ch byte) bool { return ch|0x20 >= 'a' && ch|0x20 <= 'z' || ch >= 0x80 }
