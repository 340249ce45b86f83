// Package jsonpath scores a document by which values it has at the right paths.
package jsonpath

import (
	"bytes"

	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/plugins/nodes/score"
	"github.com/sparkrsi/spark/sdk/node"
)

type scorer struct {
	pair  score.Pair
	paths []string // nil for every value that is expected
	all   bool
}

// New returns a node that turns {expected, output} into {score, comment}: the
// share of paths at which the output has the expected value. The paths are those
// of the settings, or those of every value in expected that is neither an object
// nor an array of something.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.pair = score.Configure(c)
	s.all = c.String("mode", "share", "share", "all") == "all"
	s.paths = nil
	list := c.Value("paths")
	if list.Kind() == node.Missing {
		return nil
	}
	for v := range list.Items() {
		if v.Kind() != node.String {
			c.Refuse("paths", "holds %s, want strings", v.Kind())
		}
		s.paths = append(s.paths, v.Str())
	}
	if len(s.paths) == 0 {
		c.Refuse("paths", "is %s, want an array of one or more paths", list.Kind())
	}
	return nil
}

func (s *scorer) Process(in []byte, out *node.Writer) error {
	got, want, err := s.pair.Read(in)
	if err != nil {
		return err
	}
	right, total := 0, len(s.paths)
	if s.paths == nil {
		right, total = leaves(got, want)
	}
	for _, path := range s.paths {
		if x := want.Path(path); x.Kind() == node.Missing {
			return s.pair.Refuse(x, "a value at "+path)
		} else if exact.Equal(got.Path(path), x) {
			right++
		}
	}
	if s.all && right < total {
		score.Write(out, 0, "an expected value is missing or differs")
		return nil
	}
	score.WriteShare(out, right, total, "expected values are there")
	return nil
}

// leaves counts the values in want, and those of them that got has too.
func leaves(got, want node.Value) (right, total int) {
	add := func(r, t int) { right, total = right+r, total+t }
	switch want.Kind() {
	case node.Object:
		// A member mostly stands where it is expected.
		var keys, members [8]node.Value
		n := 0
		for k, x := range got.Fields() {
			if n == len(keys) {
				break
			}
			keys[n], members[n] = k, x
			n++
		}
		i := 0
		for k, x := range want.Fields() {
			if i < n && bytes.Equal(keys[i].Raw(), k.Raw()) {
				add(leaves(members[i], x))
			} else {
				add(leaves(got.Get(string(k.Text())), x))
			}
			i++
		}
	case node.Array:
		var buf [8]node.Value
		items := buf[:0]
		for x := range got.Items() {
			items = append(items, x)
		}
		i := 0
		for x := range want.Items() {
			y := node.Value{}
			if i < len(items) {
				y = items[i]
			}
			add(leaves(y, x))
			i++
		}
	}
	if total > 0 {
		return right, total
	}
	if exact.Equal(got, want) {
		return 1, 1
	}
	return 0, 1
}
