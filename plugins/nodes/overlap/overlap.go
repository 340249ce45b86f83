// Package overlap scores a text by the words that it shares with the expected
// one.
package overlap

import (
	"math"
	"slices"

	"github.com/sparkrsi/spark/plugins/nodes/score"
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/node"
)

type scorer struct {
	pair      score.Pair
	measure   string
	comment   string
	stop      bool
	cut       words.Cutter
	text      []byte
	got, want []uint64 // hashes of words, sorted
	stems     words.Stems
}

// New returns a node that turns {expected, output} into {score, comment}. The
// words of both texts are compared as multisets; of several expected texts the
// one that fits best counts. F1 is the harmonic mean of precision (the share of
// the output's words that are expected) and recall (the share of the expected
// words that the output has). Source: Rajpurkar et al. 2016, arXiv:1606.05250.
func New() node.Node { return &scorer{} }

func (s *scorer) Configure(c *node.Config) error {
	s.pair = score.Configure(c)
	s.measure = c.String("measure", "f1", "f1", "precision", "recall", "jaccard")
	s.comment = s.measure + " of the words"
	s.stems.Use(words.Stemmer(c.String("stem", string(words.None), string(words.None), string(words.Light), string(words.Porter))))
	s.stop = c.Bool("drop_stop_words", false)
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
	s.got = s.fill(s.got, got)
	best := 0.0
	switch want.Kind() {
	case node.String:
		s.want = s.fill(s.want, want)
		best = s.compare()
	case node.Array:
		n := 0
		for v := range want.Items() {
			if v.Kind() != node.String {
				return s.pair.Refuse(v, "strings only")
			}
			s.want = s.fill(s.want, v)
			best = max(best, s.compare())
			n++
		}
		if n == 0 {
			return s.pair.Refuse(want, "a string or an array of one or more")
		}
	default:
		return s.pair.Refuse(want, "a string or an array of strings")
	}
	score.Write(out, best, s.comment)
	return nil
}

// fill returns the words of v, those of its JSON when it is no string, in the
// memory of bag.
func (s *scorer) fill(bag []uint64, v node.Value) []uint64 {
	if v.Kind() == node.String {
		s.text = v.AppendText(s.text[:0])
	} else {
		s.text = append(s.text[:0], v.Raw()...)
	}
	bag = bag[:0]
	for w := range s.cut.Runs(s.text) {
		if s.stop && words.IsStop(w) {
			continue
		}
		bag = append(bag, s.stems.Hash(w))
	}
	slices.Sort(bag)
	return bag
}

// compare returns the measure of the two bags. Two texts without words are equal.
func (s *scorer) compare() float64 {
	a, b := s.got, s.want
	if len(a) == 0 && len(b) == 0 {
		return 1
	}
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	n, of := float64(both), 0.0
	switch s.measure {
	case "precision":
		of = float64(len(a))
	case "recall":
		of = float64(len(b))
	case "jaccard":
		of = float64(len(a) + len(b) - both)
	default:
		n, of = 2*n, float64(len(a)+len(b))
	}
	return n / math.Max(of, 1)
}
