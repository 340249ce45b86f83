package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

const review = `graph: review
start: draft
nodes:
  draft: {native: f}
  approve: {wait: {prompt: "Publish this?", choices: ["yes", "no"], timeout: 2h}, input: {text: "=output"}}
  side: {native: f}
  publish: {native: f}
  late: {native: f, input: "=output.error.kind"}
edges: [{from: draft, to: approve}, {from: draft, to: side}, {from: approve, to: publish, when: output == "yes"},
  {from: approve, to: side, otherwise: true}, {from: approve, to: late, on_error: [timeout]}]
output: [publish, late, side]
`

func TestWait(t *testing.T) {
	var calls atomic.Int64
	f := Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		calls.Add(1)
		return fmt.Appendf(nil, "%q", s.Node), nil
	})
	p := nest(t, f, review)
	if _, err := Run(t.Context(), p, []byte("1"), Options{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a journal: %v", err)
	}
	for _, parallel := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			calls.Store(0)
			asked := time.Now()
			var kept Log
			var seen counter
			o := Options{Parallel: parallel, Journal: &kept, Observer: &seen, Info: &run.Info{ID: run.ID{1}}, Limits: graph.Limits{Time: graph.Duration(time.Second)}}
			res, err := Run(t.Context(), p, []byte("1"), o)
			if err != nil || len(res.Waiting) != 1 || res.Output != nil || seen[run.RunFinished] != 0 || calls.Load() != 1 {
				t.Fatalf("%+v, %v, %v, %d calls", res, err, seen, calls.Load())
			}
			q := res.Waiting[0]
			if q.ID != "approve" || q.Prompt != "Publish this?" || string(q.Input) != `{"text":"draft"}` || !q.Asked.Equal(asked) ||
				!q.Deadline.Equal(asked.Add(2*time.Hour)) || q.Check([]byte(`"no"`)) != nil || q.Check([]byte(`"maybe"`)) == nil {
				t.Errorf("question %+v", q)
			}
			time.Sleep(time.Hour) // a pause is no part of the time limit
			for answer, kind := range map[string]fault.Kind{`"maybe"`: fault.Invalid, `yes`: fault.Invalid, `1`: fault.Invalid} {
				if _, err := Resume(t.Context(), p, []byte("1"), kept.Records(), []Answer{{"approve", []byte(answer)}}, o); !fault.Is(err, kind) {
					t.Errorf("answer %s: %v", answer, err)
				}
			}
			if _, err := Resume(t.Context(), p, []byte("1"), kept.Records(), []Answer{{"draft", []byte(`"yes"`)}}, o); !fault.Is(err, fault.NotFound) {
				t.Errorf("no question: %v", err)
			}
			before := kept.Records()
			if res, err = Resume(t.Context(), p, []byte("1"), before, nil, o); err != nil || len(res.Waiting) != 1 || !res.Waiting[0].Asked.Equal(asked) ||
				len(kept.Records()) != len(before) {
				t.Fatalf("no answer yet: %+v, %v", res, err)
			}
			for answer, want := range map[string]string{`"yes"`: `"publish"`, `"no"`: `"side"`} {
				calls.Store(0)
				res, err := Resume(t.Context(), p, []byte("1"), before, []Answer{{"approve", []byte(answer)}}, o)
				if err != nil || string(res.Output) != want || len(res.Waiting) > 0 {
					t.Errorf("%s: %+v, %v", answer, res, err)
				}
			}
			records := kept.Records()
			if _, err := Resume(t.Context(), p, []byte("1"), records[:len(before)+1], []Answer{{"approve", []byte(`"no"`)}}, o); !fault.Is(err, fault.NotFound) {
				t.Errorf("answered before: %v", err)
			}
			time.Sleep(time.Hour)
			if res, err = Resume(t.Context(), p, []byte("1"), before, nil, o); err != nil || string(res.Output) != `"late"` {
				t.Errorf("nobody answered: %+v, %v", res, err)
			}
		})
	}
}

