package telemetry_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
)

// A host makes one Recorder a profile, hands each run's observer to the engine
// and reads the records back.
func Example() {
	ctx := context.Background()
	store, err := memory.New(memory.Config{})
	if err != nil {
		panic(err)
	}
	rec, err := telemetry.New(telemetry.Defaults(), store, telemetry.Options{Environment: "test"})
	if err != nil {
		panic(err)
	}
	defer rec.Close(ctx)

	start := time.Now()
	info := &run.Info{ID: run.NewID(), Graph: "docsearch", Version: "1.0.0", Kind: run.Production, Started: start}
	observer := rec.Begin(info) // the engine calls it
	observer.Observe(&run.Observation{Phase: run.StepFinished, Info: info, Node: "retrieve", After: -1, Start: start, End: start.Add(3 * time.Millisecond)})
	observer.Observe(&run.Observation{Phase: run.RunFinished, Info: info, End: start.Add(4 * time.Millisecond)})

	query, err := rec.Query()
	if err != nil {
		panic(err)
	}
	for span, err := range query.Spans(ctx, backend.Filter{Graph: "docsearch"}) {
		fmt.Println(span.Node, span.DurationMS, span.Status, err)
	}
	sum, err := query.Aggregate(ctx, backend.Filter{Graph: "docsearch"})
	fmt.Println(sum.Runs.Count, sum.Nodes["retrieve"].SelfBlame, err)
	// Output:
	// retrieve 3 ok <nil>
	// 1 0.75 <nil>
}

// A program without the engine records its runs by itself: the spans of a trace
// are its steps, and its metrics can be objectives.
func ExampleRecorder_StartTrace() {
	ctx := context.Background()
	store, err := memory.New(memory.Config{})
	if err != nil {
		panic(err)
	}
	rec, err := telemetry.New(telemetry.Defaults(), store, telemetry.Options{})
	if err != nil {
		panic(err)
	}
	defer rec.Close(ctx)

	run, trace := rec.StartTrace(ctx, telemetry.TraceOptions{Graph: "invoices", Version: "1.0.0"})
	step, span := telemetry.StartSpan(run, "extract")
	telemetry.RecordMetric(step, "fields.found", 11, telemetry.Gauge("1"))
	telemetry.RecordEvent(step, "agent_step", "read the letterhead")
	span.End(nil)
	trace.End(nil)

	query, err := rec.Query()
	if err != nil {
		panic(err)
	}
	sum, err := query.Aggregate(ctx, backend.Filter{Graph: "invoices"})
	fmt.Println(sum.Nodes["extract"].Count, sum.Metrics["fields.found"].Mean, err)
	// Output:
	// 1 11 <nil>
}

// A native node ties its context to its step, then records into it.
func ExampleRecordMetric() {
	node := func(ctx context.Context, s *run.Step) ([]byte, error) {
		ctx, end := telemetry.WithStep(ctx, s)
		defer end()
		_, span := telemetry.StartSpan(ctx, "rank")
		span.End(nil)
		telemetry.RecordMetric(ctx, "agent.output_quality", 0.9, telemetry.Gauge("1"))
		return []byte(`{"ok":true}`), nil
	}
	step := &run.Step{Node: "answer", Trail: &run.Trail{}}
	out, err := node(context.Background(), step)
	fmt.Println(string(out), step.Trail.Metrics[0].Name, step.Trail.Metrics[0].Value, err)
	// Output:
	// {"ok":true} agent.output_quality 0.9 <nil>
}
