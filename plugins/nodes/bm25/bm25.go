// Package bm25 finds the entries of a corpus that fit a question best, by BM25
// over weighted fields (BM25F: Robertson, Zaragoza, Taylor 2004, Simple BM25
// extension to multiple weighted fields, with one length normalisation over all
// fields).
//
// The corpus is an asset of JSON lines {"id","pkg","name","kind","sig","doc"}. It
// is indexed once in the life of a node, by raw words with a frequency for each
// field; weights, k1, b and the stemmer are applied when a question is asked, so
// that new settings cost no new index.
package bm25

import (
	"math"

	"github.com/sparkrsi/spark/plugins/nodes/terms"
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/node"
)

type retriever struct {
	asset   string
	index   *index // nil until the first configuration
	stemmer words.Stemmer
	k1, b   float32
	weights [fields]float32
	depth   int

	// Derived from the settings when they change.
	classes *classes
	norm    []float32 // a document's k1*(1-b+b*length/mean)

	// Reused from question to question.
	reader terms.Reader
	groups []query
	tf     []float32 // of the term in work, by document; all 0 between terms
	hit    []uint32  // documents where tf is not 0
	score  []float32 // by document; all 0 between questions
	found  []uint32  // documents where score is not 0
	best   heap
}

// query is one group of words with the same stem that the question asks for.
type query struct {
	class  int32
	weight float32
}

// New returns a retriever that needs an asset, called corpus by default.
func New() node.Node { return &retriever{} }

func (r *retriever) Configure(c *node.Config) error {
	asset := c.String("asset", "corpus")
	stemmer := words.Stemmer(c.String("stem", string(words.None), string(words.None), string(words.Light), string(words.Porter)))
	k1 := float32(c.Float("k1", 1.2, 0.05, 10))
	b := float32(c.Float("b", 0.75, 0, 1))
	var weights [fields]float32
	for f, key := range [fields]string{"w_name", "w_pkg", "w_sig", "w_first", "w_doc"} {
		weights[f] = float32(c.Float(key, 1, 0, 20))
	}
	r.depth = c.Int("depth", 50, 1, 1000)
	if r.index == nil || asset != r.asset {
		a, err := c.Host().Asset(asset)
		if err != nil {
			return err
		}
		corpus, err := a.Bytes()
		if err != nil {
			return err
		}
		x, err := build(corpus, "assets."+asset)
		if err != nil {
			return err
		}
		r.index, r.asset, r.norm = x, asset, nil
		r.tf, r.score = make([]float32, len(x.docs)), make([]float32, len(x.docs))
	}
	r.stemmer, r.classes = stemmer, r.index.classesOf(stemmer)
	if r.norm == nil || k1 != r.k1 || b != r.b || weights != r.weights {
		r.norm = r.index.norms(r.norm, weights, k1, b)
	}
	r.k1, r.b, r.weights = k1, b, weights
	return nil
}

func (r *retriever) Process(in []byte, out *node.Writer) error {
	question, err := r.reader.Read(in)
	if err != nil {
		return err
	}
	r.groups = r.groups[:0]
	for _, t := range r.reader.Terms {
		r.ask(t)
	}
	for _, q := range r.groups {
		r.collect(q)
	}
	r.best.reset(r.depth)
	for _, d := range r.found {
		r.best.offer(d, r.score[d])
		r.score[d] = 0
	}
	r.found = r.found[:0]

	out.Object()
	out.Key("question").Value(question)
	out.Key("terms")
	r.reader.Write(out)
	out.Key("hits").Array()
	for _, h := range r.best.sorted() {
		r.index.write(out, h)
	}
	out.End()
	out.End()
	return nil
}

// ask adds the words that share t's stem to the question, unless it asks for
// them already: then the larger weight counts.
func (r *retriever) ask(t terms.Term) {
	class, ok := r.classes.find(t.Text)
	if !ok || t.Weight <= 0 {
		return
	}
	for i := range r.groups {
		if r.groups[i].class == class {
			r.groups[i].weight = max(r.groups[i].weight, t.Weight)
			return
		}
	}
	r.groups = append(r.groups, query{class, t.Weight})
}

// collect adds what the words of one group contribute to the scores. Words with
// the same stem count as one word: their frequencies add up before saturation.
func (r *retriever) collect(q query) {
	w := &r.weights
	for _, word := range r.classes.words(q.class) {
		for _, p := range r.index.postings(word) {
			tf := p.weigh(w)
			if tf == 0 {
				continue
			}
			if r.tf[p.doc] == 0 {
				r.hit = append(r.hit, p.doc)
			}
			r.tf[p.doc] += tf
		}
	}
	n, df := float64(len(r.index.docs)), float64(len(r.hit))
	idf := q.weight * float32(math.Log(1+(n-df+0.5)/(df+0.5))) * (r.k1 + 1)
	for _, d := range r.hit {
		tf := r.tf[d]
		r.tf[d] = 0
		if r.score[d] == 0 {
			r.found = append(r.found, d)
		}
		r.score[d] += idf * tf / (tf + r.norm[d])
	}
	r.hit = r.hit[:0]
}
