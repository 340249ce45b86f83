// Package mrr scores a ranked answer by the reciprocal of the rank at which the
// first expected id stands.
package mrr

import (
	"bytes"
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type scorer struct {
	k       int
	answers string
}

// New returns a node that turns {expected: {ids}, output: {answers: [{id}]}}
// into {score, comment}. The score is 1/rank, 0 when none of the ids stands
// among the first k answers.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.k = c.Int("k", 10, 1, 1000)
	s.answers = c.String("answers", "answers")
	return nil
}

func (s *scorer) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	ids, answers := doc.Path("expected.ids"), doc.Get("output").Path(s.answers)
	if ids.Kind() != node.Array || ids.Len() == 0 {
		return fault.New(fault.Invalid, "expected.ids", "is %s, want an array of one or more ids", ids.Kind())
	}
	if answers.Kind() != node.Array {
		return fault.New(fault.Invalid, "output."+s.answers, "is %s, want an array", answers.Kind())
	}
	rank := 0
	for a := range answers.Items() {
		if rank++; rank > s.k {
			break
		}
		if id := a.Get("id"); expected(ids, id) {
			write(out, 1/float64(rank), string(id.Text())+" at rank "+strconv.Itoa(rank))
			return nil
		}
	}
	write(out, 0, "none of the expected ids among the first "+strconv.Itoa(s.k))
	return nil
}

func expected(ids, id node.Value) bool {
	if id.Kind() != node.String {
		return false
	}
	for x := range ids.Items() {
		if x.Kind() == node.String && bytes.Equal(x.Text(), id.Text()) {
			return true
		}
	}
	return false
}

func write(out *node.Writer, score float64, comment string) {
	out.Object()
	out.Key("score").Float(score)
	out.Key("comment").String(comment)
	out.End()
}
