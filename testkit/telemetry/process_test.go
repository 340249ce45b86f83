// Package telemetry_test proves the way of a trace through real processes: run,
// recorder, plugin host, SQLite plugin, file.
package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/plugins/backends/sqlite"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// The test binary plays the plugin, or the host to be killed, when its first
// argument says so.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "host" {
		round, err := strconv.Atoi(os.Args[3])
		if err == nil {
			err = host(os.Args[2], round)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if len(os.Args) > 1 {
		if serve := map[string]func() error{"serve-sqlite": sqlite.Serve, "serve-memory": memory.Serve}[os.Args[1]]; serve != nil {
			if err := serve(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// launch starts the SQLite plugin on a file in dir.
func launch(t *testing.T, dir string) (*plughost.Plugin, *backend.Client) {
	t.Helper()
	config, err := json.Marshal(sqlite.Config{DBPath: filepath.Join(dir, "telemetry.db")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plughost.Launch(t.Context(), plughost.Spec{Name: "sqlite", Kind: plughost.Backend, Args: []string{"serve-sqlite"}, Config: config,
		Timing: plughost.Timing{Backoff: 10 * time.Millisecond, Stable: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	c, err := backend.NewClient(t.Context(), p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func TestConformanceOfTheProcess(t *testing.T) {
	backendtest.Run(t, func(t *testing.T, dir string) backend.Writer {
		p, c := launch(t, dir)
		return &process{c, p}
	})
}

// process ends with its backend, as it does with its host.
type process struct {
	*backend.Client
	p *plughost.Plugin
}

func (p *process) Close(ctx context.Context) error {
	err := p.Client.Close(ctx)
	if fault.Is(err, fault.Unavailable) {
		err = nil // closed before
	}
	p.p.Close(ctx)
	return err
}

// pause lets a moment pass between two looks at a process that is coming back.
func pause(t *testing.T) {
	tick := time.NewTimer(2 * time.Millisecond)
	defer tick.Stop()
	select {
	case <-tick.C:
	case <-t.Context().Done():
	}
}

// kill ends the process that lives now, as soon as one does.
func kill(t *testing.T, p *plughost.Plugin) {
	for p.Info().PID == 0 { // 0 would name this process and all its kin
		pause(t)
	}
	if pid := p.Info().PID; pid > 1 {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// The process is killed again and again while batches are written. Each batch is
// sent until it is acknowledged, as the exporter does; in the end every trace is
// there exactly once.
func TestKillWhileWriting(t *testing.T) {
	p, c := launch(t, t.TempDir())
	const batches, size = 200, 25
	kills := 0
	for n := range batches {
		var killed chan struct{}
		if n%20 == 10 {
			killed = make(chan struct{})
			kills++
			go func() { // beside the write: before, during or after its commit
				kill(t, p)
				close(killed)
			}()
		}
		b := &backend.Batch{ID: backendtest.ID(n), Traces: backendtest.Samples(n*size, n*size+size)}
		for {
			_, err := c.Write(t.Context(), b)
			if err == nil {
				break
			}
			if k := fault.KindOf(err); k != fault.Unavailable {
				t.Fatalf("batch %d: %v (%s), want unavailable while the process is down", n, err, k)
			}
			pause(t)
		}
		if killed != nil {
			<-killed
		}
	}
	if kills != 10 {
		t.Fatalf("%d kills", kills)
	}
	var err error
	n := 0
	for x, e := range c.Traces(t.Context(), backend.Filter{}) {
		if e != nil {
			err = e
			break
		}
		if x.TraceID != backendtest.ID(n) {
			t.Fatalf("trace %d is %x: lost or doubled", n, x.TraceID)
		}
		n++
	}
	if err != nil || n != batches*size {
		t.Fatalf("%d traces, %v; want %d", n, err, batches*size)
	}
}

// A recorder in front of the process loses nothing either when the process dies
// between two flushes.
func TestRecorderSurvivesTheProcess(t *testing.T) {
	p, c := launch(t, t.TempDir())
	r, err := telemetry.New(telemetry.Defaults(), c, telemetry.Options{Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	const runs = 600
	for n := range runs {
		info := &run.Info{ID: run.NewID(), Graph: "g", Version: "1", Kind: run.Production, Started: time.Now()}
		x := r.Begin(info)
		for i := range 4 {
			x.Observe(&run.Observation{Phase: run.StepFinished, Info: info, Node: "n", Seq: i, After: i - 1, Start: info.Started, End: info.Started.Add(time.Millisecond)})
		}
		x.Observe(&run.Observation{Phase: run.RunFinished, Info: info, End: info.Started.Add(5 * time.Millisecond)})
		if n%200 == 100 {
			kill(t, p)
		}
	}
	q, err := r.Query()
	if err != nil {
		t.Fatal(err)
	}
	for r.Flush(t.Context()) != nil {
		pause(t)
	}
	a, err := q.Aggregate(t.Context(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := q.Overview(t.Context(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Runs.Count != runs || a.Nodes["n"].Count != 4*runs || o.Runs.Count != runs || o.Nodes["n"].Count != 4*runs {
		t.Errorf("traces %v, %v; sketches %v, %v; want %d and %d", a.Runs.Count, a.Nodes["n"].Count, o.Runs.Count, o.Nodes["n"].Count, runs, 4*runs)
	}
	if s := r.Stats(); s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
