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
	for _, ch := range w {
		if ch < 'a' || ch > 'z' {
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

var step2 = []rule{{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
	{"abli", "able"}, {"alli", "al"}, {"entli", "ent"}, {"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"},
	{"ation", "ate"}, {"ator", "ate"}, {"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"},
	{"aliti", "al"}, {"iviti", "ive"}, {"biliti", "ble"}}

var step3 = []rule{{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}

var step4 = []rule{{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""}, {"ic", ""}, {"able", ""}, {"ible", ""}, {"ant", ""},
	{"ement", ""}, {"ment", ""}, {"ent", ""}, {"ion", ""}, {"ou", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""},
	{"ive", ""}, {"ize", ""}}

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
	w = apply(w, step2, 0)
	w = apply(w, step3, 0)
	w = apply(w, step4, 1)
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
func apply(w []byte, rules []rule, m int) []byte {
	best := -1
	for i, r := range rules {
		if ends(w, r.from) && (best < 0 || len(r.from) > len(rules[best].from)) {
			best = i
		}
	}
	if best < 0 {
		return w
	}
	stem := w[:len(w)-len(rules[best].from)]
	if measure(stem) <= m {
		return w
	}
	if rules[best].from == "ion" && !ends(stem, "s") && !ends(stem, "t") {
		return w
	}
	return append(stem, rules[best].to...)
}

// consonant reports whether w[i] is one; y is one at the start and behind a vowel.
func consonant(w []byte, i int) bool {
	switch w[i] {
	case 'a', 'e', 'i', 'o', 'u':
		return false
	case 'y':
		return i == 0 || !consonant(w, i-1)
	}
	return true
}

// measure returns how often a vowel is followed by a consonant in w.
func measure(w []byte) int {
	m := 0
	for i := 1; i < len(w); i++ {
		if consonant(w, i) && !consonant(w, i-1) {
			m++
		}
	}
	return m
}

func hasVowel(w []byte) bool {
	for i := range w {
		if !consonant(w, i) {
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
