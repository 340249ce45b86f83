package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// spooling returns a recorder over f with a spool in dir, to be closed by the test.
func spooling(t *testing.T, f backend.Writer, dir string, change func(*Config)) (*Recorder, *strings.Builder) {
	t.Helper()
	cfg := Defaults()
	cfg.BufferSize = 10
	if change != nil {
		change(&cfg)
	}
	log := &strings.Builder{}
	r, err := New(cfg, f, Options{SpoolDir: dir, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return r, log
}

func (f *faulty) set(fail func(int) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// inOrder fails unless f holds the runs 0 to n-1, each once, in order.
func inOrder(t *testing.T, f *faulty, n int) {
	t.Helper()
	i := 0
	for _, b := range f.batches {
		for _, x := range b {
			if x.RunID != backend.ID(runID(i)) {
				t.Fatalf("trace %d is %s", i, x.RunID[:])
			}
			i++
		}
	}
	if i != n {
		t.Fatalf("%d traces, want %d", i, n)
	}
}

func batchFiles(t *testing.T, dir, suffix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A Flush while the backend is down brings what waits to the disk at least.
func TestFlushWhileTheBackendIsDown(t *testing.T) {
	f, dir := &faulty{fail: down}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _ := spooling(t, f, dir, nil)
		for n := range 3 {
			drive(r, info(n), []int{1}, nil)
			if err := r.Flush(t.Context()); !fault.Is(err, fault.Unavailable) {
				t.Errorf("flush %d: %v", n, err)
			}
			if s := r.Stats(); s.SpoolTraces != n+1 || s.Waiting != 0 {
				t.Errorf("flush %d: %d traces on the disk, %d wait", n, s.SpoolTraces, s.Waiting)
			}
		}
		f.set(nil)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		inOrder(t, f, 3)
	})
}

// A backend that is down for a minute costs nothing: what a queue of 20 cannot
// hold waits on the disk and arrives in order.
func TestSpoolBridgesAnOutage(t *testing.T) {
	f, dir := &faulty{fail: down}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, log := spooling(t, f, dir, func(c *Config) { c.MaxQueueSize = 20 })
		for n := range 600 {
			drive(r, info(n), []int{1}, nil)
			time.Sleep(100 * time.Millisecond)
		}
		s := r.Stats()
		if s.Dropped != 0 || s.SpoolTraces < 580 || s.SpoolBatches == 0 || s.SpoolBytes < int64(s.SpoolBatches)*diskBlock || int64(s.SpoolTraces) != s.SpooledTraces {
			t.Errorf("while down: %+v", s)
		}
		if n := strings.Count(log.String(), "does not take batches"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, log)
		}
		f.set(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		inOrder(t, f, 600)
		if s := r.Stats(); s.SpoolTraces != 0 || s.SpoolBytes != 0 || s.ExportedTraces != 600 || s.ExportedSpans != 600 || s.Dropped != 0 {
			t.Errorf("after: %+v", s)
		}
		if left := batchFiles(t, dir, spoolSuffix); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A backend that answers too slowly does not hold up the queue either; what it
// gets in the end is complete, in order and not doubled.
func TestSpoolBesideASlowBackend(t *testing.T) {
	f, dir := &faulty{took: 3 * time.Second}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _ := spooling(t, f, dir, func(c *Config) { c.MaxQueueSize = 20 })
		for n := range 500 {
			drive(r, info(n), []int{1}, nil)
			time.Sleep(20 * time.Millisecond)
		}
		if s := r.Stats(); s.Dropped != 0 || s.SpoolTraces == 0 {
			t.Errorf("while slow: %+v", s)
		}
		f.mu.Lock()
		f.took = 0
		f.mu.Unlock()
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		inOrder(t, f, 500)
		if s := r.Stats(); s.ExportedTraces != 500 || s.SpoolTraces != 0 {
			t.Errorf("after: %+v", s)
		}
		r.Close(t.Context())
	})
}

// A backend that takes long to make writes durable, or never answers that it did,
// does not hold up the queue either.
func TestSpoolBesideASlowFlush(t *testing.T) {
	for _, syncs := range []time.Duration{3 * time.Second, time.Hour} {
		f, dir := &faulty{syncs: syncs}, t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			r, _ := spooling(t, f, dir, func(c *Config) { c.MaxQueueSize, c.ExportInterval = 20, Duration(5*time.Second) })
			for n := range 600 {
				drive(r, info(n), []int{1}, nil)
				time.Sleep(50 * time.Millisecond)
			}
			if s := r.Stats(); s.Dropped != 0 || s.SpooledTraces == 0 {
				t.Errorf("while slow: %+v", s)
			}
			f.mu.Lock()
			f.syncs = 0
			f.mu.Unlock()
			time.Sleep(20 * time.Second)
			if err := r.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			inOrder(t, f, 600)
			r.Close(t.Context())
		})
	}
}

