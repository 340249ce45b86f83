package words

// Set is a set of hashes of words. The zero Set is empty and ready to use.
type Set struct {
	slots [512]uint64
	n     int
}

// SetSize is how many hashes a Set may hold.
const SetSize = 384

// Clear empties s.
func (s *Set) Clear() {
	if s.n > 0 {
		clear(s.slots[:])
		s.n = 0
	}
}

// Add adds h and reports whether it is new. A full set takes no more, and calls
// everything new.
func (s *Set) Add(h uint64) bool {
	h |= 1 // 0 is an empty slot
	i := h >> 55
	for ; s.slots[i] != 0; i = (i + 1) % uint64(len(s.slots)) {
		if s.slots[i] == h {
			return false
		}
	}
	if s.n < SetSize {
		s.slots[i] = h
		s.n++
	}
	return true
}

// Table finds numbers by hashes of words. The zero Table is empty and ready to
// use.
type Table struct {
	slots []struct {
		hash  uint64 // 0 in an empty slot
		value int32
	}
	n int
}

// Get returns the number of h, false when it has none.
func (t *Table) Get(h uint64) (int32, bool) {
	if t.n == 0 {
		return 0, false
	}
	h |= 1
	mask := uint64(len(t.slots) - 1)
	for i := h >> 20 & mask; t.slots[i].hash != 0; i = (i + 1) & mask {
		if t.slots[i].hash == h {
			return t.slots[i].value, true
		}
	}
	return 0, false
}

// Put gives h the number v.
func (t *Table) Put(h uint64, v int32) {
	if 2*t.n >= len(t.slots) {
		old := t.slots
		t.slots, t.n = make([]struct {
			hash  uint64
			value int32
		}, max(64, 2*len(old))), 0
		for _, s := range old {
			if s.hash != 0 {
				t.Put(s.hash, s.value)
			}
		}
	}
	h |= 1
	mask := uint64(len(t.slots) - 1)
	i := h >> 20 & mask
	for ; t.slots[i].hash != 0; i = (i + 1) & mask {
		if t.slots[i].hash == h {
			t.slots[i].value = v
			return
		}
	}
	t.slots[i].hash, t.slots[i].value = h, v
	t.n++
}
