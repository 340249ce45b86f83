package host

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/fault"
)

var killRounds = flag.Int("kill.rounds", 50, "how often TestKill kills a host")

// What a host under test is told by its environment.
const (
	victimDir   = "HOST_TEST_VICTIM"        // data folder; set makes the process a victim
	victimRound = "HOST_TEST_VICTIM_ROUND"  // written into the log of effects
	victimLast  = "HOST_TEST_VICTIM_FINISH" // set: start nothing, bring everything to its end
)

// victims is a graph with a loop, a foreach beside another branch, a question for
// some inputs, and a failure at the end for others.
const victims = `
graph: victims
version: 1.0.0
durable: true
start: a
nodes:
  a: {native: effect}
  loop: {native: effect, join: any, max_visits: 3}
  each: {native: effect, foreach: {items: "[1, 2, 3]", concurrency: 2}}
  beside: {native: effect}
  both: {native: effect}
  ask: {wait: {prompt: "go on?", choices: ["yes"]}}
  last: {native: effect, join: any, input: "=input"}
edges:
  - {from: a, to: loop}
  - {from: loop, to: loop, when: "nodes.loop.output.visit < 2"}
  - {from: loop, to: each, when: "nodes.loop.output.visit >= 2"}
  - {from: loop, to: beside, when: "nodes.loop.output.visit >= 2"}
  - {from: each, to: both}
  - {from: beside, to: both}
  - {from: both, to: ask, when: "input.n % 3 == 0"}
  - {from: both, to: last, otherwise: true}
  - {from: ask, to: last}
output: [last]
`

