// Package abi is version 1 of the contract between Spark and a node module, as
// constants and as the manifest that every module carries. docs/ABI.md is the
// normative text. The package does no I/O and is shared by host and guest.
package abi

// Version is the ABI version that this package describes.
const Version = 1

// Names a module exports. Memory, Marker, Alloc, Configure and Process are
// required.
const (
	Memory     = "memory"
	Marker     = "spark_abi_v1"    // () -> i32, always 1
	Alloc      = "spark_alloc"     // (len i32) -> ptr i32, the input buffer; 0 when it cannot grow
	Configure  = "spark_configure" // (ptr, len i32) -> i32, 0 when the configuration was taken
	Process    = "spark_process"   // (ptr, len i32) -> i64, ptr<<32|len of the output, 0 when it failed
	Resume     = "spark_resume"    // (ptr, len i32) -> i64, like Process, after an Await; wanted of a module that imports it
	Initialize = "_initialize"     // () , run once after instantiation when present
)

// Host is the name of the import module that Spark serves. The other import
// modules a guest may name are those of its language's runtime that the host
// answers without giving access to anything (wasi_snapshot_preview1).
const Host = "spark"

// Functions of the host module. Pointers, lengths and codes are i32, offsets,
// sizes and times i64, metric values f64. A function that yields bytes returns
// their length, or a negative Errno, and parks them until result_read takes
// them or the next such call replaces them.
const (
	Fail       = "fail"        // (kind, msg, len); kind is a fault code
	Log        = "log"         // (level, msg, len); level 0 debug 1 info 2 warn 3 error
	Metric     = "metric"      // (name, len, value f64, unit, len, aggregation); 0 counter 1 gauge 2 histogram
	Event      = "event"       // (type, len, attrs JSON object, len)
	SpanAttr   = "span_attr"   // (key, len, JSON scalar, len)
	StateGet   = "state_get"   // (key, len) -> length or Errno
	StateSet   = "state_set"   // (key, len, JSON, len) -> 0 or Errno
	RunInfo    = "run_info"    // () -> length of a JSON object
	AssetSize  = "asset_size"  // (name, len) -> i64 size or Errno
	AssetRead  = "asset_read"  // (name, len, offset i64, ptr, cap) -> bytes read or Errno; 0 at the end
	Generate   = "generate"    // (request JSON, len) -> length of the response or Errno
	HTTP       = "http"        // (request JSON, len) -> length of the response or Errno
	Await      = "await"       // (effect, request JSON, len, state, len) -> 0 or Errno
	Now        = "now"         // () -> i64 nanoseconds since 1970; 0 without the clock capability
	Random     = "random"      // (ptr, len) -> 0 or Errno
	ResultRead = "result_read" // (ptr, cap) -> bytes copied
	FuelImport = "fuel"        // () , inserted by the host at admission, never written by hand
)

// Effects that Await asks for. The request and the response of each are those of
// the host function of the same name.
const (
	AwaitGenerate = 1
	AwaitHTTP     = 2
)

// Errno is what a host function answers instead of a length. It is negative.
type Errno int32

// The error numbers.
const (
	ErrDenied      Errno = -1 // the capability was not granted
	ErrNotFound    Errno = -2 // no such key, asset or model
	ErrInvalid     Errno = -3 // malformed argument
	ErrTooLarge    Errno = -4 // a limit was passed
	ErrUnavailable Errno = -5 // the provider is down or refused; text is parked
	ErrTimeout     Errno = -6 // the deadline of the step passed
)

// Fault codes of Fail. Their words are the kinds of sdk/fault.
const (
	FailRejected  = 0 // the input cannot be processed
	FailInvalid   = 1 // the configuration or input is malformed
	FailTransient = 2 // may succeed when tried again
	FailTimeout   = 3
	FailNotFound  = 4
	FailDenied    = 5
	FailLimit     = 6
	FailInternal  = 7
)
