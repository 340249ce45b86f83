package node

import (
	"unsafe"

	"github.com/sparkrsi/spark/sdk/node/abi"
)

// detailCap bounds the text that the host parks beside an errno.
const detailCap = 1024

// imports is Calls on the functions that the host serves.
type imports struct {
	parked []byte // what was taken from the host last
}

var _ Calls = (*imports)(nil)

func (m *imports) Log(level Level, msg string) { hostLog(int32(level), str(msg), size(msg)) }

func (m *imports) Metric(name string, value float64, unit string, agg Aggregation) {
	hostMetric(str(name), size(name), value, str(unit), size(unit), int32(agg))
}

func (m *imports) Event(typ string, attrs []byte) {
	hostEvent(str(typ), size(typ), ptr(attrs), int32(len(attrs)))
}

func (m *imports) SpanAttr(key string, value []byte) {
	hostSpanAttr(str(key), size(key), ptr(value), int32(len(value)))
}

func (m *imports) StateGet(key string) ([]byte, abi.Errno) {
	return m.take(hostStateGet(str(key), size(key)))
}

func (m *imports) StateSet(key string, value []byte) abi.Errno {
	return abi.Errno(hostStateSet(str(key), size(key), ptr(value), int32(len(value))))
}

func (m *imports) RunInfo() ([]byte, abi.Errno) { return m.take(hostRunInfo()) }

func (m *imports) AssetSize(name string) (int64, abi.Errno) {
	n := hostAssetSize(str(name), size(name))
	if n < 0 {
		return 0, abi.Errno(n)
	}
	return n, 0
}

func (m *imports) AssetRead(name string, offset int64, p []byte) (int, abi.Errno) {
	n := hostAssetRead(str(name), size(name), offset, ptr(p), int32(len(p)))
	if n < 0 {
		return 0, abi.Errno(n)
	}
	return int(n), 0
}

func (m *imports) Generate(request []byte) ([]byte, abi.Errno) {
	return m.answer(hostGenerate(ptr(request), int32(len(request))))
}

func (m *imports) HTTP(request []byte) ([]byte, abi.Errno) {
	return m.answer(hostHTTP(ptr(request), int32(len(request))))
}

func (m *imports) Await(effect int32, request, state []byte) abi.Errno {
	return abi.Errno(hostAwait(effect, ptr(request), int32(len(request)), ptr(state), int32(len(state))))
}

// answer fetches what the host parked: n bytes, or the text beside an errno.
func (m *imports) answer(n int32) ([]byte, abi.Errno) {
	if n < 0 {
		detail, _ := m.take(detailCap)
		return detail, abi.Errno(n)
	}
	return m.take(n)
}

func (m *imports) Now() int64 { return hostNow() }

func (m *imports) Random(p []byte) abi.Errno {
	return abi.Errno(hostRandom(ptr(p), int32(len(p))))
}

// take fetches the n bytes that the host parked, or fewer when there are.
func (m *imports) take(n int32) ([]byte, abi.Errno) {
	if n < 0 {
		return nil, abi.Errno(n)
	}
	if int(n) > cap(m.parked) {
		m.parked = make([]byte, n+n/4)
	}
	got := hostResultRead(ptr(m.parked[:cap(m.parked)]), n)
	if got < 0 {
		return nil, abi.Errno(got)
	}
	return m.parked[:got], 0
}

func str(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }
func size(s string) int32         { return int32(len(s)) }
func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

//go:wasmimport spark fail
//go:noescape
func hostFail(kind int32, msg unsafe.Pointer, n int32)

//go:wasmimport spark log
//go:noescape
func hostLog(level int32, msg unsafe.Pointer, n int32)

//go:wasmimport spark metric
//go:noescape
func hostMetric(name unsafe.Pointer, n int32, value float64, unit unsafe.Pointer, unitLen int32, agg int32)

//go:wasmimport spark event
//go:noescape
func hostEvent(typ unsafe.Pointer, n int32, attrs unsafe.Pointer, attrsLen int32)

//go:wasmimport spark span_attr
//go:noescape
func hostSpanAttr(key unsafe.Pointer, n int32, value unsafe.Pointer, valueLen int32)

//go:wasmimport spark state_get
//go:noescape
func hostStateGet(key unsafe.Pointer, n int32) int32

//go:wasmimport spark state_set
//go:noescape
func hostStateSet(key unsafe.Pointer, n int32, value unsafe.Pointer, valueLen int32) int32

//go:wasmimport spark run_info
func hostRunInfo() int32

//go:wasmimport spark asset_size
//go:noescape
func hostAssetSize(name unsafe.Pointer, n int32) int64

//go:wasmimport spark asset_read
//go:noescape
func hostAssetRead(name unsafe.Pointer, n int32, offset int64, p unsafe.Pointer, size int32) int32

//go:wasmimport spark generate
//go:noescape
func hostGenerate(request unsafe.Pointer, n int32) int32

//go:wasmimport spark http
//go:noescape
func hostHTTP(request unsafe.Pointer, n int32) int32

//go:wasmimport spark await
//go:noescape
func hostAwait(effect int32, request unsafe.Pointer, n int32, state unsafe.Pointer, stateLen int32) int32

//go:wasmimport spark now
func hostNow() int64

//go:wasmimport spark random
//go:noescape
func hostRandom(p unsafe.Pointer, n int32) int32

//go:wasmimport spark result_read
//go:noescape
func hostResultRead(p unsafe.Pointer, size int32) int32
