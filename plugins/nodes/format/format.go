// Package format makes the answer to a question of the best hits.
package format

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type formatter struct {
	k       int
	summary bool
}

// New returns a node that turns {hits} into {answers}.
func New() node.Node { return &formatter{} }

func (f *formatter) Configure(c *node.Config) error {
	f.k = c.Int("k", 10, 1, 100)
	f.summary = c.Bool("summary", true)
	return nil
}

func (f *formatter) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	hits := doc.Get("hits")
	if hits.Kind() != node.Array {
		return fault.New(fault.Invalid, "hits", "is %s, want an array", hits.Kind())
	}
	out.Object()
	out.Key("answers").Array()
	n := 0
	for h := range hits.Items() {
		if n++; n > f.k {
			break
		}
		var id, score, sig, summary node.Value
		for k, x := range h.Fields() {
			switch string(k.Text()) {
			case "id":
				id = x
			case "score":
				score = x
			case "sig":
				sig = x
			case "summary":
				summary = x
			}
		}
		if id.Kind() != node.String || score.Kind() != node.Number {
			return fault.New(fault.Invalid, "hits", "hit %d has no id and score", n-1)
		}
		out.Object()
		out.Key("id").Value(id)
		out.Key("score").Value(score)
		if sig.Kind() == node.String {
			out.Key("sig").Value(sig)
		}
		if f.summary && summary.Kind() == node.String {
			out.Key("summary").Value(summary)
		}
		out.End()
	}
	out.End()
	out.End()
	return nil
}
