package backend

import (
	"cmp"
	"slices"
)

// Bounds of what an Aggregator keeps for exact percentiles.
const (
	maxValues  = 8 << 20 // durations there is room for, 64 MiB
	maxWeights = 64      // different ones
)

// values keeps durations themselves, by their weights, of which there are few. It is
// lost, and keeps nothing, once there are too many. Not safe for concurrent use.
type values struct {
	spare *int // room there may still be made, for all that share it
	lots  []lot
	last  int // lot added to last
	lost  bool
}

// lot holds the durations of one weight: lists that are never moved.
type lot struct {
	weight float64
	lists  [][]int64
	open   []int64 // has the room
}

// add keeps one duration; a negative one as zero, like Durations.
func (v *values) add(ns int64, w float64) {
	if v.last < len(v.lots) {
		if l := &v.lots[v.last]; l.weight == w && len(l.open) < cap(l.open) {
			l.open = append(l.open, max(ns, 0))
			return
		}
	}
	if l := v.room(w); l != nil {
		l.open = append(l.open, max(ns, 0))
	}
}

// room returns the lot of a weight with room in it, nil when v is lost.
func (v *values) room(w float64) *lot {
	if v.lost {
		return nil
	}
	v.last = slices.IndexFunc(v.lots, func(l lot) bool { return l.weight == w })
	if v.last < 0 {
		if len(v.lots) == maxWeights {
			v.lose()
			return nil
		}
		v.last = len(v.lots)
		v.lots = append(v.lots, lot{weight: w})
	}
	l := &v.lots[v.last]
	if n := cap(l.open); len(l.open) == n {
		n = min(max(32, 8*n), 8192)
		if *v.spare -= n; *v.spare < 0 {
			v.lose()
			return nil
		}
		l.lists = append(l.lists, l.open)
		l.open = make([]int64, 0, n)
	}
	return l
}

func (v *values) lose() { v.lost, v.lots, v.last = true, nil, 0 }

// merge takes all that o has, which is nil when it kept nothing.
func (v *values) merge(o *values) {
	if o == nil || o.lost {
		v.lose()
		return
	}
	for _, theirs := range o.lots {
		mine := v.room(theirs.weight)
		if mine == nil {
			return
		}
		mine.lists = append(append(mine.lists, theirs.lists...), theirs.open)
	}
}

// search looks for the duration at which, of those within low and high, the weight
// reaches rank; before is the weight of those below low.
type search struct {
	low, high    int64
	before, rank float64
	list         []weighted
}

type weighted struct {
	ns int64
	w  float64
}

// collect gives each search the durations in its range.
func (v *values) collect(x, y, z *search) {
	for _, l := range v.lots {
		for i := range len(l.lists) + 1 {
			list := l.open
			if i < len(l.lists) {
				list = l.lists[i]
			}
			for _, ns := range list {
				if ns >= x.low && ns <= x.high {
					x.list = append(x.list, weighted{ns, l.weight})
				}
				if ns >= y.low && ns <= y.high {
					y.list = append(y.list, weighted{ns, l.weight})
				}
				if ns >= z.low && ns <= z.high {
					z.list = append(z.list, weighted{ns, l.weight})
				}
			}
		}
	}
}

// find returns the duration. Of many it counts how much weight lies in each of a
// thousand parts of the range, keeps those in the part with the rank, and so on.
func (s *search) find() int64 {
	const parts = 1 << 10
	for len(s.list) > 2*parts && s.low < s.high {
		shift := 0
		for uint64(s.high-s.low)>>shift >= parts {
			shift++
		}
		var sums [parts]float64
		for _, x := range s.list {
			sums[uint64(x.ns-s.low)>>shift] += x.w
		}
		part := -1
		for i, sum := range sums {
			if sum == 0 {
				continue
			}
			if part >= 0 {
				s.before += sums[part]
			}
			if part = i; s.before+sum >= s.rank {
				break
			}
		}
		kept := s.list[:0]
		for _, x := range s.list {
			if uint64(x.ns-s.low)>>shift == uint64(part) {
				kept = append(kept, x)
			}
		}
		s.list = kept
		s.low += int64(uint64(part) << shift)
		s.high = min(s.high, s.low+(1<<shift-1))
	}
	slices.SortFunc(s.list, func(a, b weighted) int { return cmp.Compare(a.ns, b.ns) })
	for _, x := range s.list {
		if s.before += x.w; s.before >= s.rank {
			return x.ns
		}
	}
	if n := len(s.list); n > 0 {
		return s.list[n-1].ns
	}
	return s.low
}
