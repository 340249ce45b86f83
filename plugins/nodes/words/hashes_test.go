package words

import (
	"strings"
	"testing"
)

// TestSet adds hashes twice and more of them than fit.
func TestSet(t *testing.T) {
	var s Set
	for range 2 {
		for i := range SetSize {
			h := mix(uint64(i), 0)
			if !s.Add(h) || s.Add(h) {
				t.Fatalf("hash %d is new once", i)
			}
		}
		for range 2 {
			if !s.Add(mix(SetSize, 0)) {
				t.Error("a full set must call the rest new")
			}
		}
		s.Clear()
	}
}

// TestHash: short words have hashes of their own, however their memory goes on.
func TestHash(t *testing.T) {
	seen := map[uint64]string{}
	for _, w := range strings.Fields("a b ab ba abc abcdefg abcdefgh abcdefghi abcdefgi abcdefghabcdefgh bcdefghabcdefgha " + strings.Repeat("x", 17)) {
		h := Hash([]byte(w))
		if seen[h] != "" {
			t.Errorf("%q and %q", w, seen[h])
		}
		seen[h] = w
		long := []byte(w + "tail of the buffer")
		if Hash(long[:len(w)]) != h || Hash(append(make([]byte, 0, len(w)), w...)) != h {
			t.Errorf("the hash of %q depends on what stands behind it", w)
		}
	}
}

// TestTable puts and finds more hashes than the first slots hold.
func TestTable(t *testing.T) {
	var table Table
	if _, ok := table.Get(7); ok {
		t.Error("an empty table has nothing")
	}
	for round := range int32(2) {
		for i := range int32(1000) {
			table.Put(mix(uint64(i), 1), i*2+round)
		}
		for i := range int32(1000) {
			if v, ok := table.Get(mix(uint64(i), 1)); !ok || v != i*2+round {
				t.Fatalf("hash %d: %d, %v", i, v, ok)
			}
			if _, ok := table.Get(mix(uint64(i)+5000, 1)); ok {
				t.Fatalf("hash %d is none of the table", i+5000)
			}
		}
	}
}

// TestStems: what is remembered is what stemming gives, also when words share a
// place in the memory.
func TestStems(t *testing.T) {
	var s Stems
	for _, by := range []Stemmer{None, Light, Porter} {
		s.Use(by)
		for round := range 2 {
			for i := range 3000 {
				w := []byte(strings.Fields("happy relational hoping queries conflated yyy abcdefghijklmnopational")[i%7] + strings.Repeat("x", i%5) +
					strings.Fields("ies ed s ing ation e")[i%6] + strings.Repeat("e", i/600))
				want := by.Stem(append(make([]byte, 0, 64), w...))
				if i%3 == 0 {
					if h := s.Hash(append(make([]byte, 0, 64), w...)); h != Hash(want) {
						t.Fatalf("%s %d: the hash of %s is not that of %s", by, round, w, want)
					}
				}
				if got, h := s.Stem(append(make([]byte, 0, 64), w...)); string(got) != string(want) || h != Hash(want) {
					t.Fatalf("%s %d: %s became %s, want %s", by, round, w, got, want)
				}
			}
		}
	}
}
