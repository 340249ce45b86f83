package backend

import (
	"encoding/binary"
	"hash/maphash"
	"unsafe"
)

// dictionary gives the texts of a block their references: those of the static
// words, and words of its own. The zero value is empty. Its table is emptied by
// counting on a generation, so that encoding a trace of a few dozen words neither
// clears nor allocates anything.
type dictionary struct {
	words []string // its own
	table []slot   // by hash, open addressing; a power of two, at most half full
	round uint32   // of the own words in table
	seen  [64]seen
}

// slot holds a reference. Static words come first in the order of probing, and
// those of another round are free.
type slot struct {
	round uint32
	tag   uint32 // the upper half of the hash
	ref   uint64
}

// seen remembers the reference of a text by where the text lies, which spares
// hashing it: names and keys are the same constants in every span.
type seen struct {
	at  *byte
	len int
	ref uint64
}

const (
	permanent = ^uint32(0) // round of the static words
	fewSlots  = 512        // holds the static words and some 150 of its own
	manySlots = 1 << 14    // a larger table is not kept for the next block
)

var hashSeed = maphash.MakeSeed()

// ref returns the reference of s, which becomes a word if it is none yet.
func (d *dictionary) ref(s string) uint64 {
	if s == "" {
		return 0
	}
	at := unsafe.StringData(s)
	c := &d.seen[(uintptr(unsafe.Pointer(at))>>3^uintptr(len(s)))%uintptr(len(d.seen))]
	if c.at == at && c.len == len(s) {
		return c.ref
	}
	r := d.find(s)
	*c = seen{at, len(s), r}
	return r
}

func (d *dictionary) find(s string) uint64 {
	if 2*(len(words)+len(d.words)) >= len(d.table) {
		d.resize(max(2*len(d.table), fewSlots))
	}
	h := maphash.String(hashSeed, s)
	x := d.probe(h, s)
	if !d.taken(x) {
		d.words = append(d.words, s)
		*x = slot{d.round, uint32(h >> 32), uint64(len(d.words)) << 1}
	}
	return x.ref
}

// probe returns the slot of s, or the free one it belongs into.
func (d *dictionary) probe(h uint64, s string) *slot {
	for i := int(h); ; i++ {
		x := &d.table[i&(len(d.table)-1)]
		if !d.taken(x) || x.tag == uint32(h>>32) && d.word(x.ref) == s {
			return x
		}
	}
}

func (d *dictionary) taken(x *slot) bool { return x.round == d.round || x.round == permanent }

func (d *dictionary) word(ref uint64) string {
	if ref&1 == 1 {
		return words[ref>>1]
	}
	return d.words[ref>>1-1]
}

// resize makes a table of n slots with all words.
func (d *dictionary) resize(n int) {
	d.table, d.round = make([]slot, n), 1
	put := func(round uint32, s string, ref uint64) {
		h := maphash.String(hashSeed, s)
		*d.probe(h, s) = slot{round, uint32(h >> 32), ref}
	}
	for i, s := range words {
		put(permanent, s, uint64(i)<<1|1)
	}
	for i, s := range d.words {
		put(d.round, s, uint64(i+1)<<1)
	}
}

// reset forgets the own words.
func (d *dictionary) reset() {
	clear(d.words)
	clear(d.seen[:])
	d.words = d.words[:0]
	if d.round++; d.round == permanent || len(d.table) > manySlots {
		d.table = nil
	}
}

// appendWords appends the own words to dst.
func (d *dictionary) appendWords(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(d.words)))
	for _, w := range d.words {
		dst = binary.AppendUvarint(dst, uint64(len(w)))
	}
	for _, w := range d.words {
		dst = append(dst, w...)
	}
	return dst
}
