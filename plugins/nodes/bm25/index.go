package bm25

import (
	"bytes"
	"strconv"

	"github.com/sparkrsi/spark/plugins/nodes/words"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// fields are name, package, signature, first sentence and rest of the text.
const fields = 5

// A posting packs the frequencies of its word, one field in tfBits bits; a field
// that has the word more often counts tfMax times.
const (
	tfBits = 6
	tfMax  = 1<<tfBits - 1
)

type posting struct {
	doc uint32
	tf  uint32
}

// weigh returns the weighted sum of the frequencies.
func (p posting) weigh(w *[fields]float32) float32 {
	var sum float32
	for f, tf := 0, p.tf; tf != 0; f, tf = f+1, tf>>tfBits {
		sum += w[f] * float32(tf&tfMax)
	}
	return sum
}

// doc is what is kept of one line of the corpus.
type doc struct {
	at         uint32    // where its JSON strings begin in the index's text
	ends       [6]uint32 // where each of them ends: id, pkg, name, kind, sig, summary
	deprecated bool
}

// index is immutable once built.
type index struct {
	text    []byte // JSON strings, as they go to the output
	docs    []doc
	lengths [][fields]uint16 // words of each field, by document
	vocab   map[string]int32
	list    []string  // vocab by number
	start   []uint32  // where the postings of a word begin; one more than words
	post    []posting // in the order of documents for each word
	classed map[words.Stemmer]*classes
}

func (x *index) postings(word int32) []posting { return x.post[x.start[word]:x.start[word+1]] }

// norms returns k1*(1-b+b*length/mean) for each document, in dst if it fits. The
// length of a document is the weighted sum of its fields'.
func (x *index) norms(dst []float32, w [fields]float32, k1, b float32) []float32 {
	if dst == nil {
		dst = make([]float32, len(x.docs))
	}
	var sum float64
	for d := range x.lengths {
		var n float32
		for f, words := range x.lengths[d] {
			n += w[f] * float32(words)
		}
		dst[d] = n
		sum += float64(n)
	}
	mean := float32(sum / float64(len(x.docs)))
	if mean == 0 {
		mean = 1
	}
	for d := range dst {
		dst[d] = k1 * (1 - b + b*dst[d]/mean)
	}
	return dst
}

// write writes document h.doc as a hit.
func (x *index) write(out *node.Writer, h hit) {
	d := &x.docs[h.doc]
	out.Object()
	at := d.at
	for i, key := range [...]string{"id", "pkg", "name", "kind", "sig", "summary"} {
		out.Key(key).Raw(x.text[at:d.ends[i]])
		at = d.ends[i]
	}
	if d.deprecated {
		out.Key("deprecated").Bool(true)
	}
	out.Key("score").Fixed(float64(h.score), 4)
	out.End()
}

// entry is a posting before it stands with the others of its word.
type entry struct {
	word int32
	posting
}

type builder struct {
	*index
	cut     words.Cutter
	entries []entry
	tf      []uint32 // of the document in work, by word; all 0 between documents
	seen    []int32  // words where tf is not 0
	quoted  node.Writer
	scratch []byte
}

// build indexes a corpus of JSON lines. Errors are Invalid faults that name the
// line.
func build(corpus []byte, path string) (*index, error) {
	b := builder{index: &index{vocab: map[string]int32{}, classed: map[words.Stemmer]*classes{}}}
	lines := bytes.Count(corpus, []byte{'\n'}) + 1
	b.docs = make([]doc, 0, lines)
	b.lengths = make([][fields]uint16, 0, lines)
	b.text = make([]byte, 0, len(corpus)/2)
	for n := 1; len(corpus) > 0; n++ {
		line := corpus
		if i := bytes.IndexByte(corpus, '\n'); i >= 0 {
			line, corpus = corpus[:i], corpus[i+1:]
		} else {
			corpus = nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := b.add(line); err != nil {
			return nil, fault.Wrap(fault.Invalid, path+" line "+strconv.Itoa(n), err, "not an entry of a corpus")
		}
	}
	if len(b.docs) == 0 {
		return nil, fault.New(fault.Invalid, path, "corpus has no entry")
	}
	b.sort()
	return b.index, nil
}

// keyNumber returns the place of a key in the order id, pkg, name, kind, sig,
// doc, -1 for any other.
func keyNumber(key node.Value) int {
	switch string(key.Text()) {
	case "id":
		return 0
	case "pkg":
		return 1
	case "name":
		return 2
	case "kind":
		return 3
	case "sig":
		return 4
	case "doc":
		return 5
	}
	return -1
}

// add takes one line of the corpus.
func (b *builder) add(line []byte) error {
	v, err := node.Parse(line)
	if err != nil {
		return err
	}
	var got [6]node.Value // id, pkg, name, kind, sig, doc
	for k, x := range v.Fields() {
		i := keyNumber(k)
		if i < 0 {
			continue
		}
		if x.Kind() != node.String {
			return fault.New(fault.Invalid, k.Str(), "is %s, want a string", x.Kind())
		}
		got[i] = x
	}
	if len(got[0].Raw()) <= 2 {
		return fault.New(fault.Invalid, "id", "missing or empty")
	}
	b.scratch = got[5].AppendText(b.scratch[:0])
	text := b.scratch
	first := words.FirstSentence(text)

	d := doc{at: uint32(len(b.text)), deprecated: bytes.Contains(text, []byte("Deprecated:"))}
	for i, x := range got[:5] {
		if x.Kind() == node.Missing {
			b.text = append(b.text, `""`...)
		}
		b.text = append(b.text, x.Raw()...)
		d.ends[i] = uint32(len(b.text))
	}
	b.quoted.Reset()
	b.quoted.Text(text[:first])
	b.text = append(b.text, b.quoted.Bytes()...)
	d.ends[5] = uint32(len(b.text))

	var n [fields]uint16
	for w := range b.cut.Names(got[2].Text()) {
		b.count(w, 0, &n)
	}
	for f, text := range [...][]byte{got[1].Text(), got[4].Text(), text[:first], text[first:]} {
		for w := range b.cut.Parts(text) {
			b.count(w, f+1, &n)
		}
	}
	for _, w := range b.seen {
		b.entries = append(b.entries, entry{w, posting{uint32(len(b.docs)), b.tf[w]}})
		b.tf[w] = 0
	}
	b.seen = b.seen[:0]
	b.docs = append(b.docs, d)
	b.lengths = append(b.lengths, n)
	return nil
}

// count counts word w in field f of the document in work.
func (b *builder) count(w []byte, f int, n *[fields]uint16) {
	id, ok := b.vocab[string(w)]
	if !ok {
		s := string(w)
		id = int32(len(b.list))
		b.vocab[s] = id
		b.list = append(b.list, s)
		b.tf = append(b.tf, 0)
	}
	if b.tf[id] == 0 {
		b.seen = append(b.seen, id)
	}
	if shift := f * tfBits; b.tf[id]>>shift&tfMax < tfMax {
		b.tf[id] += 1 << shift
	}
	if n[f] < 1<<16-1 {
		n[f]++
	}
}

// sort lays the entries out by word (a counting sort, stable in documents).
func (b *builder) sort() {
	b.start = make([]uint32, len(b.list)+1)
	for _, e := range b.entries {
		b.start[e.word+1]++
	}
	for i := range b.list {
		b.start[i+1] += b.start[i]
	}
	b.post = make([]posting, len(b.entries))
	next := append([]uint32(nil), b.start...)
	for _, e := range b.entries {
		b.post[next[e.word]] = e.posting
		next[e.word]++
	}
}
