package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// recorded returns the traces a profile keeps of what do records.
func recorded(t *testing.T, change func(c *Config), do func(r *Recorder)) ([]*backend.Trace, *Recorder, *Query) {
	t.Helper()
	cfg := Defaults()
	if change != nil {
		change(&cfg)
	}
	r := newRecorder(t, cfg, memoryBackend(t))
	do(r)
	q, err := r.Query()
	if err != nil {
		t.Fatal(err)
	}
	var out []*backend.Trace
	for x, err := range q.Raw(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out, r, q
}

// busy gives the second of three steps everything a step can leave behind.
func busy(o *run.Observation) {
	if o.Phase != run.StepFinished || o.Seq != 1 {
		return
	}
	o.Trail = &run.Trail{
		Attrs:   []run.Attr{run.String("query", "open a file"), run.Int("hits", -3), run.Float("score", 1.5), run.Bool("cold", true)},
		Metrics: []run.Metric{{Name: "quality", Value: .75, Unit: "1", Agg: run.Gauge, Time: o.End}, {Name: "reads", Value: 2, Agg: run.Counter}},
		Events:  []run.Event{{Type: "agent_step", Name: "think", Time: o.Start, Attrs: []run.Attr{run.Int("n", 1)}}},
		Logs:    []run.Log{{Level: "warn", Msg: "slow index", Time: o.Start}},
		Calls: []run.ModelCall{{Provider: "replay", Model: "tiny", Start: o.Start, End: o.Start.Add(4 * time.Millisecond),
			Usage: run.Usage{Calls: 1, InputTokens: 100, OutputTokens: 20, Cost: .0025}},
			{Provider: "replay", Model: "tiny", Start: o.Start, End: o.Start, Err: fault.New(fault.Unavailable, "replay", "gone")}},
	}
	o.Retries, o.Wait, o.CacheHit, o.Visit = 2, 5*time.Millisecond, true, 1
}

func TestEverythingAStepLeavesBehind(t *testing.T) {
	traces, _, q := recorded(t, func(c *Config) {
		c.ResourceAttributes = map[string]string{"service.name": "shop", "host.name": "a"}
		c.CustomAttributes = map[string]string{"team": "search"}
	}, func(r *Recorder) {
		drive(r, info(1), []int{10, 20, 30}, busy)
	})
	x := traces[0]
	if len(x.Spans) != 5 || x.Environment != "test" || x.RunKind != "production" || x.GraphType != "sequential" || x.VersionID != "abc" ||
		len(x.Resource) != 2 || x.Resource[1].Str != "shop" || x.Attrs[0] != (backend.Attr{Key: "team", Str: "search"}) {
		t.Fatalf("trace %+v", x)
	}
	s := x.Spans[1]
	if s.Tokens != 120 || s.Cost != .0025 || s.Retries != 2 || s.Wait != 5e6 || !s.CacheHit || s.InputSize != 7 || s.OutputSize != 11 || s.TypeVersion != "1.0.0" || s.Digest != "d1" {
		t.Errorf("span %+v", s)
	}
	if row := spanRow(x, &s); row.Attributes["hits"] != int64(-3) || row.Attributes["score"] != 1.5 || row.Attributes["cold"] != true || row.Attributes["query"] != "open a file" || row.Attributes["visit"] != int64(1) {
		t.Errorf("attributes %v", row.Attributes)
	}
	call := x.Spans[2]
	if call.Parent != s.ID || call.Kind != 3 || call.Seq != -1 || call.Tokens != 120 || call.End-call.Start != 4e6 {
		t.Errorf("call %+v", call)
	}
	if bad := x.Spans[3]; bad.Status != backend.Failed || bad.ErrorType != "unavailable" {
		t.Errorf("failed call %+v", bad)
	}
	var types, names []string
	for e, err := range q.Events(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type+":"+e.Node)
	}
	for m, err := range q.Metrics(t.Context(), backend.Filter{Node: "n1"}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(m.Name, "=", m.Value))
	}
	if want := "graph_started: node_started:n0 node_finished:n0 node_started:n1 node_finished:n1 llm_api_call:n1 llm_api_call:n1 node_started:n2 node_finished:n2 agent_step:n1 log:n1 graph_finished:"; strings.Join(types, " ") != want {
		t.Errorf("events\n%s, want\n%s", strings.Join(types, " "), want)
	}
	if want := "node.duration=0.02 node.success=1 node.error=0 node.cache_hit=1 node.tokens=120 node.cost=0.0025 quality=0.75 reads=2"; strings.Join(names, " ") != want {
		t.Errorf("metrics\n%s, want\n%s", strings.Join(names, " "), want)
	}
	a, err := q.Aggregate(t.Context(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Runs.Tokens != 120 || a.Runs.Cost != .0025 || a.Nodes["n1"].Recorded != 1 || len(a.Failures) != 0 || a.Metrics["quality"].Mean != .75 || a.Metrics["reads"].Mean != 2 {
		t.Errorf("aggregate %+v %+v %+v", a.Runs, a.Failures, a.Metrics)
	}
	if n := len(a.Nodes); n != 3 {
		t.Errorf("%d nodes: a model call counts as a step", n)
	}
}

func TestFailuresAndRetries(t *testing.T) {
	traces, _, q := recorded(t, nil, func(r *Recorder) {
		in := info(0)
		x := r.Begin(in)
		x.Observe(&run.Observation{Phase: run.StepRetried, Info: in, Node: "n0", Seq: 0, Retries: 1, Start: in.Started, End: in.Started, Err: fault.New(fault.Transient, "n0", "blip")})
		x.Observe(&run.Observation{Phase: run.StepFinished, Info: in, Node: "n0", Seq: 0, After: -1, Start: in.Started, End: in.Started.Add(time.Millisecond), Err: fault.New(fault.Timeout, "n0", "late"), Retries: 1})
		x.Observe(&run.Observation{Phase: run.StepFinished, Info: in, Node: "n1", Seq: 1, After: -1, Start: in.Started, End: in.Started.Add(time.Millisecond), Err: context.Canceled})
		x.Observe(&run.Observation{Phase: run.RunFinished, Info: in, End: in.Started.Add(time.Millisecond), Err: fault.New(fault.Timeout, "n0", "late")})
	})
	x := traces[0]
	if x.Status != backend.Failed || x.ErrorType != "timeout" || x.Error != "n0: late" || x.Spans[0].ErrorType != "timeout" || x.Spans[1].Status != backend.Cancelled {
		t.Errorf("trace %+v", x)
	}
	n := 0
	for e, err := range q.Events(t.Context(), backend.Filter{Type: "node_retry"}) {
		if n++; err != nil || e.Node != "n0" || e.Attributes["error_type"] != "transient" || e.Attributes["retry_count"] != int64(1) {
			t.Errorf("event %+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("%d retries", n)
	}
	a, err := q.Aggregate(t.Context(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Failures) != 1 || a.Failures[0].Node != "n0" || a.Failures[0].Samples[0] != "n0: late" || a.Nodes["n1"].Count != 0 || a.Runs.Failures != 1 {
		t.Errorf("aggregate %+v", a)
	}
}

func TestSwitches(t *testing.T) {
	do := func(r *Recorder) { drive(r, info(0), []int{1, 2, 3}, busy) }
	count := func(q *Query) (spans, events, metrics int) {
		for _, err := range q.Spans(t.Context(), backend.Filter{}) {
			if err == nil {
				spans++
			}
		}
		for _, err := range q.Events(t.Context(), backend.Filter{}) {
			if err == nil {
				events++
			}
		}
		for _, err := range q.Metrics(t.Context(), backend.Filter{}) {
			if err == nil {
				metrics++
			}
		}
		return
	}
	_, _, q := recorded(t, nil, do)
	spans, events, metrics := count(q)
	if spans != 5 || events != 12 || metrics != 18 {
		t.Fatalf("%d spans, %d events, %d metrics", spans, events, metrics)
	}
	for name, c := range map[string]struct {
		change                 func(c *Config)
		spans, events, metrics int
	}{
		"no events":  {func(c *Config) { c.EnableEvents = false }, spans, 0, metrics},
		"no metrics": {func(c *Config) { c.EnableMetrics = false }, spans, events, 0},
		"no traces":  {func(c *Config) { c.EnableTraces = false }, 0, events, metrics},
		"one node":   {func(c *Config) { c.InstrumentNodes = Names{"n0"} }, 1, 4, 7},
	} {
		_, _, q := recorded(t, c.change, do)
		if s, e, m := count(q); s != c.spans || e != c.events || m != c.metrics {
			t.Errorf("%s: %d spans, %d events, %d metrics; want %d, %d, %d", name, s, e, m, c.spans, c.events, c.metrics)
		}
	}
	none, r, q := recorded(t, func(c *Config) { c.EnableTraces, c.EnableEvents, c.EnableMetrics = false, false, false }, do)
	if o, err := q.Overview(t.Context(), backend.Filter{}); len(none) != 0 || err != nil || o.Runs.Count != 1 {
		t.Errorf("all off: %d traces, %v, statistics %+v", len(none), err, o.Runs)
	}
	if s := r.Stats(); s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestCapture(t *testing.T) {
	attr := func(x *backend.Trace, key string) string {
		for _, a := range append(slices.Clone(x.Attrs), x.Spans[0].Attrs...) {
			if a.Key == key {
				return a.Str
			}
		}
		return ""
	}
	do := func(r *Recorder) { drive(r, info(0), []int{1}, nil) }
	x, _, _ := recorded(t, nil, do)
	if attr(x[0], "input") != "" || attr(x[0], "output") != "" {
		t.Error("inputs are captured by default")
	}
	x, _, _ = recorded(t, func(c *Config) {
		c.CaptureInputs, c.CaptureOutputs, c.CustomAttributes = true, true, map[string]string{"k": "v"}
	}, func(r *Recorder) { do(r); do(r) })
	if len(x[1].Attrs) != 3 || attr(x[1], "input") != `{"q":1}` || attr(x[1], "output") != `{"ok":true}` || len(x[1].Spans[0].Attrs) != 2 {
		t.Errorf("captured %+v", x[1])
	}
	x, _, _ = recorded(t, func(c *Config) { c.CaptureErrors = false }, func(r *Recorder) {
		drive(r, info(0), []int{1}, func(o *run.Observation) { o.Err = fault.New(fault.Trap, "n0", "secret") })
	})
	if x[0].Error != "" || x[0].ErrorType != "trap" || x[0].Spans[0].Error != "" || x[0].Spans[0].ErrorType != "trap" {
		t.Errorf("error text was captured: %+v", x[0])
	}
}

func TestRowsAreAlwaysJSON(t *testing.T) {
	_, _, q := recorded(t, nil, func(r *Recorder) {
		drive(r, info(0), []int{1}, func(o *run.Observation) {
			o.Trail = &run.Trail{Attrs: []run.Attr{run.Float("nan", math.NaN())}, Metrics: []run.Metric{{Name: "odd", Value: math.Inf(-1), Agg: run.Gauge}}}
		})
	})
	for m, err := range q.Metrics(t.Context(), backend.Filter{Name: "odd"}) {
		b, fail := json.Marshal(m)
		if err != nil || fail != nil || !strings.Contains(string(b), `"value":"-Inf"`) {
			t.Errorf("%s, %v, %v", b, err, fail)
		}
		var again MetricRow
		if err := json.Unmarshal(b, &again); err != nil || again.Value != m.Value {
			t.Errorf("%s reads as %v, %v", b, again.Value, err)
		}
	}
	for s, err := range q.Spans(t.Context(), backend.Filter{}) {
		b, fail := json.Marshal(s)
		if err != nil || fail != nil || !strings.Contains(string(b), `"nan":"NaN"`) {
			t.Errorf("%s, %v, %v", b, err, fail)
		}
	}
}

func TestRowsArePaged(t *testing.T) {
	_, _, q := recorded(t, nil, func(r *Recorder) {
		for n := range 10 {
			drive(r, info(n), []int{1, 20, 3}, nil)
		}
	})
	ask := func(f backend.Filter) (out []string) {
		for s, err := range q.Spans(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%d %s", int(s.Start.Sub(began).Seconds()), s.Node))
		}
		return out
	}
	for _, c := range []struct {
		f    backend.Filter
		want []string
	}{
		{backend.Filter{Limit: 4, Offset: 2}, []string{"0 n2", "1 n0", "1 n1", "1 n2"}},
		{backend.Filter{Newest: true, Limit: 4}, []string{"9 n2", "9 n1", "9 n0", "8 n2"}},
		{backend.Filter{Node: "n1", Limit: 2, Offset: 1}, []string{"1 n1", "2 n1"}},
		{backend.Filter{MinMillis: 3, Limit: 3}, []string{"0 n1", "0 n2", "1 n1"}},
		{backend.Filter{Status: "error"}, nil},
		{backend.Filter{From: began.Add(9 * time.Second), Node: "n0"}, []string{"9 n0"}},
	} {
		if got := ask(c.f); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.f, got, c.want)
		}
	}
	for _, err := range q.Events(t.Context(), backend.Filter{Status: "fine"}) {
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("a bad filter: %v", err)
		}
	}
}

func TestLimitsAreCounted(t *testing.T) {
	x, r, _ := recorded(t, func(c *Config) { c.MaxSpansPerTrace, c.MaxEventsPerSpan = 10, 3 }, func(r *Recorder) {
		drive(r, info(0), make([]int, 25), func(o *run.Observation) {
			o.Trail = &run.Trail{Events: make([]run.Event, 5)}
		})
	})
	if len(x[0].Spans) != 10 || x[0].Dropped < 15+10*2 {
		t.Errorf("%d spans, %d left out", len(x[0].Spans), x[0].Dropped)
	}
	if s := r.Stats(); s.Truncated != int64(x[0].Dropped) {
		t.Errorf("stats %+v", s)
	}
	long := strings.Repeat("ä", maxText)
	x, _, _ = recorded(t, nil, func(r *Recorder) {
		drive(r, info(0), make([]int, 9000), func(o *run.Observation) {
			o.Trail = &run.Trail{Attrs: []run.Attr{run.String("text", long)}}
		})
	})
	if s := x[0].Spans[0].Attrs[0].Str; len(s) > maxText || !strings.HasPrefix(long, s) || !slices.Contains([]int{maxText, maxText - 1}, len(s)) {
		t.Errorf("a text of %d bytes was cut to %d", len(long), len(s))
	}
	if n := len(x[0].Spans); n < 300 || n > 9000/2 || x[0].Dropped < 9000-n {
		t.Errorf("%d spans of 16 KiB kept, %d left out: the memory of a trace is bounded", n, x[0].Dropped)
	}
}

func TestSampling(t *testing.T) {
	half := .5
	fails := func(o *run.Observation) {
		if o.Phase == run.RunFinished {
			o.Err = errors.New("no")
		}
	}
	for name, c := range map[string]struct {
		change func(c *Config)
		ms     int
		fails  func(o *run.Observation)
		want   float64
	}{
		"all":            {func(c *Config) {}, 1, nil, 1},
		"none":           {func(c *Config) { c.SamplingRate = 0 }, 1, nil, 0},
		"tenth":          {func(c *Config) { c.SamplingRate = .1 }, 1, nil, .1},
		"errors forced":  {func(c *Config) { c.SamplingRate, c.ForceSampleOnError = 0, true }, 1, fails, 1},
		"errors half":    {func(c *Config) { c.SamplingRate, c.ErrorSampleRate = .1, &half }, 1, fails, .5},
		"no error":       {func(c *Config) { c.SamplingRate, c.ForceSampleOnError, c.ErrorSampleRate = .1, true, &half }, 1, nil, .1},
		"slow":           {func(c *Config) { c.SamplingRate, c.EnableAdaptiveSampling = .1, true }, 1001, nil, 1},
		"not slow":       {func(c *Config) { c.SamplingRate, c.EnableAdaptiveSampling = .1, true }, 999, nil, .1},
		"slow, disabled": {func(c *Config) { c.SamplingRate = .1 }, 1001, nil, .1},
	} {
		const runs = 3000
		x, r, q := recorded(t, c.change, func(r *Recorder) {
			for n := range runs {
				drive(r, info(n), []int{c.ms}, c.fails)
			}
		})
		sd := math.Sqrt(runs * c.want * (1 - c.want))
		if d := math.Abs(float64(len(x)) - runs*c.want); d > 4*sd {
			t.Errorf("%s: %d of %d kept, want %v; %+v", name, len(x), runs, runs*c.want, r.Stats())
		}
		for _, x := range x {
			if x.Probability != c.want {
				t.Fatalf("%s: probability %v, want %v", name, x.Probability, c.want)
			}
		}
		if s := r.Stats(); s.SampledOut+s.Traces != runs {
			t.Errorf("%s: %d kept and %d left out of %d", name, s.Traces, s.SampledOut, runs)
		}
		a, err := q.Aggregate(t.Context(), backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		o, err := q.Overview(t.Context(), backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if c.want > 0 && math.Abs(a.Runs.Count-runs) > 4*sd/c.want+1e-6 || o.Runs.Count != runs || o.Runs.Recorded != runs || o.Nodes["n0"].Count != runs {
			t.Errorf("%s: weighted count %v; statistics count %v and %v, want exactly %d", name, a.Runs.Count, o.Runs.Count, o.Nodes["n0"].Count, runs)
		}
	}
	cfg := Defaults()
	cfg.SamplingRate = .3
	a, b := newRecorder(t, cfg, memoryBackend(t)), newRecorder(t, cfg, memoryBackend(t))
	for n := range 200 {
		x := &backend.Trace{RunID: backend.ID(runID(n))}
		if a.keep(x) != b.keep(x) {
			t.Fatal("the same run is decided differently")
		}
	}
}

func TestOnlyProductionCounts(t *testing.T) {
	_, _, q := recorded(t, nil, func(r *Recorder) {
		for n, k := range []run.Kind{run.Production, run.Experiment, run.Shadow, run.Replay} {
			in := info(n)
			in.Kind = k
			drive(r, in, []int{1}, nil)
		}
	})
	o, err := q.Overview(t.Context(), backend.Filter{Graph: "docsearch"})
	if err != nil || o.Runs.Count != 1 {
		t.Errorf("%v runs in the statistics, %v; want the production run only", o.Runs.Count, err)
	}
	a, err := q.Aggregate(t.Context(), backend.Filter{RunKind: "production"})
	if err != nil || a.Runs.Count != 1 {
		t.Errorf("%v runs, %v", a.Runs.Count, err)
	}
}

// The statistics of whole hours agree with the traces they were made beside.
func TestOverviewAgreesWithTraces(t *testing.T) {
	_, _, q := recorded(t, nil, func(r *Recorder) {
		for n := range 500 {
			in := info(n)
			in.Started = began.Add(time.Duration(n) * 30 * time.Second) // over five hours
			drive(r, in, []int{1 + n%40, 5, 1 + n%7}, func(o *run.Observation) {
				if n%10 == 0 && (o.Seq == 2 || o.Phase == run.RunFinished) {
					o.Err = fault.New(fault.Timeout, "n2", "late")
				}
			})
			if n%120 == 0 {
				if err := r.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	for _, f := range []backend.Filter{{}, {From: began.Add(time.Hour), To: began.Add(3 * time.Hour)}, {Version: "1.0.0"}, {Version: "2"}} {
		a, err := q.Aggregate(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		o, err := q.Overview(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		rough := a.Runs // of the statistics the percentiles are at most 1.6 % off
		rough.P50, rough.P95, rough.P99 = o.Runs.P50, o.Runs.P95, o.Runs.P99
		off := math.Abs(a.Runs.P50-o.Runs.P50) + math.Abs(a.Runs.P95-o.Runs.P95) + math.Abs(a.Runs.P99-o.Runs.P99)
		if rough != o.Runs || off > .016*(a.Runs.P50+a.Runs.P95+a.Runs.P99) || len(a.Nodes) != len(o.Nodes) {
			t.Errorf("%+v\ntraces     %+v\nstatistics %+v", f, a.Runs, o.Runs)
		}
		for n := range a.Nodes {
			if x, y := *a.Nodes[n], *o.Nodes[n]; x != y && math.Abs(x.SelfBlame-y.SelfBlame)+math.Abs(x.Mean-y.Mean) > 1e-9 {
				t.Errorf("%s\ntraces     %+v\nstatistics %+v", n, x, y)
			}
		}
	}
}

func TestTelemetryOff(t *testing.T) {
	var none *Recorder
	drive(none, info(0), []int{1}, nil)
	if err := errors.Join(none.Flush(t.Context()), none.Close(t.Context())); err != nil || none.Stats().Traces != 0 || none.Backend() != nil {
		t.Errorf("a nil recorder: %v", err)
	}
	off, err := New(Config{}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	drive(off, info(0), []int{1}, nil)
	if _, err := off.Query(); !fault.Is(err, fault.Denied) || fault.HintOf(err) == "" {
		t.Errorf("a query when telemetry is off: %v", err)
	}
	if err := off.Close(t.Context()); err != nil {
		t.Error(err)
	}
	x, _, _ := recorded(t, nil, func(r *Recorder) {
		in := info(0)
		in.TelemetryOff = true
		if r.Begin(in) != nil {
			t.Error("a run is recorded whose profile is off")
		}
	})
	if len(x) != 0 {
		t.Errorf("%d traces", len(x))
	}
}

// Many runs at once, each observed from several goroutines, do not mix, and an
// observation that comes after its run's end reaches no other run.
func TestRunsDoNotMix(t *testing.T) {
	x, r, _ := recorded(t, nil, func(r *Recorder) {
		var workers sync.WaitGroup
		for w := range 8 {
			workers.Go(func() {
				for n := range 50 {
					in := info(w*1000 + n)
					in.Graph = fmt.Sprint("g", w)
					obs := r.Begin(in)
					var steps sync.WaitGroup
					for i := range 6 {
						steps.Go(func() {
							obs.Observe(&run.Observation{Phase: run.StepFinished, Info: in, Node: fmt.Sprint("g", w, "n", n), Seq: i, After: -1,
								Start: in.Started, End: in.Started, Trail: &run.Trail{Attrs: []run.Attr{run.Int("w", int64(w)), run.Int("n", int64(n))}}})
						})
					}
					steps.Wait()
					obs.Observe(&run.Observation{Phase: run.RunFinished, Info: in, End: in.Started.Add(1)})
					obs.Observe(&run.Observation{Phase: run.StepFinished, Info: in, Node: "late", Seq: 7, Start: in.Started, End: in.Started})
					obs.Observe(&run.Observation{Phase: run.RunFinished, Info: in, End: in.Started.Add(1)})
				}
			})
		}
		workers.Wait()
	})
	if len(x) != 400 || r.Stats().Dropped != 0 {
		t.Fatalf("%d traces, %+v", len(x), r.Stats())
	}
	for _, x := range x {
		seen := map[int]bool{}
		for _, s := range x.Spans {
			seen[s.Seq] = true
			if want := fmt.Sprint(x.Graph, "n", s.Attrs[1].Num); s.Node != want || fmt.Sprint("g", s.Attrs[0].Num) != x.Graph {
				t.Fatalf("span %+v in a run of %s", s, x.Graph)
			}
		}
		if len(x.Spans) != 6 || len(seen) != 6 {
			t.Fatalf("%d spans with %d positions", len(x.Spans), len(seen))
		}
	}
}

// Neither a run that is left out at its beginning, nor one at its end, nor one whose
// telemetry is off allocates; with one that is exported, what the exporter allocates
// a batch would be counted here.
func TestRunPathAllocatesNothing(t *testing.T) {
	head, tail := Defaults(), Defaults()
	head.SamplingRate, tail.SamplingRate, tail.ForceSampleOnError = 0, 0, true
	for name, cfg := range map[string]Config{"head": head, "tail": tail, "off": {}} {
		r := newRecorder(t, cfg, nowhere{})
		in := info(0)
		all := observations(in)
		if n := testing.AllocsPerRun(1000, func() { recordRun(r, in, all) }); n > 0 && !raceDetector { // under it sync.Pool forgets on purpose
			t.Errorf("%s: %v allocations for a run of ten spans", name, n)
		}
	}
}

// Runs left out at their beginning are counted in the statistics as if each had been
// recorded alone: nothing of one is left in the next.
func TestLeanRunsDoNotMix(t *testing.T) {
	cfg := Defaults()
	cfg.SamplingRate = 0
	r := newRecorder(t, cfg, memoryBackend(t))
	drive(r, info(1), []int{10, 20, 30}, func(o *run.Observation) {
		if o.Phase == run.StepFinished {
			o.Retries, o.CacheHit, o.Trail = 2, true, &run.Trail{Calls: []run.ModelCall{{Usage: run.Usage{InputTokens: 7, Cost: .5}}}}
		}
		if o.Node == "n2" || o.Phase == run.RunFinished {
			o.Err = fault.New(fault.Timeout, "n2", "late")
		}
	})
	drive(r, info(2), []int{10, 20}, nil)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := r.Query()
	if err != nil {
		t.Fatal(err)
	}
	a, err := q.Overview(t.Context(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	n0, n2 := a.Nodes["n0"], a.Nodes["n2"]
	if a.Runs.Recorded != 2 || a.Runs.Failures != 1 || a.Runs.Retries != 6 || a.Runs.CacheHits != 3 || a.Runs.Tokens != 21 || a.Runs.Cost != 1.5 {
		t.Errorf("runs %+v", a.Runs)
	}
	if n0.Recorded != 2 || n0.Failures != 0 || n0.Retries != 2 || n0.CacheHits != 1 || n0.Tokens != 7 || n2.Recorded != 1 || n2.Failures != 1 {
		t.Errorf("n0 %+v, n2 %+v", n0, n2)
	}
	if s := r.Stats(); s.SampledOut != 2 || s.Traces != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A run that leaves no trace still gives its callees the ids of its own.
func TestLeanRunPropagates(t *testing.T) {
	cfg := Defaults()
	in := info(1)
	kept := TraceParent(newRecorder(t, cfg, nowhere{}).Begin(in).Context(t.Context()))
	cfg.SamplingRate = 0
	left := TraceParent(newRecorder(t, cfg, nowhere{}).Begin(in).Context(t.Context()))
	if left == "" || left != kept {
		t.Errorf("%q, want %q", left, kept)
	}
}
