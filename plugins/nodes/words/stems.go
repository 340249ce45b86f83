package words

// Stems stems and remembers, because stemming is dear and a few words make up most
// texts. The zero Stems does not stem. Not safe for concurrent use.
type Stems struct {
	by    Stemmer
	known [1024]known // by the hash of the word
	word  []byte
}

// known is how a stem comes of a word: keep bytes of it and some of end.
type known struct {
	word, stem uint64 // hashes
	keep, more uint8
	end        [6]byte
}

// Use makes s stem by another stemmer.
func (s *Stems) Use(by Stemmer) {
	if s.by != by {
		*s = Stems{by: by}
	}
}

// Hash returns the hash of the stem of the lower-case word w, which is changed as
// Stemmer.Stem does.
func (s *Stems) Hash(w []byte) uint64 {
	h := Hash(w)
	if s.by == None || s.by == "" {
		return h
	}
	k := &s.known[h>>54]
	if k.word != h {
		s.learn(k, h, w)
	}
	return k.stem
}

// Stem returns the stem of the lower-case word w, as Stemmer.Stem does, and its
// hash.
func (s *Stems) Stem(w []byte) ([]byte, uint64) {
	h := Hash(w)
	if s.by == None || s.by == "" {
		return w, h
	}
	if k := &s.known[h>>54]; k.word != h {
		w = s.learn(k, h, w)
		return w, k.stem
	} else if int(k.keep)+int(k.more) <= cap(w) {
		w = w[:k.keep+k.more]
		copy(w[k.keep:], k.end[:])
		return w, k.stem
	}
	w = s.by.Stem(w)
	return w, Hash(w)
}

// learn stems w, whose hash is h, and remembers it in k if it can.
func (s *Stems) learn(k *known, h uint64, w []byte) []byte {
	s.word = append(s.word[:0], w...)
	w = s.by.Stem(w)
	keep := 0
	for keep < min(len(w), len(s.word)) && w[keep] == s.word[keep] {
		keep++
	}
	*k = known{stem: Hash(w)}
	if len(w)-keep <= len(k.end) && len(w) < 256 {
		k.word, k.keep, k.more = h, uint8(keep), uint8(copy(k.end[:], w[keep:]))
	}
	return w
}
