package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

type brittle struct{}

//go:noinline
func (brittle) RunNode(context.Context, *run.Step) ([]byte, error) { panic("boom") }

// A panic of a native node tells where it was, in the error and nowhere in its
// text, and a record of a journal keeps that.
func TestPanicsHaveAStack(t *testing.T) {
	x, tok := &execution{}, &token{frame: &frame{prep: &prepared{runners: []NodeRunner{brittle{}}}}}
	_, err := x.call(t.Context(), tok)
	trace := fault.TraceOf(err)
	if !strings.HasPrefix(trace, "github.com/sparkrsi/spark/core/engine.brittle.RunNode\n\t") || strings.Contains(err.Error(), "brittle") ||
		!fault.Is(err, fault.Internal) || len(tok.trail.Logs) > 0 {
		t.Errorf("%v, logs %v, trace\n%s", err, tok.trail.Logs, trace)
	}
	b, err := (&Record{Kind: RecordStep, Err: failureOf(fault.Wrap("", "nodes.a", err, ""))}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecord(b)
	if err != nil || fault.TraceOf(r.Err.err()) != trace || r.Err.err().Error() != "nodes.a: panic: boom" {
		t.Errorf("%v, %+v", err, r.Err)
	}
}
