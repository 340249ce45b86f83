package peers

import (
	"context"
	"runtime"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
)

// A burst is how many runs are recorded between two exports that empty what
// waits. The small one fits the caches and the batches of both recorders, so that
// the export is outside the measured time; the large one lets 50,000 spans wait
// at once. Neither recorder may drop.
const (
	smallBurst = 300
	largeBurst = 5000
)

// BenchmarkRecord is the cost, to a run, of a span with eight attributes, in runs
// of ten such spans under one root. The root is paid for by the ten. The peer
// reads the clock twice a span, as spark-clock does; in Spark that is the work of
// the engine, and spark is the recorder alone.
func BenchmarkRecord(b *testing.B) {
	at := time.Now()
	still := func() time.Time { return at }
	b.Run("otel", func(b *testing.B) { otelRecord(b, smallBurst) })
	b.Run("spark-clock", func(b *testing.B) { sparkRecord(b, smallBurst, time.Now) })
	b.Run("spark", func(b *testing.B) { sparkRecord(b, smallBurst, still) })
	b.Run("otel-large", func(b *testing.B) { otelRecord(b, largeBurst) })
	b.Run("spark-large", func(b *testing.B) { sparkRecord(b, largeBurst, still) })
}

// bursts measures one, which records a run; export empties what waits. Time and
// allocations are those of the run, the processor time counts the export too.
func bursts(b *testing.B, burst int, one, export func()) {
	for range 3 {
		for range burst {
			one()
		}
		export()
	}
	var before, after runtime.MemStats
	var spent []time.Duration
	var allocs uint64
	used := cpu(b)
	for b.Loop() {
		runtime.ReadMemStats(&before)
		began := time.Now()
		for range burst {
			one()
		}
		spent = append(spent, time.Since(began))
		runtime.ReadMemStats(&after)
		allocs += after.Mallocs - before.Mallocs
		export()
	}
	used = cpu(b) - used
	b.ReportMetric(float64(median(spent).Nanoseconds())/float64(burst*steps), "ns/span")
	b.ReportMetric(float64(allocs)/float64(b.N*burst*steps), "allocs/span")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N*burst*steps), "cpu-ns/span")
}

// nowhere takes everything and keeps nothing.
type nowhere struct{}

func (nowhere) Write(context.Context, *backend.Batch) ([]backend.Quarantined, error) { return nil, nil }
func (nowhere) Flush(context.Context) error                                          { return nil }
func (nowhere) Close(context.Context) error                                          { return nil }

func sparkRecord(b *testing.B, burst int, now func() time.Time) {
	cfg := telemetry.Defaults()
	cfg.Backend = "nowhere"
	r, err := telemetry.New(cfg, nowhere{}, telemetry.Options{Environment: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close(context.Background())
	info := &run.Info{ID: run.NewID(), Graph: "ten", Version: "1.0.0", VersionID: "ten", GraphType: "sequential", Kind: run.Production}
	info.TraceID = info.ID
	trail := &run.Trail{Attrs: []run.Attr{run.String("query", "read a file"), run.Int("hits", 50), run.Float("score", 12.5), run.Bool("cached", false),
		run.String("lang", "en"), run.Int("depth", 3), run.Float("k1", 1.2), run.String("stage", "retrieve")}}
	o := &run.Observation{}
	kind := run.NodeType{Name: "echo", Version: "1.0.0", Digest: "d1"}
	bursts(b, burst, func() {
		info.Started = now()
		x := r.Begin(info)
		for i := range steps {
			start := now()
			*o = run.Observation{Phase: run.StepFinished, Info: info, Node: "retrieve", Type: kind, Seq: i, After: i - 1,
				Start: start, End: now(), Trail: trail}
			x.Observe(o)
		}
		*o = run.Observation{Phase: run.RunFinished, Info: info, Start: info.Started, End: now()}
		x.Observe(o)
	}, func() {
		if err := r.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	})
	if n := r.Stats().Dropped; n > 0 {
		b.Fatalf("%d runs were dropped: the figure would be too good", n)
	}
}

// counting is an exporter that keeps nothing and counts spans.
type counting struct{ spans int }

func (c *counting) ExportSpans(_ context.Context, s []sdktrace.ReadOnlySpan) error {
	c.spans += len(s)
	return nil
}
func (c *counting) Shutdown(context.Context) error { return nil }

func otelRecord(b *testing.B, burst int) {
	out := &counting{}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(out, sdktrace.WithMaxQueueSize(burst*(steps+1)+1), sdktrace.WithMaxExportBatchSize(4096),
		sdktrace.WithBatchTimeout(200*time.Millisecond)))
	tracer := p.Tracer("bench")
	recorded := 0
	bursts(b, burst, func() {
		ctx, root := tracer.Start(b.Context(), "ten")
		for range steps {
			_, s := tracer.Start(ctx, "retrieve")
			s.SetAttributes(attribute.String("query", "read a file"), attribute.Int("hits", 50), attribute.Float64("score", 12.5), attribute.Bool("cached", false),
				attribute.String("lang", "en"), attribute.Int("depth", 3), attribute.Float64("k1", 1.2), attribute.String("stage", "retrieve"))
			s.End()
		}
		root.End()
		recorded += steps + 1
	}, func() {
		if err := p.ForceFlush(b.Context()); err != nil {
			b.Fatal(err)
		}
	})
	if err := p.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
	if out.spans != recorded {
		b.Fatalf("%d of %d spans were exported: the figure would be too good", out.spans, recorded)
	}
}
