package host

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
	testpg "github.com/sparkrsi/spark/testkit/postgres"
)

// shared is the profile of hosts that write one schema of a server.
func shared(url, schema, layout string) telemetry.Config {
	p := telemetry.Defaults()
	p.Backend, p.ConnectionString = "postgres", telemetry.Secret(url)
	p.BackendSettings = map[string]any{"schema": schema, "layout": layout}
	return p
}

// counting opens a host on dir with the graph count: two steps, of which the second
// fails when the input says so.
func counting(t testing.TB, dir string, p telemetry.Config) *Host {
	t.Helper()
	h := open(t, dir, Config{Stock: [][]byte{}, Telemetry: map[string]telemetry.Config{"default": p}, Natives: map[string]engine.NodeRunner{
		"pass": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil }),
		"check": engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
			if strings.Contains(string(s.Input), "fail") {
				return nil, fault.New(fault.Rejected, "", "as asked")
			}
			return s.Input, nil
		})}})
	apply(t, h, Document{GraphFile: "count.yaml", Graph: []byte("graph: count\nversion: 1.0.0\nstart: pass\nnodes:\n  pass: {native: pass}\n  check: {native: check}\nedges: [{from: pass, to: check}]\n")})
	return h
}

// once does run number n of a host; every fifth fails. It returns the id of one that did not.
func once(t testing.TB, h *Host, n int) string {
	t.Helper()
	in := fmt.Sprintf(`{"name":"run %d"}`, n)
	if n%5 == 4 {
		in = `{"name":"fail"}`
	}
	res, err := h.Run(t.Context(), Request{Graph: "count", Input: json.RawMessage(in)})
	if (err != nil) != (n%5 == 4) {
		t.Errorf("run %d: %v", n, err)
	}
	if err != nil {
		return ""
	}
	return res.RunID
}

