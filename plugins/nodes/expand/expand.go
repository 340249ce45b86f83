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
	words  [][][]byte
	groups map[string][]int // stem of a word to the groups it stands in
	reader terms.Reader
	stem   []byte
	list   []terms.Term
}

// New returns a node that turns {question, terms} into {question, terms} with
// words added, each with the configured weight.
func New() node.Node { return &expander{} }

func (e *expander) Configure(c *node.Config) error {
	e.weight = float32(c.Float("weight", 0.3, 0, 1))
	e.each = c.Int("per_term", 4, 1, 16)
	e.limit = c.Int("max_terms", 48, 1, terms.Max)
	if e.groups == nil {
		e.words, e.groups = synonyms(), map[string][]int{}
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
func (e *expander) group(w []byte, i int) {
	stem := string(e.stemOf(w))
	e.groups[stem] = append(e.groups[stem], i)
}

func (e *expander) Process(in []byte, out *node.Writer) error {
	question, err := e.reader.Read(in)
	if err != nil {
		return err
	}
	e.list = append(e.list[:0], e.reader.Terms...)
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
	for _, g := range e.groups[string(e.stemOf(t.Text))] {
		for _, w := range e.words[g] {
			if added == e.each || len(e.list) >= e.limit {
				return
			}
			if !e.has(w) {
				e.list = append(e.list, terms.Term{Text: w, Weight: e.weight * t.Weight})
				added++
			}
		}
	}
}

func (e *expander) has(w []byte) bool {
	for _, t := range e.list {
		if bytes.Equal(t.Text, w) {
			return true
		}
	}
	return false
}

func (e *expander) stemOf(w []byte) []byte {
	e.stem = append(e.stem[:0], w...)
	return words.Porter.Stem(e.stem)
}

// synonyms are the groups of the table. They are made when first asked for, so
// that instances configured as another node type do without.
var synonyms = sync.OnceValue(func() (groups [][][]byte) {
	for line := range bytes.Lines([]byte(table)) {
		if g := bytes.Fields(line); len(g) > 1 {
			groups = append(groups, g)
		}
	}
	return groups
})