// Questions inside a foreach and a nested graph are told apart, each is answered
// when somebody does, and a failing item gives up the questions after it.
func TestWaitInside(t *testing.T) {
	p := nest(t, echo, `graph: outer
start: each
nodes: {each: {graph: inner, foreach: {items: input}}, out: {native: f}}
edges: [{from: each, to: out}]
`, `graph: inner
start: ask
nodes:
  ask: {wait: {prompt: "how many?", schema: {type: number}, timeout: 1h, on_timeout: default, default: 7}}
  check: {native: f}
edges: [{from: ask, to: check}]
`)
	synctest.Test(t, func(t *testing.T) {
		var kept Log
		o := Options{Parallel: 2, Journal: &kept, Info: &run.Info{ID: run.ID{1}}}
		res, err := Run(t.Context(), p, []byte("[1,2,3]"), o)
		ids := ""
		for round := 0; err == nil && len(res.Waiting) > 0 && round < 9; round++ {
			q := res.Waiting[len(res.Waiting)-1]
			ids += q.ID + " "
			time.Sleep(time.Minute)
			res, err = Resume(t.Context(), p, []byte("[1,2,3]"), kept.Records(), []Answer{{q.ID, fmt.Append(nil, round)}}, o)
		}
		if err != nil || string(res.Output) != "[2,0,1]" || ids != "each[1]/ask each[2]/ask each[0]/ask " {
			t.Errorf("%s %v, asked %s", res.Output, err, ids)
		}
		kept = Log{}
		if res, err = Run(t.Context(), p, []byte("[1,2,3]"), o); err != nil || len(res.Waiting) != 2 {
			t.Fatalf("%+v, %v", res, err)
		}
		for len(res.Waiting) > 0 && err == nil {
			time.Sleep(time.Until(res.Waiting[0].Deadline))
			res, err = Resume(t.Context(), p, []byte("[1,2,3]"), kept.Records(), nil, o)
		}
		if err != nil || string(res.Output) != "[7,7,7]" {
			t.Errorf("by default: %+v, %v", res, err)
		}
	})
}

// While other steps run, a question's time is kept without pausing.
func TestWaitBesideWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := nest(t, func(_ context.Context, s *run.Step) ([]byte, error) {
			if s.Node == "slow" {
				time.Sleep(time.Hour)
			}
			return s.Input, nil
		}, `graph: g
start: a
nodes: {a: {native: f}, ask: {wait: {prompt: "?", timeout: 1m, on_timeout: default, default: 1}}, slow: {native: f}, end: {native: f}}
edges: [{from: a, to: ask}, {from: a, to: slow}, {from: slow, to: end}, {from: ask, to: end}]
`)
		var seen log
		res, err := Run(t.Context(), p, []byte("0"), Options{Parallel: 2, Journal: &Log{}, Observer: &seen})
		if err != nil || string(res.Output) != `{"slow":0,"ask":1}` {
			t.Errorf("%s, %v", res.Output, err)
		}
		if ask := seen.of("ask"); len(ask) != 1 || ask[0].End.Sub(ask[0].Start) != time.Minute {
			t.Errorf("asked %+v", ask)
		}
	})
}

// A nested graph that ended by its timeout ends so again, in its place.
func TestResumeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		p := nest(t, func(ctx context.Context, s *run.Step) ([]byte, error) {
			calls.Add(1)
			if s.Node == "a/hang" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return s.Input, nil
		}, `graph: outer
start: a
nodes: {a: {graph: inner, timeout: 1s, retry: {attempts: 2, kinds: [timeout]}}, b: {native: f, input: "=output.error.message"}, c: {native: f}, ask: {wait: {prompt: "?"}}}
edges: [{from: a, to: b, on_error: [timeout]}, {from: b, to: c}, {from: c, to: ask}]
`, "graph: inner\nstart: x\nnodes: {x: {native: f}, hang: {native: f}}\nedges: [{from: x, to: hang}]\n")
		var kept Log
		o := Options{Parallel: 1, Journal: &kept, Info: &run.Info{ID: run.ID{1}}}
		res, err := Run(t.Context(), p, []byte("0"), o)
		if err != nil || len(res.Waiting) != 1 || calls.Load() != 6 {
			t.Fatalf("%+v, %v, %d calls", res, err, calls.Load())
		}
		records := kept.Records()
		for n := range records {
			calls.Store(0)
			start := time.Now()
			again, err := Resume(t.Context(), p, []byte("0"), records[:n], nil, o)
			if err != nil || len(again.Waiting) != 1 || string(again.Waiting[0].Input) != string(res.Waiting[0].Input) {
				t.Errorf("%d records: %+v, %v", n, again, err)
			}
			if n == len(records)-1 && (calls.Load() != 0 || time.Since(start) != 0) {
				t.Errorf("%d calls in %v", calls.Load(), time.Since(start))
			}
		}
	})
}

// Records of another graph are refused, and nothing runs.
func TestResumeMismatch(t *testing.T) {
	ran := false
	p := program(t, tenEchoes, map[string]Func{"echo": func(_ context.Context, s *run.Step) ([]byte, error) {
		ran = true
		return s.Input, nil
	}})
	var kept Log
	var seen counter
	_, err := Resume(t.Context(), p, []byte("1"), []Record{{Kind: RecordStep, Step: "other", Output: []byte("1")}}, nil, Options{Journal: &kept, Observer: &seen})
	if !fault.Is(err, fault.Conflict) || ran || len(kept.Records()) != 0 || seen[run.RunFinished] != 1 {
		t.Errorf("%v, ran %v, %v", err, ran, seen)
	}
}

