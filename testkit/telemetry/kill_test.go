package telemetry_test

import (
	"bufio"
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
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

var (
	rounds = flag.Int("kill.rounds", 8, "how often the host is killed")
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

// host is the process that is killed: it records runs of its round through a
// recorder with a spool, makes the backend look down half of the time, and says on
// standard output up to which run everything is in the backend or on the disk.
func host(dir string, round int) error {
	ctx := context.Background()
	config, err := json.Marshal(sqlite.Config{DBPath: filepath.Join(dir, "telemetry.db")})
	if err != nil {
		return err
	}
	spec := plughost.Spec{Name: "sqlite", Kind: plughost.Backend, Args: []string{"serve-sqlite"}, Config: config,
		Timing: plughost.Timing{Backoff: 10 * time.Millisecond, Stable: time.Millisecond}}
	p, err := plughost.Launch(ctx, spec)
	for fault.Is(err, fault.Locked) { // the plugin of the killed host is about to end
		time.Sleep(time.Millisecond)
		p, err = plughost.Launch(ctx, spec)
	}
	if err != nil {
		return err
	}
	client, err := backend.NewClient(ctx, p.Conn(), nil)
	if err != nil {
		return err
	}
	g := &gate{Client: client}
	cfg := telemetry.Defaults()
	cfg.BufferSize, cfg.MaxQueueSize = 8, 64
	r, err := telemetry.New(cfg, g, telemetry.Options{SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		return err
	}
	before := int64(r.Stats().SpoolTraces)
	rng := rand.New(rand.NewPCG(*seed, uint64(round)))
	for n := 0; ; {
		for range 1 + rng.IntN(40) {
			info := &run.Info{Graph: "g", Version: "1", Kind: run.Production, Started: time.Now()}
			binary.BigEndian.PutUint64(info.ID[:], uint64(round)+1)
			binary.BigEndian.PutUint64(info.ID[8:], uint64(n))
			x := r.Begin(info)
			x.Observe(&run.Observation{Phase: run.StepFinished, Info: info, Node: "n", After: -1, Start: info.Started, End: info.Started.Add(time.Millisecond)})
			x.Observe(&run.Observation{Phase: run.RunFinished, Info: info, End: info.Started.Add(time.Millisecond)})
			n++
		}
		if g.shut.Store(rng.IntN(2) == 0); rng.IntN(2) == 0 {
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
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(*seed, 99))
	acknowledged := make([]int, *rounds)
	for round := range *rounds {
		cmd := exec.Command(os.Args[0], "host", dir, strconv.Itoa(round))
		var log strings.Builder
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
				killer = time.AfterFunc(time.Duration(rng.IntN(600))*time.Millisecond, func() { cmd.Process.Kill() })
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
	_, c := launchAgain(t, dir)
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
	seen, total := map[backend.ID]int{}, 0
	for x, err := range c.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[x.RunID]++
		total++
	}
	if total != len(seen) {
		t.Errorf("%d traces of %d runs: some are doubled", total, len(seen))
	}
	sum := 0
	for round, n := range acknowledged {
		sum += n
		for i := range n {
			var id backend.ID
			binary.BigEndian.PutUint64(id[:], uint64(round)+1)
			binary.BigEndian.PutUint64(id[8:], uint64(i))
			if seen[id] != 1 {
				t.Fatalf("run %d of round %d is there %d times, and %d were acknowledged", i, round, seen[id], n)
			}
		}
	}
	t.Logf("%d rounds, %d runs acknowledged, %d stored, %d of them drained last", *rounds, sum, total, left)
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// launchAgain is launch once the plugin of a killed host let go of the file.
func launchAgain(t *testing.T, dir string) (*plughost.Plugin, *backend.Client) {
	lock := filepath.Join(dir, "telemetry.db")
	for {
		b, err := sqlite.Open(fmt.Appendf(nil, `{"db_path": %q}`, lock))
		if err == nil {
			b.Close(t.Context())
			return launch(t, dir)
		}
		if !fault.Is(err, fault.Locked) {
			t.Fatal(err)
		}
		pause(t)
	}
}
