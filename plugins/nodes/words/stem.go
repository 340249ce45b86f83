package words

import (
	"math/bits"
	"strings"
)

// Stemmer names a way to reduce words to stems.
type Stemmer string

// The stemmers.
const (
	None   Stemmer = "none"   // words stay as they are
	Light  Stemmer = "light"  // plural endings only
	Porter Stemmer = "porter" // Porter's algorithm
)

// Stem returns the stem of the lower-case word w, which may be changed in place
// and extended by one byte. Words of other than ASCII letters and words of one or
// two letters are their own stems. An unknown stemmer acts as None.
func (s Stemmer) Stem(w []byte) []byte {
	if s == None || len(w) < 3 {
		return w
	}
	for i := 0; i < len(w); i += 8 {
		x := w[i:]
		if first(^within(load(x, 0), 'a', 'z')) < min(8, len(x)) {
			return w
		}
	}
	switch s {
	case Light:
		return light(w)
	case Porter:
		return porter(w)
	}
	return w
}

// light removes plural endings. Source: Harman 1991, How effective is suffixing?
// JASIS 42:7, the S stemmer.
func light(w []byte) []byte {
	n := len(w)
	switch {
	case ends(w, "ies") && n > 3 && w[n-4] != 'e' && w[n-4] != 'a':
		return append(w[:n-3], 'y')
	case ends(w, "es") && w[n-3] != 'a' && w[n-3] != 'e' && w[n-3] != 'o':
		return w[:n-1]
	case ends(w, "s") && w[n-2] != 'u' && w[n-2] != 's' && !ends(w, "es"):
		return w[:n-1]
	}
	return w
}

func ends(w []byte, suffix string) bool {
	return len(w) >= len(suffix) && string(w[len(w)-len(suffix):]) == suffix
}

// rule replaces the suffix from by to.
type rule struct {
	from, to string
	last     byte // of from
}

// rules are those of one step by the last letter but one of their suffix.
type rules [32][]rule

// table returns the rules that list names, each as from>to.
func table(list string) (t rules) {
	for r := range strings.FieldsSeq(list) {
		from, to, _ := strings.Cut(r, ">")
		i := from[len(from)-2] % 32
		t[i] = append(t[i], rule{from, to, from[len(from)-1]})
	}
	return t
}

var (
	step2 = table("ational>ate tional>tion enci>ence anci>ance izer>ize abli>able alli>al entli>ent eli>e ousli>ous ization>ize " +
		"ation>ate ator>ate alism>al iveness>ive fulness>ful ousness>ous aliti>al iviti>ive biliti>ble")
	step3 = table("icate>ic ative> alize>al iciti>ic ical>ic ful> ness>")
	step4 = table("al> ance> ence> er> ic> able> ible> ant> ement> ment> ent> ion> ou> ism> ate> iti> ous> ive> ize>")
)

// porter stems w. Source: Porter 1980, An algorithm for suffix stripping,
// Program 14:3.
func porter(w []byte) []byte {
	// Step 1a: plurals.
	if n := len(w); w[n-1] == 's' {
		switch {
		case ends(w, "sses"), ends(w, "ies"):
			w = w[:n-2]
		case w[n-2] != 's':
			w = w[:n-1]
		}
	}
	// Step 1b: -eed, -ed, -ing.
	if last := w[len(w)-1]; last != 'd' && last != 'g' {
	} else if ends(w, "eed") {
		if measure(w[:len(w)-3]) > 0 {
			w = w[:len(w)-1]
		}
	} else if stem, ok := cutVerb(w); ok {
		w = stem
		switch n := len(w); {
		case ends(w, "at"), ends(w, "bl"), ends(w, "iz"):
			w = append(w, 'e')
		case doubled(w) && w[n-1] != 'l' && w[n-1] != 's' && w[n-1] != 'z':
			w = w[:n-1]
		case measure(w) == 1 && shortEnd(w):
			w = append(w, 'e')
		}
	}
	// Step 1c: y to i behind a vowel.
	if n := len(w); w[n-1] == 'y' && hasVowel(w[:n-1]) {
		w[n-1] = 'i'
	}
	w = apply(w, &step2, 0)
	w = apply(w, &step3, 0)
	w = apply(w, &step4, 1)
	// Step 5: a final e, and ll.
	if n := len(w); w[n-1] == 'e' {
		if m := measure(w[:n-1]); m > 1 || m == 1 && !shortEnd(w[:n-1]) {
			w = w[:n-1]
		}
	}
	if n := len(w); w[n-1] == 'l' && doubled(w) && measure(w) > 1 {
		w = w[:n-1]
	}
	return w
}

