package backend

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/proto"
)

// A message of more than 32 KiB takes and clears a buffer of 1 MiB in gRPC, on each
// side, which costs as much as the batch in it. A client sends the batch as it lies
// in memory, and a server has buffers of the sizes between.

// batchCodec is gRPC's codec, except that it does not copy the batch of a
// WriteRequest: that must not change until the call has been answered.
type batchCodec struct{ encoding.CodecV2 }

func newBatchCodec() batchCodec { return batchCodec{encoding.GetCodecV2("proto")} }

// Marshal returns v as in Protocol Buffers.
func (c batchCodec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*proto.WriteRequest)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	head := make([]byte, 0, 32)
	head = protowire.AppendTag(head, 1, protowire.BytesType)
	head = protowire.AppendBytes(head, r.BatchId)
	head = protowire.AppendTag(head, 2, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(r.Batch)))
	out := mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(r.Batch)}
	if r.Signal != "" {
		out = append(out, mem.SliceBuffer(protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), r.Signal)))
	}
	return out, nil
}

// buffers returns pools of buffers of 256 bytes to 4 MiB.
func buffers() (mem.BufferPool, error) {
	pool, err := mem.NewBinaryTieredBufferPool(8, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "backend", err, "make buffers")
	}
	return pool, nil
}
