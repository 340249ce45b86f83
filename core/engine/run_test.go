package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// log keeps copies of observations, which are valid only while they are told.
type log []run.Observation

func (l *log) Observe(o *run.Observation) {
	c := *o
	if o.Trail != nil {
		c.Trail = &run.Trail{Attrs: slices.Clone(o.Trail.Attrs), Metrics: slices.Clone(o.Trail.Metrics),
			Calls: slices.Clone(o.Trail.Calls)}
	}
	*l = append(*l, c)
}

func (l log) of(node string) (found []run.Observation) {
	for _, o := range l {
		if o.Node == node {
			found = append(found, o)
		}
	}
	return found
}

func hang(ctx context.Context, _ *run.Step) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

const fork = `graph: fork
start: a
nodes: {a: {native: echo}, b: {native: b}, c: {native: c}}
edges: [{from: a, to: b}, {from: a, to: c}]
`

func TestFailureStopsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := program(t, fork, map[string]Func{"echo": echo, "b": hang, "c": func(context.Context, *run.Step) ([]byte, error) {
			time.Sleep(time.Second)
			return nil, fault.New(fault.Rejected, "", "no")
		}})
		var seen log
		start := time.Now()
		res, err := Run(t.Context(), p, []byte("1"), Options{Observer: &seen, Parallel: 2})
		if !fault.Is(err, fault.Rejected) || err.Error() != "nodes.c: no" {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d != time.Second || res.Duration != d || res.Steps != 3 {
			t.Errorf("took %v, %+v", d, res)
		}
		b := seen.of("b")
		if len(b) != 1 || !errors.Is(b[0].Err, context.Canceled) || !fault.Is(b[0].Err, fault.Cancelled) ||
			!strings.Contains(b[0].Err.Error(), "another step failed") {
			t.Errorf("sibling %+v", b)
		}
		last := seen[len(seen)-1]
		if last.Phase != run.RunFinished || last.Err != err || seen[0].Phase != run.RunStarted {
			t.Errorf("last %+v", last)
		}
	})
}

func TestCallerEndsRun(t *testing.T) {
	for _, parallel := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			p := program(t, fork, map[string]Func{"echo": echo, "b": hang, "c": hang})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := Run(ctx, p, []byte("1"), Options{Parallel: parallel}); !fault.Is(err, fault.Timeout) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("deadline: %v", err)
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := Run(ctx, p, []byte("1"), Options{Parallel: parallel}); !fault.Is(err, fault.Cancelled) || !errors.Is(err, context.Canceled) {
				t.Errorf("cancel: %v", err)
			}
			var seen counter
			if _, err := Run(ctx, p, []byte("1"), Options{Parallel: parallel, Observer: &seen}); !fault.Is(err, fault.Cancelled) ||
				seen != (counter{run.RunStarted: 1, run.RunFinished: 1}) {
				t.Errorf("cancelled before: %v, %v", err, seen)
			}
		})
	}
}

func TestSiblingsRunTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(_ context.Context, s *run.Step) ([]byte, error) {
			time.Sleep(time.Second)
			return s.Input, nil
		}
		p := program(t, fork, map[string]Func{"echo": echo, "b": slow, "c": slow})
		for parallel, want := range map[int]time.Duration{1: 2 * time.Second, 2: time.Second, 8: time.Second} {
			res, err := Run(t.Context(), p, []byte("1"), Options{Parallel: parallel})
			if err != nil || res.Duration != want {
				t.Errorf("%d workers took %v, want %v, %v", parallel, res.Duration, want, err)
			}
		}
	})
}

// A step that waits for its next attempt must not hold up a sibling, nor a
// sibling the attempt.
func TestBackoffBesideWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := strings.Replace(fork, "{native: b}", "{native: b, retry: {attempts: 2, backoff: 2s, max_backoff: 2s}}", 1)
		tries := 0
		p := program(t, doc, map[string]Func{"echo": echo, "b": func(_ context.Context, s *run.Step) ([]byte, error) {
			if tries++; tries == 1 {
				return nil, fault.New(fault.Transient, "", "later")
			}
			return s.Input, nil
		}, "c": func(_ context.Context, s *run.Step) ([]byte, error) {
			time.Sleep(10 * time.Second)
			return s.Input, nil
		}})
		res, err := Run(t.Context(), p, []byte("1"), Options{Parallel: 2})
		if err != nil || res.Duration != 10*time.Second || res.Retries != 1 || res.Steps != 3 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

