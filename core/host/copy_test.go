package host

import (
	"context"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// brittle is a backend whose writes fail after some.
type brittle struct {
	*memory.Backend
	mu   sync.Mutex
	left int // writes that still succeed; negative for all
}

func (b *brittle) Write(ctx context.Context, batch *backend.Batch) ([]backend.Quarantined, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return nil, fault.New(fault.Unavailable, "", "the disk is away")
	}
	b.left--
	return b.Backend.Write(ctx, batch)
}

func volatile(t *testing.T) *memory.Backend {
	t.Helper()
	b, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCopyIsIdempotent(t *testing.T) {
	source, target := volatile(t), &brittle{Backend: volatile(t), left: 2}
	from, to := telemetry.Defaults(), telemetry.Defaults()
	from.Backend, to.Backend, to.RetentionDays, from.RetentionDays = "from", "to", 36500, 36500
	h := open(t, t.TempDir(), Config{DefaultProfile: "from", Telemetry: map[string]telemetry.Config{"from": from, "to": to},
		Backends: map[string]backend.Writer{"from": source, "to": target}})
	defer h.Close(context.Background())
	fill := func(id, first, next int) {
		b := &backend.Batch{ID: backendtest.ID(id), Traces: backendtest.Samples(first, next),
			Sketches: []backend.Sketch{{Epoch: backendtest.ID(1), Graph: "g", Hour: 1, Seq: uint64(id) + 1, Data: []byte("rows")}}}
		if _, err := source.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	fill(0, 0, 1200)
	calls := 0
	done, err := h.Copy(t.Context(), "from", "to", func(Copied) { calls++ })
	if !fault.Is(err, fault.Unavailable) || done.Traces != 1000 || calls != 2 {
		t.Fatalf("interrupted: %+v, %v after %d calls", done, err, calls)
	}
	target.left = -1
	fill(1, 1200, 1300) // the last batch is another now
	done, err = h.Copy(t.Context(), "from", "to", nil)
	if err != nil || done.Total != 1300 || done.Present != 1000 || done.Traces != 300 || done.Sketches != 1 {
		t.Fatalf("resumed: %+v, %v", done, err)
	}
	done, err = h.Copy(t.Context(), "from", "to", nil)
	if err != nil || done.Present != 1300 || done.Traces != 0 {
		t.Fatalf("repeated: %+v, %v", done, err)
	}
	want, err := source.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := target.Count(t.Context())
	if err != nil || got != want {
		t.Errorf("target %+v, source %+v, %v", got, want, err)
	}
	n := 0
	for x, err := range target.Traces(t.Context(), backend.Filter{}) {
		if err != nil || x.TraceID != backendtest.Sample(n).TraceID || len(x.Spans) != len(backendtest.Sample(n).Spans) {
			t.Fatalf("trace %d: %+v, %v", n, x, err)
		}
		n++
	}
	if n != 1300 {
		t.Errorf("%d traces", n)
	}
}

// Two copies with the same content make the same batches, so that a backend that
// cannot be asked but knows its batches stores them once.
func TestCopyBatchesFollowFromContent(t *testing.T) {
	ids := func() (list []backend.ID) {
		c := &copying{}
		for from := range 3 {
			c.batch = backend.Batch{Traces: backendtest.Samples(10*from, 10*from+10)}
			list = append(list, c.id())
		}
		return list
	}
	a, b := ids(), ids()
	for i := range a {
		if a[i] != b[i] || a[i] == a[(i+1)%3] || a[i] == (backend.ID{}) {
			t.Errorf("batch %d: %x and %x, next %x", i, a[i], b[i], a[(i+1)%3])
		}
	}
}