// epochs adds up the rows of statistics by who wrote them: all of them, and the
// runs of each.
func epochs(t testing.TB, h *Host) (*backend.Aggregate, map[backend.ID]float64) {
	t.Helper()
	p, err := h.recording(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	q, err := backend.AsQuerier(p.writer)
	if err != nil {
		t.Fatal(err)
	}
	var all backend.Tallies
	runs := map[backend.ID]float64{}
	for s, err := range q.Sketches(t.Context(), backend.Filter{Graph: "count"}) {
		if err != nil {
			t.Fatal(err)
		}
		x, err := backend.DecodeTally(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		if s.Node == "" {
			runs[s.Epoch] += x.Stats(nil).Count
			all.Run.Merge(x)
		} else {
			all.Node(s.Node).Merge(x)
		}
	}
	return all.Aggregate(), runs
}

// Two hosts open an empty database at the same moment and serve the same graph:
// it has the traces of both, each once, and one overview of all.
func TestTwoHostsOneDatabase(t *testing.T) {
	server := testpg.Start(t)
	for _, layout := range []string{"rows", "packed"} {
		t.Run(layout, func(t *testing.T) {
			const each = 40
			p := shared(server.URL(), "two_hosts_"+layout, layout)
			hosts := [2]*Host{counting(t, t.TempDir(), p), counting(t, t.TempDir(), p)}
			var mu sync.Mutex // guards ids
			ids := map[string]int{}
			var all sync.WaitGroup
			for k, h := range hosts {
				all.Go(func() { // the first run opens the profile: both make the schema
					for n := range each + k*10 {
						if id := once(t, h, n); id != "" {
							mu.Lock()
							ids[id] = 0
							mu.Unlock()
						}
					}
					if err := h.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			const want, failed = 2*each + 10, 18
			for k, h := range hosts {
				q, err := h.Query(t.Context(), "count")
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for x, err := range q.Raw(t.Context(), backend.Filter{Graph: "count"}) {
					if err != nil {
						t.Fatal(err)
					}
					n++
					if id := fmt.Sprintf("%x", x.RunID); x.Status == backend.OK {
						if _, ok := ids[id]; !ok {
							t.Fatalf("host %d: run %s is nobody's", k, id)
						}
						ids[id]++
					}
				}
				for id, times := range ids {
					if times != k+1 {
						t.Errorf("host %d: run %s is there %d times", k, id, times-k)
					}
				}
				a, err := q.Aggregate(t.Context(), backend.Filter{Graph: "count"})
				if err != nil || n != want || a.Runs.Count != want || a.Runs.Failures != failed || a.Nodes["pass"].Count != want || a.Nodes["check"].Failures != failed {
					t.Errorf("host %d: %d traces, %+v, %v", k, n, a, err)
				}
				o, err := q.Overview(t.Context(), backend.Filter{Graph: "count"})
				if err != nil {
					t.Fatal(err)
				}
				sum, runs := epochs(t, h)
				sum.First, sum.Last = o.First, o.Last
				if at := backendtest.Differ(o, sum); at != "" || o.Runs.Count != want || o.Runs.Failures != failed || o.Nodes["check"].Failures != failed {
					t.Errorf("host %d: the overview is not the sum: %s, %+v", k, at, o.Runs)
				}
				list := []float64{}
				for _, n := range runs {
					list = append(list, n)
				}
				if slices.Sort(list); !slices.Equal(list, []float64{each, each + 10}) {
					t.Errorf("host %d: rows of statistics of %v runs", k, list)
				}
			}
		})
	}
}

// life is what a host process is told on its standard input.
type life struct{ Dir, URL, Schema, Layout string }

// TestHostProcess is the host that TestKilledHost starts as a process of its own:
// it runs the graph until it is killed and tells the id of each run once that is
// flushed. On its own it has nothing to do.
func TestHostProcess(t *testing.T) {
	var l life
	if os.Getenv("SPARK_TEST_LIFE") == "" {
		return
	}
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		t.Fatal(err)
	}
	h := counting(t, l.Dir, shared(l.URL, l.Schema, l.Layout))
	for n := 0; ; n++ {
		id := once(t, h, n)
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id != "" {
			fmt.Println("\nflushed", id)
		}
	}
}

// One of two hosts is killed and comes back, twice, while the other goes on: what
// was flushed is there once, of every life, and the overview is the sum of all.
func TestKilledHost(t *testing.T) {
	server := testpg.Start(t)
	dir := t.TempDir()
	p := shared(server.URL(), "killed_host", "rows")
	h := counting(t, t.TempDir(), p)
	ctx, stop := context.WithCancel(t.Context())
	beside := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			once(t, h, n)
			if n%100 == 0 { // else more would wait than there is room for
				if err := h.Flush(context.WithoutCancel(ctx)); err != nil {
					t.Error(err)
				}
			}
		}
		beside <- n
	}()
	const lives, perLife = 3, 25
	flushed := map[string]int{}
	for range lives {
		for _, id := range serveAndDie(t, life{dir, server.URL(), "killed_host", "rows"}, perLife) {
			flushed[id] = 0
		}
	}
	stop()
	own := <-beside
	q, err := h.Query(t.Context(), "count")
	if err != nil {
		t.Fatal(err)
	}
	o, err := q.Overview(t.Context(), backend.Filter{Graph: "count"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[backend.ID]bool{}
	for x, err := range q.Raw(t.Context(), backend.Filter{Graph: "count"}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[x.RunID] {
			t.Errorf("run %x is doubled", x.RunID)
		}
		seen[x.RunID] = true
		if id := fmt.Sprintf("%x", x.RunID); x.Status == backend.OK {
			if _, ok := flushed[id]; ok {
				flushed[id]++
			}
		}
	}
	for id, n := range flushed {
		if n != 1 {
			t.Errorf("run %s was flushed and is there %d times", id, n)
		}
	}
	sum, runs := epochs(t, h)
	sum.First, sum.Last = o.First, o.Last
	if at := backendtest.Differ(o, sum); at != "" {
		t.Errorf("the overview is not the sum: %s", at)
	}
	if len(runs) != lives+1 || len(flushed) != lives*perLife {
		t.Errorf("rows of %d hosts, %d runs flushed", len(runs), len(flushed))
	}
	mine := false
	total := 0.
	for _, n := range runs {
		mine = mine || n == float64(own)
		total += n
	}
	// A life ended between the two writes of at most one run.
	if d := total - float64(len(seen)); !mine || d < -lives || d > lives || o.Runs.Count != total {
		t.Errorf("the host beside ran %d of %v; statistics of %v runs, %d traces", own, runs, total, len(seen))
	}
}

// serveAndDie starts a host process, waits until it flushed so many successful runs, kills
// it and returns their ids.
func serveAndDie(t *testing.T, l life, n int) (ids []string) {
	t.Helper()
	in, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostProcess$")
	c.Env = append(os.Environ(), "SPARK_TEST_LIFE=1")
	c.Stdin = strings.NewReader(string(in))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines, text := bufio.NewScanner(out), ""
	for len(ids) < n && lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "flushed "); ok {
			ids = append(ids, id)
		} else {
			text += lines.Text() + "\n"
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if len(ids) < n {
		t.Fatalf("the host ended after %d runs:\n%s", len(ids), text)
	}
	return ids
}
