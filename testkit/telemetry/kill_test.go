package telemetry_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

var (
	rounds = flag.Int("kill.rounds", 50, "how often the host, and the plugin, of SQLite is killed; that of PostgreSQL a fifth as often")
	seed   = flag.Uint64("kill.seed", 1, "of the moments at which it is killed")
)

// gate is a backend that can be made to look down.
type gate struct {
	*backend.Client
	shut atomic.Bool
}

func (g *gate) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	if g.shut.Load() {
		return nil, fault.New(fault.Unavailable, "backend", "it is down")
	}
	return g.Client.Write(ctx, b)
}

func (g *gate) WritePacked(ctx context.Context, p *backend.Packed) ([]backend.Quarantined, error) {
	if g.shut.Load() {
		return nil, fault.New(fault.Unavailable, "backend", "it is down")
	}
	return g.Client.WritePacked(ctx, p)
}

// storeFile holds, in the folder of a host, the store it writes to.
const storeFile = "store.json"

// patient launches once the plugin of a killed host has let go of its file.
func (s store) patient(ctx context.Context) (p *plughost.Plugin, c *backend.Client, err error) {
	for {
		if p, c, err = s.launch(ctx); !fault.Is(err, fault.Locked) {
			return p, c, err
		}
		time.Sleep(time.Millisecond)
	}
}

// runOf is the id of the nth run of a round.
func runOf(round, n int) (id backend.ID) {
	binary.BigEndian.PutUint64(id[:], uint64(round)+1)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// host is the process that is killed. Its arguments are a folder and its round. It
// records runs through a recorder with a spool, makes the backend look down half of
// the time, and says on standard output up to which run everything is in the
// backend or on the disk.
func host(args []string) error {
	ctx, dir := context.Background(), args[0]
	round, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		return err
	}
	var s store
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	_, client, err := s.patient(ctx)
	if err != nil {
		return err
	}
	g := &gate{Client: client}
	g.shut.Store(true) // nothing leaves the spool before it is counted
	cfg := telemetry.Defaults()
	cfg.BufferSize, cfg.MaxQueueSize = 8, 64
	r, err := telemetry.New(cfg, g, telemetry.Options{SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		return err
	}
	before := int64(r.Stats().SpoolTraces)
	rng := rand.New(rand.NewPCG(*seed, uint64(round)))
	for n := 0; ; {
		g.shut.Store(rng.IntN(2) == 0)
		flush := rng.IntN(2) == 0
		more := cfg.BufferSize * (1 + rng.IntN(5)) // full batches, which are written at once
		if flush {
			more = 1 + rng.IntN(40)
		}
		for range more {
			info := &run.Info{ID: run.ID(runOf(round, n)), Graph: "g", Version: "1", Kind: run.Production, Started: time.Now()}
			x := r.Begin(info)
			x.Observe(&run.Observation{Phase: run.StepFinished, Info: info, Node: "n", After: -1, Start: info.Started, End: info.Started.Add(time.Millisecond)})
			x.Observe(&run.Observation{Phase: run.RunFinished, Info: info, End: info.Started.Add(time.Millisecond)})
			n++
		}
		if flush {
			r.Flush(ctx)
		}
		for {
			s := r.Stats()
			if s.Dropped > 0 {
				return fmt.Errorf("dropped: %+v", s)
			}
			if s.Traces+before == s.ExportedTraces+int64(s.SpoolTraces) {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		fmt.Println(n)
	}
}

// The host is killed with its plugin at random moments while the backend comes
// and goes. Whatever it said was in the backend or on the disk is there in the
// end, once.
func TestKillTheHost(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		killHosts(t, dir, file(dir), *rounds)
	})
	t.Run("postgres", func(t *testing.T) {
		killHosts(t, t.TempDir(), schema(postgres.Start(t), "kill_host", "rows"), max(*rounds/5, 1))
	})
}

func killHosts(t *testing.T, dir string, s store, rounds int) {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, storeFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(*seed, 99))
	acknowledged := make([]int, rounds)
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "host", dir, strconv.Itoa(round))
		var log bytes.Buffer
		cmd.Stderr = &log
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var killer *time.Timer
		for lines.Scan() {
			if killer == nil {
				killer = time.AfterFunc(time.Duration(rng.IntN(100_000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
			if acknowledged[round], err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
		err = cmd.Wait()
		if killer == nil || !strings.Contains(fmt.Sprint(err), "killed") {
			t.Fatalf("round %d ended by itself: %v\n%s", round, err, &log)
		}
	}
	// A last host has only to drain what the others left.
	p, c, err := s.patient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	r, err := telemetry.New(telemetry.Defaults(), c, telemetry.Options{SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	left := r.Stats().SpoolTraces
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.SpoolTraces != 0 || s.Dropped != 0 || s.SpoolDamaged != 0 {
		t.Errorf("after the last drain: %+v", s)
	}
	seen, total := runs(t, c)
	if total != len(seen) {
		t.Errorf("%d traces of %d runs: some are doubled", total, len(seen))
	}
	sum := 0
	for round, n := range acknowledged {
		sum += n
		for i := range n {
			if id := runOf(round, i); seen[id] != 1 {
				t.Fatalf("run %d of round %d is there %d times, and %d were acknowledged", i, round, seen[id], n)
			}
		}
	}
	t.Logf("%d rounds, %d runs acknowledged, %d stored, %d of them drained last", rounds, sum, total, left)
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// runs returns how often each run is stored, and how many traces there are.
func runs(t testing.TB, q backend.Querier) (seen map[backend.ID]int, total int) {
	t.Helper()
	seen = map[backend.ID]int{}
	for x, err := range q.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[x.RunID]++
		total++
	}
	return seen, total
}

// The plugin is killed at random moments while batches are written. Each batch is
// sent until it is acknowledged, as the exporter does, and those around a kill once
// more, as after a lost answer; in the end every trace is there exactly once.
func TestKillThePlugin(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { killPlugins(t, file(t.TempDir()), *rounds) })
	t.Run("postgres", func(t *testing.T) {
		killPlugins(t, schema(postgres.Start(t), "kill_plugin", "rows"), max(*rounds/5, 1))
	})
}

func killPlugins(t *testing.T, s store, rounds int) {
	const size = 25
	p, c := s.open(t)
	rng := rand.New(rand.NewPCG(*seed, 7))
	n, failed := 0, 0
	write := func(n int) {
		b := &backend.Batch{ID: backendtest.ID(n), Traces: backendtest.Samples(n*size, n*size+size)}
		for {
			_, err := c.Write(t.Context(), b)
			if err == nil {
				return
			}
			if k := fault.KindOf(err); k != fault.Unavailable && k != fault.Transient {
				t.Fatalf("batch %d: %v (%s), want unavailable while the process is down", n, err, k)
			}
			failed++
			pause(t)
		}
	}
	for range rounds {
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(rng.IntN(10_000))*time.Microsecond, func() { // before, during or after a commit
			kill(t, p)
			close(killed)
		})
		for begun, dead := n, false; !dead; n++ {
			select {
			case <-killed:
				dead = true
			default:
			}
			write(n)
			if dead {
				for i := begun; i < n; i++ {
					if i == begun || i >= n-2 {
						write(i)
					}
				}
			}
		}
	}
	if failed == 0 {
		t.Error("no write met a process that was down")
	}
	seen, total := runs(t, c)
	if total != n*size || len(seen) != total {
		t.Errorf("%d traces of %d runs, want %d: lost or doubled", total, len(seen), n*size)
	}
	t.Logf("%d kills, %d batches, %d attempts failed", rounds, n, failed)
}
