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
		if err := s.State.Set("sum", fmt.Append(nil, n)); err != nil {
			return nil, err
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
// graph, with retries everywhere, and whether its result depends on timing.
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
		plain, err := Run(t.Context(), p, input, o)
		want, all := outcome(plain, err), int(calls.Load())
		if err != nil {
			failed++
		}
		full := &mortal{left: 1 << 30}
		o.Journal = full
		if got := outcome(Run(t.Context(), p, input, o)); got != want {
			t.Fatalf("round %d: with a journal %s\nwithout %s", round, got, want)
		}
		records := full.Records()
		vain := 0 // attempts that are forgotten when the kill falls between them and what stopped them
		for _, rec := range records {
			if rec.Kind == RecordVain {
				vain += rec.Usage().Calls
			}
		}
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
				if got := outcome(res, err); got != want && !(vain > 0 && late(got, want)) {
					t.Fatalf("round %d, %d of %d records: %s\nwant %s", round, len(kept)-len(m.Records()), len(records), got, want)
				}
				if n := int(calls.Load()) + ran; n > all || n < all-vain {
					t.Fatalf("round %d, %d records: %d attempts, want %d - %d", round, len(kept), calls.Load(), all, ran)
				}
				if len(kept) > len(records) || len(kept) < len(records)-vain || seen[run.RunStarted] != 1 || seen[run.RunFinished] != 1 {
					t.Fatalf("round %d: %d records, want %d, observed %v", round, len(kept), len(records), seen)
				}
				if vain == 0 {
					strict++
				}
				for i := range kept {
					if vain > 0 {
						break
					}
					if kept[i].Step != records[i].Step || string(kept[i].Output) != string(records[i].Output) {
						t.Fatalf("round %d: record %d is %s %s, want %s %s", round, i, kept[i].Step, kept[i].Output, records[i].Step, records[i].Output)
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
	partly := 0
	for round := range 250 {
		p := randomRun(t, r, worker(&calls, true))
		o := Options{Parallel: []int{2, 8}[r.IntN(2)], Info: &run.Info{ID: run.ID{1}, Graph: "outer"}}
		input := []byte("[1,2,3,4,5]")
		full := &mortal{left: 1 << 30}
		o.Journal = full
		want := outcome(Run(t.Context(), p, input, o))
		records := full.Records()
		steps := 0
		for _, rec := range records {
			if rec.Kind == RecordStep {
				steps++
			}
		}
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
		}
	}
	if partly < 300 {
		t.Errorf("too easy: %d runs gave an output", partly)
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
