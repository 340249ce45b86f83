package telemetry

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// ParseTraceParent returns the trace and the caller's span of a W3C traceparent
// header, for run.Info. An Invalid fault when it is not one; the caller of a run
// then begins a trace of its own. Source: W3C Trace Context, section 3.2.
func ParseTraceParent(header string) (trace run.ID, span [8]byte, err error) {
	bad := fault.New(fault.Invalid, "traceparent", "%.80q is no W3C traceparent", header)
	part := strings.Split(strings.TrimSpace(header), "-")
	if len(part) < 4 || len(part[0]) != 2 || len(part[1]) != 32 || len(part[2]) != 16 || len(part[3]) != 2 ||
		part[0] == "ff" || part[0] == "00" && len(part) != 4 || strings.ToLower(header) != header {
		return run.ID{}, [8]byte{}, bad
	}
	var flags, version [1]byte
	for _, x := range []struct {
		dst []byte
		src string
	}{{version[:], part[0]}, {trace[:], part[1]}, {span[:], part[2]}, {flags[:], part[3]}} {
		if _, err := hex.Decode(x.dst, []byte(x.src)); err != nil {
			return run.ID{}, [8]byte{}, bad
		}
	}
	if trace == (run.ID{}) || span == ([8]byte{}) {
		return run.ID{}, [8]byte{}, bad
	}
	return trace, span, nil
}

// TraceParent returns the W3C traceparent header of the span that ctx is in, for a
// call to another service; empty when ctx is in no recorded run or
// propagate_context is off. The flag sampled is always set: whether the trace is
// kept is decided at its end.
func TraceParent(ctx context.Context) string {
	s := from(ctx)
	if s == nil || s.run == nil || !s.run.rec.cfg.PropagateContext {
		return ""
	}
	return "00-" + s.trace.String() + "-" + hex.EncodeToString(s.span[:]) + "-01"
}

// Propagates reports whether requests to other services carry the trace of a run.
func (r *Recorder) Propagates() bool { return r != nil && !r.off && r.cfg.PropagateContext }

// traceID returns the trace that a run is recorded in.
func (r *Recorder) traceID(info *run.Info) run.ID {
	if info.TraceID == (run.ID{}) || !r.cfg.PropagateContext {
		return info.ID
	}
	return info.TraceID
}

// scope is what a context says of where records belong. It is only read; what it
// points to has locks of its own.
type scope struct {
	run   *Run // nil when the run leaves no trace
	id    run.ID
	trace run.ID
	root  uint64
	span  backend.SpanID // the one that is open
	node  string         // empty outside of a step
	seq   int            // of the step, -1 outside of one
	trail *trail         // of the step, nil outside of one
	own   *Trace         // when Spans begun here are its steps
}

type scopeKey struct{}

func from(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

func (s *scope) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}
