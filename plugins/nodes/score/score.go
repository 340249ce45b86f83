// Package score is what scorers have in common: they take {input, expected,
// output} and give {score, comment}, the score from 0 to 1.
package score

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// Pair says which part of the output is compared with which part of what was
// expected.
type Pair struct {
	output, expected string
	where            string // of what is expected, for messages
	missing          string // the comment when the output has no such part
}

// Configure reads the settings path (default ".") and expected (default the same
// path).
func Configure(c *node.Config) Pair {
	path := c.String("path", ".")
	p := Pair{path, c.String("expected", path), "expected", "the output has no value at " + path}
	if p.expected != "." {
		p.where += "." + p.expected
	}
	return p
}

// Where returns the path in the document at which the expected value stands.
func (p Pair) Where() string { return p.where }

// Read returns the two parts that the document in holds. Missing is a value for
// got, which the scorer judges, and an Invalid fault for want.
func (p Pair) Read(in []byte) (got, want node.Value, err error) {
	doc, err := node.Parse(in)
	if err != nil {
		return got, want, err
	}
	want = doc.Get("expected").Path(p.expected)
	if want.Kind() == node.Missing {
		return got, want, fault.New(fault.Invalid, p.where, "is missing").
			WithHint("a scorer takes {input, expected, output}; the setting expected says where in expected the value stands")
	}
	return p.Output(doc), want, nil
}

// Output returns the part of the output in doc, Missing when there is none.
func (p Pair) Output(doc node.Value) node.Value { return doc.Get("output").Path(p.output) }

// Missing writes the score 0 of an output without such a part.
func (p Pair) Missing(out *node.Writer) { Write(out, 0, p.missing) }

// Refuse returns the Invalid fault of an expected value that is not of the
// wanted kind.
func (p Pair) Refuse(want node.Value, wanted string) error {
	return fault.New(fault.Invalid, p.where, "is %s, want %s", want.Kind(), wanted)
}

// Write writes a score, to six decimals, and why it is that.
func Write(out *node.Writer, score float64, comment string) {
	out.Object()
	out.Key("score").Fixed(score, 6)
	out.Key("comment").String(comment)
	out.End()
}

// WriteShare writes the score n of total with the comment "n of total" and what.
func WriteShare(out *node.Writer, n, total int, what string) {
	out.Object()
	score := 0.0
	if total > 0 {
		score = float64(n) / float64(total)
	}
	out.Key("score").Fixed(score, 6)
	var buf [96]byte
	b := append(appendInt(buf[:0], n), " of "...)
	b = append(appendInt(b, total), ' ')
	out.Key("comment").Text(append(b, what...))
	out.End()
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}
