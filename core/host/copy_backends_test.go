package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
	testpg "github.com/sparkrsi/spark/testkit/postgres"
)

// holding is all that a profile's backend answers.
type holding struct {
	traces   [][]byte // encoded, in their order
	sketches [][]byte // encoded, sorted
	sum      *backend.Aggregate
	count    backend.Counts
}

func held(t *testing.T, h *Host, name string) (out holding) {
	t.Helper()
	p, err := h.recording(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	q, err := backend.AsQuerier(p.writer)
	if err != nil {
		t.Fatal(err)
	}
	for x, err := range q.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		out.traces = append(out.traces, backend.EncodeTrace(nil, x))
	}
	for s, err := range q.Sketches(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		out.sketches = append(out.sketches, backend.EncodeSketch(nil, s))
	}
	slices.SortFunc(out.sketches, bytes.Compare)
	if out.sum, err = q.Aggregate(t.Context(), backend.Filter{}); err != nil {
		t.Fatal(err)
	}
	if out.count, err = q.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	out.count.Bytes = 0 // of the disk
	return out
}

func sameHolding(t *testing.T, what string, got, want holding) {
	t.Helper()
	if !slices.EqualFunc(got.traces, want.traces, bytes.Equal) {
		t.Errorf("%s: %d traces are not the %d of the source", what, len(got.traces), len(want.traces))
	}
	if !slices.EqualFunc(got.sketches, want.sketches, bytes.Equal) {
		t.Errorf("%s: %d rows of statistics are not the %d of the source", what, len(got.sketches), len(want.sketches))
	}
	if at := backendtest.Differ(got.sum, want.sum); at != "" {
		t.Errorf("%s: aggregate %s", what, at)
	}
	if got.count != want.count {
		t.Errorf("%s: %+v, want %+v", what, got.count, want.count)
	}
}

// What SQLite holds goes to PostgreSQL and back to another file, through the plugin
// processes: traces with their events and metrics byte for byte, statistics,
// figures. A copy that is broken off and repeated doubles nothing.
func TestCopyBetweenDatabases(t *testing.T) {
	server := testpg.Start(t)
	for _, layout := range []string{"rows", "packed"} {
		t.Run(layout, func(t *testing.T) {
			dir := t.TempDir()
			file := func(name string) telemetry.Config {
				p := telemetry.Defaults()
				p.DBPath, p.RetentionDays = filepath.Join(dir, name), 36500
				return p
			}
			pg := shared(server.URL(), "copy_"+layout, layout)
			pg.RetentionDays = 36500
			h := open(t, t.TempDir(), Config{Stock: [][]byte{}, DefaultProfile: "lite",
				Telemetry: map[string]telemetry.Config{"lite": file("first.db"), "pg": pg, "back": file("second.db")}})
			fill(t, h, "lite")
			want := held(t, h, "lite")
			if len(want.traces) != 1301 || len(want.sketches) != 3*40 || want.count.Events < 1301 || want.count.Metrics < 1301 {
				t.Fatalf("%d traces, %d rows, %+v", len(want.traces), len(want.sketches), want.count)
			}
			for _, way := range [][2]string{{"lite", "pg"}, {"pg", "back"}} {
				for stop := int64(500); stop < 1301; stop += 500 { // after the first batch, then after the second
					ctx, cancel := context.WithCancel(t.Context())
					done, err := h.Copy(ctx, way[0], way[1], func(c Copied) {
						if c.Traces+c.Present >= stop {
							cancel()
						}
					})
					cancel()
					if !errors.Is(err, context.Canceled) || done.Traces == 0 || done.Total != 1301 {
						t.Fatalf("%v broken off: %+v, %v", way, done, err)
					}
				}
				done, err := h.Copy(t.Context(), way[0], way[1], nil)
				if err != nil || done.Traces+done.Present != 1301 || done.Present < 1000 || done.Quarantined != 0 {
					t.Fatalf("%v: %+v, %v", way, done, err)
				}
				sameHolding(t, fmt.Sprint(way), held(t, h, way[1]), want)
				if done, err = h.Copy(t.Context(), way[0], way[1], nil); err != nil || done.Present != 1301 || done.Traces != 0 {
					t.Fatalf("%v again: %+v, %v", way, done, err)
				}
				sameHolding(t, fmt.Sprint(way, " again"), held(t, h, way[1]), want)
			}
			sameHolding(t, "the source", held(t, h, "lite"), want)
		})
	}
}

// fill writes varied runs, one of extreme values, and the statistics of three hosts
// over forty hours.
func fill(t *testing.T, h *Host, name string) {
	t.Helper()
	p, err := h.recording(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	all := append(backendtest.Samples(0, 1300), backendtest.Odd())
	for n := 0; n < len(all); n += 400 {
		b := &backend.Batch{ID: backendtest.ID(n), Traces: all[n:min(n+400, len(all))]}
		if n == 0 {
			for epoch := range 3 {
				for hour := range 40 {
					var x backend.Tallies
					x.Add(all[epoch*40+hour], 1)
					b.Sketches = append(b.Sketches, backend.Sketch{Epoch: backendtest.ID(epoch), Graph: "docsearch", Version: "1.0.0", VersionID: "v",
						Hour: backendtest.Begin.Unix()/3600 + int64(hour), Seq: uint64(cmp.Compare(hour, 20) + 5), Data: x.Run.Encode(nil)})
				}
			}
		}
		if bad, err := p.writer.Write(t.Context(), b); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
	}
}
