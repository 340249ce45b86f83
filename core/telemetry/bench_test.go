package telemetry

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// nowhere takes everything and keeps nothing.
type nowhere struct{}

func (nowhere) Write(context.Context, *backend.Batch) ([]backend.Quarantined, error) { return nil, nil }
func (nowhere) Flush(context.Context) error                                          { return nil }
func (nowhere) Close(context.Context) error                                          { return nil }

// recordRun delivers a run of ten steps with eight attributes each.
func recordRun(r *Recorder, in *run.Info, o *run.Observation, trail *run.Trail) {
	x := r.Begin(in)
	at := in.Started
	for i := range 10 {
		end := at.Add(time.Millisecond)
		*o = run.Observation{Phase: run.StepFinished, Info: in, Node: nodes[i], Type: run.NodeType{Name: "echo", Version: "1.0.0", Digest: "d1"},
			Seq: i, After: i - 1, Start: at, End: end, Trail: trail}
		x.Observe(o)
		at = end
	}
	*o = run.Observation{Phase: run.RunFinished, Info: in, End: at}
	x.Observe(o)
}

var nodes = [...]string{"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"}

func eightAttrs() *run.Trail {
	return &run.Trail{Attrs: []run.Attr{run.String("query", "read a file"), run.Int("hits", 50), run.Float("score", 12.5), run.Bool("cached", false),
		run.String("lang", "en"), run.Int("depth", 3), run.Float("k1", 1.2), run.String("stage", "retrieve")}}
}

// BenchmarkRecord is the cost of a run of ten spans with eight attributes each,
// from Begin to the hand-over, sketches included.
func BenchmarkRecord(b *testing.B) {
	cfg := Defaults()
	cfg.MaxQueueSize = 100000
	r := newRecorder(b, cfg, nowhere{})
	in, o, trail := info(0), &run.Observation{}, eightAttrs()
	b.ReportAllocs()
	begin := cpu(b)
	for b.Loop() {
		recordRun(r, in, o, trail)
	}
	b.ReportMetric(float64(cpu(b)-begin)/float64(b.N)/10, "cpu-ns/span") // exporter and collector included
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
	b.ReportMetric(float64(r.Stats().Dropped), "dropped")
}

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOff is the cost of an observation when telemetry is off.
func BenchmarkOff(b *testing.B) {
	var x *Run
	o := &run.Observation{Phase: run.StepFinished}
	for b.Loop() {
		x.Observe(o)
	}
}