// A backend that gives no answer at all.
func TestSpoolBesideAHangingBackend(t *testing.T) {
	f, dir := &faulty{gate: make(chan struct{})}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f.gate = make(chan struct{})
		r, _ := spooling(t, f, dir, nil)
		for n := range 300 {
			drive(r, info(n), []int{1}, nil)
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if s := r.Stats(); s.Dropped != 0 || s.SpoolTraces != 300 {
			t.Errorf("while hanging: %+v", s)
		}
		close(f.gate)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		inOrder(t, f, 300)
		r.Close(t.Context())
	})
}

// Close spools what is left, within its deadline, and the next start goes on.
func TestSpoolOutlivesItsProcess(t *testing.T) {
	f, dir := &faulty{}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f.gate = make(chan struct{})
		r, log := spooling(t, f, dir, nil)
		for n := range 95 {
			drive(r, info(n), []int{1}, nil)
		}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("close: %v, want nil: nothing is lost", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("close took %v", took)
		}
		if s := r.Stats(); s.SpoolTraces != 95 || s.Dropped != 0 || !strings.Contains(log.String(), "left in the spool") {
			t.Errorf("%+v\n%s", s, log)
		}
		f.mu.Lock()
		f.gate = nil
		f.mu.Unlock()
		r, _ = spooling(t, f, dir, nil)
		if s := r.Stats(); s.SpoolTraces != 95 {
			t.Errorf("at the start: %+v", s)
		}
		for n := range 5 {
			drive(r, info(95+n), []int{1}, nil)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		inOrder(t, f, 100)
		if s := r.Stats(); s.ExportedTraces != 100 || s.Traces != 5 || s.SpoolTraces != 0 {
			t.Errorf("after: %+v", s)
		}
		if len(f.rows) == 0 {
			t.Error("the statistics of the first process are missing")
		}
		r.Close(t.Context())
	})
}

func TestSpoolIsBounded(t *testing.T) {
	f, dir := &faulty{fail: down}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, log := spooling(t, f, dir, func(c *Config) { c.MaxQueueSize, c.SpoolMaxBytes, c.BufferSize = 20, 1<<20, 1 })
		for n := range 500 {
			drive(r, info(n), []int{1}, nil)
			time.Sleep(10 * time.Millisecond)
		}
		s := r.Stats()
		if s.SpoolBytes > 1<<20 || s.SpoolBytes < 1<<20-diskBlock || s.DroppedByReason["spool_full"] == 0 || s.DroppedByReason["spool_full"] != s.Dropped {
			t.Errorf("%+v", s)
		}
		if s.Traces+s.Dropped != 500 {
			t.Errorf("%d taken and %d dropped, want 500", s.Traces, s.Dropped)
		}
		if n, m := strings.Count(log.String(), "spool is nearly full"), strings.Count(log.String(), "being dropped"); n != 1 || m != 1 {
			t.Errorf("%d and %d warnings, want one a crossing:\n%s", n, m, log)
		}
		f.set(nil)
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		after := r.Stats()
		if after.ExportedTraces != 500-s.Dropped || after.Dropped != s.Dropped {
			t.Errorf("%d exported and %d dropped of 500", after.ExportedTraces, after.Dropped)
		}
		r.Close(t.Context())
	})
}

