package telemetry

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
)

func TestRunIsRecordedAndReadBack(t *testing.T) {
	mem := memoryBackend(t)
	r := newRecorder(t, Defaults(), mem)
	for n := range 5 {
		drive(r, info(n), []int{10, 30, 5}, nil)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := collect(t, mem, backend.Filter{})
	if len(got) != 5 {
		t.Fatalf("%d traces, want 5", len(got))
	}
	x := got[0]
	if x.Graph != "docsearch" || len(x.Spans) != 3 || x.Spans[1].Node != "n1" || x.Spans[1].End-x.Spans[1].Start != 30e6 || x.End-x.Start != 45e6 {
		t.Fatalf("trace %+v", x)
	}
	a, err := mem.Aggregate(t.Context(), backend.Filter{Graph: "docsearch"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Runs.Count != 5 || a.Nodes["n1"].Count != 5 || a.Nodes["n1"].SelfBlame < .66 || a.Nodes["n1"].SelfBlame > .67 {
		t.Fatalf("aggregate %+v %+v", a.Runs, a.Nodes["n1"])
	}
	if s := r.Stats(); s.Traces != 5 || s.ExportedSpans != 15 || s.Dropped != 0 || s.SketchRows != 4 {
		t.Fatalf("stats %+v", s)
	}
}
