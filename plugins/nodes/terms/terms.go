// Package terms is how the retrieval nodes hand on what a question asks for:
// a document {"question": "...", "terms": [...]} whose terms are words, or
// {"t": word, "w": weight} with a weight from 0 to 1 where a word counts less.
package terms

import (
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// Max bounds how many terms a question may have.
const Max = 256

// Term is one word that is asked for. Text is valid as long as the document.
type Term struct {
	Text   []byte
	Weight float32 // 1 for words of the question, less for related ones
	raw    []byte  // its JSON where it was read, nil for one that was made
}

// Reader reads the terms of documents, reusing its memory.
type Reader struct {
	Doc   node.Value // the document read last
	Terms []Term
	cut   words.Cutter
	buf   []byte
}

// Read reads the document in and returns its question. Without terms the words
// of the question are its terms. Invalid for a document of another form, Limit
// beyond Max terms.
func (r *Reader) Read(in []byte) (question node.Value, err error) {
	r.Terms, r.buf = r.Terms[:0], r.buf[:0]
	if r.Doc, err = node.Parse(in); err != nil {
		return node.Value{}, err
	}
	question, list := r.Doc.Get("question"), r.Doc.Get("terms")
	if question.Kind() != node.String && list.Kind() != node.Array {
		return question, fault.New(fault.Invalid, "question", "is %s, want a string", question.Kind()).
			WithHint("give the document a question, or terms")
	}
	if list.Kind() != node.Array {
		if !r.words(question.Text()) {
			return question, tooMany("question", "words")
		}
		return question, nil
	}
	for v := range list.Items() {
		t := Term{Weight: 1, raw: v.Raw()}
		switch v.Kind() {
		case node.String:
			t.Text = v.Text()
		case node.Object:
			var text, weight node.Value
			for k, x := range v.Fields() {
				switch string(k.Text()) {
				case "t":
					text = x
				case "w":
					weight = x
				}
			}
			w, ok := weight.Float()
			if !ok || w < 0 || w > 1 {
				return question, fault.New(fault.Invalid, "terms", "weight %s, want a number from 0 to 1", cut(weight.Raw()))
			}
			t.Text, t.Weight = text.Text(), float32(w)
		}
		if len(t.Text) == 0 {
			return question, fault.New(fault.Invalid, "terms", "term %s is neither a word nor {\"t\": word, \"w\": weight}", cut(v.Raw()))
		}
		if len(r.Terms) == Max {
			return question, tooMany("terms", "terms")
		}
		r.Terms = append(r.Terms, t)
	}
	return question, nil
}

// cut returns the beginning of what a message quotes.
func cut(b []byte) []byte { return b[:min(len(b), 60)] }

func tooMany(path, what string) error {
	return fault.New(fault.Limit, path, "has more than %d %s", Max, what).WithHint("let textnorm with max_terms go before")
}

// words makes the words of text the terms, false when there are too many.
func (r *Reader) words(text []byte) bool {
	ends := 0
	for w := range r.cut.Parts(text) {
		if len(r.Terms) == Max {
			return false
		}
		r.buf = append(r.buf, w...)
		r.Terms = append(r.Terms, Term{Text: r.buf[ends:len(r.buf):len(r.buf)], Weight: 1})
		ends = len(r.buf)
	}
	return true
}

// Write writes the terms read last.
func (r *Reader) Write(out *node.Writer) {
	out.Array()
	for _, t := range r.Terms {
		t.Write(out)
	}
	out.End()
}

// Write writes t as an element of terms.
func (t Term) Write(out *node.Writer) {
	switch {
	case t.raw != nil:
		out.Raw(t.raw)
		return
	case t.Weight == 1:
		out.Text(t.Text)
		return
	}
	out.Object()
	out.Key("t").Text(t.Text)
	out.Key("w").Fixed(float64(t.Weight), 4)
	out.End()
}
