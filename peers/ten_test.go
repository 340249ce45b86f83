package peers

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudwego/eino/compose"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/plugins/backends/memory"
)

// steps is how long the chain of echo nodes is.
const steps = 10

// payload is a JSON document of 1 KB.
var payload = func() []byte {
	var b bytes.Buffer
	b.WriteString(`{"query":"read a whole file into memory","hits":[`)
	for i := 0; b.Len() < 960; i++ {
		fmt.Fprintf(&b, `{"id":"os.ReadFile%02d","score":%d.25},`, i, 90-i)
	}
	b.WriteString(`null],"pad":"`)
	b.WriteString(strings.Repeat("x", 1024-b.Len()-2))
	b.WriteString(`"}`)
	return b.Bytes()
}()

// measured calls one in a loop and reports, for each of the per steps it makes,
// the time, the allocations and the processor time of the whole process: the
// last two also count what goes on in the background, to the end of settle. The
// time is the median over groups of calls, which other programs on the machine
// disturb less than a mean.
func measured(b *testing.B, per int, one, settle func() error) {
	group := 200 / per
	for range 100 { // pools and caches fill up
		if err := one(); err != nil {
			b.Fatal(err)
		}
	}
	var groups []time.Duration
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu(b)
	for b.Loop() {
		start := time.Now()
		for range group {
			if err := one(); err != nil {
				b.Fatal(err)
			}
		}
		groups = append(groups, time.Since(start))
	}
	if err := settle(); err != nil {
		b.Fatal(err)
	}
	used := cpu(b) - began
	runtime.ReadMemStats(&after)
	n := float64(b.N * group * per)
	b.ReportMetric(float64(median(groups).Nanoseconds())/float64(group*per), "ns/step")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/step")
	b.ReportMetric(float64(used.Nanoseconds())/n, "cpu-ns/step")
}

func settled() error { return nil }

// median returns the middle of d, the upper one of two.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkTen is a chain of ten nodes that return their input of 1 KB: the cost
// of an engine.
func BenchmarkTen(b *testing.B) {
	b.Run("eino", func(b *testing.B) { einoTen(b) })
	b.Run("eino-dag", func(b *testing.B) { einoTen(b, compose.WithNodeTriggerMode(compose.AllPredecessor)) })
	b.Run("native", func(b *testing.B) { sparkTen(b, nativeTen(b), nil) })
	b.Run("native-telemetry", func(b *testing.B) { sparkTen(b, nativeTen(b), memoryRecorder(b)) })
	b.Run("wasm", func(b *testing.B) { sparkTen(b, wasmTen(b), nil) })
	b.Run("wasm-telemetry", func(b *testing.B) { sparkTen(b, wasmTen(b), memoryRecorder(b)) })
}

// BenchmarkGuest is one call of the echo node without an engine: what a step
// costs anyway.
func BenchmarkGuest(b *testing.B) {
	n := openNode(b, openNodes(b), stockModule(b), wasmhost.NodeSpec{Type: "echo"})
	s := &run.Step{Info: &run.Info{}, Node: "n0", Input: payload, Trail: &run.Trail{}}
	measured(b, 1, func() error {
		out, err := n.RunNode(b.Context(), s)
		if err == nil && len(out) != len(payload) {
			err = fmt.Errorf("echo of %d bytes gave %d", len(payload), len(out))
		}
		return err
	}, settled)
}

func einoTen(b *testing.B, opts ...compose.GraphCompileOption) {
	g := compose.NewGraph[[]byte, []byte]()
	from := compose.START
	for i := range steps {
		name := fmt.Sprintf("n%d", i)
		echo := compose.InvokableLambda(func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
		if err := g.AddLambdaNode(name, echo); err != nil {
			b.Fatal(err)
		}
		if err := g.AddEdge(from, name); err != nil {
			b.Fatal(err)
		}
		from = name
	}
	if err := g.AddEdge(from, compose.END); err != nil {
		b.Fatal(err)
	}
	r, err := g.Compile(b.Context(), opts...)
	if err != nil {
		b.Fatal(err)
	}
	measured(b, steps, func() error {
		out, err := r.Invoke(b.Context(), payload)
		if err == nil && len(out) != len(payload) {
			err = fmt.Errorf("echo of %d bytes gave %d", len(payload), len(out))
		}
		return err
	}, settled)
}

// sparkTen measures runs of p, recorded by rec unless that is nil.
func sparkTen(b *testing.B, p *engine.Program, rec *telemetry.Recorder) {
	measured(b, steps, func() error {
		info := &run.Info{ID: run.NewID(), Graph: "ten", Version: "1.0.0", VersionID: "ten", GraphType: p.Plan.Type, Kind: run.Production,
			Started: time.Now()}
		info.TraceID = info.ID
		o := engine.Options{Info: info}
		if x := rec.Begin(info); x != nil {
			o.Observer = x
		}
		res, err := engine.Run(b.Context(), p, payload, o)
		if err == nil && (res.Steps != steps || len(res.Output) != len(payload)) {
			err = fmt.Errorf("%d steps gave %d bytes", res.Steps, len(res.Output))
		}
		return err
	}, func() error { return rec.Flush(b.Context()) })
	if rec != nil {
		if s := rec.Stats(); s.Dropped > 0 {
			b.Fatalf("%d of %d runs were dropped, the figure would be too good: %v", s.Dropped, s.Traces, s.DroppedByReason)
		}
	}
}

// chain compiles a chain of ten nodes, each described by node.
func chain(b *testing.B, node string, locks ...graph.Lock) *graph.Plan {
	var doc strings.Builder
	doc.WriteString("graph: ten\nstart: n0\nnodes:\n")
	for i := range steps {
		fmt.Fprintf(&doc, "  n%d: {%s}\n", i, node)
	}
	doc.WriteString("edges:\n")
	for i := 1; i < steps; i++ {
		fmt.Fprintf(&doc, "  - {from: n%d, to: n%d}\n", i-1, i)
	}
	g, findings := graph.Decode([]byte(doc.String()), "ten.yaml")
	if findings.HasErrors() {
		b.Fatal(findings)
	}
	plan, err := graph.Compile(&graph.Locked{Graph: g, Locks: locks})
	if err != nil {
		b.Fatal(err)
	}
	return plan
}

func nativeTen(b *testing.B) *engine.Program {
	p := &engine.Program{Plan: chain(b, "native: echo")}
	for range steps {
		p.Runners = append(p.Runners, engine.Func(func(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil }))
	}
	return p
}

func wasmTen(b *testing.B) *engine.Program {
	h, wasm := openNodes(b), stockModule(b)
	var locks []graph.Lock
	p := &engine.Program{}
	for i := range steps {
		n := openNode(b, h, wasm, wasmhost.NodeSpec{Type: "echo"})
		t := n.Type()
		p.Runners = append(p.Runners, n)
		locks = append(locks, graph.Lock{Node: fmt.Sprintf("n%d", i), Type: t.Name, Version: t.Version, Digest: t.Digest})
	}
	p.Plan = chain(b, "module: echo@^1", locks...)
	return p
}

// memoryRecorder returns a recorder of the default profile that writes to the
// memory backend in this process.
func memoryRecorder(b *testing.B) *telemetry.Recorder {
	w, err := memory.New(memory.Config{})
	if err != nil {
		b.Fatal(err)
	}
	cfg := telemetry.Defaults()
	cfg.Backend = "memory"
	r, err := telemetry.New(cfg, w, telemetry.Options{Environment: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return r
}
