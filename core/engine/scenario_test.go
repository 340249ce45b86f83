package engine

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata")

// TestScenarios reads testdata/*.txt. A file is a sequence of cases divided by
// ==== lines; a case is a document, a script and what happens with one worker,
// divided by ---- lines. The graphs that a document nests follow it after --- lines.
// With more workers the result must be the same. Run with
// -rewrite to renew what happens.
//
// A script has the lines "input JSON", "limits K=V ..." and "NODE: ACTION; ...",
// one action a try of the node, the last for all further ones. An action is a
// list of words divided by commas: sleep D, cost USD, tokens N, set KEY, put KEY JSON, panic,
// hang, fail KIND, echo, count, get KEY, key, return JSON. Nodes without a line echo. A line
// "NODE#I: ..." is for item I of a foreach, counted from 1. Lines "answer QUESTION D
// JSON" answer what the run waits for, one after the other, each D after the one
// before; when there is none left, the next deadline passes. What is
// observed is written once, as the last resumption sees it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range strings.Split(string(data), "====\n") {
			parts := strings.Split(c, "----\n")
			if len(parts) != 3 {
				t.Fatalf("%s: malformed case %q", file, c)
			}
			got, result := play(t, parts[0], parts[1], 1)
			for _, parallel := range []int{2, 8} {
				if _, other := play(t, parts[0], parts[1], parallel); other != result {
					t.Errorf("%s:\n%s\nwith %d workers:\n%swith one:\n%s", file, parts[0], parallel, other, result)
				}
			}
			if got != parts[2] && !*rewrite {
				t.Errorf("%s:\n%s%s\ngot\n%s\nwant\n%s", file, parts[0], parts[1], got, parts[2])
			}
			out = append(out, parts[0]+"----\n"+parts[1]+"----\n"+got)
		}
		if *rewrite {
			if err := os.WriteFile(file, []byte(strings.Join(out, "====\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// play runs a scenario in a bubble of its own and returns what was observed and
// the result alone.
func play(t *testing.T, doc, script string, parallel int) (trace, result string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		input, limits, answers, runners := readScript(t, script)
		docs := strings.Split(doc, "---\n")
		l := lockAll(t, docs, 0)
		plan, err := graph.Compile(l)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Build(plan, func(path string, _ *graph.Plan, _ *graph.PlanNode) (NodeRunner, error) {
			if r := runners[path]; r != nil {
				return r, nil
			}
			return &scripted{actions: []string{"echo"}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		g := l.Graph
		start := time.Now()
		w := &writer{start: start}
		o := Options{Observer: w, Limits: limits, Parallel: parallel, Seed: 7, Cache: NewMemoryCache(1 << 20), Info: &run.Info{Graph: g.Name}}
		var kept Log
		if g.Durable || plan.Waits() {
			o.Journal = &kept
		}
		res, err := Run(t.Context(), p, []byte(input), o)
		asked := ""
		for err == nil && len(res.Waiting) > 0 {
			var given []Answer
			wait := time.Until(deadline(t, res.Waiting))
			if len(answers) == 0 && wait < 0 {
				t.Fatalf("nobody answers %+v", res.Waiting)
			}
			if len(answers) > 0 {
				given, wait, answers = []Answer{answers[0].Answer}, answers[0].after, answers[1:]
			}
			for _, q := range res.Waiting {
				asked += fmt.Sprintf("at %v waits for %s since %v: %s %v, beside %s\n", time.Since(start), q.ID, q.Asked.Sub(start), q.Prompt, q.Choices, q.Input)
			}
			time.Sleep(wait)
			w = &writer{start: start}
			o.Observer = w
			next, bad := Resume(t.Context(), p, []byte(input), kept.Records(), given, o)
			if fault.Is(bad, fault.Invalid) && w.finished == 0 {
				asked += fmt.Sprintf("refused: %v\n", bad)
				continue
			}
			res, err = next, bad
		}
		if w.finished != 1 {
			t.Errorf("RunFinished was observed %d times", w.finished)
		}
		result = "failed: " + fmt.Sprint(err) + "\n"
		if err == nil {
			result = fmt.Sprintf("%s from %s\n", res.Output, res.OutputNode)
		} else {
			result = fmt.Sprintf("%s: %v\n", fault.KindOf(err), err)
		}
		trace = asked + w.b.String() + result
	})
	return trace, result
}

// deadline is the first one of questions; the zero time when answers are all that
// may come.
func deadline(t *testing.T, list []Question) (first time.Time) {
	t.Helper()
	for _, q := range list {
		if !q.Deadline.IsZero() && (first.IsZero() || q.Deadline.Before(first)) {
			first = q.Deadline
		}
	}
	return first
}

// lockAll locks the graph of document i; the graphs it nests are other documents.
func lockAll(t *testing.T, docs []string, i int) *graph.Locked {
	g, fs := graph.Decode([]byte(docs[i]), "")
	if fs.HasErrors() {
		t.Fatal(fs)
	}
	l := &graph.Locked{Graph: g}
	err := graph.Nest(l, nil, func(ref string) (*graph.NestedLock, error) {
		for i, d := range docs {
			if strings.HasPrefix(d, "graph: "+strings.Split(ref, "@")[0]+"\n") {
				return &graph.NestedLock{Locked: lockAll(t, docs, i)}, nil
			}
		}
		return nil, fault.New(fault.NotFound, "", "no graph %s", ref)
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// writer writes one line a step: number and node, the step it came after, when it
// was ready, how long it waited and ran, and input and output.
type writer struct {
	b        strings.Builder
	start    time.Time
	finished int
}

func (w *writer) Observe(o *run.Observation) {
	switch o.Phase {
	case run.RunFinished:
		w.finished++
	case run.StepFinished, run.StepRetried:
		fmt.Fprintf(&w.b, "%d %s", o.Seq, o.Node)
		if o.Parent > 0 {
			fmt.Fprintf(&w.b, " of %d", o.Parent-1)
		}
		if o.Visit > 0 {
			fmt.Fprintf(&w.b, " visit %d", o.Visit)
		}
		if o.Item > 0 {
			fmt.Fprintf(&w.b, " item %d", o.Item)
		}
		fmt.Fprintf(&w.b, " after %d at %v", o.After, o.Start.Sub(w.start)-o.Wait)
		if o.Wait > 0 {
			fmt.Fprintf(&w.b, " waited %v", o.Wait)
		}
		if o.CacheHit {
			w.b.WriteString(" cached")
		}
		if d := o.End.Sub(o.Start); d > 0 {
			fmt.Fprintf(&w.b, " took %v", d)
		}
		fmt.Fprintf(&w.b, ": %s", o.Input)
		if o.Phase == run.StepRetried {
			w.b.WriteString(" again because")
		}
		if o.Err != nil {
			fmt.Fprintf(&w.b, " %s: %v", fault.KindOf(o.Err), o.Err)
		} else {
			fmt.Fprintf(&w.b, " -> %s", o.Output)
		}
		if o.Phase == run.StepFinished && o.Retries > 0 {
			fmt.Fprintf(&w.b, " (%d retries)", o.Retries)
		}
		if o.Trail != nil {
			for _, a := range o.Trail.Attrs {
				fmt.Fprintf(&w.b, " %s=%v", a.Key, a.Value.Any())
			}
			for _, m := range o.Trail.Metrics {
				fmt.Fprintf(&w.b, " %s=%v", m.Name, m.Value)
			}
			for _, e := range o.Trail.Events {
				fmt.Fprintf(&w.b, " <%s>", e.Type)
			}
		}
		w.b.WriteByte('\n')
	}
}

// scripted is a node that does what its script says.
type scripted struct {
	mu      sync.Mutex // guards tries
	tries   int
	actions []string
	items   map[int]*scripted
}

func (s *scripted) RunNode(ctx context.Context, step *run.Step) ([]byte, error) {
	if one, ok := s.items[step.Item]; ok {
		return one.RunNode(ctx, step)
	}
	s.mu.Lock()
	action := s.actions[min(s.tries, len(s.actions)-1)]
	s.tries++
	s.mu.Unlock()
	for _, word := range strings.Split(action, ",") {
		verb, arg, _ := strings.Cut(strings.TrimSpace(word), " ")
		switch verb {
		case "sleep":
			d, _ := time.ParseDuration(arg)
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case "hang":
			<-ctx.Done()
			return nil, ctx.Err()
		case "cost", "tokens":
			c := run.ModelCall{}
			fmt.Sscan(arg, &c.Usage.Cost)
			if verb == "tokens" {
				fmt.Sscan(arg, &c.Usage.InputTokens)
				c.Usage.Cost = 0
			}
			step.Trail.Calls = append(step.Trail.Calls, c)
		case "set":
			if err := step.State.Set(arg, step.Input); err != nil {
				return nil, err
			}
		case "panic":
			panic("boom")
		case "fail":
			return nil, fault.New(fault.Kind(arg), "", "told to")
		case "echo":
			return step.Input, nil
		case "count":
			return fmt.Append(nil, step.Visit), nil
		case "put": // a node that does not look at the answer
			key, value, _ := strings.Cut(arg, " ")
			step.State.Set(key, []byte(value))
		case "get":
			v, _ := step.State.Get(arg)
			return v, nil
		case "key":
			return fmt.Appendf(nil, "%q", step.IdempotencyKey), nil
		case "return":
			_, json, _ := strings.Cut(action, "return ")
			return []byte(json), nil
		}
	}
	return nil, nil
}

// later is an answer and the time that passes before it.
type later struct {
	Answer
	after time.Duration
}

func readScript(t *testing.T, script string) (input string, limits graph.Limits, answers []later, nodes map[string]*scripted) {
	input, nodes = "{}", map[string]*scripted{}
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "":
		case verb == "input":
			input = rest
		case verb == "limits":
			if err := json.Unmarshal([]byte(rest), &limits); err != nil {
				t.Fatal(line, err)
			}
		case verb == "answer":
			words := strings.SplitN(rest, " ", 3)
			after, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatal(line, err)
			}
			answers = append(answers, later{Answer{words[0], []byte(words[2])}, after})
		case strings.HasSuffix(verb, ":"):
			s := &scripted{items: map[int]*scripted{}}
			for _, a := range strings.Split(rest, ";") {
				s.actions = append(s.actions, strings.TrimSpace(a))
			}
			name, item, ok := strings.Cut(strings.TrimSuffix(verb, ":"), "#")
			if !ok {
				nodes[name] = s
				break
			}
			i, err := strconv.Atoi(item)
			if err != nil {
				t.Fatal(line, err)
			}
			if nodes[name] == nil {
				nodes[name] = &scripted{actions: []string{"echo"}, items: map[int]*scripted{}}
			}
			nodes[name].items[i] = s
		default:
			t.Fatalf("malformed script line %q", line)
		}
	}
	return input, limits, answers, nodes
}
