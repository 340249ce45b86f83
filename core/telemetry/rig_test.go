package telemetry

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
)

// began is when the first recorded run starts: a full hour, recent enough not to
// be pruned.
var began = time.Now().Truncate(time.Hour).Add(-24 * time.Hour)

func memoryBackend(t testing.TB) *memory.Backend {
	t.Helper()
	b, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runID returns the nth id of a fixed sequence.
func runID(n int) (id run.ID) {
	copy(id[:], fmt.Sprintf("run %012d", n))
	return id
}

func info(n int) *run.Info {
	id := runID(n)
	return &run.Info{ID: id, TraceID: id, Graph: "docsearch", Version: "1.0.0", VersionID: "abc", GraphType: "sequential",
		Kind: run.Production, Started: began.Add(time.Duration(n) * time.Second)}
}

// drive records a run of the given steps, one after the other, each taking ms
// milliseconds; change may alter an observation before it is delivered.
func drive(r *Recorder, in *run.Info, ms []int, change func(o *run.Observation)) {
	x := r.Begin(in)
	o := &run.Observation{Phase: run.RunStarted, Info: in, Start: in.Started}
	x.Observe(o)
	at := in.Started
	for i, d := range ms {
		end := at.Add(time.Duration(d) * time.Millisecond)
		*o = run.Observation{Phase: run.StepFinished, Info: in, Node: fmt.Sprintf("n%d", i), Type: run.NodeType{Name: "echo", Version: "1.0.0", Digest: "d1"},
			Seq: i, After: i - 1, Start: at, End: end, Input: []byte(`{"q":1}`), Output: []byte(`{"ok":true}`)}
		if change != nil {
			change(o)
		}
		x.Observe(o)
		at = end
	}
	*o = run.Observation{Phase: run.RunFinished, Info: in, Start: in.Started, End: at, Input: []byte(`{"q":1}`), Output: []byte(`{"ok":true}`)}
	if change != nil {
		change(o)
	}
	x.Observe(o)
}

func newRecorder(t testing.TB, cfg Config, w backend.Writer) *Recorder {
	t.Helper()
	r, err := New(cfg, w, Options{Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.Close(ctx)
	})
	return r
}

func collect(t testing.TB, q backend.Querier, f backend.Filter) []*backend.Trace {
	t.Helper()
	var out []*backend.Trace
	for x, err := range q.Traces(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// captureInput gives every step the input b.
func captureInput(b []byte) func(o *run.Observation) {
	return func(o *run.Observation) { o.Input = b }
}
