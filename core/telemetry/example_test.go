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
