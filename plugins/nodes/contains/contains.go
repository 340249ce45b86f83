// Package contains scores a text by which of the expected texts stand in it.
package contains

import (
	"bytes"

	"github.com/sparkrsi/spark/plugins/nodes/score"
	"github.com/sparkrsi/spark/sdk/node"
)

type scorer struct {
	pair         score.Pair
	mode         string
	fold         bool
	text, needle []byte
}

// New returns a node that turns {expected, output} into {score, comment}: the
// share of the expected texts that the output contains, or whether it has all or
// any of them.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.pair = score.Configure(c)
	s.mode = c.String("mode", "share", "share", "all", "any")
	s.fold = c.Bool("ignore_case", true)
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
	s.text = s.lower(plain(s.text[:0], got))
	found, total := 0, 0
	switch want.Kind() {
	case node.String:
		found, total = s.has(want), 1
	case node.Array:
		for v := range want.Items() {
			if v.Kind() != node.String {
				return s.pair.Refuse(v, "strings only")
			}
			found, total = found+s.has(v), total+1
		}
	}
	if total == 0 {
		return s.pair.Refuse(want, "a string or an array of one or more")
	}
	switch {
	case s.mode == "all" && found < total:
		score.Write(out, 0, "an expected text is missing")
	case s.mode == "any" && found > 0:
		score.Write(out, 1, "an expected text is there")
	default:
		score.WriteShare(out, found, total, "expected texts are there")
	}
	return nil
}

// has returns 1 when the text contains what v reads, else 0.
func (s *scorer) has(v node.Value) int {
	s.needle = s.lower(v.AppendText(s.needle[:0]))
	if bytes.Contains(s.text, s.needle) {
		return 1
	}
	return 0
}

func (s *scorer) lower(b []byte) []byte {
	if !s.fold {
		return b
	}
	for i, ch := range b {
		if ch >= 0x80 {
			return append(b[:0], bytes.ToLower(b)...)
		}
		if ch >= 'A' && ch <= 'Z' {
			b[i] = ch + 'a' - 'A'
		}
	}
	return b
}

// plain appends what a string reads, and other values as they are written.
func plain(dst []byte, v node.Value) []byte {
	if v.Kind() == node.String {
		return v.AppendText(dst)
	}
	return append(dst, v.Raw()...)
}
