// Package telemetry_test proves the way of a trace through real processes: run,
// recorder, plugin host, SQLite plugin, file.
package telemetry_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// launch starts the SQLite plugin on a file in dir.
func launch(t *testing.T, dir string) (*plughost.Plugin, *backend.Client) {
	t.Helper()
	return file(dir).open(t)
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
func pause(t testing.TB) {
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
