package wasmhost

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// BenchmarkEcho is one call with 1 KB in and out.
func BenchmarkEcho(b *testing.B) {
	h := openHost(b, Config{})
	in := []byte(`{"do":"echo","pad":"` + strings.Repeat("x", 1000) + `"}`)
	nodes := map[string]*Node{
		"hand":       handNode(b, h, newGuest(nil, nil), 0),
		"go":         plainNode(b, h, 0),
		"go/timeout": plainNode(b, h, time.Minute),
	}
	for _, name := range []string{"hand", "go", "go/timeout"} {
		b.Run(name, func(b *testing.B) {
			s := &run.Step{Input: in, Trail: &run.Trail{}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := nodes[name].RunNode(context.Background(), s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("guest alone", func(b *testing.B) {
		p := nodes["go"].pool
		inst, err := p.take(b.Context(), deadline{}, nodes["go"].doc, false)
		if err != nil {
			b.Fatal(err)
		}
		defer p.put(inst)
		inst.begin(b.Context(), deadline{}, nil)
		defer inst.end()
		if err := giveBytes(inst, in); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			inst.stack[0], inst.stack[1] = uint64(inst.input), uint64(len(in))
			if err := inst.process.CallWithStack(inst, inst.stack[:2]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFuel runs the same code as written, with fuel, and with wazero's own
// close on context done.
func BenchmarkFuel(b *testing.B) {
	guest := guestModule(b)
	lim := trustedLimits
	lim.module, lim.pages = 64<<20, 4096
	p, err := parse(guest, lim)
	if err != nil {
		b.Fatal(err)
	}
	metered := func(interval uint32) []byte {
		m, err := rewrite(p, interval)
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(tempDir, "bench"))
	if err != nil {
		b.Fatal(err)
	}
	for _, verb := range []string{"count", "sort", "fib30"} {
		for _, mode := range []string{"as written", "fuel 20000", "fuel 100000", "close on done"} {
			b.Run(verb+"/"+strings.ReplaceAll(mode, " ", "-"), func(b *testing.B) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				wasm, cfg := guest, wazero.NewRuntimeConfig().WithCompilationCache(cache)
				switch mode {
				case "fuel 20000":
					wasm = metered(20_000)
				case "fuel 100000":
					wasm = metered(100_000)
				case "close on done":
					cfg = cfg.WithCloseOnContextDone(true)
				}
				mod := startRaw(b, cfg, wasm)
				give := func(doc string) {
					r, err := mod.ExportedFunction(abi.Alloc).Call(ctx, uint64(len(doc)))
					if err != nil || !mod.Memory().WriteString(uint32(r[0]), doc) {
						b.Fatal(err)
					}
				}
				conf, in := `{"node":"plain"}`, fmt.Sprintf(`{"do":%q}`, verb)
				give(conf)
				input, _ := mod.ExportedFunction(abi.Alloc).Call(ctx, 1)
				if r, err := mod.ExportedFunction(abi.Configure).Call(ctx, input[0], uint64(len(conf))); err != nil || r[0] != 0 {
					b.Fatal(r, err)
				}
				give(in)
				process := mod.ExportedFunction(abi.Process)
				for b.Loop() {
					if r, err := process.Call(ctx, input[0], uint64(len(in))); err != nil || r[0] == 0 {
						b.Fatal(r, err)
					}
				}
			})
		}
	}
}

// startRaw starts a Go guest without this package's host, fuel being a no-op.
func startRaw(b *testing.B, cfg wazero.RuntimeConfig, wasm []byte) api.Module {
	b.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, cfg)
	b.Cleanup(func() { rt.Close(ctx) })
	mod := instantiateRaw(b, rt, wasm, func() {})
	if _, err := mod.ExportedFunction(abi.Initialize).Call(ctx); err != nil {
		b.Fatal(err)
	}
	return mod
}

// BenchmarkHostCall is one call of a guest that makes 1000 host calls, so a
// nanosecond here is a picosecond a call.
func BenchmarkHostCall(b *testing.B) {
	h := openHost(b, Config{MaxEventsPerSpan: 1000})
	calls := func(imp asmImport, args []byte, drop bool) *asm {
		code := cat(c32(1000), []byte{opLocalSet, 2, opLoop, blockVoid}, args, callTo(0))
		if drop {
			code = append(code, 0x1a)
		}
		code = cat(code, []byte{opLocalGet, 2, opI32Const, 1, opI32Sub, opLocalTee, 2, opBrIf, 0, opEnd}, echoCode)
		imp.module = "spark"
		return newGuest(code, vec([]byte{1, typeI32}), imp)
	}
	key := cat(c32(inputAt), c32(1))
	four := []byte{typeI32, typeI32, typeI32, typeI32}
	// record calls a function with the key 1 and the document doc, which lies in
	// memory.
	record := func(name, doc string) *asm {
		a := calls(asmImport{name: name, params: four}, cat(key, c32(64), c32(int32(len(doc)))), false)
		a.data = [][]byte{cat([]byte{0}, c32(64), []byte{opEnd}, sized([]byte(doc)))}
		return a
	}
	for name, a := range map[string]*asm{
		"now":              calls(asmImport{name: abi.Now, results: long}, nil, true),
		"state_get":        calls(asmImport{name: abi.StateGet, params: two, results: one}, key, true),
		"span_attr/number": record(abi.SpanAttr, "7.25"),
		"span_attr/string": record(abi.SpanAttr, `"a short text"`),
		"event":            record(abi.Event, `{"path":"a/b","size":17,"ok":true}`),
		"log":              calls(asmImport{name: abi.Log, params: []byte{typeI32, typeI32, typeI32}}, cat(c32(1), key), false),
	} {
		n := handNode(b, h, a, 0)
		b.Run(name, func(b *testing.B) {
			s := &run.Step{Input: []byte(`1`), Trail: &run.Trail{}, State: mapState{"1": []byte(`{}`)}}
			for b.Loop() {
				s.Trail.Reset()
				if _, err := n.RunNode(context.Background(), s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/call")
		})
	}
}

// BenchmarkStart is one new instance with its configuration, and its end.
func BenchmarkStart(b *testing.B) {
	h := openHost(b, Config{})
	for name, n := range map[string]*Node{"hand": handNode(b, h, newGuest(nil, nil), 0), "go": plainNode(b, h, 0)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				in, err := n.pool.start(b.Context(), deadline{})
				if err != nil {
					b.Fatal(err)
				}
				if err := in.setUp(b.Context(), deadline{}, n.doc); err != nil {
					b.Fatal(err)
				}
				in.close()
			}
		})
	}
}

// BenchmarkAdmit is the admission of a Go module, compiled and from the cache.
func BenchmarkAdmit(b *testing.B) {
	wasm := guestModule(b)
	for _, cached := range []bool{false, true} {
		b.Run(fmt.Sprintf("cached=%v", cached), func(b *testing.B) {
			cfg := Config{}
			if cached {
				cfg.CacheDir = filepath.Join(tempDir, "cache")
			}
			h, err := Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer h.Close(context.Background())
			if cached {
				admit(b, h, wasm, true).Release()
			}
			for b.Loop() {
				admit(b, h, wasm, true).Release()
			}
		})
	}
}

// BenchmarkCollectorBesideGuest is a whole garbage collection, and the memory's
// return to the system, beside each kind of spinning guest.
func BenchmarkCollectorBesideGuest(b *testing.B) {
	h := openHost(b, Config{})
	for name, a := range spins() {
		n := handNode(b, h, a, time.Minute)
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			before := h.Stats().FuelChecks
			go func() {
				defer close(done)
				_, _ = n.RunNode(ctx, step(`{}`)) // ends by cancellation
			}()
			for h.Stats().FuelChecks < before+3 {
				runtime.Gosched()
			}
			var waits []time.Duration
			for b.Loop() {
				start := time.Now()
				debug.FreeOSMemory()
				waits = append(waits, time.Since(start))
			}
			checks := h.Stats().FuelChecks
			stopped := time.Now()
			runtime.Gosched()
			for h.Stats().FuelChecks < checks+200 {
				runtime.Gosched()
			}
			b.ReportMetric(float64(time.Since(stopped).Microseconds())/200, "us-between-checks")
			stopped = time.Now()
			cancel()
			<-done
			slices.Sort(waits)
			b.ReportMetric(float64(time.Since(stopped).Microseconds())/1000, "ms-to-stop")
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "ms-median")
			b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "ms-worst")
		})
	}
}

// BenchmarkIsolation is one call with 1 KB in and out, of the stock module and of
// a small one.
func BenchmarkIsolation(b *testing.B) {
	for _, reset := range []bool{false, true} {
		h := openHost(b, Config{Reset: reset})
		in := step(`{"pad":"` + strings.Repeat("x", 1000) + `"}`)
		for name, n := range map[string]*Node{"stock": newNode(b, h, admit(b, h, builtModule(b, "stock"), true), NodeSpec{Type: "echo"}),
			"hand": handNode(b, h, newGuest(nil, nil), 0)} {
			b.Run(fmt.Sprintf("%s/reset=%v", name, reset), func(b *testing.B) {
				for b.Loop() {
					if _, err := n.RunNode(context.Background(), in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
