package words

import (
	"iter"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func collect(seq func(func([]byte) bool)) string {
	var got []string
	seq(func(w []byte) bool { got = append(got, string(w)); return true })
	return strings.Join(got, " ")
}

func TestCut(t *testing.T) {
	for _, x := range []struct{ in, runs, parts, names string }{
		{"", "", "", ""},
		{" .,- ", "", "", ""},
		{"ReadAll(r io.Reader)", "readall r io reader", "read all r io reader", "read all readall r io reader"},
		{"HTTPServer", "httpserver", "http server", "http server httpserver"},
		{"utf8.RuneLen", "utf8 runelen", "utf 8 rune len", "utf 8 utf8 rune len runelen"},
		{"parseInt64X", "parseint64x", "parse int 64 x", "parse int 64 x parseint64x"},
		{"A ID aB", "a id ab", "a id a b", "a id a b ab"},
		{"ÄrgerÖl naïve", "ärgeröl naïve", "ärger öl naïve", "ärger öl ärgeröl naïve"},
		{"don't", "don t", "don t", "don t"},
		{"encoding/json", "encoding json", "encoding json", "encoding json"},
	} {
		var c Cutter
		if got := collect(c.Runs([]byte(x.in))); got != x.runs {
			t.Errorf("Runs(%q) = %q, want %q", x.in, got, x.runs)
		}
		if got := collect(c.Parts([]byte(x.in))); got != x.parts {
			t.Errorf("Parts(%q) = %q, want %q", x.in, got, x.parts)
		}
		if got := collect(c.Names([]byte(x.in))); got != x.names {
			t.Errorf("Names(%q) = %q, want %q", x.in, got, x.names)
		}
	}
}

// The examples stand in Porter's article.
func TestPorter(t *testing.T) {
	for in, want := range map[string]string{
		"caresses": "caress", "ponies": "poni", "ties": "ti", "cats": "cat", "feed": "feed", "agreed": "agre",
		"plastered": "plaster", "bled": "bled", "motoring": "motor", "sing": "sing", "conflated": "conflat",
		"troubled": "troubl", "sized": "size", "hopping": "hop", "tanned": "tan", "falling": "fall", "hissing": "hiss",
		"fizzed": "fizz", "failing": "fail", "filing": "file", "happy": "happi", "sky": "sky", "relational": "relat",
		"conditional": "condit", "rational": "ration", "valenci": "valenc", "digitizer": "digit", "conformabli": "conform",
		"radicalli": "radic", "differentli": "differ", "vileli": "vile", "analogousli": "analog", "vietnamization": "vietnam",
		"predication": "predic", "operator": "oper", "feudalism": "feudal", "decisiveness": "decis", "hopefulness": "hope",
		"callousness": "callous", "formaliti": "formal", "sensitiviti": "sensit", "sensibiliti": "sensibl",
		"triplicate": "triplic", "formative": "form", "formalize": "formal", "electriciti": "electr", "electrical": "electr",
		"hopeful": "hope", "goodness": "good", "revival": "reviv", "allowance": "allow", "inference": "infer",
		"airliner": "airlin", "gyroscopic": "gyroscop", "adjustable": "adjust", "defensible": "defens", "irritant": "irrit",
		"replacement": "replac", "adjustment": "adjust", "dependent": "depend", "adoption": "adopt", "homologou": "homolog",
		"communism": "commun", "activate": "activ", "angulariti": "angular", "homologous": "homolog", "effective": "effect",
		"bowdlerize": "bowdler", "probate": "probat", "rate": "rate", "cease": "ceas", "controll": "control", "roll": "roll",
		"is": "is", "utf8": "utf8", "as": "as", "ion": "ion", "ies": "i", "sss": "sss", "ing": "ing", "eed": "eed",
	} {
		if got := string(Porter.Stem([]byte(in))); got != want {
			t.Errorf("Porter.Stem(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLight(t *testing.T) {
	for in, want := range map[string]string{"queries": "query", "files": "file", "class": "class", "status": "status",
		"goes": "goes", "bytes": "byte", "reading": "reading", "is": "is"} {
		if got := string(Light.Stem([]byte(in))); got != want {
			t.Errorf("Light.Stem(%q) = %q, want %q", in, got, want)
		}
	}
	if got := string(None.Stem([]byte("files"))); got != "files" {
		t.Errorf("None.Stem = %q", got)
	}
}

func TestFirstSentence(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"Join joins. It does.":           "Join joins.",
		"Uses a.b.C now.":                "Uses a.b.C now.",
		"One, e.g. two, i.e. three. Go.": "One, e.g. two, i.e. three.",
		"No stop\n\nSecond":              "No stop",
		"Line one\nline two.\nThree":     "Line one\nline two.",
	} {
		if got := in[:FirstSentence([]byte(in))]; got != want {
			t.Errorf("FirstSentence(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestStop(t *testing.T) {
	if !IsStop([]byte("the")) || IsStop([]byte("file")) {
		t.Error("the is a stop word and file is none")
	}
}

// FuzzCut checks that parts joined are the run, that all is lower case and that
// stems are never longer than a word and an e.
func FuzzCut(f *testing.F) {
	for _, s := range []string{"ReadAll(r)", "HTTPServer2x", "ÄÖü x", "a\xffb", "ǅ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var a, b Cutter
		text := []byte(s)
		runs, parts := "", ""
		for w := range a.Runs(text) {
			runs += string(w)
		}
		for w := range b.Parts(text) {
			if len(w) == 0 {
				t.Fatal("empty part")
			}
			parts += string(w)
			if strings.ContainsAny(string(w), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") || utf8.Valid(text) && !utf8.Valid(w) {
				t.Fatalf("%q is not in lower case, or no text", w)
			}
			n := len(w)
			if got := Porter.Stem(w); len(got) > n+1 || len(got) == 0 {
				t.Fatalf("stem %q", got)
			}
		}
		if runs != parts {
			t.Fatalf("runs %q, parts %q", runs, parts)
		}
		FirstSentence(text)
	})
}

// FuzzRuns checks that the short way through ASCII gives what the long one does.
func FuzzRuns(f *testing.F) {
	f.Add("Ab1\u00c4\u00d6 \u2013x y\xffz \u00e9")
	f.Fuzz(func(t *testing.T, s string) {
		var c, long Cutter
		text := []byte(s)
		at := 0
		for w := range c.Runs(text) {
			from, to := nextRun(text, at)
			if want := long.lower(text[from:to]); string(want) != string(w) || from == to {
				t.Fatalf("%q: %q, want %q", s, w, want)
			}
			at = to
		}
		if from, to := nextRun(text, at); from != to {
			t.Fatalf("%q: %q is left out", s, text[from:to])
		}
	})
}

// FuzzParts checks the same of parts and names.
func FuzzParts(f *testing.F) {
	f.Add("readAll HTTPServer x1 \u00e4b plain \u2013 words")
	f.Fuzz(func(t *testing.T, s string) {
		text := []byte(s)
		var c, long Cutter
		var parts, names []string
		for i := 0; ; {
			from, to := nextRun(text, i)
			if from == to {
				break
			}
			n := 0
			for i = from; i < to; n++ {
				end := partEnd(text[:to], i)
				parts = append(parts, string(long.lower(text[i:end])))
				names = append(names, parts[len(parts)-1])
				i = end
			}
			if n > 1 {
				names = append(names, string(long.lower(text[from:to])))
			}
		}
		for i, cut := range []iter.Seq[[]byte]{c.Parts(text), c.Names(text)} {
			var got []string
			for w := range cut {
				got = append(got, string(w))
			}
			if want := [][]string{parts, names}[i]; !slices.Equal(got, want) {
				t.Fatalf("%q: %q, want %q", s, got, want)
			}
		}
	})
}
