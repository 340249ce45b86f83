package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
)

const each = "graph: each\nstart: a\nnodes: {a: {native: f, foreach: {items: output, concurrency: %d}}}\n"

func numbers(n int) []byte {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	b, _ := json.Marshal(list)
	return b
}

// A fan-out of a thousand keeps its order, never runs more items at once than it
// may, and takes as long as that allows.
func TestFanOut(t *testing.T) {
	for _, c := range []struct {
		concurrency, parallel, most int
		took                        time.Duration
	}{{50, 64, 50, 20 * time.Second}, {64, 10, 10, 100 * time.Second}, {8, 1, 1, 1000 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			var running, most atomic.Int32
			p := program(t, fmt.Sprintf(each, c.concurrency), map[string]Func{"f": func(_ context.Context, s *run.Step) ([]byte, error) {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				running.Add(-1)
				return s.Input, nil
			}})
			var seen counter
			in := numbers(1000)
			res, err := Run(t.Context(), p, in, Options{Parallel: c.parallel, Observer: &seen})
			if err != nil || string(res.Output) != string(in) {
				t.Fatalf("%.80s, %v", res.Output, err)
			}
			if int(most.Load()) != c.most || res.Duration != c.took || res.Steps != 1001 {
				t.Errorf("%d at once, %v, %d steps; want %d, %v", most.Load(), res.Duration, res.Steps, c.most, c.took)
			}
			if seen != (counter{run.RunStarted: 1, run.StepFinished: 1, run.RunFinished: 1}) {
				t.Errorf("observations %v", seen)
			}
		})
	}
}

// What items leave behind is bounded, except the model calls.
func TestItemRecordsAreBounded(t *testing.T) {
	p := program(t, fmt.Sprintf(each, 4), map[string]Func{"f": func(_ context.Context, s *run.Step) ([]byte, error) {
		s.Trail.Calls = append(s.Trail.Calls, run.ModelCall{Usage: run.Usage{Calls: 1, Cost: 1}})
		s.Trail.Metrics = append(s.Trail.Metrics, run.Metric{Name: "m"}, run.Metric{Name: "n"})
		s.Trail.Logs = append(s.Trail.Logs, run.Log{Msg: "x"})
		return s.Input, nil
	}})
	var seen log
	res, err := Run(t.Context(), p, numbers(1000), Options{Observer: &seen, Parallel: 4})
	if err != nil || res.Usage != (run.Usage{Calls: 1000, Cost: 1000}) {
		t.Fatal(res.Usage, err)
	}
	tr := seen.of("a")[0].Trail
	if len(tr.Calls) != 1000 || len(tr.Metrics) != maxItemRecords {
		t.Errorf("%d calls, %d metrics", len(tr.Calls), len(tr.Metrics))
	}
	if want := []run.Attr{run.Int("foreach.items", 1000), run.Int("foreach.dropped", 2000-maxItemRecords+1000-maxItemRecords)}; len(tr.Attrs) != 2 || tr.Attrs[0] != want[0] || tr.Attrs[1] != want[1] {
		t.Errorf("attributes %v", tr.Attrs)
	}
}

func TestTooManyItems(t *testing.T) {
	p := program(t, fmt.Sprintf(each, 4), map[string]Func{"f": echo})
	if _, err := Run(t.Context(), p, numbers(graph.MaxItems+1), Options{}); err == nil || err.Error() != `nodes.a.foreach.items: expression "output" gives more than 100000 items` {
		t.Error(err)
	}
}

func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		for _, parallel := range []int{1, 8} {
			b.Run(fmt.Sprintf("items=%d/parallel=%d", n, parallel), func(b *testing.B) {
				p := program(b, fmt.Sprintf(each, 8), map[string]Func{"f": echo})
				in := numbers(n)
				info := &run.Info{ID: run.NewID()}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Run(context.Background(), p, in, Options{Info: info, Parallel: parallel}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/item")
			})
		}
	}
}
