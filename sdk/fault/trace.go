package fault

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Bounds of a trace.
const (
	MaxTrace  = 4 << 10 // bytes
	MaxFrames = 32
)

// WithTrace returns a copy of e with the trace set: one frame a line, each followed
// by an indented line with its file when that is known. It is cut after MaxFrames
// frames and before the line that passes MaxTrace bytes. It must hold names of
// functions and files only, no arguments or values: those may be a user's.
func (e *Error) WithTrace(trace string) *Error {
	c := *e
	c.Trace = bounded(trace)
	return &c
}

func bounded(trace string) string {
	frames, end := 0, 0
	for line := range strings.Lines(trace) {
		if !strings.HasPrefix(line, "\t") {
			frames++
		}
		if frames > MaxFrames || end+len(strings.TrimSuffix(line, "\n")) > MaxTrace {
			break
		}
		end += len(line)
	}
	return strings.TrimSuffix(trace[:end], "\n")
}

// TraceOf returns the first trace in err's chain, outermost first, or "".
func TraceOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Trace != "" {
			return e.Trace
		}
		err = e.Err
	}
	return ""
}

// Panicked returns the Internal fault of a panic whose value is r, with the stack
// of Go from the frame that panicked. Call it in the deferred function that
// recovered r, or in one that this calls.
func Panicked(r any) *Error {
	var pcs [2 * MaxFrames]uintptr
	stack := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var b strings.Builder
	panicked, begun := false, false
	for {
		f, more := stack.Next()
		switch inRuntime := strings.HasPrefix(f.Function, "runtime."); {
		case f.Function == "runtime.gopanic":
			panicked, begun = true, false // of several the one that came first lies deepest
			b.Reset()
		case !panicked, inRuntime && !begun, f.Function == "runtime.goexit": // the way to the panic, how the runtime raised it, and the end
		default:
			begun = true
			b.WriteString(f.Function + "\n\t" + f.File + ":" + strconv.Itoa(f.Line) + "\n")
		}
		if !more {
			break
		}
	}
	return (&Error{Kind: Internal, Msg: "panic: " + fmt.Sprint(r)}).WithTrace(b.String())
}
