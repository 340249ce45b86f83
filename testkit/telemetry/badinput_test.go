package telemetry_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// What nodes, callers and clocks can get wrong goes from a run through recorder,
// process and file and comes back as rows that JSON can write.
func TestBadInput(t *testing.T) {
	_, c := launch(t, t.TempDir())
	r, err := telemetry.New(telemetry.Defaults(), c, telemetry.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	const nul, invalid = "a\x00b", "broken \xff\xfe text"
	now := time.Now()
	record := func(graph string, id run.ID, start, end time.Time, trail *run.Trail, err error) {
		info := &run.Info{ID: id, Graph: graph, Version: "1", Kind: run.Production, Started: start}
		x := r.Begin(info)
		x.Observe(&run.Observation{Phase: run.StepFinished, Info: info, Node: "n", After: -1, Start: start, End: end, Trail: trail, Err: err})
		x.Observe(&run.Observation{Phase: run.RunFinished, Info: info, End: end, Err: err})
	}
	long := strings.Repeat("é", 5<<19)
	wall := now.Round(0) // without the monotonic clock, as after a jump
	twice := run.NewID()
	record("text", run.NewID(), now, now.Add(time.Second), &run.Trail{Attrs: []run.Attr{run.String(nul, nul), run.String(invalid, invalid), run.String("", "")}},
		fault.New(fault.Trap, "n", "%s %s", nul, invalid))
	record("numbers", run.NewID(), now, now.Add(time.Second), &run.Trail{
		Attrs:   []run.Attr{run.Float("nan", math.NaN()), run.Float("inf", math.Inf(1)), run.Int("least", math.MinInt64)},
		Metrics: []run.Metric{{Name: "nan", Value: math.NaN(), Agg: run.Gauge}, {Name: "inf", Value: math.Inf(-1), Agg: run.Counter}, {Name: "good", Value: 2, Agg: run.Gauge}}}, nil)
	record("long", run.NewID(), now, now.Add(time.Second), &run.Trail{Attrs: []run.Attr{run.String("long", long)}, Logs: []run.Log{{Msg: long}}}, nil)
	record("back", run.NewID(), wall, wall.Add(-time.Hour), nil, nil)
	record("far", run.NewID(), wall.AddDate(-40, 0, 0), wall.AddDate(40, 0, 0), nil, nil)
	record("twice", twice, now, now.Add(time.Second), nil, nil)
	record("twice", twice, now, now.Add(time.Second), nil, nil)
	record("zero", run.ID{}, now, now.Add(time.Second), nil, nil)
	record("", run.NewID(), now, now.Add(time.Second), nil, nil)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := r.Query()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]telemetry.SpanRow{}
	for row, err := range q.Spans(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(row); err != nil {
			t.Errorf("%s: %v", row.Graph, err)
		}
		rows[row.Graph] = append(rows[row.Graph], row)
	}
	if a := rows["text"][0]; a.Attributes[nul] != nul || a.Attributes[invalid] != invalid || !strings.Contains(a.Error, nul) {
		t.Errorf("text: %q %q", a.Attributes, a.Error)
	}
	if a := rows["numbers"][0].Attributes; a["nan"] != "NaN" || a["inf"] != "+Inf" || a["least"] != int64(math.MinInt64) {
		t.Errorf("numbers: %v", a)
	}
	if s := rows["long"][0].Attributes["long"].(string); len(s) > 16<<10 || len(s) < 16<<10-4 || !strings.HasPrefix(long, s) {
		t.Errorf("of 5 MiB %d bytes are kept", len(s))
	}
	if a := rows["back"][0]; a.DurationMS != 0 {
		t.Errorf("a clock that stepped back gives %v ms", a.DurationMS)
	}
	if len(rows["twice"]) != 2 || len(rows["far"]) != 1 {
		t.Errorf("%d rows of an id used twice, %d of a clock that jumped", len(rows["twice"]), len(rows["far"]))
	}
	if n, err := q.Count(t.Context()); err != nil || n.Unattributed != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	a, err := q.Aggregate(t.Context(), backend.Filter{Graph: "numbers"})
	if err != nil || a.Metrics["good"].Mean != 2 || len(a.Metrics) != 1 {
		t.Errorf("metrics %+v, %v: what is no number must be missing", a.Metrics, err)
	}
	if s := r.Stats(); s.DroppedByReason["quarantined"] != 1 || s.Dropped != 1 || s.ExportedTraces != 8 || len(rows["zero"]) != 0 {
		t.Errorf("%+v", s)
	}
}

// Of a thousand records one that cannot be stored costs itself.
func TestOneBadOfAThousand(t *testing.T) {
	_, c := launch(t, t.TempDir())
	all := backendtest.Samples(0, 1000)
	all[500].Probability = 0
	bad, err := c.Write(t.Context(), &backend.Batch{ID: backendtest.ID(0), Traces: all})
	if err != nil || len(bad) != 1 || bad[0].Index != 500 || !strings.Contains(bad[0].Record, fmt.Sprintf("%x", all[500].TraceID)) {
		t.Fatalf("quarantined %+v, %v", bad, err)
	}
	if n, err := c.Count(t.Context()); err != nil || n.Traces != 999 {
		t.Errorf("%+v, %v; want 999 traces", n, err)
	}
}
