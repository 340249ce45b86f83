package words

import (
	"regexp"
	"strings"
	"testing"
)

// byTheBook is Porter's algorithm as the paper writes it down, with measures and
// conditions as regular expressions over the pattern of consonants and vowels.
func byTheBook(w string) string {
	form := func(w string) string {
		f := ""
		for _, ch := range w {
			vowel := strings.ContainsRune("aeiou", ch) || ch == 'y' && strings.HasSuffix(f, "c")
			f += map[bool]string{true: "v", false: "c"}[vowel]
		}
		return f
	}
	m := func(w string) int { return len(vowelsThenConsonants.FindAllString(form(w), -1)) }
	ends := func(w string, list ...string) bool {
		for _, s := range list {
			if strings.HasSuffix(w, s) {
				return true
			}
		}
		return false
	}
	short := func(w string) bool {
		return strings.HasSuffix(form(w), "cvc") && !ends(w, "w", "x", "y")
	}
	double := func(w string) bool {
		n := len(w)
		return n > 1 && w[n-1] == w[n-2] && strings.HasSuffix(form(w), "c")
	}
	step := func(w string, above int, list string) string {
		from, to := "", ""
		for _, r := range strings.Fields(list) {
			if f, t, _ := strings.Cut(r, ">"); strings.HasSuffix(w, f) && len(f) > len(from) {
				from, to = f, t
			}
		}
		stem := strings.TrimSuffix(w, from)
		if from == "" || m(stem) <= above || from == "ion" && !ends(stem, "s", "t") {
			return w
		}
		return stem + to
	}
	switch {
	case ends(w, "sses", "ies"):
		w = w[:len(w)-2]
	case ends(w, "s") && !ends(w, "ss"):
		w = w[:len(w)-1]
	}
	cut := ""
	switch {
	case ends(w, "eed"):
		if m(w[:len(w)-3]) > 0 {
			w = w[:len(w)-1]
		}
	case ends(w, "ed"):
		cut = "ed"
	case ends(w, "ing"):
		cut = "ing"
	}
	if stem := strings.TrimSuffix(w, cut); cut != "" && strings.Contains(form(stem), "v") {
		w = stem
		switch {
		case ends(w, "at", "bl", "iz"):
			w += "e"
		case double(w) && !ends(w, "l", "s", "z"):
			w = w[:len(w)-1]
		case m(w) == 1 && short(w):
			w += "e"
		}
	}
	if n := len(w); ends(w, "y") && strings.Contains(form(w[:n-1]), "v") {
		w = w[:n-1] + "i"
	}
	w = step(w, 0, "ational>ate tional>tion enci>ence anci>ance izer>ize abli>able alli>al entli>ent eli>e ousli>ous ization>ize "+
		"ation>ate ator>ate alism>al iveness>ive fulness>ful ousness>ous aliti>al iviti>ive biliti>ble")
	w = step(w, 0, "icate>ic ative> alize>al iciti>ic ical>ic ful> ness>")
	w = step(w, 1, "al> ance> ence> er> ic> able> ible> ant> ement> ment> ent> ion> ou> ism> ate> iti> ous> ive> ize>")
	if n := len(w); ends(w, "e") && (m(w[:n-1]) > 1 || m(w[:n-1]) == 1 && !short(w[:n-1])) {
		w = w[:n-1]
	}
	if ends(w, "ll") && m(w) > 1 {
		w = w[:len(w)-1]
	}
	return w
}

var vowelsThenConsonants = regexp.MustCompile("v+c+")

// FuzzPorter compares with the algorithm as it is written down.
func FuzzPorter(f *testing.F) {
	for _, w := range strings.Fields(`relational conditional valency digitizer conformably radically vilely analogously vietnamization predication
		operator feudalism decisiveness hopefulness callousness formality sensitivity sensibility triplicate formative formalize electricity
		electrical goodness revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent
		adoption homologou communism activate angularity homologous effective bowdlerize probate rate cease controll roll yyy syzygy saying
		plastered bled motoring sing conflated troubled sized hopping tanned falling hissing fizzed failing filing happy sky agreed feed
		caresses ponies ties caress cats say toy eye`) {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w string) {
		if len(w) < 3 || len(w) > 64 || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			return
		}
		if got, want := string(Porter.Stem([]byte(w))), byTheBook(w); got != want {
			t.Errorf("Porter.Stem(%q) = %q, want %q", w, got, want)
		}
	})
}

func BenchmarkPorter(b *testing.B) {
	list := strings.Fields("reading the relational operators of a motoring conditional happiness files was effective")
	buf := make([]byte, 64)
	for b.Loop() {
		for _, w := range list {
			Porter.Stem(buf[:copy(buf, w)])
		}
	}
}

func BenchmarkParts(b *testing.B) {
	text := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, they say. ", 20))
	b.SetBytes(int64(len(text)))
	var c Cutter
	for b.Loop() {
		n := 0
		for w := range c.Parts(text) {
			n += len(w)
		}
	}
}

func BenchmarkRuns(b *testing.B) {
	text := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, they say. ", 20))
	b.SetBytes(int64(len(text)))
	var c Cutter
	for b.Loop() {
		n := uint64(0)
		for w := range c.Runs(text) {
			n += Hash(w)
		}
	}
}
