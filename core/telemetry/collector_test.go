package telemetry

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// cleaner is a collector: it takes inputs out, and leaves out every third run.
type cleaner struct {
	backend.Writer
	fail *atomic.Value // of an outcome
}

type outcome struct{ err error }

func (c cleaner) Write(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
	if o, _ := c.fail.Load().(outcome); o.err != nil {
		return nil, o.err
	}
	out := &backend.Batch{ID: b.ID, Sketches: b.Sketches}
	for _, t := range b.Traces {
		if t.RunID[len(t.RunID)-1]%3 == 0 {
			continue
		}
		t = t.Clone()
		for i := range t.Spans {
			t.Spans[i].Attrs = nil
		}
		t.Attrs = nil
		out.Traces = append(out.Traces, t)
	}
	if len(out.Traces)+len(out.Sketches) == 0 {
		return nil, nil
	}
	return c.Writer.Write(ctx, out)
}

// What waits in the spool was collected before. While the collector fails nothing
// reaches the disk, and what finds no room in memory is counted.
func TestSpoolHoldsWhatWasCollected(t *testing.T) {
	f, dir := &faulty{fail: down}, t.TempDir()
	const secret = "marker-4711"
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Value
		cfg := Defaults()
		cfg.BufferSize, cfg.MaxQueueSize, cfg.CaptureInputs = 10, 20, true
		open := func(collect bool) *Recorder {
			o := Options{SpoolDir: dir}
			if collect {
				o.Collector = func(to backend.Writer) backend.Writer { return cleaner{to, &broken} }
			}
			r, err := New(cfg, f, o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		onDisk := func() (files int, marked bool) {
			for _, name := range batchFiles(t, dir, spoolSuffix) {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				files, marked = files+1, marked || bytes.Contains(b, []byte(secret))
			}
			return files, marked
		}
		record := func(r *Recorder, from, to int) {
			for n := from; n < to; n++ {
				drive(r, info(n), []int{1}, captureInput([]byte(`"`+secret+`"`)))
				time.Sleep(100 * time.Millisecond)
			}
		}
		// A former host had no collector.
		r := open(false)
		record(r, 0, 30)
		r.Close(t.Context())
		if files, marked := onDisk(); files == 0 || !marked {
			t.Fatalf("%d files, marked %v", files, marked)
		}
		left := batchFiles(t, dir, spoolSuffix)
		r = open(true)
		record(r, 30, 300)
		if s := r.Stats(); s.Dropped != 0 || s.SpooledTraces == 0 || s.ExportedTraces+int64(s.SpoolTraces)+int64(s.Waiting) < 270 {
			t.Errorf("while down: %+v", s)
		}
		for _, name := range left {
			if err := os.Rename(name, name+".away"); err != nil {
				t.Fatal(err)
			}
		}
		if files, marked := onDisk(); files == 0 || marked {
			t.Errorf("%d files, marked %v", files, marked)
		}
		for _, name := range left {
			if err := os.Rename(name+".away", name); err != nil {
				t.Fatal(err)
			}
		}
		// The collector fails for a while.
		broken.Store(outcome{errors.New("it is broken")})
		record(r, 300, 400)
		s := r.Stats()
		if s.DroppedByReason["collector"] == 0 || s.DroppedByReason["collector"] != s.Dropped || s.LastError == "" {
			t.Errorf("without a collector: %+v", s)
		}
		broken.Store(outcome{nil})
		f.set(nil)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.ExportedTraces != s.Traces+30 || s.Traces+s.Dropped != 370 || s.SpoolTraces != 0 || s.Waiting != 0 {
			t.Errorf("after: %+v", s)
		}
		for _, b := range f.batches {
			for _, x := range b {
				if x.RunID[len(x.RunID)-1]%3 == 0 || len(x.Spans[0].Attrs) > 0 {
					t.Errorf("%s was not collected", x.RunID[:])
				}
			}
		}
		// A batch that can never be collected is given up, and counted.
		before := r.Stats()
		f.set(down)
		record(r, 400, 410)
		broken.Store(outcome{fault.New(fault.Rejected, "collector", "no batch")})
		record(r, 410, 440)
		if s := r.Stats(); s.DroppedByReason["refused"]-before.DroppedByReason["refused"] < 20 {
			t.Errorf("refused: %+v", s)
		}
		broken.Store(outcome{nil})
		f.set(nil)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if s := r.Stats(); s.ExportedTraces+s.DroppedByReason["refused"] != s.Traces+30 || s.DroppedByReason["refused"]+s.DroppedByReason["collector"] != s.Dropped {
			t.Errorf("in the end: %+v", s)
		}
	})
}

// A batch that is collected for the backend, and once more for the spool while that
// is slow, counts once.
func TestCollectedBesideASlowBackend(t *testing.T) {
	f, dir := &faulty{took: 3 * time.Second}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Value
		cfg := Defaults()
		cfg.BufferSize, cfg.MaxQueueSize = 10, 20
		r, err := New(cfg, f, Options{SpoolDir: dir, Collector: func(to backend.Writer) backend.Writer { return cleaner{to, &broken} }})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 300 {
			drive(r, info(n), []int{1}, nil)
			time.Sleep(20 * time.Millisecond)
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.Dropped != 0 || s.ExportedTraces != 300 || s.SpooledTraces == 0 || s.SpoolTraces != 0 || f.traces() != 180 {
			t.Errorf("%d stored, %+v", f.traces(), s)
		}
		r.Close(t.Context())
	})
}
