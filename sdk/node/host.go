package node

import (
	"io"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Calls is the imports of ABI v1, one method each, as a guest sees them: bytes
// that the host parked are taken already. Slices that come back are valid until
// the next call. The SDK implements it in a module, nodetest natively.
type Calls interface {
	Log(level Level, msg string)
	Metric(name string, value float64, unit string, agg Aggregation)
	Event(typ string, attrs []byte)
	SpanAttr(key string, value []byte)
	StateGet(key string) ([]byte, abi.Errno)
	StateSet(key string, value []byte) abi.Errno
	RunInfo() ([]byte, abi.Errno)
	AssetSize(name string) (int64, abi.Errno)
	AssetRead(name string, offset int64, p []byte) (int, abi.Errno)
	// Generate returns the text that explains the failure beside an errno.
	Generate(request []byte) ([]byte, abi.Errno)
	// HTTP returns the text that explains the failure beside an errno.
	HTTP(request []byte) ([]byte, abi.Errno)
	// Await asks for an effect, one of the abi.Await numbers.
	Await(effect int32, request, state []byte) abi.Errno
	Now() int64
	Random(p []byte) abi.Errno
}

// Level is the severity of a log line.
type Level int32

// The levels.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Aggregation says how points of one metric combine within a run.
type Aggregation int32

// The aggregations: counters are summed, gauges keep the last point, histograms
// are averaged.
const (
	Counter Aggregation = iota
	Gauge
	Histogram
)

// Host is a node's way to everything outside its input. Its errors are faults
// that a node may return as they are. Not safe for concurrent use.
type Host struct {
	calls Calls
	w     Writer // requests and values on their way out
}

// Log writes one line to the trace of the step. It needs no capability.
func (h *Host) Log(level Level, msg string) { h.calls.Log(level, msg) }

// Metric records one point of a metric of the run, in unit ("s", "1", "By").
func (h *Host) Metric(name string, value float64, unit string, agg Aggregation) {
	h.calls.Metric(name, value, unit, agg)
}

// Event records a happening on the step's span. Attrs is a JSON object of
// scalars, or nil.
func (h *Host) Event(typ string, attrs []byte) {
	if attrs == nil {
		attrs = []byte("{}")
	}
	h.calls.Event(typ, attrs)
}

// SpanString sets an attribute of the step's span.
func (h *Host) SpanString(key, value string) {
	h.w.Reset()
	h.w.String(value)
	h.calls.SpanAttr(key, h.w.buf)
}

// SpanInt sets an attribute of the step's span.
func (h *Host) SpanInt(key string, value int64) {
	h.w.Reset()
	h.w.Int(value)
	h.calls.SpanAttr(key, h.w.buf)
}

// SpanFloat sets an attribute of the step's span; what JSON cannot write as a
// number becomes null.
func (h *Host) SpanFloat(key string, value float64) {
	h.w.Reset()
	h.w.Float(value)
	h.calls.SpanAttr(key, h.w.buf)
}

// State returns the value of key in the run's shared state, Missing when it was
// never set. The value is valid until the next call of h.
func (h *Host) State(key string) (Value, error) {
	b, errno := h.calls.StateGet(key)
	if errno == abi.ErrNotFound {
		return Value{}, nil
	}
	if errno != 0 {
		return Value{}, errnoFault(errno, "state."+key, nil)
	}
	return Parse(b)
}

// SetState stores a JSON value in the run's shared state.
func (h *Host) SetState(key string, value []byte) error {
	return errnoFault(h.calls.StateSet(key, value), "state."+key, nil)
}

// RunInfo returns the abi.Run document of the run, valid until the next call of h.
func (h *Host) RunInfo() (Value, error) {
	b, errno := h.calls.RunInfo()
	if errno != 0 {
		return Value{}, errnoFault(errno, "run_info", nil)
	}
	return Parse(b)
}

// Now returns the time of the host's clock; the zero time without the clock
// capability.
func (h *Host) Now() time.Time {
	if ns := h.calls.Now(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Random fills p with random bytes. Denied without the random capability.
func (h *Host) Random(p []byte) error { return errnoFault(h.calls.Random(p), "random", nil) }

// Asset opens the asset called name for reading from its start. Its bytes never
// change during the life of a node. NotFound when the graph does not give the
// node such an asset, Denied without the asset capability. Nothing has to be
// closed.
func (h *Host) Asset(name string) (*Asset, error) {
	size, errno := h.calls.AssetSize(name)
	if errno != 0 {
		return nil, errnoFault(errno, "assets."+name, nil)
	}
	return &Asset{calls: h.calls, name: name, size: size}, nil
}

// Asset reads one file that the graph gives to the node.
type Asset struct {
	calls  Calls
	name   string
	size   int64
	offset int64
}

var _ io.Reader = (*Asset)(nil)

// Size returns the size of the asset in bytes.
func (a *Asset) Size() int64 { return a.size }

// Read reads the bytes that follow those read before; io.EOF at the end.
func (a *Asset) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, errno := a.calls.AssetRead(a.name, a.offset, p)
	if errno != 0 {
		return 0, errnoFault(errno, "assets."+a.name, nil)
	}
	if n == 0 {
		return 0, io.EOF
	}
	a.offset += int64(n)
	return n, nil
}

// Bytes returns the whole asset from its start, in memory of its own.
func (a *Asset) Bytes() ([]byte, error) {
	b := make([]byte, a.size)
	a.offset = 0
	if _, err := io.ReadFull(a, b); err != nil {
		return nil, fault.Wrap("", "assets."+a.name, err, "%d of %d bytes read", a.offset, a.size)
	}
	return b, nil
}

// Request is one question to a model.
type Request struct {
	Model       string // as the host's routing knows it
	System      string // optional instructions
	Prompt      string
	MaxTokens   int      // of the answer; 0 leaves it to the provider
	Temperature *float64 // 0 is greedy, nil leaves it to the provider
}

// Response is a model's answer.
type Response struct {
	Text         string
	Model        string // that answered
	FinishReason string // stop, length or filter
	InputTokens  int64
	OutputTokens int64
	CostUSD      float64 // 0 when the host knows no price
}

// Generate asks a model and waits for its answer. Denied without the generate
// capability, NotFound for a model the host does not know, Unavailable when the
// provider refused, Timeout when the step's time is over, Limit when a budget is.
// The instance waits with it: AwaitGenerate does not hold one.
func (h *Host) Generate(r Request) (Response, error) {
	b, errno := h.calls.Generate(r.write(&h.w))
	return response(b, errno)
}

// write writes the document of r to w and returns it.
func (r *Request) write(w *Writer) []byte {
	w.Reset()
	w.Object()
	w.Key("model").String(r.Model)
	if r.System != "" {
		w.Key("system").String(r.System)
	}
	w.Key("messages").Array()
	w.Object()
	w.Key("role").String("user")
	w.Key("content").String(r.Prompt)
	w.End()
	w.End()
	if r.MaxTokens > 0 {
		w.Key("max_tokens").Int(int64(r.MaxTokens))
	}
	if r.Temperature != nil {
		w.Key("temperature").Float(*r.Temperature)
	}
	w.End()
	return w.buf
}

// response reads what the host answered to a Request.
func response(b []byte, errno abi.Errno) (Response, error) {
	if errno != 0 {
		return Response{}, errnoFault(errno, "generate", b)
	}
	v, err := Parse(b)
	if err != nil {
		return Response{}, fault.Wrap(fault.Internal, "generate", err, "response of the host")
	}
	out := Response{Text: v.Get("text").Str(), Model: v.Get("model").Str(), FinishReason: v.Get("finish_reason").Str()}
	out.InputTokens, _ = v.Get("input_tokens").Int()
	out.OutputTokens, _ = v.Get("output_tokens").Int()
	out.CostUSD, _ = v.Get("cost_usd").Float()
	return out, nil
}
