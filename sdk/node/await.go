package node

import (
	"errors"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Resumer is a Node that waits for the world outside without holding its
// instance. Process, or Resume, returns what AwaitGenerate or AwaitHTTP gives; the
// host performs the effect and then calls Resume, on any instance with the same
// configuration. So nothing may be expected of the node's own fields but what
// Configure put there: what Resume needs to know travels in the state.
//
//	func (n *asker) Process(in []byte, out *node.Writer) error {
//		return n.host.AwaitGenerate(node.Request{Model: "m", Prompt: string(in)}, nil)
//	}
//
//	func (n *asker) Resume(_ []byte, got *node.Result, out *node.Writer) error {
//		answer, err := got.Generated()
//		...
//	}
type Resumer interface {
	Node
	// Resume goes on where AwaitGenerate or AwaitHTTP was returned with this state.
	// State and what got gives are valid until it returns. Otherwise it is like
	// Process.
	Resume(state []byte, got *Result, out *Writer) error
}

// ErrAwaiting is what AwaitGenerate and AwaitHTTP return when the effect will be
// performed. It is no failure: a node returns it as it is.
var ErrAwaiting = errors.New("awaiting an effect")

// AwaitGenerate asks a model without holding the instance and returns ErrAwaiting,
// to be returned by Process or Resume. State comes back to Resume; it is copied.
// Denied without the generate capability, Limit for a state that is too large or
// an effect too many in one step.
func (h *Host) AwaitGenerate(r Request, state []byte) error {
	return h.await(abi.AwaitGenerate, "generate", r.write(&h.w), state)
}

// AwaitHTTP sends a request without holding the instance and returns ErrAwaiting,
// to be returned by Process or Resume. State comes back to Resume; it is copied.
// Denied without the http capability, Limit as with AwaitGenerate.
func (h *Host) AwaitHTTP(r HTTPRequest, state []byte) error {
	return h.await(abi.AwaitHTTP, "http", r.write(&h.w), state)
}

func (h *Host) await(effect int32, path string, request, state []byte) error {
	if errno := h.calls.Await(effect, request, state); errno != 0 {
		return errnoFault(errno, path, nil)
	}
	return ErrAwaiting
}

// Result is what came of an effect.
type Result struct {
	errno abi.Errno
	b     []byte
}

// Generated returns the answer to AwaitGenerate, or why there is none: as
// Host.Generate does.
func (r *Result) Generated() (Response, error) { return response(r.b, r.errno) }

// HTTP returns the answer to AwaitHTTP, or why there is none: as Host.HTTP does.
func (r *Result) HTTP() (HTTPResponse, error) { return httpResponse(r.b, r.errno) }

// Resume hands an abi.Resumption to the configured node, which returned ErrAwaiting
// on this or another instance, and returns as Process does.
func (i *Instance) Resume(doc []byte) ([]byte, error) {
	if !i.ready {
		return nil, fault.New(fault.Rejected, "", "the instance is not configured")
	}
	r, ok := abi.ReadResumption(doc)
	if !ok {
		return nil, fault.New(fault.Invalid, "", "what spark_resume got is malformed")
	}
	n, ok := i.node.(Resumer)
	if !ok {
		return nil, fault.New(fault.Internal, i.name, "the node awaits nothing")
	}
	i.out.Reset()
	return i.finish(n.Resume(r.State, &Result{r.Errno, r.Result}, &i.out))
}
