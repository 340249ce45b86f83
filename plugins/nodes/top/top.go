// Package top keeps the items of a list that score best.
package top

import (
	"slices"

	"github.com/sparkrsi/spark/plugins/nodes/lists"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type selector struct {
	items, score, missing string
	n                     int
	least                 float64
	ascending             bool
	edit                  lists.Editor
	ranked                []ranked
}

type ranked struct {
	value node.Value
	score float64
}

// New returns a node that returns its input with a list in it sorted by score
// and cut to the best n. Items of equal score keep their order.
func New() node.Node { return &selector{} }

func (s *selector) Configure(c *node.Config) error {
	s.items = c.String("items", "items")
	s.score = c.String("score", "score")
	s.missing = c.String("missing", "error", "error", "drop", "last")
	s.n = c.Int("n", 10, 1, lists.Max)
	s.least = c.Float("min_score", -1e12, -1e12, 1e12)
	s.ascending = c.String("order", "highest", "highest", "lowest") == "lowest"
	return nil
}

func (s *selector) Process(in []byte, out *node.Writer) error {
	if err := s.edit.Read(in, s.items); err != nil {
		return err
	}
	s.ranked = s.ranked[:0]
	without := 0 // items without a score, kept at the end of the editor's list
	for _, v := range s.edit.Items {
		x := v.Path(s.score)
		score, ok := x.Float()
		switch {
		case ok && score >= s.least:
			if s.ascending {
				score = -score
			}
			s.ranked = append(s.ranked, ranked{v, score})
		case ok || s.missing == "drop":
		case s.missing == "last":
			s.edit.Items[without] = v
			without++
		default:
			return fault.New(fault.Rejected, s.items+"."+s.score, "is %s, want a number", x.Kind()).
				WithHint("set missing to drop or last if items without a score are to be expected")
		}
	}
	slices.SortStableFunc(s.ranked, func(a, b ranked) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	for _, v := range s.edit.Items[:without] {
		s.ranked = append(s.ranked, ranked{value: v})
	}
	kept := s.edit.Items[:0]
	for _, r := range s.ranked[:min(s.n, len(s.ranked))] {
		kept = append(kept, r.value)
	}
	s.edit.Write(out, kept)
	return nil
}
