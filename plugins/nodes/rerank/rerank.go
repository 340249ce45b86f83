// Package rerank orders hits anew by what a look at each of them tells: whether
// the words of the question stand in its name, package and summary, what kind of
// thing it is, and how far down the package tree it lives.
package rerank

import (
	"slices"
	"strconv"

	"github.com/sparkrsi/spark/plugins/nodes/terms"
	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type reranker struct {
	top     int
	stemmer words.Stems
	weights weights

	reader terms.Reader
	stems  []stem
	first  [256]bool // bytes that stems begin with
	total  float32   // sum of the weights of stems
	cut    words.Cutter
	buf    []byte
	text   []byte
	hits   []hit
	fields []field // of all hits
}

// weights of the features; see features.
type weights struct{ coverage, name, pkg, kind, deprecated, pathDepth float64 }

// stem is one term of the question. Seen marks it during a look at one hit.
type stem struct {
	hash   uint64
	weight float32
	seen   bool
}

// hit is one of the hits with its fields, without the score that it had.
type hit struct {
	from, to int // in fields
	score    float64
}

type field struct{ key, value node.Value }

// New returns a node that turns {question, terms, hits} into the same with the
// best hits in a new order.
func New() node.Node { return &reranker{} }

func (r *reranker) Configure(c *node.Config) error {
	r.top = c.Int("top", 200, 1, 1000)
	r.stemmer.Use(words.Stemmer(c.String("stem", string(words.None), string(words.None), string(words.Light), string(words.Porter))))
	r.weights = weights{
		coverage:   c.Float("coverage", 0, 0, 5),
		name:       c.Float("name", 0, 0, 5),
		pkg:        c.Float("pkg", 0, 0, 5),
		kind:       c.Float("kind", 0, 0, 5),
		deprecated: c.Float("deprecated", 0, 0, 5),
		pathDepth:  c.Float("path_depth", 0, 0, 5),
	}
	return nil
}

// Process scores each of the first hits: its score divided by the first hit's,
// plus the weighted features. Hits of the same score keep their order.
func (r *reranker) Process(in []byte, out *node.Writer) error {
	question, err := r.reader.Read(in)
	if err != nil {
		return err
	}
	list := r.reader.Doc.Get("hits")
	if list.Kind() != node.Array {
		return fault.New(fault.Invalid, "hits", "is %s, want an array", list.Kind())
	}
	r.prepare()
	r.hits, r.fields = r.hits[:0], r.fields[:0]
	scale := 1.0
	for v := range list.Items() {
		if len(r.hits) == r.top {
			break
		}
		from := len(r.fields)
		x := r.look(v)
		score, ok := x.score.Float()
		if !ok {
			return fault.New(fault.Invalid, "hits."+strconv.Itoa(len(r.hits))+".score", "is %s, want a number", x.score.Kind())
		}
		if len(r.hits) == 0 && score > 0 {
			scale = 1 / score
		}
		r.hits = append(r.hits, hit{from, len(r.fields), score*scale + r.features(&x)})
	}
	slices.SortStableFunc(r.hits, func(a, b hit) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	out.Object()
	out.Key("question").Value(question)
	out.Key("terms")
	r.reader.Write(out)
	out.Key("hits").Array()
	for _, h := range r.hits {
		out.Object()
		for _, f := range r.fields[h.from:h.to] {
			out.Member(f.key, f.value)
		}
		out.Key("score").Fixed(h.score, 4)
		out.End()
	}
	out.End()
	out.End()
	return nil
}

// prepare stems the terms of the question; of equal stems the largest weight
// counts.
func (r *reranker) prepare() {
	r.stems, r.total = r.stems[:0], 0
	r.first = [256]bool{}
	for _, t := range r.reader.Terms {
		r.first[t.Text[0]] = true
		r.buf = append(r.buf[:0], t.Text...)
		hash := r.stemmer.Hash(r.buf)
		if i := slices.IndexFunc(r.stems, func(s stem) bool { return s.hash == hash }); i >= 0 {
			r.total += max(0, t.Weight-r.stems[i].weight)
			r.stems[i].weight = max(r.stems[i].weight, t.Weight)
			continue
		}
		r.stems = append(r.stems, stem{hash: hash, weight: t.Weight})
		r.total += t.Weight
	}
}
