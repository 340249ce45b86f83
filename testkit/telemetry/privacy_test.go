package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
)

// With captures off, what runs through a graph is in no file that telemetry writes
// and in no line that it logs; with them on it is, so that the search is known to
// find it.
func TestNothingIsCaptured(t *testing.T) {
	for _, captured := range []bool{false, true} {
		dir, log := t.TempDir(), &bytes.Buffer{}
		_, c := launch(t, dir)
		g := &gate{Client: c}
		cfg := telemetry.Defaults()
		cfg.CaptureInputs, cfg.CaptureOutputs, cfg.CaptureErrors = captured, captured, captured
		cfg.ConnectionString = "postgres://u:marker-password@h/db"
		open := func() *telemetry.Recorder {
			r, err := telemetry.New(cfg, g, telemetry.Options{SpoolDir: filepath.Join(dir, "spool"), Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		record := func(r *telemetry.Recorder) {
			info := &run.Info{ID: run.NewID(), Graph: "g", Version: "1", Kind: run.Production, Started: time.Now()}
			x := r.Begin(info)
			in, out := []byte(`"marker-input"`), []byte(`"marker-output"`)
			x.Observe(&run.Observation{Phase: run.StepFinished, Info: info, Node: "n", After: -1, Start: info.Started, End: info.Started, Input: in, Output: out, Err: errors.New("marker-error")})
			x.Observe(&run.Observation{Phase: run.RunFinished, Info: info, End: info.Started, Input: in, Output: out, Err: errors.New("marker-error")})
		}
		r := open()
		record(r)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.shut.Store(true)
		record(r)
		if r.Flush(t.Context()) == nil {
			t.Fatal("the gate is open")
		}
		if s := r.Stats(); s.ExportedTraces != 1 || s.SpoolTraces != 1 {
			t.Fatalf("%+v", s)
		}
		found := map[string]int{}
		search := func(where string, b []byte) {
			for _, marker := range []string{"marker-input", "marker-output", "marker-error", "marker-password"} {
				if bytes.Contains(b, []byte(marker)) {
					found[marker]++
					if !captured || marker == "marker-password" {
						t.Errorf("%s is in %s", marker, where)
					}
				}
			}
		}
		if err := c.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			search(path, b)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		search("the log", log.Bytes())
		for x, err := range c.Traces(t.Context(), backend.Filter{}) {
			if err != nil || x.ErrorType != "internal" {
				t.Errorf("%+v, %v: the type of the error is always kept", x, err)
			}
		}
		if captured && (found["marker-input"] < 2 || found["marker-output"] < 2 || found["marker-error"] < 2) {
			t.Errorf("what is captured is not in database and spool: %v", found)
		}
		g.shut.Store(false)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
