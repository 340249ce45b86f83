package words

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
type rule struct{ from, to string }

// rules are those of one step by the last letter but one of their suffix.
type rules [32][]rule

func table(list ...rule) (t rules) {
	for _, r := range list {
		i := r.from[len(r.from)-2] % 32
		t[i] = append(t[i], r)
	}
	return t
}

var step2 = table(rule{"ational", "ate"}, rule{"tional", "tion"}, rule{"enci", "ence"}, rule{"anci", "ance"}, rule{"izer", "ize"},
	rule{"abli", "able"}, rule{"alli", "al"}, rule{"entli", "ent"}, rule{"eli", "e"}, rule{"ousli", "ous"}, rule{"ization", "ize"},
	rule{"ation", "ate"}, rule{"ator", "ate"}, rule{"alism", "al"}, rule{"iveness", "ive"}, rule{"fulness", "ful"}, rule{"ousness", "ous"},
	rule{"aliti", "al"}, rule{"iviti", "ive"}, rule{"biliti", "ble"})

var step3 = table(rule{"icate", "ic"}, rule{"ative", ""}, rule{"alize", "al"}, rule{"iciti", "ic"}, rule{"ical", "ic"}, rule{"ful", ""}, rule{"ness", ""})

var step4 = table(rule{"al", ""}, rule{"ance", ""}, rule{"ence", ""}, rule{"er", ""}, rule{"ic", ""}, rule{"able", ""}, rule{"ible", ""},
	rule{"ant", ""}, rule{"ement", ""}, rule{"ment", ""}, rule{"ent", ""}, rule{"ion", ""}, rule{"ou", ""}, rule{"ism", ""}, rule{"ate", ""},
	rule{"iti", ""}, rule{"ous", ""}, rule{"ive", ""}, rule{"ize", ""})

// porter stems w. Source: Porter 1980, An algorithm for suffix stripping,
// Program 14:3.
func porter(w []byte) []byte {
	// Step 1a: plurals.
	switch {
	case ends(w, "sses"), ends(w, "ies"):
		w = w[:len(w)-2]
	case ends(w, "s") && !ends(w, "ss"):
		w = w[:len(w)-1]
	}
	// Step 1b: -eed, -ed, -ing.
	if ends(w, "eed") {
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
	for _, suffix := range []string{"ed", "ing"} {
		if ends(w, suffix) {
			stem := w[:len(w)-len(suffix)]
			return stem, hasVowel(stem)
		}
	}
	return w, false
}

// apply uses the rule with the longest fitting suffix, if the stem's measure is
// above m. The suffix ion needs an s or t before it.
func apply(w []byte, t *rules, m int) []byte {
	if len(w) < 2 {
		return w
	}
	var best rule
	for _, r := range t[w[len(w)-2]%32] {
		if len(r.from) > len(best.from) && ends(w, r.from) {
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
	vowel := true
	for _, ch := range w {
		if vowel = isVowel(ch, vowel); vowel {
			return true
		}
	}
	return false
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