func TestRetryKeepsWhatHappened(t *testing.T) {
	doc := "graph: g\nstart: a\nnodes: {a: {native: f, retry: {attempts: 3, backoff: 1ms, max_backoff: 1ms}}}\n"
	p := program(t, doc, map[string]Func{"f": func(_ context.Context, s *run.Step) ([]byte, error) {
		s.Trail.Calls = append(s.Trail.Calls, run.ModelCall{Usage: run.Usage{Calls: 1, InputTokens: 10, Cost: .5}})
		s.Trail.Metrics = append(s.Trail.Metrics, run.Metric{Name: "m", Value: float64(s.Attempt)})
		s.Trail.Attrs = append(s.Trail.Attrs, run.Int("attempt", int64(s.Attempt)))
		if s.Attempt < 2 {
			return nil, fault.New(fault.Unavailable, "", "down")
		}
		return s.Input, nil
	}})
	var seen log
	res, err := Run(t.Context(), p, []byte("1"), Options{Observer: &seen})
	if err != nil || res.Retries != 2 || res.Steps != 1 || res.Usage != (run.Usage{Calls: 3, InputTokens: 30, Cost: 1.5}) {
		t.Fatalf("%+v, %v", res, err)
	}
	a := seen.of("a")
	if len(a) != 3 || a[0].Phase != run.StepRetried || a[0].Trail != nil || a[2].Retries != 2 {
		t.Fatalf("%+v", a)
	}
	tr := a[2].Trail
	if tr.Usage() != res.Usage || len(tr.Metrics) != 1 || tr.Metrics[0].Value != 2 || len(tr.Attrs) != 1 {
		t.Errorf("trail %+v", tr)
	}
}

func TestRunsShareNothing(t *testing.T) {
	p := program(t, fork, map[string]Func{"echo": func(_ context.Context, s *run.Step) ([]byte, error) {
		if v, ok := s.State.Get("k"); ok {
			return nil, fmt.Errorf("state of another run: %s", v)
		}
		if len(s.Trail.Attrs) > 0 || s.Visit > 0 || s.Attempt > 0 {
			return nil, fmt.Errorf("step of another run: %+v", s)
		}
		s.Trail.Attrs = append(s.Trail.Attrs, run.String("a", "b"))
		return s.Input, s.State.Set("k", s.Input)
	}, "b": func(_ context.Context, s *run.Step) ([]byte, error) {
		v, _ := s.State.Get("k")
		if string(v) != string(s.Input) {
			return nil, fmt.Errorf("state %s, want %s", v, s.Input)
		}
		return v, nil
	}, "c": echo})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				in := fmt.Sprintf(`{"w":%d,"i":%d}`, w, i)
				res, err := Run(t.Context(), p, []byte(in), Options{Parallel: 1 + i%3})
				if err != nil || string(res.Output) != in {
					t.Errorf("%s: %+v, %v", in, res, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestState(t *testing.T) {
	var s state
	if err := s.Set("k", []byte("{")); !fault.Is(err, fault.Invalid) {
		t.Errorf("not JSON: %v", err)
	}
	if err := s.Set("k", make([]byte, MaxStateValue+1)); !fault.Is(err, fault.Limit) {
		t.Errorf("too large: %v", err)
	}
	big := []byte(`"` + strings.Repeat("x", MaxStateValue-2) + `"`)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = s.Set(fmt.Sprint("key", n), big)
	}
	if !fault.Is(err, fault.Limit) || n != MaxState/MaxStateValue {
		t.Errorf("%d values: %v", n, err)
	}
	if err := s.Set("key0", []byte("1")); err != nil {
		t.Errorf("shrinking: %v", err)
	}
	if err := s.Set("other", big); err != nil {
		t.Errorf("freed bytes: %v", err)
	}
	in := []byte("[1]")
	if err := s.Set("key0", in); err != nil {
		t.Fatal(err)
	}
	in[1] = '2'
	if v, _ := s.Get("key0"); string(v) != "[1]" {
		t.Errorf("the state keeps the caller's bytes: %s", v)
	}
}

func TestPause(t *testing.T) {
	x := &execution{random: rand.New(rand.NewPCG(1, 2))}
	r := &graph.Retry{Backoff: graph.Duration(100 * time.Millisecond), MaxBackoff: graph.Duration(time.Second)}
	for n, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		most *= time.Millisecond
		sum, high := time.Duration(0), time.Duration(0)
		for range 2000 {
			d := x.pause(r, n)
			if d < 0 || d > most {
				t.Fatalf("attempt %d: %v above %v", n, d, most)
			}
			sum += d
			high = max(high, d)
		}
		if mean := sum / 2000; mean < most*46/100 || mean > most*54/100 || high < most*99/100 {
			t.Errorf("attempt %d: mean %v and highest %v of at most %v", n, mean, high, most)
		}
	}
	if d := x.pause(&graph.Retry{}, 500); d > defaultMaxBackoff {
		t.Errorf("late attempt waits %v", d)
	}
}

func TestObservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := program(t, diamond, map[string]Func{"echo": func(_ context.Context, s *run.Step) ([]byte, error) {
			time.Sleep(time.Millisecond * time.Duration(1+s.Seq))
			return s.Input, nil
		}})
		var seen log
		info := &run.Info{ID: run.NewID(), Graph: "diamond"}
		if _, err := Run(t.Context(), p, []byte(`{"x":9}`), Options{Observer: &seen, Parallel: 8, Info: info}); err != nil {
			t.Fatal(err)
		}
		for node, want := range map[string]struct{ seq, after int }{"a": {0, -1}, "b": {1, 0}, "c": {2, 0}, "d": {3, 0}, "e": {4, 3}} {
			o := seen.of(node)[0]
			if o.Seq != want.seq || o.After != want.after || o.Wait != 0 || o.Info != info || o.Type.Name != "native" ||
				o.End.Sub(o.Start) != time.Millisecond*time.Duration(1+o.Seq) || o.Trail != nil {
				t.Errorf("%s: %+v", node, o)
			}
		}
		first, last := seen[0], seen[len(seen)-1]
		if first.Phase != run.RunStarted || !first.End.IsZero() || last.Phase != run.RunFinished ||
			!last.Start.Equal(first.Start) || string(last.Output) == "" || string(last.Input) != `{"x":9}` {
			t.Errorf("first %+v, last %+v", first, last)
		}
	})
}