// The time limit of a run goes on where it stood.
func TestResumeTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := program(t, tenEchoes, map[string]Func{"echo": func(ctx context.Context, s *run.Step) ([]byte, error) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return s.Input, nil
		}})
		kept := &mortal{left: 7}
		o := Options{Journal: kept, Limits: graph.Limits{Time: graph.Duration(9500 * time.Millisecond)}}
		Run(t.Context(), p, []byte("1"), o)
		time.Sleep(time.Hour)
		kept.left, o.Journal = 100, &Log{}
		start := time.Now()
		if _, err := Resume(t.Context(), p, []byte("1"), kept.Records(), nil, o); !fault.Is(err, fault.Limit) || time.Since(start) != 2500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// 10,000 paused runs hold no goroutine, and no memory but their journals.
func TestWaitHoldsNothing(t *testing.T) {
	p := nest(t, echo, review)
	goroutines := runtime.NumGoroutine()
	for range 10_000 {
		res, err := Run(t.Context(), p, []byte("1"), Options{Journal: &Log{}, Parallel: 1})
		if err != nil || len(res.Waiting) != 1 {
			t.Fatal(res, err)
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

func TestRecording(t *testing.T) {
	doc := func(factor int) string {
		return fmt.Sprintf(`graph: outer
start: a
nodes:
  a: {native: f}
  sub: {graph: inner, foreach: {items: "[1, 2, 1]"}}
  list: {native: f, foreach: {items: "[output, 5]"}}
  b: {native: f, config: {factor: %d}}
  c: {native: f}
edges: [{from: a, to: sub}, {from: sub, to: list}, {from: list, to: b}, {from: b, to: c}]
`, factor)
	}
	inner := "graph: inner\nstart: x\nnodes: {x: {native: f}}\n"
	var calls []string
	f := Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		calls = append(calls, s.Node)
		return fmt.Appendf(nil, "[%s, %d]", s.Input, len(calls)), nil
	})
	p := nest(t, f, doc(1), inner)
	rec := NewRecording(p.Plan)
	o := Options{Parallel: 1, Observer: observed(func(o *run.Observation) {
		if o.Phase == run.StepFinished {
			rec.Add(o.Node, o.Visit, o.Item, o.Input, o.Output, o.Err)
		}
	})}
	first, err := Run(t.Context(), p, []byte("0"), o)
	if err != nil || len(calls) != 8 || rec.Len() != 7 {
		t.Fatalf("%v, ran %v, %d recorded", err, calls, rec.Len())
	}
	calls = nil
	again, err := Run(t.Context(), p, []byte("0"), Options{Replay: rec})
	if err != nil || string(again.Output) != string(first.Output) || len(calls) != 0 {
		t.Errorf("the same: %s, %v, ran %v", again.Output, err, calls)
	}
	changed, err := Run(t.Context(), nest(t, f, doc(2), inner), []byte("0"), Options{Replay: rec, Parallel: 1})
	if err != nil || fmt.Sprint(calls) != "[b c]" || !json.Valid(changed.Output) {
		t.Errorf("a changed node: %s, %v, ran %v", changed.Output, err, calls)
	}
	calls = nil
	if _, err = Run(t.Context(), p, []byte("1"), Options{Replay: rec, Parallel: 1}); err != nil || fmt.Sprint(calls) != "[a]" {
		t.Errorf("another input: %v, ran %v", err, calls)
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range []Record{{Kind: RecordStep, Step: "a#1[0]/b~2", Output: []byte(`{"x":1}`), Writes: []Write{{"k", []byte("1")}}},
		{Kind: RecordFailed, Err: &Failure{Kind: fault.Timeout, Message: "late"}}} {
		b, err := r.AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			if !fault.Is(err, fault.Corrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := r.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ParseRecord(again); err != nil || string(s.Output) != string(r.Output) || s.Step != r.Step || s.Kind != r.Kind {
			t.Fatalf("%+v, %v, want %+v", s, err, r)
		}
	})
}

// BenchmarkJournal is what a journal in memory adds to a step.
func BenchmarkJournal(b *testing.B) {
	p := program(b, tenEchoes, map[string]Func{"echo": echo})
	info := &run.Info{ID: run.NewID()}
	var buf []byte
	j := appender(func(r *Record) (err error) {
		buf, err = r.AppendTo(buf[:0])
		return err
	})
	for b.Loop() {
		if _, err := Run(context.Background(), p, []byte(`{"text":"hello"}`), Options{Info: info, Journal: j}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/step")
}

type appender func(r *Record) error

func (f appender) Append(r *Record) error { return f(r) }
