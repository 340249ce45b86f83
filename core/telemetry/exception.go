package telemetry

import (
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Attribute names of an error that carries a trace: OpenTelemetry semantic
// conventions 1.37 for exceptions.
const (
	exceptionType    = "exception.type"
	exceptionMessage = "exception.message"
	exceptionStack   = "exception.stacktrace"
)

// exception adds where a panic or trap happened to the end of r.attrs, when err
// carries that and errors are captured.
func (r *Run) exception(err error) {
	if err == nil || !r.rec.cfg.CaptureErrors {
		return
	}
	trace := fault.TraceOf(err)
	if trace == "" || r.full(3*48) {
		return
	}
	r.attrs = append(r.attrs,
		backend.Attr{Key: exceptionType, Str: string(fault.KindOf(err))},
		backend.Attr{Key: exceptionMessage, Str: r.text(err.Error())},
		backend.Attr{Key: exceptionStack, Str: r.text(trace)})
}
