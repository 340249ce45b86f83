package bm25

import "github.com/sparkrsi/spark/plugins/nodes/words"

// classes groups the vocabulary by stem, so that one index of raw words serves
// every stemmer.
type classes struct {
	stemmer words.Stems
	index   map[string]int32 // stem to class
	start   []uint32         // where the words of a class begin; one more than classes
	list    []int32          // words by class
	scratch []byte
}

// classesOf returns the groups under s. They are made on first use, in some
// milliseconds, and kept.
func (x *index) classesOf(s words.Stemmer) *classes {
	if c := x.classed[s]; c != nil {
		return c
	}
	c := &classes{}
	c.stemmer.Use(s)
	if s == words.None {
		// Each word is its own class, in the order of the vocabulary.
		c.index = x.vocab
		c.list = make([]int32, len(x.list))
		c.start = make([]uint32, len(x.list)+1)
		for i := range c.list {
			c.list[i], c.start[i+1] = int32(i), uint32(i+1)
		}
	} else {
		c.group(x.list)
	}
	x.classed[s] = c
	return c
}

func (c *classes) group(vocab []string) {
	c.index = make(map[string]int32, len(vocab))
	of := make([]int32, len(vocab))
	for i, w := range vocab {
		stem := c.stem(w)
		class, ok := c.index[string(stem)]
		if !ok {
			class = int32(len(c.index))
			c.index[string(stem)] = class
		}
		of[i] = class
	}
	c.start = make([]uint32, len(c.index)+1)
	for _, class := range of {
		c.start[class+1]++
	}
	for i := range len(c.index) {
		c.start[i+1] += c.start[i]
	}
	c.list = make([]int32, len(vocab))
	next := append([]uint32(nil), c.start...)
	for i, class := range of {
		c.list[next[class]] = int32(i)
		next[class]++
	}
}

// find returns the class of the words that share w's stem.
func (c *classes) find(w []byte) (int32, bool) {
	c.scratch = append(c.scratch[:0], w...)
	stem, _ := c.stemmer.Stem(c.scratch)
	class, ok := c.index[string(stem)]
	return class, ok
}

func (c *classes) words(class int32) []int32 { return c.list[c.start[class]:c.start[class+1]] }

func (c *classes) stem(w string) []byte {
	c.scratch = append(c.scratch[:0], w...)
	stem, _ := c.stemmer.Stem(c.scratch)
	return stem
}
