package telemetry_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
)

var (
	outageTime  = flag.Duration("outage.time", time.Minute, "how long the backend is gone in BenchmarkOutage")
	outageRate  = flag.Float64("outage.rate", 1000, "runs a second, at random moments")
	outagePairs = flag.Int("outage.pairs", 3, "interleaved pairs of BenchmarkOutage, without and with a recorder")
	outageWork  = flag.Duration("outage.work", 20*time.Microsecond, "processor time of a step")
)

// gone is a way in which a backend is away for a while. It returns what brings it
// back.
type gone func(p *plughost.Plugin) (back func())

// stopped stops the process as a debugger would: it holds its connection and
// answers nothing.
func stopped(p *plughost.Plugin) func() {
	pid := p.Info().PID
	syscall.Kill(pid, syscall.SIGSTOP)
	return func() { syscall.Kill(pid, syscall.SIGCONT) }
}

// killed kills the process, and every one that takes its place.
func killed(p *plughost.Plugin) func() {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if pid := p.Info().PID; pid > 1 {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-done }
}

// load runs a graph of ten steps.
type load struct {
	program *engine.Program
	loops   int // of a step
	input   []byte
	sink    atomic.Uint64
}

func newLoad(t testing.TB, step time.Duration) *load {
	t.Helper()
	var doc strings.Builder
	doc.WriteString("graph: load\nversion: 1.0.0\nstart: n0\nnodes:\n")
	for i := range steps {
		fmt.Fprintf(&doc, "  n%d: {native: burn}\n", i)
	}
	doc.WriteString("edges:\n")
	for i := range steps - 1 {
		fmt.Fprintf(&doc, "  - {from: n%d, to: n%d}\n", i, i+1)
	}
	g, findings := graph.Decode([]byte(doc.String()), "load.yaml")
	if findings.HasErrors() {
		t.Fatal(findings)
	}
	plan, err := graph.Compile(&graph.Locked{Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{program: &engine.Program{Plan: plan}, loops: 1 << 16, input: []byte(`{"text":"` + strings.Repeat("hello ", 500) + `"}`)}
	burn := engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) {
		l.burn()
		return s.Input, nil
	})
	for range steps {
		l.program.Runners = append(l.program.Runners, burn)
	}
	best := time.Hour
	for range 20 {
		begin := time.Now()
		l.burn()
		best = min(best, time.Since(begin))
	}
	l.loops = int(float64(l.loops) * float64(step) / float64(best))
	return l
}

