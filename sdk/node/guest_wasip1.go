package node

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// guest is the one instance that this module is. Input is what spark_alloc
// hands out; both it and the instance's buffers stay referenced here, so that
// the garbage collector leaves memory alone that only the host knows of.
var guest struct {
	instance *Instance
	input    []byte
}

//go:wasmexport spark_abi_v1
func sparkABI() int32 { return abi.Version }

//go:wasmexport spark_alloc
func sparkAlloc(n int32) unsafe.Pointer {
	if n < 0 || n > math.MaxInt32-4096 {
		return nil
	}
	if int(n) > len(guest.input) || guest.input == nil {
		guest.input = nil // lets the collector have it before the larger one is made
		guest.input = make([]byte, (int(n)+4095)&^4095+4096)
	}
	return unsafe.Pointer(unsafe.SliceData(guest.input))
}

//go:wasmexport spark_configure
func sparkConfigure(ptr unsafe.Pointer, n int32) int32 {
	defer reportPanic()
	if guest.instance == nil {
		guest.instance = NewInstance(Registered(), &imports{})
	}
	if err := guest.instance.Configure(unsafe.Slice((*byte)(ptr), n)); err != nil {
		sendFailure(err)
		return 1
	}
	return 0
}

//go:wasmexport spark_process
func sparkProcess(ptr unsafe.Pointer, n int32) int64 {
	defer reportPanic()
	if guest.instance == nil {
		guest.instance = NewInstance(Registered(), &imports{})
	}
	return sendOutput(guest.instance.Process(unsafe.Slice((*byte)(ptr), n)))
}

//go:wasmexport spark_resume
func sparkResume(ptr unsafe.Pointer, n int32) int64 {
	defer reportPanic()
	if guest.instance == nil {
		guest.instance = NewInstance(Registered(), &imports{})
	}
	return sendOutput(guest.instance.Resume(unsafe.Slice((*byte)(ptr), n)))
}

// sendOutput returns a result as the ABI wants it.
func sendOutput(out []byte, err error) int64 {
	if err != nil {
		if !errors.Is(err, ErrAwaiting) { // of that the host was told
			sendFailure(err)
		}
		return 0
	}
	if len(out) == 0 {
		sendFailure(fault.New(fault.Internal, "", "the node wrote no output document"))
		return 0
	}
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(out))))<<32 | int64(len(out))
}

func sendFailure(err error) {
	text := failText(err)
	hostFail(failCode(fault.KindOf(err)), unsafe.Pointer(unsafe.StringData(text)), int32(len(text)))
}

// reportPanic tells the host what a panic says and lets it go on: it ends in a
// trap, after which the host discards the instance.
func reportPanic() {
	if r := recover(); r != nil {
		sendFailure(fault.New(fault.Internal, "", "panic: %s", fmt.Sprint(r)))
		panic(r)
	}
}
