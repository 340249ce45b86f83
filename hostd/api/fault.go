package api

import (
	"errors"
	"net/http"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Error is a fault as it crosses the wire.
type Error struct {
	Kind    fault.Kind `json:"kind"`
	Op      string     `json:"op,omitempty"`
	Path    string     `json:"path,omitempty"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// failure is the body of an answer that failed: the error, and what is known
// beside it.
type failure struct {
	Error    *Error         `json:"error"`
	Run      *host.Result   `json:"run,omitempty"`      // of a run that failed
	Findings graph.Findings `json:"findings,omitempty"` // of a document that was refused
}

// ErrorOf returns err as it crosses the wire. The causes of a fault become part
// of its message, and so do further errors of a joined one.
func ErrorOf(err error) *Error {
	if many, ok := err.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 0 {
		e := ErrorOf(many.Unwrap()[0])
		for _, more := range many.Unwrap()[1:] {
			e.Message += "; " + more.Error()
		}
		return e
	}
	e := &Error{Kind: fault.KindOf(err), Hint: fault.HintOf(err), Message: err.Error()}
	if f, ok := err.(*fault.Error); ok {
		// What is left without operation and path is the message.
		e.Op, e.Path, e.Message = f.Op, f.Path, (&fault.Error{Msg: f.Msg, Err: f.Err}).Error()
	}
	return e
}

// Fault returns the fault that e stands for. A kind that is not known, as a newer
// host may send, is Internal.
func (e *Error) Fault() *fault.Error {
	k, ok := fault.ParseKind(string(e.Kind))
	if !ok {
		k = fault.Internal
	}
	return &fault.Error{Kind: k, Op: e.Op, Path: e.Path, Msg: e.Message, Hint: e.Hint}
}

// status returns the HTTP status of an error.
func status(err error) int {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Denied:
		return http.StatusForbidden
	case fault.Locked:
		return http.StatusLocked
	case fault.Trap, fault.Limit, fault.Rejected:
		return http.StatusUnprocessableEntity // the host works, the graph does not
	case fault.Timeout:
		return http.StatusGatewayTimeout
	case fault.Cancelled:
		return 499 // the client closed the request
	case fault.Transient, fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
