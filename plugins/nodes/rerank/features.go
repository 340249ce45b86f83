package rerank

import (
	"bytes"

	"github.com/sparkrsi/spark/sdk/node"
)

// parts is what the features of a hit are made of.
type parts struct{ score, name, pkg, summary, kind, deprecated node.Value }

// look finds the parts of the hit v and adds its fields to those of all hits.
func (r *reranker) look(v node.Value) (p parts) {
	for k, x := range v.Fields() {
		switch string(k.Text()) {
		case "score":
			p.score = x
			continue
		case "name":
			p.name = x
		case "pkg":
			p.pkg = x
		case "summary":
			p.summary = x
		case "kind":
			p.kind = x
		case "deprecated":
			p.deprecated = x
		}
		r.fields = append(r.fields, field{k, x})
	}
	return p
}

// features returns the weighted sum of what one hit tells:
//
//	coverage    share of the question's terms that its name, package or summary has
//	name        share of its name's words that the question asks for
//	pkg         1 if its package path has a term of the question
//	kind        1 for functions, 0.6 for types, 0.4 for methods, 0 for others
//	deprecated  -1 if it is
//	path_depth  -1 for each slash in its package path
func (r *reranker) features(p *parts) float64 {
	w := &r.weights
	var sum float64
	pkg := p.pkg.Text()
	if w.coverage != 0 || w.name != 0 || w.pkg != 0 {
		for i := range r.stems {
			r.stems[i].seen = false
		}
		if named, of := r.mark(p.name.Text()); of > 0 {
			sum += w.name * float64(named) / float64(of)
		}
		if matched, _ := r.mark(pkg); matched > 0 {
			sum += w.pkg
		}
		r.text = p.summary.AppendText(r.text[:0]) // summaries have line breaks, which Text would copy
		r.mark(r.text)
		var covered float32
		for i := range r.stems {
			if r.stems[i].seen {
				covered += r.stems[i].weight
			}
		}
		if r.total > 0 {
			sum += w.coverage * float64(covered/r.total)
		}
	}
	if w.kind != 0 {
		switch string(p.kind.Text()) {
		case "func":
			sum += w.kind
		case "type":
			sum += 0.6 * w.kind
		case "method":
			sum += 0.4 * w.kind
		}
	}
	if old, _ := p.deprecated.Bool(); old {
		sum -= w.deprecated
	}
	return sum - w.pathDepth*float64(bytes.Count(pkg, []byte{'/'}))
}

// mark marks the terms that text has as seen, and returns how many words of text
// are terms and how many words it has.
func (r *reranker) mark(text []byte) (matched, of int) {
	for word := range r.cut.Parts(text) {
		of++
		if !r.first[word[0]] {
			continue // a stem begins as its word does
		}
		hash := r.stemmer.Hash(word)
		for i := range r.stems {
			if r.stems[i].hash == hash {
				r.stems[i].seen = true
				matched++
				break
			}
		}
	}
	return matched, of
}
