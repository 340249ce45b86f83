package abi

import (
	"bytes"
	"testing"
)

func TestResumption(t *testing.T) {
	for _, r := range []Resumption{{}, {Errno: ErrTimeout, Result: []byte("late")}, {State: []byte("s"), Result: []byte(`{"text":"x"}`)}, {State: []byte{0, 255}}} {
		doc := r.Append(nil)
		got, ok := ReadResumption(doc)
		if !ok || got.Errno != r.Errno || !bytes.Equal(got.State, r.State) || !bytes.Equal(got.Result, r.Result) || len(doc) != r.Size() {
			t.Errorf("%+v came back as %+v, %v", r, got, ok)
		}
	}
	want := []byte{0xfa, 0xff, 0xff, 0xff, 2, 0, 0, 0, 'a', 'b', 'c'}
	if r := (&Resumption{ErrTimeout, []byte("ab"), []byte("c")}); !bytes.Equal(r.Append(nil), want) {
		t.Errorf("encoded as % x, want % x", r.Append(nil), want)
	}
}

// FuzzReadResumption checks that what can be read is written as it was.
func FuzzReadResumption(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 'a', 'b'})
	f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, doc []byte) {
		if r, ok := ReadResumption(doc); ok && !bytes.Equal(r.Append(nil), doc) {
			t.Fatalf("%x is written as %x", doc, r.Append(nil))
		}
	})
}