func TestMissingRunners(t *testing.T) {
	p := program(t, tenEchoes, map[string]Func{"echo": echo})
	p.Runners = p.Runners[1:]
	if res, err := Run(t.Context(), p, []byte("1"), Options{}); !fault.Is(err, fault.Internal) || res == nil {
		t.Error(res, err)
	}
}

func TestLinearRunAllocatesLittle(t *testing.T) {
	p := program(t, tenEchoes, map[string]Func{"echo": echo})
	var c counter
	o := Options{Info: &run.Info{ID: run.NewID()}, Observer: &c}
	if n := testing.AllocsPerRun(200, func() { Run(context.Background(), p, []byte("1"), o) }); n > 3 && !raceDetector { // under it sync.Pool forgets on purpose
		t.Errorf("%v allocations a run of ten steps", n)
	}
}

func BenchmarkFork(b *testing.B) {
	p := program(b, diamond, map[string]Func{"echo": echo})
	info := &run.Info{ID: run.NewID()}
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			b.ReportAllocs()
			var c counter
			for b.Loop() {
				if _, err := Run(context.Background(), p, []byte(`{"x":9}`), Options{Info: info, Observer: &c, Parallel: parallel}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5, "ns/step")
		})
	}
}

func BenchmarkBranch(b *testing.B) {
	p := program(b, `graph: branch
start: a
nodes: {a: {native: echo}, b: {native: echo}, c: {native: echo}}
edges:
  - {from: a, to: b, when: "size(output.hits) > 0"}
  - {from: a, to: c, otherwise: true}
`, map[string]Func{"echo": echo})
	info := &run.Info{ID: run.NewID()}
	input := []byte(`{"query":"open a file","hits":[{"id":"os.Open","score":1.5},{"id":"os.OpenFile","score":1.2}]}`)
	b.ReportAllocs()
	var c counter
	for b.Loop() {
		if _, err := Run(context.Background(), p, input, Options{Info: info, Observer: &c}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "ns/step")
}
