package pattern

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// same fails unless the pattern matches each text exactly when regexp does.
func same(t *testing.T, expr string, texts ...string) {
	t.Helper()
	re, want := regexp.Compile(expr)
	p, err := Compile(expr)
	if (err == nil) != (want == nil) {
		t.Fatalf("Compile(%q) = %v, regexp says %v", expr, err, want)
	}
	if err != nil {
		if err.Error() != want.Error() {
			t.Fatalf("Compile(%q) = %v, regexp says %v", expr, err, want)
		}
		return
	}
	for range 2 { // the second round with the states of the first
		for _, text := range texts {
			if got := p.Match([]byte(text)); got != re.MatchString(text) {
				t.Fatalf("%q matches %q: %v, regexp says %v", expr, text, got, !got)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	texts := []string{"", "a", "abc", "ABC", "the quick brown fox", "x\ny", "\n", "foo bar\nbaz", "ÄÖü ß", "K\u212a", "1250.50 EUR", "a_b-c", "\xff",
		"naïve café", strings.Repeat("ab", 300), "aaaa!", "日本語", "end\n"}
	for _, expr := range []string{``, `a`, `^`, `$`, `^$`, `\A\z`, `(?i)abc`, `(?i)k`, `(?m)^b`, `(?m)r$`, `\bquick\b`, `\B`, `o\b`, `.`, `(?s).`, `x.y`,
		`(?s)x.y`, `[^a]`, `\d+\.\d{2}`, `(a|ab)(c|bcd)*$`, `^(?:a+)+$`, `(?i)(cat|fox)s?\b`, `\p{L}{3}`, `\p{Lu}`, `[[:upper:]]`, `日`, `ï.e`, `\x{fffd}`,
		`a{2,5}!`, `(a*)*b`, `x*`, `\w+\s\w+`, `[^\x00-\x7f]`, `(?U)a+?`, `\z`, `\Az`, `(`, `[b-a]`, `\8`, `a**`, `a{1001}`, `(?P<n>a)`} {
		same(t, expr, texts...)
	}
}

// TestRandom compares with regexp on expressions and texts made by chance.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"a", "b", "A", "_", " ", `\n`, "é", "k", ".", `\w`, `\W`, `\d`, `[ab]`, `[^a]`, `[^é]`, `\b`, `\B`, "^", "$", `\A`, `\z`, `\pL`}
	var expr func(depth int) string
	expr = func(depth int) string {
		if depth == 0 || r.IntN(5) == 0 {
			return pieces[r.IntN(len(pieces))]
		}
		a, b := expr(depth-1), expr(depth-1)
		switch r.IntN(7) {
		case 0:
			return a + "|" + b
		case 1:
			return "(?:" + a + ")*" + b
		case 2:
			return "(?:" + a + ")?" + b
		case 3:
			return "(?:" + a + "){2,3}" + b
		case 4:
			return "(" + a + b + ")+"
		}
		return a + b
	}
	letters := []rune("aabbA_ \nékK\u212a1Z日")
	for range 4000 {
		flags := []string{"", "", "(?i)", "(?m)", "(?s)", "(?im)"}[r.IntN(6)]
		var texts []string
		for range 8 {
			text := make([]rune, r.IntN(12))
			for i := range text {
				text[i] = letters[r.IntN(len(letters))]
			}
			texts = append(texts, string(text))
		}
		same(t, flags+expr(4), texts...)
	}
}

// TestForget has a pattern that needs more states than are kept, which forgets
// them and still answers.
func TestForget(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	expr := `(?:a|b)*a(?:a|b){11}c`
	var texts []string
	for range 4 {
		text := make([]byte, 4000)
		for i := range text {
			text[i] = "ab"[r.IntN(2)]
		}
		texts = append(texts, string(text), string(text)+"c")
	}
	same(t, expr, texts...)
	p, err := Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		p.Match([]byte(text))
		if len(p.next) > maxTable {
			t.Fatalf("a table of %d, limit %d", len(p.next), maxTable)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`(?i)\b(cat|bird)s?\b`, "two Cats")
	f.Add(`^\pL+[^\d]$`, "été!")
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) < 200 && len(text) < 2000 {
			same(t, expr, text, text+"\n", text+text)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	text := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 23))
	for _, expr := range []string{`lazy cat`, `(?i)(cat|bird)s?\b`, `\d{3}-\d{4}`} {
		b.Run(expr, func(b *testing.B) {
			p, err := Compile(expr)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if p.Match(text) {
					b.Fatal("matches")
				}
			}
		})
	}
}
