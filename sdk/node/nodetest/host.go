package nodetest

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Host is what a node under test finds outside its input, and what it left
// there. A nil or zero field is a capability that is not granted. Not safe for
// concurrent use.
type Host struct {
	Assets map[string][]byte
	Run    *abi.Run
	State  map[string]string // JSON by key; made when first set
	// Generate answers model calls; a fault decides the errno the node sees.
	Generate func(abi.GenerateRequest) (abi.GenerateResponse, error)
	// HTTP answers requests; a fault decides the errno the node sees.
	HTTP  func(abi.HTTPRequest) (abi.HTTPResponse, error)
	Clock func() time.Time
	Rand  *rand.Rand

	// What the node did, in order.
	Logs    []string
	Metrics []Metric
	Events  []string          // "type attrs"
	Attrs   map[string]string // of the span, JSON by key
	Awaits  int               // effects that were awaited

	effect  func(request []byte) ([]byte, abi.Errno) // that is awaited
	request []byte
	state   []byte
}

// Metric is one recorded point.
type Metric struct {
	Name  string
	Value float64
	Unit  string
	Agg   node.Aggregation
}

// Calls returns the host functions of h, for node.NewInstance.
func (h *Host) Calls() node.Calls { return calls{h} }

func (h *Host) names() []string { return slices.Sorted(maps.Keys(h.Assets)) }

// calls is node.Calls on a Host.
type calls struct{ h *Host }

var _ node.Calls = calls{}

func (c calls) Log(_ node.Level, msg string) { c.h.Logs = append(c.h.Logs, msg) }

func (c calls) Metric(name string, value float64, unit string, agg node.Aggregation) {
	c.h.Metrics = append(c.h.Metrics, Metric{name, value, unit, agg})
}

func (c calls) Event(typ string, attrs []byte) {
	c.h.Events = append(c.h.Events, typ+" "+string(attrs))
}

func (c calls) SpanAttr(key string, value []byte) {
	if c.h.Attrs == nil {
		c.h.Attrs = map[string]string{}
	}
	c.h.Attrs[key] = string(value)
}

func (c calls) StateGet(key string) ([]byte, abi.Errno) {
	v, ok := c.h.State[key]
	if !ok {
		return nil, abi.ErrNotFound
	}
	return []byte(v), 0
}

func (c calls) StateSet(key string, value []byte) abi.Errno {
	if key == "" || !json.Valid(value) {
		return abi.ErrInvalid
	}
	if c.h.State == nil {
		c.h.State = map[string]string{}
	}
	c.h.State[key] = string(value)
	return 0
}

func (c calls) RunInfo() ([]byte, abi.Errno) {
	if c.h.Run == nil {
		return nil, abi.ErrNotFound
	}
	b, err := json.Marshal(c.h.Run)
	if err != nil {
		return nil, abi.ErrUnavailable
	}
	return b, 0
}

func (c calls) AssetSize(name string) (int64, abi.Errno) {
	b, errno := c.asset(name)
	return int64(len(b)), errno
}

func (c calls) AssetRead(name string, offset int64, p []byte) (int, abi.Errno) {
	b, errno := c.asset(name)
	if errno != 0 {
		return 0, errno
	}
	if offset < 0 {
		return 0, abi.ErrInvalid
	}
	return copy(p, b[min(offset, int64(len(b))):]), 0
}

func (c calls) asset(name string) ([]byte, abi.Errno) {
	if len(c.h.Assets) == 0 {
		return nil, abi.ErrDenied
	}
	b, ok := c.h.Assets[name]
	if !ok {
		return nil, abi.ErrNotFound
	}
	return b, 0
}

func (c calls) Generate(request []byte) ([]byte, abi.Errno) { return answer(c.h.Generate, request) }

func (c calls) HTTP(request []byte) ([]byte, abi.Errno) { return answer(c.h.HTTP, request) }

func (c calls) Await(effect int32, request, state []byte) abi.Errno {
	switch {
	case effect == abi.AwaitGenerate && c.h.Generate != nil:
		c.h.effect = c.Generate
	case effect == abi.AwaitHTTP && c.h.HTTP != nil:
		c.h.effect = c.HTTP
	case effect == abi.AwaitGenerate || effect == abi.AwaitHTTP:
		return abi.ErrDenied
	default:
		return abi.ErrInvalid
	}
	c.h.request, c.h.state = bytes.Clone(request), bytes.Clone(state)
	return 0
}

// Perform performs the effect that a node awaits and returns what
// node.Instance.Resume takes, or nil when none is awaited.
func (h *Host) Perform() []byte {
	if h.effect == nil {
		return nil
	}
	r := abi.Resumption{State: h.state}
	r.Result, r.Errno = h.effect(h.request)
	h.effect, h.request, h.state = nil, nil, nil
	h.Awaits++
	return r.Append(nil)
}

// answer is a host call that takes a document and yields one.
func answer[Q, A any](ask func(Q) (A, error), request []byte) ([]byte, abi.Errno) {
	if ask == nil {
		return nil, abi.ErrDenied
	}
	var q Q
	if err := json.Unmarshal(request, &q); err != nil {
		return []byte(err.Error()), abi.ErrInvalid
	}
	response, err := ask(q)
	if err != nil {
		return []byte(err.Error()), errnoOf(fault.KindOf(err))
	}
	b, err := json.Marshal(response)
	if err != nil {
		return []byte(err.Error()), abi.ErrUnavailable
	}
	return b, 0
}

func errnoOf(k fault.Kind) abi.Errno {
	switch k {
	case fault.Denied:
		return abi.ErrDenied
	case fault.NotFound:
		return abi.ErrNotFound
	case fault.Invalid, fault.Rejected:
		return abi.ErrInvalid
	case fault.Limit:
		return abi.ErrTooLarge
	case fault.Timeout:
		return abi.ErrTimeout
	}
	return abi.ErrUnavailable
}

func (c calls) Now() int64 {
	if c.h.Clock == nil {
		return 0
	}
	return c.h.Clock().UnixNano()
}

func (c calls) Random(p []byte) abi.Errno {
	if c.h.Rand == nil {
		return abi.ErrDenied
	}
	for i := range p {
		p[i] = byte(c.h.Rand.Uint32())
	}
	return 0
}
