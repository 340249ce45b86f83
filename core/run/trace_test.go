package run

import "testing"

func TestTraceParent(t *testing.T) {
	s := &Step{Info: &Info{ID: ID{1}, TraceID: ID{2}}, Seq: 3}
	if got := s.TraceParent(); got != "" {
		t.Errorf("not propagated: %q", got)
	}
	s.Info.Propagate = true
	first := s.TraceParent()
	if len(first) != 55 || first[:36] != "00-02000000000000000000000000000000-" || first[52:] != "-01" {
		t.Errorf("%q", first)
	}
	s.Item = 1
	if s.TraceParent() == first {
		t.Error("two items of a foreach have one span")
	}
}
