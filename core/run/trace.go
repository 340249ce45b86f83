package run

import (
	"encoding/binary"
	"encoding/hex"
)

// Hash returns 64 well-mixed bits of id; salt makes independent ones.
// Source: the finalizer of splitmix64, Steele, Lea & Flood 2014, OOPSLA.
func (id ID) Hash(salt uint64) uint64 {
	z := binary.BigEndian.Uint64(id[:8]) ^ (binary.BigEndian.Uint64(id[8:])+salt)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// RootSpan returns the span id of a run as a number; any odd one is not zero.
func (id ID) RootSpan() uint64 { return id.Hash(1) | 1 }

// StepSpan returns the span id of a step of the run with that root. The items of a
// foreach share a number. Whoever knows the run knows the ids of its spans, before
// they are recorded.
func StepSpan(root uint64, seq, item int) (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], root+1+uint64(seq)+uint64(item)<<32)
	return id
}

// TraceParent returns the W3C traceparent header that names the step's span, for a
// request to another service; empty when the run does not propagate its trace. The
// flag sampled is always set: whether the trace is kept is decided at its end.
func (s *Step) TraceParent() string {
	if s.Info == nil || !s.Info.Propagate {
		return ""
	}
	span := StepSpan(s.Info.ID.RootSpan(), s.Seq, s.Item)
	return "00-" + s.Info.TraceID.String() + "-" + hex.EncodeToString(span[:]) + "-01"
}
