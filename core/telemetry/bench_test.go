package telemetry

import (
	"context"
	"runtime"
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

// observations returns those of a run of ten steps with eight attributes each.
// They are made beforehand: making them is the engine's affair.
func observations(in *run.Info) []run.Observation {
	trail := &run.Trail{Attrs: []run.Attr{run.String("query", "read a file"), run.Int("hits", 50), run.Float("score", 12.5), run.Bool("cached", false),
		run.String("lang", "en"), run.Int("depth", 3), run.Float("k1", 1.2), run.String("stage", "retrieve")}}
	var all []run.Observation
	at := in.Started
	for i := range 10 {
		end := at.Add(time.Millisecond)
		all = append(all, run.Observation{Phase: run.StepFinished, Info: in, Node: nodes[i], Type: run.NodeType{Name: "echo", Version: "1.0.0", Digest: "d1"},
			Seq: i, After: i - 1, Start: at, End: end, Trail: trail})
		at = end
	}
	return append(all, run.Observation{Phase: run.RunFinished, Info: in, End: at})
}

// recordRun delivers a run.
func recordRun(r *Recorder, in *run.Info, all []run.Observation) {
	x := r.Begin(in)
	for i := range all {
		x.Observe(&all[i])
	}
}

var nodes = [...]string{"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"}

// BenchmarkRecord is the cost of a run of ten spans with eight attributes each,
// from Begin to the hand-over, sketches included.
func BenchmarkRecord(b *testing.B) {
	cfg := Defaults()
	cfg.MaxQueueSize = 100000
	r := newRecorder(b, cfg, nowhere{})
	in := info(0)
	in.Started = time.Now() // with the monotonic clock, as in a run
	all := observations(in)
	b.ReportAllocs()
	runtime.LockOSThread() // whose time is that of the run alone
	defer runtime.UnlockOSThread()
	begin, mine := cpu(b), threadTime()
	for b.Loop() {
		recordRun(r, in, all)
	}
	b.ReportMetric(float64(threadTime()-mine)/float64(b.N)/10, "run-ns/span")
	b.ReportMetric(float64(cpu(b)-begin)/float64(b.N)/10, "cpu-ns/span") // exporter and collector included
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
	b.ReportMetric(float64(r.Stats().Dropped), "dropped")
}

// BenchmarkSampledOut is the cost of a run that is not kept, statistics included:
// head when nothing in the run can change that, tail when its end decides.
func BenchmarkSampledOut(b *testing.B) {
	for name, force := range map[string]bool{"head": false, "tail": true} {
		b.Run(name, func(b *testing.B) {
			cfg := Defaults()
			cfg.SamplingRate, cfg.ForceSampleOnError = 0, force
			r := newRecorder(b, cfg, nowhere{})
			in := info(0)
			in.Started = time.Now() // with the monotonic clock, as in a run
			all := observations(in)
			b.ReportAllocs()
			begin := cpu(b)
			for b.Loop() {
				recordRun(r, in, all)
			}
			b.ReportMetric(float64(cpu(b)-begin)/float64(b.N)/10, "cpu-ns/span")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
		})
	}
}

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOff is the cost of one site when telemetry is off: of an observation, of
// a whole run with ten of them, and of what the code of a node records.
func BenchmarkOff(b *testing.B) {
	r, err := New(Config{}, nil, Options{})
	if err != nil {
		b.Fatal(err)
	}
	in := info(0)
	all := observations(in)
	b.Run("observe", func(b *testing.B) {
		x := r.Begin(in)
		b.ReportAllocs()
		for b.Loop() {
			x.Observe(&all[0])
		}
	})
	b.Run("run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			recordRun(r, in, all)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/span")
	})
	b.Run("span", func(b *testing.B) {
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			_, s := StartSpan(ctx, "rank")
			s.End(nil)
		}
	})
}
