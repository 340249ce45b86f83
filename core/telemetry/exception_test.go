package telemetry

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The stack of a crash stands in the attributes of its span and of the attempts
// before, under OpenTelemetry's names, and only when errors are captured.
func TestExceptions(t *testing.T) {
	crash := fault.Wrap("", "nodes.n1", fault.New(fault.Trap, "m", "crashed").WithTrace("f\n\tm.go:7\ng"), "")
	for _, captured := range []bool{true, false} {
		traces, _, _ := recorded(t, func(c *Config) { c.CaptureErrors = captured }, func(r *Recorder) {
			drive(r, info(1), []int{1, 1}, func(o *run.Observation) {
				if o.Phase != run.StepFinished || o.Seq != 1 {
					return
				}
				o.Err = crash
			})
			x := r.Begin(info(2))
			x.Observe(&run.Observation{Phase: run.StepRetried, Info: info(2), Node: "n", Retries: 1, Err: crash, Start: began, End: began})
			x.Observe(&run.Observation{Phase: run.RunFinished, Info: info(2), End: began})
		})
		span, event := attrMap(traces[0].Spans[1].Attrs), attrMap(traces[1].Events[0].Attrs)
		if !captured {
			if text := fmt.Sprint(traces[0], traces[1], span, event); strings.Contains(text, "exception") || strings.Contains(text, "m.go") {
				t.Error(text)
			}
			continue
		}
		for _, a := range []map[string]string{span, event} {
			if a["exception.type"] != "trap" || a["exception.message"] != "nodes.n1: m: crashed" || a["exception.stacktrace"] != "f\n\tm.go:7\ng" {
				t.Errorf("%q", a)
			}
		}
		if plain := attrMap(traces[0].Spans[0].Attrs); plain["exception.type"] != "" {
			t.Errorf("a step that succeeded: %q", plain)
		}
		if s := traces[0].Spans[1]; s.Error != "nodes.n1: m: crashed" {
			t.Errorf("error %q", s.Error)
		}
	}
}

func attrMap(attrs []backend.Attr) map[string]string {
	m := map[string]string{}
	for _, a := range attrs {
		m[a.Key] = a.Str
	}
	return m
}