// cutVerb removes -ed or -ing from a stem that has a vowel.
func cutVerb(w []byte) ([]byte, bool) {
	stem := w
	switch {
	case ends(w, "ed"):
		stem = w[:len(w)-2]
	case ends(w, "ing"):
		stem = w[:len(w)-3]
	default:
		return w, false
	}
	return stem, hasVowel(stem)
}

// apply uses the rule with the longest fitting suffix, if the stem's measure is
// above m. The suffix ion needs an s or t before it.
func apply(w []byte, t *rules, m int) []byte {
	if len(w) < 2 {
		return w
	}
	var best rule
	last := w[len(w)-1]
	for _, r := range t[w[len(w)-2]%32] {
		if r.last == last && len(r.from) > len(best.from) && ends(w, r.from) {
			best = r
		}
	}
	if best.from == "" {
		return w
	}
	stem := w[:len(w)-len(best.from)]
	if measure(stem) <= m {
		return w
	}
	if best.from == "ion" && !ends(stem, "s") && !ends(stem, "t") {
		return w
	}
	return append(stem, best.to...)
}

// vowels has a bit for a, e, i, o and u, by their place in the alphabet.
const vowels = 1<<('a'%32) | 1<<('e'%32) | 1<<('i'%32) | 1<<('o'%32) | 1<<('u'%32)

// isVowel reports whether ch is one behind another letter, of which before tells
// whether that is a vowel: y is one behind a consonant.
func isVowel(ch byte, before bool) bool { return vowels>>(ch%32)&1 == 1 || ch == 'y' && !before }

// consonant reports whether w[i] is one; y is one at the start and behind a vowel.
func consonant(w []byte, i int) bool {
	if w[i] == 'y' {
		return i == 0 || !consonant(w, i-1)
	}
	return vowels>>(w[i]%32)&1 == 0
}

// measure returns how often a vowel is followed by a consonant in w.
func measure(w []byte) int {
	if v, ok := marked(w); ok {
		return bits.OnesCount64(v << 8 &^ v & (1<<(8*len(w)) - 1))
	}
	m, vowel := 0, true // as if a vowel stood before: a y at the start is none
	for i, ch := range w {
		next := isVowel(ch, vowel)
		if vowel && !next && i > 0 {
			m++
		}
		vowel = next
	}
	return m
}

func hasVowel(w []byte) bool {
	if v, ok := marked(w); ok {
		return v != 0
	}
	vowel := true
	for _, ch := range w {
		if vowel = isVowel(ch, vowel); vowel {
			return true
		}
	}
	return false
}

// marked marks the vowels in a word of at most eight letters without y; ok is
// false for others.
func marked(w []byte) (vowels uint64, ok bool) {
	if len(w) > 8 || len(w) == 0 {
		return 0, false
	}
	x := tail(w, 0)
	if zeros(x^ones*'y') != 0 {
		return 0, false
	}
	return zeros(x^ones*'a') | zeros(x^ones*'e') | zeros(x^ones*'i') | zeros(x^ones*'o') | zeros(x^ones*'u'), true
}

// doubled reports whether w ends in the same consonant twice.
func doubled(w []byte) bool {
	n := len(w)
	return n > 1 && w[n-1] == w[n-2] && consonant(w, n-1)
}

// shortEnd reports whether w ends consonant, vowel, consonant other than w, x, y.
func shortEnd(w []byte) bool {
	n := len(w)
	if n < 3 || !consonant(w, n-1) || consonant(w, n-2) || !consonant(w, n-3) {
		return false
	}
	return w[n-1] != 'w' && w[n-1] != 'x' && w[n-1] != 'y'
}
