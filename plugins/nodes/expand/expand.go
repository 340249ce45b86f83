// Package expand adds words of the same meaning to what a question asks for, so
// that "join two strings" also finds what is described as concatenation.
package expand

import (
	"bytes"
	"sync"

	"github.com/sparkrsi/spark/plugins/nodes/terms"
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/node"
)

type expander struct {
	weight float32
	each   int
	limit  int
	words  [][]synonym
	groups [][]int     // numbers in words
	byStem words.Table // the hash of a stem to those of groups
	stems  words.Stems
	reader terms.Reader
	stem   []byte
	asked  words.Set // words in list
	list   []terms.Term
}

// synonym is a word of a group.
type synonym struct {
	text []byte
	hash uint64
}

// New returns a node that turns {question, terms} into {question, terms} with
// words added, each with the configured weight.
func New() node.Node { return &expander{} }

func (e *expander) Configure(c *node.Config) error {
	e.weight = float32(c.Float("weight", 0.3, 0, 1))
	e.each = c.Int("per_term", 4, 1, 16)
	e.limit = c.Int("max_terms", 48, 1, terms.Max)
	if e.groups == nil {
		e.words, e.groups = synonyms(), [][]int{nil}
		e.stems.Use(words.Porter)
		// Groups that a word leads say most about it and come first.
		for i, g := range e.words {
			e.group(g[0], i)
		}
		for i, g := range e.words {
			for _, w := range g[1:] {
				e.group(w, i)
			}
		}
	}
	return nil
}

// group notes that w stands in group i.
func (e *expander) group(w synonym, i int) {
	h := e.stemOf(w.text)
	at, ok := e.byStem.Get(h)
	if !ok {
		at = int32(len(e.groups))
		e.byStem.Put(h, at)
		e.groups = append(e.groups, nil)
	}
	e.groups[at] = append(e.groups[at], i)
}

func (e *expander) Process(in []byte, out *node.Writer) error {
	question, err := e.reader.Read(in)
	if err != nil {
		return err
	}
	e.list = append(e.list[:0], e.reader.Terms...)
	e.asked.Clear()
	for _, t := range e.list {
		e.asked.Add(words.Hash(t.Text))
	}
	if e.weight > 0 {
		for _, t := range e.reader.Terms {
			e.related(t)
		}
	}
	out.Object()
	out.Key("question").Value(question)
	out.Key("terms").Array()
	for _, t := range e.list {
		t.Write(out)
	}
	out.End()
	out.End()
	return nil
}

// related adds the words of t's groups that are not asked for yet.
func (e *expander) related(t terms.Term) {
	added := 0
	if len(e.list) >= e.limit {
		return
	}
	at, _ := e.byStem.Get(e.stemOf(t.Text)) // 0, which is no group, for other words
	for _, g := range e.groups[at] {
		for _, w := range e.words[g] {
			if added == e.each || len(e.list) >= e.limit {
				return
			}
			if e.asked.Add(w.hash) {
				e.list = append(e.list, terms.Term{Text: w.text, Weight: e.weight * t.Weight})
				added++
			}
		}
	}
}

// stemOf returns the hash of w's stem.
func (e *expander) stemOf(w []byte) uint64 {
	e.stem = append(e.stem[:0], w...)
	return e.stems.Hash(e.stem)
}

// synonyms are the groups of the table. They are made when first asked for, so
// that instances configured as another node type do without.
var synonyms = sync.OnceValue(func() (groups [][]synonym) {
	for line := range bytes.Lines([]byte(table)) {
		var g []synonym
		for _, w := range bytes.Fields(line) {
			g = append(g, synonym{w, words.Hash(w)})
		}
		if len(g) > 1 {
			groups = append(groups, g)
		}
	}
	return groups
})
