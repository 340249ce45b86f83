package classify

import (
	"fmt"
	"slices"

	"github.com/sparkrsi/spark/plugins/nodes/pattern"
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/node"
)

// maxRules bounds the rules of a node, and maxPattern the length of an expression,
// in bytes.
const (
	maxRules   = 500
	maxPattern = 4096
)

// rule speaks for a label when one of its phrases stands in a text, or its
// expression matches.
type rule struct {
	label   int // index in labels
	weight  float64
	pattern *pattern.Pattern // may be nil
}

// rules is what a node goes by. A text is the hashes of its lower-case words, so
// phrases are found at words' ends, whatever stands between.
type rules struct {
	labels  []string
	list    []rule
	phrases [][]phrase  // those with the same first word
	byFirst words.Table // the hash of that word to those of phrases

	hit  []bool // one for each rule, for the text matched last
	cut  words.Cutter
	text []uint64
}

// phrase is the hashes of its words, and the rule that it belongs to.
type phrase struct {
	words []uint64
	rule  int
}

// finding is something wrong at a path below the rules.
type finding struct{ path, what string }

// compile returns the rules that the array v lists, and what is wrong with it.
func compile(v node.Value) (r rules, found []finding) {
	if v.Kind() != node.Array || v.Len() == 0 {
		return r, []finding{{"", fmt.Sprintf("is %s, want an array of one or more rules {label, words, pattern, weight}", v.Kind())}}
	}
	if v.Len() > maxRules {
		return r, []finding{{"", fmt.Sprintf("has %d rules, limit %d", v.Len(), maxRules)}}
	}
	for x := range v.Items() {
		i := len(r.list)
		refuse := func(key, format string, args ...any) {
			found = append(found, finding{fmt.Sprintf(".%d%s", i, key), fmt.Sprintf(format, args...)})
		}
		one, matchers, label := rule{weight: 1}, 0, ""
		for k, x := range x.Fields() {
			switch key := k.Str(); key {
			case "label":
				label = x.Str()
			case "words":
				for w := range x.Items() {
					if !r.phrase(w.Text(), i) {
						refuse(".words", "holds %s, want strings with a word in them", w.Raw())
					}
					matchers++
				}
			case "pattern":
				re, err := pattern.Compile(x.Str())
				switch {
				case x.Str() == "":
					refuse(".pattern", "is %.40s, want a regular expression", x.Raw())
				case len(x.Str()) > maxPattern:
					refuse(".pattern", "has %d bytes, limit %d", len(x.Str()), maxPattern)
				case err != nil:
					refuse(".pattern", "is no regular expression: %v", err)
				}
				one.pattern = re
				matchers++
			case "weight":
				w, ok := x.Float()
				if !ok || w < -1000 || w > 1000 {
					refuse(".weight", "is %s, want a number from -1000 to 1000", x.Raw())
				}
				one.weight = w
			default:
				refuse("."+key, "is unknown, known are label, pattern, weight, words")
			}
		}
		if label == "" {
			refuse("", "has no label, want {label, words, pattern, weight}")
		}
		if matchers == 0 {
			refuse("", "has neither words nor a pattern")
		}
		if one.label = slices.Index(r.labels, label); one.label < 0 {
			one.label = len(r.labels)
			r.labels = append(r.labels, label)
		}
		r.list = append(r.list, one)
	}
	r.hit = make([]bool, len(r.list))
	return r, found
}

// phrase adds the words of text to those of rule i, false when there are none.
func (r *rules) phrase(text []byte, i int) bool {
	p := phrase{rule: i}
	for w := range r.cut.Runs(text) {
		p.words = append(p.words, words.Hash(w))
	}
	if len(p.words) == 0 {
		return false
	}
	at, ok := r.byFirst.Get(p.words[0])
	if !ok {
		at = int32(len(r.phrases))
		r.byFirst.Put(p.words[0], at)
		r.phrases = append(r.phrases, nil)
	}
	r.phrases[at] = append(r.phrases[at], p)
	return true
}

// match sets hit for each rule that matches text.
func (r *rules) match(text []byte) {
	clear(r.hit)
	if len(r.phrases) > 0 {
		r.text = r.text[:0]
		for w := range r.cut.Runs(text) {
			r.text = append(r.text, words.Hash(w))
		}
	}
	for i, first := range r.text {
		at, ok := r.byFirst.Get(first)
		if !ok {
			continue
		}
		for _, p := range r.phrases[at] {
			if rest := r.text[i:]; len(rest) >= len(p.words) && slices.Equal(rest[:len(p.words)], p.words) {
				r.hit[p.rule] = true
			}
		}
	}
	for i := range r.list {
		if re := r.list[i].pattern; re != nil && !r.hit[i] {
			r.hit[i] = re.Match(text)
		}
	}
}
