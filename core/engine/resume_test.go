package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

var errKilled = errors.New("killed")

// mortal is a journal that keeps a number of records and then refuses, as if the
// process had been killed while it wrote the next one.
type mortal struct {
	Log
	left int
}

func (m *mortal) Append(r *Record) error {
	if m.left--; m.left < 0 {
		return errKilled
	}
	// What is kept must survive its encoding.
	b, err := r.AppendTo(nil)
	if err != nil {
		return err
	}
	c, err := ParseRecord(b)
	if err != nil {
		return err
	}
	return m.Log.Append(&c)
}

// outcome is what must not depend on interruptions.
func outcome(res *Result, err error) string {
	return fmt.Sprintf("%s from %s, %v, %d steps, %d retries, %+v", res.Output, res.OutputNode, err, res.Steps, res.Retries, res.Usage)
}

// vain reports whether steps were begun and then stopped by a failure.
func vain(records []Record) bool {
	return slices.ContainsFunc(records, func(r Record) bool { return r.Kind == RecordVain })
}

// written lists the results of records by step.
func written(records []Record) string {
	lines := make([]string, len(records))
	for i, r := range records {
		lines[i] = fmt.Sprintln(r.Kind, r.Step, string(r.Output), r.Retries, r.Usage(), len(r.Writes), len(r.Events))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// worker is what the nodes of a random graph do: they write the state, cost
// something and fail now and then, a first attempt more often.
func worker(calls *atomic.Int64, yield bool) Func {
	return func(_ context.Context, s *run.Step) ([]byte, error) {
		calls.Add(1)
		for range hash(s.Node, s.Visit, s.Input) {
			if yield {
				runtime.Gosched()
			}
		}
		n := hash(s.Node, s.Visit*7, s.Input)
		s.Trail.Calls = append(s.Trail.Calls, run.ModelCall{Usage: run.Usage{Calls: 1, InputTokens: int64(n), Cost: .25}})
		s.Trail.Events = append(s.Trail.Events, run.Event{Type: "e", Attrs: []run.Attr{run.Int("n", int64(n))}})
		if s.Node != "z" { // it runs beside d, which reads the sum
			if err := s.State.Set("sum", fmt.Append(nil, n)); err != nil {
				return nil, err
			}
		}
		switch {
		case n == 0:
			return nil, fault.New(fault.Rejected, "", "zero")
		case n < 3 && s.Attempt == 0:
			return nil, fault.New(fault.Transient, "", "not yet")
		}
		return fmt.Appendf(nil, `{"n": %d}`, n), nil
	}
}

// randomRun draws a program of a graph with loops or joins in a foreach in a
// graph, with retries everywhere.
func randomRun(t *testing.T, r *rand.Rand, f Func) *Program {
	outer := fmt.Sprintf(`graph: outer
start: a
state: {sum: {reduce: sum}}
nodes:
  a: {graph: middle, foreach: {items: input, concurrency: %d, on_item_error: %s}, retry: {attempts: 2, backoff: 1us, max_backoff: 1us, kinds: [rejected]}}
  b: {graph: random, input: 7, retry: {attempts: 2, backoff: 1us, max_backoff: 1us, kinds: [rejected, limit]}}
  c: {native: f, foreach: {items: input, concurrency: 2, on_item_error: %s}, retry: {attempts: 2, backoff: 1us}}
  d: {native: f, input: {a: "=nodes.a.output", b: "=nodes.b.output", sum: "=state.sum"}}
  z: {native: f, join: any, input: "=output.error.message"}
edges: [{from: a, to: c}, {from: a, to: b}, {from: b, to: d}, {from: c, to: d},
  {from: b, to: z, on_error: [rejected, invalid, limit]}, {from: a, to: z, on_error: [rejected, invalid, limit, transient]}]
output: [d, z, c]
`, 1+r.IntN(4), []string{"fail", "skip", `"null"`}[r.IntN(3)], []string{"fail", "skip"}[r.IntN(2)])
	middle := "graph: middle\nstart: m\nnodes: {m: {native: f, retry: {attempts: 2, backoff: 1us}}, n: {graph: random}}\nedges: [{from: m, to: n}]\n"
	inner := strings.ReplaceAll(randomDocument(r, 3+r.IntN(6), r.IntN(2) == 0), "native: f", "native: f, retry: {attempts: 2, backoff: 1us}")
	return nest(t, f, outer, middle, inner)
}

// A run that is killed after any record of its journal, any number of times, gives
// what it would have given, and no recorded step runs again.
func TestResumeAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	var calls atomic.Int64
	resumed, failed, strict := 0, 0, 0
	for round := range 250 {
		p := randomRun(t, r, worker(&calls, false))
		input := []byte("[1,2,3,4,5]"[:2*(1+r.IntN(4))] + ",9]")
		o := Options{Parallel: 1, Info: &run.Info{ID: run.ID{1}, Graph: "outer"}}
		calls.Store(0)
		plain, plainErr := Run(t.Context(), p, input, o)
		want, all := outcome(plain, plainErr), int(calls.Load())
		if plainErr != nil {
			failed++
		}
		full := &mortal{left: 1 << 30}
		o.Journal = full
		if got := outcome(Run(t.Context(), p, input, o)); got != want && !late(got, want) {
			t.Fatalf("round %d: with a journal %s\nwithout %s", round, got, want)
		}
		records := full.Records()
		for range 8 {
			kept := slices.Clone(records[:r.IntN(len(records)+1)])
			for kills := r.IntN(3); ; kills-- {
				m := &mortal{left: 1 << 30}
				if kills > 0 {
					m.left = r.IntN(len(records) - len(kept) + 1)
				}
				o.Journal = m
				ran := 0
				for _, rec := range kept {
					ran += rec.Usage().Calls
				}
				calls.Store(0)
				var seen counter
				o.Observer = &seen
				res, err := Resume(t.Context(), p, input, kept, nil, o)
				kept = append(kept, m.Records()...)
				if errors.Is(err, errKilled) {
					continue
				}
				resumed++
				// Where something failed, which steps had begun before is a matter
				// of timing, and so is what a kill between them and the failure forgets.
				sure := plainErr == nil && !vain(records) && !vain(kept)
				if got := outcome(res, err); got != want && (sure || !late(got, want)) {
					t.Fatalf("round %d, %d of %d records: %s\nwant %s", round, len(kept)-len(m.Records()), len(records), got, want)
				}
				if seen[run.RunStarted] != 1 || seen[run.RunFinished] != 1 {
					t.Fatalf("round %d: observed %v", round, seen)
				}
				once := map[string]bool{}
				for _, rec := range kept {
					if once[rec.Step] && rec.Kind != RecordVain {
						t.Fatalf("round %d: step %s ran again", round, rec.Step)
					}
					once[rec.Step] = true
				}
				if sure {
					strict++
					if int(calls.Load()) != all-ran {
						t.Fatalf("round %d, %d records: %d attempts, want %d - %d", round, len(kept), calls.Load(), all, ran)
					}
					if written(kept) != written(records) {
						t.Fatalf("round %d: records\n%s\nwant\n%s", round, written(kept), written(records))
					}
				}
				break
			}
		}
	}
	if resumed != 2000 || failed > 200 || strict < 1000 {
		t.Errorf("resumed %d, %d failed, %d without vain steps", resumed, failed, strict)
	}
}

// What several workers recorded is taken over by any number of workers.
func TestResumeParallel(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	var calls atomic.Int64
	partly, same := 0, 0
	for round := range 250 {
		p := randomRun(t, r, worker(&calls, true))
		o := Options{Parallel: []int{2, 8}[r.IntN(2)], Info: &run.Info{ID: run.ID{1}, Graph: "outer"}}
		input := []byte("[1,2,3,4,5]")
		full := &mortal{left: 1 << 30}
		o.Journal = full
		want := outcome(Run(t.Context(), p, input, o))
		records := full.Records()
		for range 4 {
			o.Parallel = []int{1, 2, 8}[r.IntN(3)]
			calls.Store(0)
			o.Journal = &mortal{}
			if got := outcome(Resume(t.Context(), p, input, records, nil, o)); got != want && !late(got, want) || calls.Load() != 0 {
				t.Fatalf("round %d: all taken over: %s, %d calls\nwant %s", round, got, calls.Load(), want)
			}
			n := r.IntN(len(records) + 1)
			more := &mortal{left: 1 << 30}
			o.Journal = more
			res, err := Resume(t.Context(), p, input, records[:n], nil, o)
			if fault.Is(err, fault.Conflict) {
				t.Fatalf("round %d, %d records: %v", round, n, err)
			}
			taken := map[string]bool{}
			for _, rec := range records[:n] {
				taken[rec.Step] = true
			}
			for _, rec := range more.Records() {
				if taken[rec.Step] {
					t.Fatalf("round %d: step %s ran twice", round, rec.Step)
				}
			}
			if len(res.Output) > 0 {
				partly++
			}
			if sure := !slices.ContainsFunc(records, func(r Record) bool { return r.Kind != RecordStep }); sure {
				same++
				if got := outcome(res, err); got != want {
					t.Fatalf("round %d, %d of %d records: %s\nwant %s", round, n, len(records), got, want)
				}
			}
		}
	}
	if partly < 300 || same < 100 {
		t.Errorf("too easy: %d runs gave an output, %d without failures", partly, same)
	}
}

// late reports whether two outcomes differ only in steps that were begun and then
// stopped by a failure, which leave no record.
func late(a, b string) bool {
	cut := func(s string) string {
		head, _, _ := strings.Cut(s, " steps")
		return head[:strings.LastIndex(head, ",")]
	}
	return cut(a) == cut(b)
}

// Runs that ask in many places, killed and answered in any order, give what the
// answers say.
func TestResumeQuestions(t *testing.T) {
	r := rand.New(rand.NewPCG(55, 56))
	var calls atomic.Int64
	outer := `graph: outer
start: a
nodes:
  a: {graph: middle, foreach: {items: input, concurrency: 3, on_item_error: skip}}
  w: {wait: {prompt: "?"}}
  z: {native: f}
edges: [{from: a, to: w}, {from: w, to: z}]
`
	middle := `graph: middle
start: m
nodes: {m: {native: f, max_visits: 2}, w: {wait: {prompt: "?", schema: {type: integer}}, max_visits: 2}, n: {graph: random}, o: {native: f}, e: {native: f}}
edges: [{from: m, to: w}, {from: m, to: o}, {from: w, to: n, when: output > 2}, {from: w, to: m, otherwise: true}, {from: n, to: e}, {from: o, to: e}]
`
	questions, gave := 0, 0
	for round := range 60 {
		p := nest(t, worker(&calls, true), outer, strings.ReplaceAll(middle, "native: f", "native: f, retry: {attempts: 2, backoff: 1us}"),
			randomDocument(r, 3+r.IntN(4), false))
		want := ""
		for range 4 {
			var records []Record
			var answers []Answer
			for {
				m := &mortal{left: 1 << 30}
				if r.IntN(2) == 0 {
					m.left = r.IntN(12)
				}
				o := Options{Parallel: 1 + r.IntN(4), Info: &run.Info{ID: run.ID{1}}, Journal: m}
				res, err := Resume(t.Context(), p, []byte("[1,2,3,4,5]"), records, answers, o)
				records, answers = append(records, m.Records()...), nil
				if errors.Is(err, errKilled) {
					continue
				}
				if err != nil || len(res.Waiting) == 0 {
					got := fmt.Sprint(string(res.Output), err)
					if want == "" {
						want = got
					}
					if gave += len(res.Output); got != want {
						t.Fatalf("round %d: %s, want %s", round, got, want)
					}
					break
				}
				for _, q := range res.Waiting {
					if r.IntN(2) == 0 {
						questions++
						answers = append(answers, Answer{q.ID, fmt.Append(nil, hash(q.ID, 0, nil))})
					}
				}
			}
		}
	}
	if questions < 500 || gave == 0 {
		t.Errorf("too easy: %d questions", questions)
	}
}

// BenchmarkResume takes over a loop and a foreach of growing length.
func BenchmarkResume(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		for name, doc := range map[string]string{
			"loop":    fmt.Sprintf("graph: g\nstart: a\nnodes: {a: {native: f, join: any, max_visits: %d}, b: {native: f}}\nedges: [{from: a, to: a, when: \"run.id != ''\"}, {from: a, to: b, on_error: [limit]}]\noutput: [a]\n", n),
			"foreach": "graph: g\nstart: a\nnodes: {a: {native: f, foreach: {items: input}}}\n",
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				p := nest(b, echo, doc)
				input := []byte("[" + strings.Repeat("1,", n-1) + "1]")
				var kept Log
				o := Options{Parallel: 2, Journal: &kept, Info: &run.Info{ID: run.ID{1}}}
				Run(b.Context(), p, input, o)
				records := kept.Records()
				if len(records) < n {
					b.Fatal(len(records))
				}
				for b.Loop() {
					o.Journal = &Log{}
					Resume(b.Context(), p, input, records, nil, o)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(records)), "ns/record")
			})
		}
	}
}
