package dedupe

import (
	"math"
	"slices"

	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/node"
)

// The constants of FNV-1a with 64 bits. Source: Fowler, Noll, Vo, RFC 9923.
const (
	offset = 14695981039346656037
	prime  = 1099511628211
)

func mix(h uint64, b []byte) uint64 {
	for _, ch := range b {
		h = (h ^ uint64(ch)) * prime
	}
	return h
}

func mixInt(h, n uint64) uint64 {
	h = (h ^ n) * prime
	return h ^ h>>29
}

// hasher makes hashes of values. The zero hasher is ready to use.
type hasher struct{ text []byte }

// value returns a hash that is the same for values that are equal, however they
// are written.
func (s *hasher) value(v node.Value) uint64 {
	h := mixInt(offset, uint64(v.Kind()))
	switch v.Kind() {
	case node.String:
		s.text = v.AppendText(s.text[:0])
		return mix(h, s.text)
	case node.Number:
		if f, ok := v.Float(); ok {
			return mixInt(h, math.Float64bits(f+0)) // -0 + 0 is 0
		}
		return h
	case node.Array:
		for x := range v.Items() {
			h = mixInt(h, s.value(x))
		}
		return h
	case node.Object:
		for k, x := range v.Fields() { // in any order
			h += mixInt(s.value(k), s.value(x))
		}
		return h
	}
	return mix(h, v.Raw())
}

// shingler finds texts that are near one it saw: whose sets of shingles (runs of
// a few words) have a large resemblance, the size of the intersection by that of
// the union. Source: Broder 1997, On the resemblance and containment of
// documents.
type shingler struct {
	size  int // words of a shingle
	cut   words.Cutter
	text  []byte
	words []uint64 // of one text
	all   []uint64 // the shingles of the texts seen, sorted within each
	ends  []int    // where those of each end
}

func (s *shingler) reset() { s.all, s.ends = s.all[:0], s.ends[:0] }

// near reports whether the resemblance of v's text, or JSON, and one seen before
// is threshold or more, and remembers v if not.
func (s *shingler) near(v node.Value, threshold float64) bool {
	if v.Kind() == node.String {
		s.text = v.AppendText(s.text[:0])
	} else {
		s.text = append(s.text[:0], v.Raw()...)
	}
	s.words = s.words[:0]
	for w := range s.cut.Runs(s.text) {
		s.words = append(s.words, words.Hash(w))
	}
	from := len(s.all)
	for i := range s.words {
		to := i + s.size
		if to > len(s.words) && i > 0 {
			break
		}
		h := uint64(offset)
		for _, w := range s.words[i:min(to, len(s.words))] {
			h = mixInt(h, w)
		}
		s.all = append(s.all, h)
	}
	set := s.all[from:]
	slices.Sort(set)
	set = slices.Compact(set)
	s.all = s.all[:from+len(set)]
	begin := 0
	for _, end := range s.ends {
		if resemble(s.all[begin:end], set, threshold) {
			s.all = s.all[:from]
			return true
		}
		begin = end
	}
	s.ends = append(s.ends, len(s.all))
	return false
}

// resemble reports whether the resemblance of two sorted sets is threshold or
// more. Two empty ones are alike.
func resemble(a, b []uint64, threshold float64) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if float64(len(a)) < threshold*float64(len(b)) {
		return false
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
	return float64(both) >= threshold*float64(len(a)+len(b)-both)
}
