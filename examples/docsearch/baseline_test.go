package docsearch

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// These tests measure how hard the questions are for a small lexical search,
// independent of any node module: hard enough that an untuned one leaves room,
// not so hard that tuning is lost on them.

// fields of a symbol, in the order of settings.weights.
const (
	inName = iota
	inPkg
	inSig
	inFirst // the documentation's first sentence
	inRest
	fields
)

// settings of the baseline search. Scores are BM25 over weighted fields; kind
// and coverage are then added to the score as a share of the best one.
type settings struct {
	k1, b    float64
	weights  [fields]float64
	camel    bool // split words at camelCase
	stem     bool
	stop     bool
	kind     float64 // functions before types before methods before values
	coverage float64 // share of the question's words in name, package or first sentence
}

var (
	// plain is BM25 from the book over one bag of words.
	plain = settings{k1: 1.2, b: .75, weights: [fields]float64{1, 0, 0, 1, 1}}
	// untuned reads every field and knows camelCase, with nothing weighed.
	untuned = settings{k1: 1.2, b: .75, weights: [fields]float64{1, 1, 1, 1, 1}, camel: true}
	// tuned follows a random search on the screen questions alone.
	tuned = settings{k1: 1.2, b: .5, weights: [fields]float64{1, 3, 0, 5, 1}, camel: true, stem: true, stop: true, kind: .4, coverage: .2}
)

func TestQuestionsLeaveRoom(t *testing.T) {
	screen, confirm, heldOut, err := Questions()
	if err != nil {
		t.Fatal(err)
	}
	symbols := slices.SortedFunc(maps.Values(realSymbols(t)), func(a, b Symbol) int { return cmp.Compare(a.ID, b.ID) })
	score := func(name string, s settings) (onConfirm float64) {
		search := newBaseline(symbols, s)
		onConfirm = search.mrr(confirm)
		t.Logf("%-8s MRR@10 screen %.3f confirm %.3f held-out %.3f", name, search.mrr(screen), onConfirm, search.mrr(heldOut))
		return onConfirm
	}
	first, start, best := score("plain", plain), score("untuned", untuned), score("tuned", tuned)
	if first < .2 || start > .5 {
		t.Errorf("plain %.3f and untuned %.3f, want between .2 and .5", first, start)
	}
	if gain := best/start - 1; gain < .15 {
		t.Errorf("tuning gains %.0f %%, want at least 15 %%", 100*gain)
	}
}

// baseline is an index with the settings it was made for.
type baseline struct {
	settings
	symbols  []Symbol
	postings map[string][]posting
	lengths  []float64 // weighted number of words of each symbol
	mean     float64
	prime    []map[string]bool // words of name, package and first sentence
}

type posting struct {
	symbol int
	tf     float64 // weighted
}

func newBaseline(symbols []Symbol, s settings) *baseline {
	x := &baseline{settings: s, symbols: symbols, postings: map[string][]posting{}}
	for i, symbol := range symbols {
		first, rest, _ := strings.Cut(strings.ReplaceAll(symbol.Doc, "\n", " "), ". ")
		tf, prime, length := map[string]float64{}, map[string]bool{}, 0.
		for field, text := range [fields]string{symbol.Name, symbol.Pkg, symbol.Sig, first, rest} {
			words := x.words(text)
			if field == inName && s.camel {
				for part := range strings.SplitSeq(symbol.Name, ".") {
					if whole := x.norm(strings.ToLower(part)); !slices.Contains(words, whole) {
						words = append(words, whole)
					}
				}
			}
			for _, w := range words {
				if s.weights[field] > 0 {
					tf[w] += s.weights[field]
				}
				if field == inName || field == inPkg || field == inFirst {
					prime[w] = true
				}
			}
			length += s.weights[field] * float64(len(words))
		}
		for w, n := range tf {
			x.postings[w] = append(x.postings[w], posting{i, n})
		}
		x.prime = append(x.prime, prime)
		x.lengths = append(x.lengths, length)
		x.mean += length / float64(len(symbols))
	}
	return x
}

// mrr returns the mean over questions of 1/rank of the first right answer, 0
// for one beyond rank 10.
func (x *baseline) mrr(questions []Question) float64 {
	var sum float64
	for _, q := range questions {
		for i, found := range x.search(q.Question) {
			if i == 10 {
				break
			}
			if slices.Contains(q.Expected, x.symbols[found].ID) {
				sum += 1 / float64(i+1)
				break
			}
		}
	}
	return sum / float64(len(questions))
}

// search returns up to 50 symbols, best first.
func (x *baseline) search(question string) []int {
	var terms []string
	for _, w := range x.words(question) {
		if !slices.Contains(terms, w) {
			terms = append(terms, w)
		}
	}
	scores := map[int]float64{}
	for _, term := range terms {
		ps := x.postings[term]
		df, n := float64(len(ps)), float64(len(x.symbols))
		idf := math.Log(1 + (n-df+.5)/(df+.5))
		for _, p := range ps {
			scores[p.symbol] += idf * p.tf * (x.k1 + 1) / (p.tf + x.k1*(1-x.b+x.b*x.lengths[p.symbol]/x.mean))
		}
	}
	best := func(a, b int) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) }
	found := slices.SortedFunc(maps.Keys(scores), best)
	if len(found) > 50 {
		found = found[:50]
	}
	if len(found) == 0 {
		return nil
	}
	top := scores[found[0]]
	for _, i := range found {
		covered := 0
		for _, term := range terms {
			if x.prime[i][term] {
				covered++
			}
		}
		scores[i] = scores[i]/top + x.coverage*float64(covered)/float64(len(terms)) +
			x.kind*map[string]float64{"func": 1, "type": .6, "method": .4}[x.symbols[i].Kind]
	}
	slices.SortFunc(found, best)
	return found
}

// words returns the words of text as the settings want them.
func (x *baseline) words(text string) []string {
	var out []string
	var word []rune
	flush := func() {
		if w := strings.ToLower(string(word)); w != "" && !(x.stop && stopWords[w]) {
			out = append(out, x.norm(w))
		}
		word = word[:0]
	}
	runes := []rune(text)
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			continue
		}
		if x.camel && i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			flush()
		}
		word = append(word, r)
	}
	flush()
	return out
}

// norm returns the word without its common English endings, if so set.
func (x *baseline) norm(w string) string {
	if !x.stem {
		return w
	}
	for _, ending := range [][2]string{{"ies", "y"}, {"sses", "ss"}, {"xes", "x"}, {"ches", "ch"}, {"shes", "sh"}} {
		if rest, ok := strings.CutSuffix(w, ending[0]); ok && len(w) > 4 {
			return rest + ending[1]
		}
	}
	if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !strings.HasSuffix(w, "us") {
		w = w[:len(w)-1]
	}
	for _, ending := range []string{"ing", "ed", "er", "ly", "e"} {
		if rest, ok := strings.CutSuffix(w, ending); ok && len(rest) > 2 {
			w = rest
			if n := len(w); w[n-1] == w[n-2] && !strings.ContainsRune("lsz", rune(w[n-1])) {
				w = w[:n-1]
			}
		}
	}
	return w
}

var stopWords = func() map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq("a an the of to in on at by for from with and or is are be was it its this that these those " +
		"i me my do does how can what which when where who as if then than there into so will would should need want") {
		set[w] = true
	}
	return set
}()
