// Package exact scores an answer by whether it is the expected value.
package exact

import (
	"bytes"

	"github.com/sparkrsi/spark/plugins/nodes/score"
	"github.com/sparkrsi/spark/sdk/node"
)

type scorer struct{ pair score.Pair }

// New returns a node that turns {expected, output} into {score, comment}: 1 when
// the value at a path of the output equals the expected one, else 0.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.pair = score.Configure(c)
	return nil
}

func (s *scorer) Process(in []byte, out *node.Writer) error {
	got, want, err := s.pair.Read(in)
	if err != nil {
		return err
	}
	switch {
	case Equal(got, want):
		score.Write(out, 1, "equal")
	case got.Kind() == node.Missing:
		s.pair.Missing(out)
	default:
		score.Write(out, 0, "differs")
	}
	return nil
}

// Equal reports whether a and b are the same JSON value: numbers by value,
// strings by what they read, arrays in order, objects in any order.
func Equal(a, b node.Value) bool {
	if a.Kind() != b.Kind() {
		return false
	}
	if bytes.Equal(a.Raw(), b.Raw()) {
		return true
	}
	switch a.Kind() {
	case node.Number:
		x, ok := a.Float()
		y, ok2 := b.Float()
		return ok && ok2 && x == y
	case node.String:
		return bytes.Equal(a.Text(), b.Text())
	case node.Array:
		return equalItems(a, b)
	case node.Object:
		return equalMembers(a, b)
	}
	return false // missing, null, true and false are written in one way
}

func equalItems(a, b node.Value) bool {
	var buf [8]node.Value
	items := buf[:0]
	for x := range b.Items() {
		items = append(items, x)
	}
	i := 0
	for x := range a.Items() {
		if i == len(items) || !Equal(x, items[i]) {
			return false
		}
		i++
	}
	return i == len(items)
}

// equalMembers looks first for a member in the place that it has in the other
// object: most objects that are equal are written in the same order.
func equalMembers(a, b node.Value) bool {
	var keys, members [8]node.Value
	n := 0
	for k, x := range b.Fields() {
		if n < len(keys) {
			keys[n], members[n] = k, x
		}
		n++
	}
	i := 0
	for k, x := range a.Fields() {
		var y node.Value
		if i < min(n, len(keys)) && bytes.Equal(k.Raw(), keys[i].Raw()) {
			y = members[i]
		} else {
			y = b.Get(string(k.Text()))
		}
		if !Equal(x, y) {
			return false
		}
		i++
	}
	return i == n
}
