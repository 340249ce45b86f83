// Package wasmhost runs node modules. It admits a WASM binary (limits, imports,
// exports, manifest), inserts a fuel counter into it so that no guest can run
// past its deadline or hold up the process, compiles it through a private disk
// cache, and serves calls from pools of instances.
//
// Start with Open, Admit a module, make a Node of one of its types, and call
// RunNode. A guest reaches nothing but the host calls of sdk/node/abi: no files,
// no environment, and clock, random numbers, models, HTTP origins and assets only
// when granted. The package is the only importer of wazero. It never retries,
// never interprets payloads, and starts no goroutines.
package wasmhost

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Host holds the admitted modules and their instances. Safe for concurrent use.
type Host struct {
	cfg    Config
	log    *slog.Logger
	fetch  *fetcher
	served map[string]map[string]funcType // what a module may import

	compile sync.Mutex // one compilation at a time: each uses all processors

	mu      sync.Mutex // guards the fields below
	modules map[moduleKey]*Module
	pools   map[*pool]struct{} // that are not drained
	closed  bool

	stats counters
}

type counters struct {
	live, started, configured, discarded   atomic.Int64
	compiles, cacheHits, waits, timeouts   atomic.Int64
	calls, traps, memoryDenied, fuelChecks atomic.Int64
	awaits                                 atomic.Int64
}

// Stats are counts since Open, except Instances and Modules, which are current.
type Stats struct {
	Modules        int   // admitted
	Instances      int64 // live
	Started        int64 // instances ever started
	Configurations int64 // calls of spark_configure
	Discarded      int64 // instances ended after a trap, a stop or a refused growth, or after the one call they were for
	Compiles       int64 // modules compiled from WASM
	CacheHits      int64 // modules taken from the disk cache
	Calls          int64 // calls of spark_process and spark_resume
	Awaits         int64 // effects performed for calls that held no instance meanwhile
	Waits          int64 // calls that queued for an instance
	Timeouts       int64 // calls stopped at a deadline or by cancellation
	Traps          int64 // calls that crashed
	MemoryDenied   int64 // refused memory growths
	FuelChecks     int64 // times a guest was interrupted to look at its deadline
}

// Open returns a Host. Ctx is for opening only. The error is that of
// Config.Validate, or a Denied or ReadOnly fault about the cache folder. Close
// the Host.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	h := &Host{cfg: cfg, log: cfg.Logger, fetch: newFetcher(cfg), modules: map[moduleKey]*Module{}, pools: map[*pool]struct{}{}}
	if cfg.CacheDir != "" {
		if err := privateDir(cfg.CacheDir); err != nil {
			return nil, err
		}
	}
	var err error
	if h.served, err = servedFunctions(ctx); err != nil {
		return nil, fault.Wrap(fault.Internal, "wasm host", err, "host functions")
	}
	return h, nil
}

// servedFunctions returns the functions a guest may import, by module and name.
func servedFunctions(ctx context.Context) (map[string]map[string]funcType, error) {
	spark := map[string]funcType{}
	for name, f := range hostFunctions() {
		spark[name] = funcType{params: f.params, results: f.results}
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer rt.Close(ctx)
	compiled, err := wasi_snapshot_preview1.NewBuilder(rt).Compile(ctx)
	if err != nil {
		return nil, err
	}
	wasi := map[string]funcType{}
	for name, d := range compiled.ExportedFunctions() {
		wasi[name] = funcType{params: d.ParamTypes(), results: d.ResultTypes()}
	}
	return map[string]map[string]funcType{abi.Host: spark, wasi_snapshot_preview1.ModuleName: wasi}, nil
}

// privateDir makes dir, or checks that only this user can write to it: the
// files in it are run as machine code.
func privateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fault.Wrap(fault.ReadOnly, dir, err, "cache folder cannot be made")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return fault.Wrap(fault.ReadOnly, dir, err, "cache folder cannot be made")
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fault.Wrap(fault.ReadOnly, dir, err, "cache folder cannot be read")
	}
	if !info.IsDir() {
		return fault.New(fault.Invalid, dir, "cache folder is no folder but %s", info.Mode().Type())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 || !ownedByUs(info) {
		return fault.New(fault.Denied, dir, "cache folder has mode %#o or another owner, so others may put machine code into it", mode).
			WithHint("remove the folder; it is made again with mode 0700")
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fault.Wrap(fault.Denied, dir, err, "cache folder cannot be made private")
		}
	}
	return nil
}

// Stats returns counts for diagnostics.
func (h *Host) Stats() Stats {
	h.mu.Lock()
	modules := len(h.modules)
	h.mu.Unlock()
	s := &h.stats
	return Stats{Modules: modules, Instances: s.live.Load(), Started: s.started.Load(), Configurations: s.configured.Load(),
		Discarded: s.discarded.Load(), Compiles: s.compiles.Load(), CacheHits: s.cacheHits.Load(), Calls: s.calls.Load(),
		Waits: s.waits.Load(), Timeouts: s.timeouts.Load(), Traps: s.traps.Load(), MemoryDenied: s.memoryDenied.Load(),
		FuelChecks: s.fuelChecks.Load(), Awaits: s.awaits.Load()}
}

// Close refuses new calls, waits for those that run until ctx ends, and frees
// everything. When ctx ends first it returns a Timeout or Cancelled fault and
// can be called again. Safe to call twice.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	modules := slices.Collect(maps.Values(h.modules))
	pools := slices.Collect(maps.Keys(h.pools))
	h.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
	for _, p := range pools {
		if err := await(ctx, p.drained); err != nil {
			return err
		}
	}
	var first error
	for _, m := range modules {
		if err := await(ctx, m.ready); err != nil {
			return err
		}
		if err := m.shut(ctx); err != nil && first == nil {
			first = fault.Wrap(fault.Internal, m.digest, err, "closing a module")
		}
		h.mu.Lock()
		delete(h.modules, m.key)
		h.mu.Unlock()
	}
	h.fetch.transport.CloseIdleConnections()
	return first
}

func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fault.Wrap("", "wasm host", ctx.Err(), "closing while calls run")
	}
}