func (l *load) burn() {
	x := l.sink.Load() | 1
	for range l.loops {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	l.sink.Store(x)
}

// latencies are those of some runs: within the engine, and from the moment at which
// a run should have begun, so that a run that had to wait for the one before it
// counts in full.
type latencies struct{ run, arrival []time.Duration }

func (l *latencies) add(o latencies) {
	l.run, l.arrival = append(l.run, o.run...), append(l.arrival, o.arrival...)
}

// quantile returns the smallest of v that at least the share q of v does not
// exceed. It sorts v.
func quantile(v []time.Duration, q float64) time.Duration {
	slices.Sort(v)
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

// at starts runs at the given rate for so long, at random moments and without
// waiting for those before, each recorded by r unless it is nil, and returns when
// all have ended. The ids are those of a round.
func (l *load) at(t testing.TB, r *telemetry.Recorder, rate float64, d time.Duration, round int) (all latencies) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	rng := rand.New(rand.NewPCG(uint64(round), 3))
	begin := time.Now()
	for n, at := 0, time.Duration(0); ; n++ {
		at += time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
		if at > d {
			break
		}
		due := begin.Add(at)
		time.Sleep(time.Until(due))
		wg.Go(func() {
			start := time.Now()
			info := &run.Info{ID: run.ID(runOf(round, n)), Graph: "load", Version: "1.0.0", Kind: run.Production, Started: start}
			o := engine.Options{Info: info, Parallel: 1}
			if r != nil {
				o.Observer = r.Begin(info)
			}
			res, err := engine.Run(context.Background(), l.program, l.input, o)
			end := time.Now()
			mu.Lock()
			defer mu.Unlock()
			all.run, all.arrival = append(all.run, end.Sub(start)), append(all.arrival, end.Sub(due))
			if err != nil || res.Steps != steps {
				t.Errorf("run %d: %+v, %v", n, res, err)
			}
		})
	}
	wg.Wait()
	return all
}

// outage is a recorder in front of a SQLite process that goes away.
type outage struct {
	plugin *plughost.Plugin
	client *backend.Client
	rec    *telemetry.Recorder
	asked  int64 // runs so far
}

func newOutage(t testing.TB, change func(*telemetry.Config)) *outage {
	t.Helper()
	dir := t.TempDir()
	s := file(dir)
	// A host replaces a process that does not answer for some 14 s; here it stays.
	p, err := plughost.Launch(t.Context(), plughost.Spec{Name: s.Kind, Kind: plughost.Backend, Args: []string{"serve-" + s.Kind}, Config: s.Config,
		Timing: plughost.Timing{Health: time.Hour, Backoff: 10 * time.Millisecond, MaxBackoff: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	c, err := backend.NewClient(t.Context(), p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := telemetry.Defaults()
	if change != nil {
		change(&cfg)
	}
	r, err := telemetry.New(cfg, c, telemetry.Options{SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	return &outage{plugin: p, client: c, rec: r}
}

// during runs l while the backend is gone, and waits until it is back and has
// everything that was kept.
func (o *outage) during(t testing.TB, l *load, how gone, rate float64, d time.Duration, round int) latencies {
	t.Helper()
	back := how(o.plugin)
	got := l.at(t, o.rec, rate, d, round)
	o.asked += int64(len(got.run))
	away := o.rec.Stats()
	if away.ExportedTraces+away.Dropped >= o.asked {
		t.Errorf("the backend was not gone: %+v", away)
	}
	back()
	for o.rec.Flush(t.Context()) != nil {
		pause(t)
	}
	return got
}

// settled fails unless every run is accounted for: stored once, or dropped and
// counted. It returns the counters.
func (o *outage) settled(t testing.TB) telemetry.Stats {
	t.Helper()
	s := o.rec.Stats()
	seen, total := runs(t, o.client)
	sum := int64(0)
	for _, n := range s.DroppedByReason {
		sum += n
	}
	if s.ExportedTraces+s.Dropped != o.asked || sum != s.Dropped || s.Waiting != 0 || s.SpoolTraces != 0 {
		t.Errorf("of %d runs: %+v", o.asked, s)
	}
	if int64(total) != s.ExportedTraces || len(seen) != total {
		t.Errorf("%d traces of %d runs are stored, %d were exported", total, len(seen), s.ExportedTraces)
	}
	return s
}

// While the backend is stopped, or dies whenever it starts, no run fails and none
// is lost that the spool has room for; where it has none the losses are counted to
// the run.
func TestOutage(t *testing.T) {
	const rate, long = 1000, 1500 * time.Millisecond
	const often = telemetry.Duration(200 * time.Millisecond) // to find that a commit without an answer holds up nothing
	l := newLoad(t, 20*time.Microsecond)
	for name, how := range map[string]gone{"stopped": stopped, "killed": killed} {
		t.Run(name, func(t *testing.T) {
			o := newOutage(t, func(c *telemetry.Config) { c.ExportInterval = often })
			o.during(t, l, how, rate, long, 0)
			if s := o.settled(t); s.Dropped != 0 || s.SpooledTraces == 0 {
				t.Errorf("%+v", s)
			}
			if err := o.rec.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		t.Run(name+" without room", func(t *testing.T) {
			o := newOutage(t, func(c *telemetry.Config) {
				c.CaptureInputs, c.SpoolMaxBytes, c.MaxQueueSize, c.BufferSize = true, 1<<20, 500, 100
			})
			o.during(t, l, how, rate, long, 0)
			if s := o.settled(t); s.Dropped == 0 || s.DroppedByReason["spool_full"] != s.Dropped || s.SpooledTraces == 0 {
				t.Errorf("%+v", s)
			}
			if err := o.rec.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// BenchmarkOutage compares the latency of runs without telemetry, with a backend
// that answers, and with one that is gone for a minute, at 1,000 runs a second:
//
//	make load
//
// Every block of a minute is preceded or followed by one without telemetry, in
// turns. Runs begin at random moments and wait for no other. That no run fails and
// that all are stored, or counted as dropped, is asserted; latencies are reported.
func BenchmarkOutage(b *testing.B) {
	l := newLoad(b, *outageWork)
	here := func(*plughost.Plugin) func() { return func() {} }
	for _, arm := range []struct {
		name string
		how  gone
	}{{"up", here}, {"stopped", stopped}, {"killed", killed}} {
		b.Run(arm.name, func(b *testing.B) {
			for b.Loop() {
				compare(b, l, arm.how, arm.name != "up")
			}
		})
	}
}

func compare(b *testing.B, l *load, how gone, away bool) {
	o := newOutage(b, nil)
	var off, on latencies
	for i := range *outagePairs {
		for half := range 2 {
			runtime.GC()
			if (half == 0) == (i%2 == 0) {
				off.add(l.at(b, nil, *outageRate, *outageTime, i))
				continue
			}
			if away {
				on.add(o.during(b, l, how, *outageRate, *outageTime, i))
				continue
			}
			got := l.at(b, o.rec, *outageRate, *outageTime, i)
			o.asked += int64(len(got.run))
			on.add(got)
			if err := o.rec.Flush(b.Context()); err != nil {
				b.Error(err)
			}
		}
	}
	s := o.settled(b)
	if s.Dropped > 0 {
		b.Logf("dropped by reason: %v, last error: %s", s.DroppedByReason, s.LastError)
	}
	if err := o.rec.Close(b.Context()); err != nil {
		b.Error(err)
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", .5}, {"p99", .99}} {
		b.ReportMetric(us(quantile(off.run, q.at)), q.name+"-off-us")
		b.ReportMetric(us(quantile(on.run, q.at)), q.name+"-us")
		b.ReportMetric(us(quantile(on.run, q.at))/us(quantile(off.run, q.at)), q.name+"-ratio")
		b.ReportMetric(us(quantile(on.arrival, q.at))/us(quantile(off.arrival, q.at)), q.name+"-arrival-ratio")
	}
	b.ReportMetric(float64(o.asked), "runs")
	b.ReportMetric(float64(s.SpooledTraces), "spooled")
	b.ReportMetric(float64(s.Dropped), "dropped")
	b.ReportMetric(0, "ns/op")
}
