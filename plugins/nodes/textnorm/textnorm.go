// Package textnorm cuts a question into lower-case words, without repetitions
// and in the order of the question.
package textnorm

import (
	"github.com/sparkrsi/spark/plugins/nodes/terms"
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type normalizer struct {
	split bool
	stop  bool
	stem  words.Stems
	limit int
	cut   words.Cutter
	seen  words.Set // what stands in the list
	text  []byte
	buf   []byte
	list  [][]byte
}

// New returns a node that turns {question} into {question, terms}.
func New() node.Node { return &normalizer{} }

func (n *normalizer) Configure(c *node.Config) error {
	n.split = c.Bool("split", true)
	n.stop = c.Bool("stop_words", false)
	n.stem.Use(words.Stemmer(c.String("stem", string(words.None), string(words.None), string(words.Light), string(words.Porter))))
	n.limit = c.Int("max_terms", 64, 1, terms.Max)
	return nil
}

func (n *normalizer) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	question := doc.Get("question")
	if question.Kind() != node.String {
		return fault.New(fault.Invalid, "question", "is %s, want a string", question.Kind())
	}
	n.text = question.AppendText(n.text[:0])
	n.terms(n.text, n.stop)
	if len(n.list) == 0 {
		n.terms(n.text, false) // a question of stop words alone still asks for them
	}
	out.Object()
	out.Key("question").Value(question)
	out.Key("terms").Array()
	for _, t := range n.list {
		out.Text(t)
	}
	out.End()
	out.End()
	return nil
}

// terms fills the list with the words of text.
func (n *normalizer) terms(text []byte, stop bool) {
	n.list, n.buf = n.list[:0], n.buf[:0]
	n.seen.Clear()
	if n.split {
		for w := range n.cut.Parts(text) {
			n.word(w, stop)
		}
		return
	}
	for w := range n.cut.Runs(text) {
		n.word(w, stop)
	}
}

// word takes a word of the question, unless it is a stop word, one too many or
// there already.
func (n *normalizer) word(w []byte, stop bool) {
	if len(n.list) == n.limit || stop && words.IsStop(w) {
		return
	}
	w, h := n.stem.Stem(w)
	if !n.seen.Add(h) {
		return
	}
	from := len(n.buf)
	n.buf = append(n.buf, w...)
	n.list = append(n.list, n.buf[from:])
}
