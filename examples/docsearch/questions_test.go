package docsearch

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestQuestions(t *testing.T) {
	screen, confirm, heldOut, err := Questions()
	if err != nil {
		t.Fatal(err)
	}
	if len(screen) != 90 || len(confirm) != 140 || len(heldOut) != 70 {
		t.Errorf("parts of %d, %d and %d, want 90, 140 and 70", len(screen), len(confirm), len(heldOut))
	}
	symbols := realSymbols(t)
	all := slices.Concat(screen, confirm, heldOut)
	ids, packages, levels := map[string]bool{}, map[string]bool{}, map[string]int{}
	answers := map[string]int{}
	for _, q := range all {
		if ids[q.ID] {
			t.Errorf("%s is in two places", q.ID)
		}
		ids[q.ID] = true
		if len(q.Expected) < 1 || len(q.Expected) > 3 {
			t.Errorf("%s has %d answers, want 1 to 3", q.ID, len(q.Expected))
		}
		for _, id := range q.Expected {
			if _, ok := symbols[id]; !ok {
				t.Errorf("%s: the corpus has no %s", q.ID, id)
			}
		}
		if len(q.Tags) != 2 || q.Tags[0] != symbols[q.Expected[0]].Pkg {
			t.Errorf("%s: tags %q", q.ID, q.Tags)
			continue
		}
		packages[q.Tags[0]] = true
		levels[q.Tags[1]]++
		sorted := slices.Sorted(slices.Values(q.Expected))
		if len(slices.Compact(sorted)) != len(q.Expected) {
			t.Errorf("%s names an answer twice", q.ID)
		}
		answers[strings.Join(sorted, " ")]++
	}
	if len(ids) != 300 {
		t.Errorf("%d questions, want 300", len(ids))
	}
	for symbols, n := range answers {
		if n > 2 {
			t.Errorf("%d questions for %s, want at most 2", n, symbols)
		}
	}
	if len(packages) < 60 {
		t.Errorf("answers from %d packages, want at least 60", len(packages))
	}
	if len(levels) != 3 || levels["easy"] < 20 || levels["medium"] < 20 || levels["hard"] < 20 {
		t.Errorf("difficulties %v", levels)
	}
	t.Logf("%d packages, difficulties %v", len(packages), levels)
}

// No two questions may say the same with the same words, nor any repeat its
// answer's documentation.
func TestQuestionsAreDistinct(t *testing.T) {
	screen, confirm, heldOut, err := Questions()
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(screen, confirm, heldOut)
	symbols := realSymbols(t)
	for i, q := range all {
		words := plainWords(q.Question)
		if len(words) == 0 {
			t.Errorf("%s has no words", q.ID)
		}
		for _, other := range all[:i] {
			if s := overlap(words, plainWords(other.Question)); s >= .75 {
				t.Errorf("%s %q and %s %q share %.0f %% of their words", q.ID, q.Question, other.ID, other.Question, 100*s)
			}
		}
		for _, id := range q.Expected {
			doc := " " + strings.Join(plainWords(symbols[id].Doc), " ") + " "
			for n := 0; n+6 <= len(words); n++ {
				if run := strings.Join(words[n:n+6], " "); strings.Contains(doc, " "+run+" ") {
					t.Errorf("%s repeats the documentation of %s: %q", q.ID, id, run)
				}
			}
		}
	}
}

func TestSplitDependsOnIDsOnly(t *testing.T) {
	all, err := decodeQuestions(questionsFile)
	if err != nil {
		t.Fatal(err)
	}
	ids := func(part []Question) string {
		var out []string
		for _, q := range part {
			out = append(out, q.ID)
		}
		return strings.Join(out, " ")
	}
	screen, confirm, heldOut := split(all)
	other := slices.Clone(all)
	slices.Reverse(other)
	for i := range other {
		other[i].Question += " (reworded)"
	}
	screen2, confirm2, heldOut2 := split(other)
	if ids(screen) != ids(screen2) || ids(confirm) != ids(confirm2) || ids(heldOut) != ids(heldOut2) {
		t.Error("order or wording changed the split")
	}
	// A changed seed or hash would let questions cross between the parts.
	if got, want := ids(screen[:5])+" | "+ids(confirm[:5])+" | "+ids(heldOut[:5]), splitHead; got != want {
		t.Errorf("the parts begin with %s, want %s", got, want)
	}
}

const splitHead = "q001 q005 q006 q007 q020 | q002 q003 q004 q009 q010 | q008 q012 q016 q017 q018"

func TestWriteDataset(t *testing.T) {
	questions := []Question{
		{ID: "q1", Question: `is a < b & "c"?`, Expected: []string{"cmp.Less"}, Tags: []string{"cmp", "easy"}},
		{ID: "q2", Question: "größer", Expected: []string{"a.A", "b.B"}, Tags: []string{"a", "hard"}},
	}
	want := `{"id":"q1","input":{"question":"is a < b & \"c\"?"},"expected":{"ids":["cmp.Less"]},"tags":["cmp","easy"]}
{"id":"q2","input":{"question":"größer"},"expected":{"ids":["a.A","b.B"]},"tags":["a","hard"]}
`
	var buf bytes.Buffer
	if err := WriteDataset(&buf, questions); err != nil || buf.String() != want {
		t.Errorf("wrote %s, %v; want %s", buf.String(), err, want)
	}
	full := errors.New("disk full")
	if err := WriteDataset(failingWriter{full}, questions); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	all, err := decodeQuestions(questionsFile)
	if err != nil {
		t.Fatal(err)
	}
	buf.Reset()
	if err := WriteDataset(&buf, all); err != nil || bytes.Count(buf.Bytes(), []byte("\n")) != 300 {
		t.Errorf("%d lines, %v; want 300", bytes.Count(buf.Bytes(), []byte("\n")), err)
	}
}

func TestDecodeQuestionsRefuses(t *testing.T) {
	const good = `{"id":"q","question":"?","expected":["a.A"],"tags":[]}`
	for text, want := range map[string]string{
		good + "\n" + good:                   `line 2: id "q" appears a second time`,
		"\n" + good:                          "line 1: not a question",
		good + good:                          "more than one value",
		`{"id":"q","question":"?"}`:          "must not be empty",
		`{"id":"q","question":"?","hint":1}`: `unknown field "hint"`,
	} {
		if _, err := decodeQuestions([]byte(text)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want invalid with %q", text, err, want)
		}
	}
}

func FuzzDecodeQuestions(f *testing.F) {
	f.Add(questionsFile[:bytes.IndexByte(questionsFile, '\n')])
	f.Add([]byte(`{"id":"q","question":"?","expected":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := decodeQuestions(data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("error %v of kind %s", err, fault.KindOf(err))
			}
			return
		}
		var buf bytes.Buffer
		if err := WriteDataset(&buf, all); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(buf.Bytes()) {
			if !json.Valid(line) {
				t.Fatalf("dataset line %q is not JSON", line)
			}
		}
	})
}

// plainWords returns the lower-case words of s.
func plainWords(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// overlap returns the share of distinct words that a and b have in common.
func overlap(a, b []string) float64 {
	in, union := map[string]bool{}, map[string]bool{}
	for _, w := range a {
		in[w], union[w] = true, true
	}
	both := map[string]bool{}
	for _, w := range b {
		union[w] = true
		if in[w] {
			both[w] = true
		}
	}
	return float64(len(both)) / float64(max(1, len(union)))
}
