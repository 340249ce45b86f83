package bm25

import "slices"

type hit struct {
	doc   uint32
	score float32
}

// before orders hits: higher scores first, then the order of the corpus.
func (a hit) before(b hit) bool { return a.score > b.score || a.score == b.score && a.doc < b.doc }

// heap keeps the best hits, at most limit of them; the worst stands first.
type heap struct {
	hits  []hit
	limit int
}

func (h *heap) reset(limit int) { h.hits, h.limit = h.hits[:0], limit }

func (h *heap) offer(doc uint32, score float32) {
	x := hit{doc, score}
	if len(h.hits) < h.limit {
		h.hits = append(h.hits, x)
		for i := len(h.hits) - 1; i > 0; {
			parent := (i - 1) / 2
			if !h.hits[parent].before(h.hits[i]) {
				return
			}
			h.hits[parent], h.hits[i] = h.hits[i], h.hits[parent]
			i = parent
		}
		return
	}
	if !x.before(h.hits[0]) {
		return
	}
	h.hits[0] = x
	for i := 0; ; {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.hits); child++ {
			if h.hits[worst].before(h.hits[child]) {
				worst = child
			}
		}
		if worst == i {
			return
		}
		h.hits[i], h.hits[worst] = h.hits[worst], h.hits[i]
		i = worst
	}
}

// sorted returns the hits kept, best first; the heap must be reset afterwards.
func (h *heap) sorted() []hit {
	slices.SortFunc(h.hits, func(a, b hit) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	return h.hits
}
