// Package host is where the parts of Spark meet, for the daemon and for programs
// that embed it: the store, the node host, telemetry, models, the engine, the
// router and the improvement cycle, wired once.
//
// Start with Open, then Apply a graph and Run it; RSI analyses and improves it.
// Plugins and modules are started when they are first needed. The package reads
// no configuration files and serves no network.
package host

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/rollout"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Host is an open Spark. Methods are safe for concurrent use.
type Host struct {
	cfg        Config
	log        *slog.Logger
	store      *store.Store
	nodes      *wasmhost.Host
	models     *models
	cache      engine.Cache // of nodes with a cache, in production runs
	closeCache func() error // of the part on disk; nil without
	router     rollout.Router[*deployment]

	ctx       context.Context // of runs with checkpoints; ends with errClosing
	stop      context.CancelCauseFunc
	lives     lives
	takenUp   chan struct{} // closed when what an earlier host left is live again
	deadlines chan struct{} // wakes tend
	nextLook  atomic.Int64  // when tend looks at the deadlines by itself, in Unix nanoseconds

	apply sync.Mutex // serialises changes of what is served

	admitting sync.Mutex         // guards admitted
	admitted  map[string]*module // by digest, while something uses them

	mu       sync.Mutex // guards the fields below
	profiles map[string]*profile
	pinned   map[string]*deployment // versions that are not active but were asked for
	order    []string               // keys of pinned, oldest use first
	closed   bool
	running  sync.WaitGroup // runs and cycles under way
}

// maxPinned bounds the versions kept ready although they are not active.
const maxPinned = 8

// Open opens the data folder of cfg and returns a Host on it. Faults are those
// of the store (Locked, ReadOnly, Newer, Corrupt) and Invalid for cfg. Close the
// host.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, log: cfg.Logger, store: s, profiles: map[string]*profile{}, pinned: map[string]*deployment{}, admitted: map[string]*module{},
		lives: lives{byID: map[run.ID]*live{}}, deadlines: make(chan struct{}, 1), takenUp: make(chan struct{})}
	h.ctx, h.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	h.models = &models{host: h}
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.Close(context.WithoutCancel(ctx)))
	}
	return h, nil
}

func (h *Host) open(ctx context.Context) (err error) {
	if err := h.openCache(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(h.pluginDir(), 0o700); err != nil {
		return fault.Wrap(fault.ReadOnly, h.pluginDir(), err, "make the folder of plugins")
	}
	if n, err := plughost.Sweep(h.pluginDir()); err != nil {
		return err
	} else if n > 0 {
		h.log.Warn("plugins that outlived an earlier host were ended", "count", n)
	}
	h.nodes, err = wasmhost.Open(ctx, wasmhost.Config{
		CacheDir: filepath.Join(h.store.CacheDir(), "wasm"), MemoryMiB: h.cfg.Nodes.MemoryMiB, Instances: h.cfg.Nodes.Instances,
		Reset:     h.cfg.Nodes.Isolation == reset,
		Generator: h.models, Credentials: h.cfg.Nodes.credentials(), PrivateOrigins: h.cfg.Nodes.PrivateOrigins, Logger: h.log,
	})
	if err != nil {
		return err
	}
	for _, wasm := range h.cfg.Stock {
		if _, err := h.PushModule(ctx, wasm, true, "stock"); err != nil {
			return err
		}
	}
	left, err := h.interrupted(ctx)
	if err != nil {
		return err
	}
	leave, err := h.enter()
	if err == nil {
		go func() { defer leave(); h.tend(left) }()
	}
	return err
}

// Close ends the host: it interrupts the runs with checkpoints, which go on when
// the folder is opened again, waits for the others until ctx is done, writes what
// telemetry holds, ends the plugins and frees the data folder. A second call
// returns nil.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.stop(errClosing)
	done := make(chan struct{})
	go func() { h.running.Wait(); close(done) }()
	var errs []error
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, fault.Wrap(fault.Timeout, "", ctx.Err(), "runs were still under way when the host closed"))
	}
	h.apply.Lock()
	defer h.apply.Unlock()
	for _, g := range h.router.Graphs() {
		if d, ok := h.router.Current(g); ok && h.router.Swap(g, d, nil) {
			d.release()
		}
	}
	h.mu.Lock()
	for _, d := range h.pinned {
		d.release()
	}
	clear(h.pinned)
	h.mu.Unlock()
	for _, p := range h.profiles {
		errs = append(errs, p.close(ctx))
	}
	errs = append(errs, h.models.close(ctx))
	if h.nodes != nil {
		errs = append(errs, h.nodes.Close(ctx))
	}
	if h.closeCache != nil {
		errs = append(errs, h.closeCache())
	}
	if !h.cfg.LeaveRuns {
		errs = append(errs, h.store.Leave(context.WithoutCancel(ctx)))
	}
	return errors.Join(append(errs, h.store.Close())...)
}

// enter counts something under way, or refuses it because the host is closed.
func (h *Host) enter() (leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, fault.New(fault.Unavailable, "", "the host is closed")
	}
	h.running.Add(1)
	return h.running.Done, nil
}

// Store returns the state of the host, to read versions, modules and records.
func (h *Host) Store() *store.Store { return h.store }

// NodeStats returns the counters of the node host.
func (h *Host) NodeStats() wasmhost.Stats { return h.nodes.Stats() }

// pluginSpec returns how to start the plugin called name: a built-in one is this
// program run again, any other an executable that the configuration pins.
func (h *Host) pluginSpec(name string, kind plughost.Kind, config []byte) (plughost.Spec, error) {
	spec := plughost.Spec{Name: name, Kind: kind, Config: config, Folder: h.pluginDir(), Logger: h.log}
	if slices.Contains(builtin[kind], name) {
		spec.Args = []string{"plugin", "serve", name}
		if h.cfg.Spark == "" {
			return spec, nil
		}
		digest, err := plughost.Digest(h.cfg.Spark)
		spec.Path, spec.SHA256 = h.cfg.Spark, digest
		return spec, err
	}
	p, ok := h.cfg.Plugins[name]
	if !ok {
		return spec, fault.New(fault.Invalid, "plugins", "there is no %s plugin %q", kind, name).
			WithHint("use one of %s, or name the executable: plugins: {%s: {path: ..., sha256: ...}}", strings.Join(builtin[kind], ", "), name)
	}
	spec.Path, spec.SHA256 = p.Path, p.SHA256
	return spec, nil
}

func (h *Host) pluginDir() string { return filepath.Join(h.cfg.DataDir, "plugins") }