// A spool whose disk fails makes the recorder no worse than one without a spool:
// the drops are counted under the name of the cause.
func TestSpoolOnAFailingDisk(t *testing.T) {
	f, dir := &faulty{fail: down}, filepath.Join(t.TempDir(), "spool")
	synctest.Test(t, func(t *testing.T) {
		r, _ := spooling(t, f, dir, func(c *Config) { c.MaxQueueSize = 20 })
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for n := range 100 {
			drive(r, info(n), []int{1}, nil)
			time.Sleep(10 * time.Millisecond)
		}
		s := r.Stats()
		if s.Dropped == 0 || s.DroppedByReason["spool_disk"] != s.Dropped || s.Traces+s.Dropped != 100 || s.SpoolTraces != 0 {
			t.Errorf("%+v", s)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for n := range 100 {
			drive(r, info(100+n), []int{1}, nil)
			time.Sleep(50 * time.Millisecond)
		}
		if again := r.Stats(); again.Dropped != s.Dropped || again.SpoolTraces == 0 {
			t.Errorf("with the disk back: %+v", again)
		}
		f.set(nil)
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if s := r.Stats(); s.ExportedTraces+s.Dropped != 200 {
			t.Errorf("%+v", s)
		}
		r.Close(t.Context())
	})
}

// fill leaves batches of ten traces in dir.
func fill(t *testing.T, dir string, traces int) {
	t.Helper()
	r, _ := spooling(t, &faulty{fail: down}, dir, nil)
	for n := range traces {
		drive(r, info(n), []int{1, 2, 3}, nil)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Damage costs what is damaged, and is kept and reported.
func TestDamagedSpoolFiles(t *testing.T) {
	const all = -1 // traces of the file
	for name, c := range map[string]struct {
		damage func(b []byte) []byte
		lost   int64
	}{
		"one bit of a trace": {func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, 1},
		"cut short":          {func(b []byte) []byte { return b[:len(b)/2] }, all},
		"emptied":            {func(b []byte) []byte { return nil }, all},
		"something else":     {func(b []byte) []byte { return []byte(strings.Repeat("what is this? ", 300)) }, all},
		"only the head":      {func(b []byte) []byte { b[0] = 'X'; return b }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, 50)
			file := batchFiles(t, dir, spoolSuffix)[2]
			if c.lost == all {
				_, n, _ := parseSpoolName(filepath.Base(file))
				c.lost = int64(n)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, c.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			f := &faulty{}
			r, log := spooling(t, f, dir, nil)
			if err := r.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := r.Stats()
			if s.ExportedTraces != 50-c.lost || int64(f.traces()) != 50-c.lost || s.DroppedByReason["spool_damaged"] != c.lost || s.SpoolDamaged != 1 || s.SpoolBytes != 0 {
				t.Errorf("%d traces, %+v", f.traces(), s)
			}
			if left := batchFiles(t, dir, damagedSuffix); len(left) != 1 || left[0] != file+damagedSuffix || !strings.Contains(log.String(), left[0]) {
				t.Errorf("set aside: %v\n%s", left, log)
			}
			r.Close(t.Context())
		})
	}
}

func TestSpoolHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	r, _ := spooling(t, &faulty{}, dir, nil)
	defer r.Close(t.Context())
	if _, err := New(Defaults(), &faulty{}, Options{SpoolDir: dir}); !fault.Is(err, fault.Locked) || fault.HintOf(err) == "" {
		t.Errorf("second owner: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(file, "spool"), "/proc/spool"} {
		if _, err := New(Defaults(), &faulty{}, Options{SpoolDir: dir}); err == nil || fault.HintOf(err) == "" && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v (%s)", dir, err, fault.KindOf(err))
		}
	}
}

// The unfinished file of a killed process counts for nothing, and names that are
// not the spool's stay.
func TestSpoolIgnoresWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 10)
	for _, name := range []string{spoolName(7, 3) + partSuffix, "notes.txt", "x-1.batch", "0000000000000001-1.batch.damaged"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openSpool(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.traces != 10 {
		t.Errorf("%d traces in %v", s.traces, s.files)
	}
	left, _ := os.ReadDir(dir)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if got := fmt.Sprint(names); strings.Contains(got, partSuffix) || !strings.Contains(got, "notes.txt") || !strings.Contains(got, "x-1.batch") {
		t.Errorf("left: %v", names)
	}
}

func FuzzSpoolFile(f *testing.F) {
	dir := f.TempDir()
	r, err := New(Defaults(), &faulty{fail: down}, Options{SpoolDir: dir})
	if err != nil {
		f.Fatal(err)
	}
	for n := range 3 {
		drive(r, info(n), []int{1}, nil)
	}
	if err := r.Close(context.Background()); err != nil {
		f.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"+spoolSuffix))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, spoolName(1, 3)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSpool(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		p, _, whole, err := s.head()
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			return
		}
		for _, block := range p.Blocks {
			if _, err := backend.DecodeTrace(block); err != nil {
				t.Errorf("salvaged what does not decode: %v", err)
			}
		}
	})
}