// victim is a host that has runs in flight until it is killed. It tells of each
// effect and of each run that ended.
func victim(dir string) error {
	ctx := context.Background()
	log, err := os.OpenFile(filepath.Join(dir, "effects"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	round, err := strconv.Atoi(os.Getenv(victimRound))
	if err != nil {
		return err
	}
	effect := func(_ context.Context, s *run.Step) ([]byte, error) {
		name := s.Node
		if s.Visit > 0 {
			name += "#" + strconv.Itoa(s.Visit)
		}
		if s.Item > 0 {
			name += "[" + strconv.Itoa(s.Item-1) + "]"
		}
		if _, err := fmt.Fprintf(log, "%d %s %s\n", round, s.Info.ID, name); err != nil { // one write: whole or not at all
			return nil, err
		}
		fmt.Println("effect", name)
		var in struct{ N int }
		if s.Node == "last" && json.Unmarshal(s.Input, &in) == nil && in.N%5 == 4 {
			return nil, fault.New(fault.Rejected, "", "unlucky")
		}
		return fmt.Appendf(nil, `{"visit": %d}`, s.Visit), nil
	}
	h, err := Open(ctx, Config{DataDir: filepath.Join(dir, "data"), Parallel: 2, TakeUps: -1, Natives: map[string]engine.NodeRunner{"effect": engine.Func(effect)},
		Telemetry: map[string]telemetry.Config{"default": {}}})
	if err != nil {
		return err
	}
	if _, err := h.Apply(ctx, Document{GraphFile: "victims.yaml", Graph: []byte(victims)}); err != nil {
		return err
	}
	came := func(res *Result, err error) error {
		for err == nil && res.Status == store.RunWaiting {
			res, err = h.Answer(ctx, res.RunID, res.Waiting[0].ID, json.RawMessage(`"yes"`))
		}
		if err != nil && (res == nil || res.Status != store.RunFailed) {
			return err
		}
		fmt.Println("ended", res.RunID, res.Status)
		return nil
	}
	answerAll := func() error {
		waiting, err := h.Runs(ctx, store.RunFilter{Status: store.RunWaiting})
		for i := 0; err == nil && i < len(waiting); i++ {
			err = came(h.Answer(ctx, waiting[i].ID, "ask", json.RawMessage(`"yes"`)))
		}
		return err
	}
	if os.Getenv(victimLast) != "" {
		<-h.takenUp
		for {
			for _, l := range h.lives.all(func(*live) bool { return true }) {
				<-l.done
			}
			if err := answerAll(); err != nil {
				return err
			}
			open, err := h.store.Runs(ctx, store.RunFilter{Limit: 1 << 20})
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(open, func(r *store.Run) bool { return !r.Status.Final() }) {
				return h.Close(ctx)
			}
		}
	}
	var wg sync.WaitGroup
	failed := make(chan error, 5)
	wg.Go(func() { failed <- answerAll() })
	for i := range 4 {
		wg.Go(func() {
			for n := i; ; n += 4 {
				if err := came(h.Run(ctx, Request{Graph: "victims", Input: fmt.Appendf(nil, `{"n": %d}`, n+round)})); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	return <-failed
}

// A host that is killed at any moment, again and again, brings every run to its end
// exactly once. A step that was recorded is never executed again; the effect of one
// is repeated only if it was in flight at a kill.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(7, 11))
	type step struct{ run, name string }
	recorded := map[step]bool{}           // at the last kill
	ended := map[string]store.RunStatus{} // runs that had ended by then
	again := map[step]int{}               // kills in whose flight a step with an effect was
	lines := 0                            // of the log that were looked at
	interrupted := 0
	for round := range *killRounds + 1 {
		last := round == *killRounds
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), victimDir+"="+dir, fmt.Sprintf("%s=%d", victimRound, round))
		if last {
			cmd.Env = append(cmd.Env, victimLast+"=1")
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		told := map[string]store.RunStatus{}
		stop := r.IntN(150)
		if stop < 10 { // while it starts and takes up
			stop = 0
		}
		said := bufio.NewScanner(out)
		for n := 0; n < stop || last; n++ {
			if !said.Scan() {
				break
			}
			if f := strings.Fields(said.Text()); len(f) == 3 && f[0] == "ended" {
				told[f[1]] = store.RunStatus(f[2])
			}
		}
		if !last {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for said.Scan() {
			}
		}
		if err := cmd.Wait(); last != (err == nil) {
			t.Fatalf("round %d: the host ended with %v", round, err)
		}

		// What the round left: effects, records, and what of them was in flight.
		effects := map[step]int{}
		log, err := os.ReadFile(filepath.Join(dir, "effects"))
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Split(strings.TrimSuffix(string(log), "\n"), "\n")
		for _, line := range all[min(lines, len(all)):] {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			if len(f) != 3 || f[0] != strconv.Itoa(round) {
				t.Fatalf("round %d: the log says %q", round, line)
			}
			effects[step{f[1], f[2]}]++
		}
		if lines = len(all); len(log) == 0 {
			lines = 0
		}
		for s, n := range effects {
			if recorded[s] || n != 1 {
				t.Errorf("round %d: %v was executed %d times, recorded before: %v", round, s, n, recorded[s])
			}
			if status, over := ended[s.run]; over {
				t.Errorf("round %d: %v was executed though its run had %s", round, s, status)
			}
		}
		s := openStore(t, dir)
		runs, err := s.Runs(t.Context(), store.RunFilter{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			if r.Status.Final() {
				if before, over := ended[r.ID]; over && before != r.Status {
					t.Errorf("round %d: run %s was %s and is %s", round, r.ID, before, r.Status)
				}
				ended[r.ID] = r.Status
				continue
			}
			if interrupted++; last {
				t.Errorf("run %s is still %s", r.ID, r.Status)
			}
			rows, err := s.Journal(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				rec, err := engine.ParseRecord(row)
				if err != nil {
					t.Fatal(err)
				}
				if rec.Kind == engine.RecordStep {
					recorded[step{r.ID, rec.Step}] = true
				}
			}
		}
		for id, status := range told {
			if ended[id] != status {
				t.Errorf("round %d: run %s was told to have %s and is %q", round, id, status, ended[id])
			}
		}
		flight := map[string]int{}
		for s := range effects {
			if _, over := ended[s.run]; !over && !recorded[s] {
				again[s]++
				if flight[s.run]++; flight[s.run] > 2 {
					t.Errorf("round %d: run %s lost %d steps, no more than 2 can be in flight", round, s.run, flight[s.run])
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}

	// Every effect of every run, once and once more for each kill it was in flight.
	count := map[step]int{}
	log, err := os.ReadFile(filepath.Join(dir, "effects"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(log)), "\n") {
		f := strings.Fields(line)
		count[step{f[1], f[2]}]++
	}
	finished, failed, repeated := 0, 0, 0
	for id, status := range ended {
		switch status {
		case store.RunFinished:
			finished++
		case store.RunFailed:
			failed++
		default:
			t.Errorf("run %s is %s", id, status)
		}
		for _, name := range []string{"a", "loop", "loop#1", "loop#2", "each[0]", "each[1]", "each[2]", "beside", "both", "last"} {
			s := step{id, name}
			if count[s] != 1+again[s] {
				t.Errorf("%v was executed %d times and was in flight at %d kills", s, count[s], again[s])
			}
			repeated += count[s] - 1
		}
	}
	t.Logf("%d kills: %d runs finished, %d reported failed, %d executions interrupted or waiting at a kill, %d steps repeated of %d",
		*killRounds, finished, failed, interrupted, repeated, 10*len(ended))
	if finished < *killRounds || failed < *killRounds/10 || interrupted < *killRounds {
		t.Error("the rounds prove too little")
	}
}

// openStore opens the state of a host that is not there any more.
func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
