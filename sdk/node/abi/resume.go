package abi

import "encoding/binary"

// resumeHeader is the size of the numbers in front of a Resumption.
const resumeHeader = 8

// Resumption is what spark_resume takes: the state that the guest gave to await,
// and what came of the effect. It is no JSON, so that no guest has to escape or
// parse its own bytes:
//
//	0  errno   i32, little-endian; 0 when the effect succeeded
//	4  length  u32, little-endian, of the state
//	8  state
//	.. result  to the end: the response, or beside an errno a text or nothing
type Resumption struct {
	Errno  Errno
	State  []byte
	Result []byte
}

// Append appends the encoding of r to b.
func (r *Resumption) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Errno))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.State)))
	return append(append(b, r.State...), r.Result...)
}

// Size returns the length of the encoding of r in bytes.
func (r *Resumption) Size() int { return resumeHeader + len(r.State) + len(r.Result) }

// ReadResumption returns what doc encodes, or false. State and Result are parts of
// doc.
func ReadResumption(doc []byte) (r Resumption, ok bool) {
	if len(doc) < resumeHeader {
		return r, false
	}
	n := binary.LittleEndian.Uint32(doc[4:])
	if uint64(n) > uint64(len(doc)-resumeHeader) {
		return r, false
	}
	end := resumeHeader + int(n)
	return Resumption{Errno(int32(binary.LittleEndian.Uint32(doc))), doc[resumeHeader:end:end], doc[end:]}, true
}
