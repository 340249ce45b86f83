package wasmhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

type moduleKey struct {
	digest  string
	trusted bool
}

// Module is an admitted module, compiled and ready to be started. Safe for
// concurrent use.
type Module struct {
	host     *Host
	key      moduleKey
	digest   string
	manifest *abi.Manifest
	trusted  bool

	ready    chan struct{} // closed when admission ended
	err      error         // why it failed
	runtime  wazero.Runtime
	cache    wazero.CompilationCache // nil without a cache folder
	compiled wazero.CompiledModule
	shutOnce sync.Once
	shutErr  error

	refs  int              // admissions and nodes, guarded by host.mu
	pools map[string]*pool // guarded by host.mu
}

// Manifest returns what the module says of itself. It must not be changed.
func (m *Module) Manifest() *abi.Manifest { return m.manifest }

// Digest returns the sha256 of the module as it was given, in hex.
func (m *Module) Digest() string { return m.digest }

// Trusted reports whether the operator built the module.
func (m *Module) Trusted() bool { return m.trusted }

// Admit checks a module, inserts fuel and compiles it. The same bytes give the
// same Module; each Admit wants one Release. A module is trusted when the
// operator built it: its bounds on size and shape are wider and its output is
// checked by sample only. Errors: Limit with bound and actual value; Denied for
// imports the host does not serve; Invalid for everything else that is wrong
// with the module. Compiling a large Go module takes seconds the first time and
// cannot be cancelled.
func (h *Host) Admit(wasm []byte, trusted bool) (*Module, error) {
	sum := sha256.Sum256(wasm)
	key := moduleKey{digest: hex.EncodeToString(sum[:]), trusted: trusted}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, fault.New(fault.Unavailable, "wasm host", "is closed")
	}
	m, known := h.modules[key]
	if known {
		m.refs++
		h.mu.Unlock()
		<-m.ready
		return m.result()
	}
	m = &Module{host: h, key: key, digest: key.digest, trusted: trusted, refs: 1, ready: make(chan struct{}), pools: map[string]*pool{}}
	h.modules[key] = m
	h.mu.Unlock()

	m.err = h.build(m, wasm)
	if m.err != nil {
		h.mu.Lock()
		if h.modules[key] == m {
			delete(h.modules, key)
		}
		h.mu.Unlock()
	}
	close(m.ready)
	return m.result()
}

func (m *Module) result() (*Module, error) {
	if m.err != nil {
		return nil, m.err
	}
	return m, nil
}

// Release gives one admission back. After the last one, and the Close of the
// last node, the compiled code is freed.
func (m *Module) Release() { m.unref(context.Background()) }

func (m *Module) unref(ctx context.Context) {
	h := m.host
	h.mu.Lock()
	m.refs--
	last := m.refs == 0
	if last && h.modules[m.key] == m {
		delete(h.modules, m.key)
	}
	h.mu.Unlock()
	if last {
		if err := m.shut(ctx); err != nil {
			h.log.Warn("module not closed cleanly", "digest", m.digest, "error", err)
		}
	}
}

func (m *Module) shut(ctx context.Context) error {
	m.shutOnce.Do(func() {
		if m.runtime != nil {
			m.shutErr = m.runtime.Close(ctx)
		}
		if m.cache != nil {
			if err := m.cache.Close(ctx); m.shutErr == nil {
				m.shutErr = err
			}
		}
	})
	return m.shutErr
}

// build does the work of Admit.
func (h *Host) build(m *Module, wasm []byte) error {
	lim := foreignLimits
	lim.module = h.cfg.MaxModuleMiB << 20
	if m.trusted {
		lim = trustedLimits
		lim.module = h.cfg.MaxTrustedMiB << 20
	}
	lim.pages = uint32(h.cfg.MemoryMiB) << 4
	p, err := parse(wasm, lim)
	if err != nil {
		return err
	}
	if m.manifest, err = abi.ReadManifest(wasm); err == nil {
		err = m.manifest.Validate()
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, abi.Section, err, "manifest refused")
	}
	if err := h.checkInterface(p); err != nil {
		return err
	}
	metered, err := rewrite(p, uint32(h.cfg.FuelInterval))
	if err != nil {
		return err
	}
	return h.compileModule(m, metered, p)
}

// required are the exports of ABI v1 and their types.
var required = map[string]funcType{
	abi.Marker:    {nil, []byte{typeI32}},
	abi.Alloc:     {[]byte{typeI32}, []byte{typeI32}},
	abi.Configure: {[]byte{typeI32, typeI32}, []byte{typeI32}},
	abi.Process:   {[]byte{typeI32, typeI32}, []byte{typeI64}},
}

// checkInterface compares imports and exports with what the host serves and
// calls.
func (h *Host) checkInterface(p *parsed) error {
	for _, d := range p.imports {
		if d.module == abi.Host && d.name == abi.FuelImport {
			return fault.New(fault.Denied, "module", "imports spark.fuel, which only the host inserts")
		}
		functions, ok := h.served[d.module]
		if !ok {
			return fault.New(fault.Denied, "module", "imports %s.%s, but the host serves only %s", d.module, d.name,
				strings.Join(slices.Sorted(maps.Keys(h.served)), " and ")).
				WithHint("build the module for wasip1 and use the host calls of ABI v%d", abi.Version)
		}
		want, ok := functions[d.name]
		if !ok {
			return fault.New(fault.Denied, "module", "imports %s.%s, which the host does not serve", d.module, d.name)
		}
		if got := p.types[d.typ]; !got.equal(want) {
			return fault.New(fault.Invalid, "module", "imports %s.%s as %v, but it is %v", d.module, d.name, got, want)
		}
	}
	if e, ok := p.exports[abi.Memory]; !ok || e.kind != externMemory || !p.memory {
		return fault.New(fault.Invalid, "module", "does not export its memory as %q", abi.Memory)
	}
	check := maps.Clone(required)
	awaits := slices.ContainsFunc(p.imports, func(d importDecl) bool { return d.module == abi.Host && d.name == abi.Await })
	if _, ok := p.exports[abi.Resume]; ok || awaits {
		check[abi.Resume] = required[abi.Process]
	}
	if _, ok := p.exports[abi.Initialize]; ok {
		check[abi.Initialize] = funcType{}
	}
	for _, name := range slices.Sorted(maps.Keys(check)) {
		got, ok := p.signature(name)
		if !ok {
			return fault.New(fault.Invalid, "module", "does not export the function %q of ABI v%d", name, abi.Version).
				WithHint("a Go module is built with -buildmode=c-shared")
		}
		if want := check[name]; !got.equal(want) {
			return fault.New(fault.Invalid, "module", "exports %q as %v, but ABI v%d has %v", name, got, abi.Version, want)
		}
	}
	return nil
}

// compileModule compiles into a Runtime of the module's own: modules are
// separate trust domains. The disk cache has one folder a module, so that one
// damaged entry can be dropped.
func (h *Host) compileModule(m *Module, metered []byte, p *parsed) error {
	h.compile.Lock()
	defer h.compile.Unlock()
	ctx := context.Background()
	dir, hit := "", false
	if h.cfg.CacheDir != "" {
		sum := sha256.Sum256(metered)
		dir = filepath.Join(h.cfg.CacheDir, hex.EncodeToString(sum[:]))
		hit = hasFiles(dir)
	}
	err := m.open(ctx, dir, metered, p)
	if err != nil && hit {
		h.log.Warn("compiled code in the cache is unusable and is made again", "dir", dir, "error", err)
		hit = false
		if err = os.RemoveAll(dir); err == nil {
			err = m.open(ctx, dir, metered, p)
		}
	}
	if err != nil {
		if dir != "" && !hasFiles(dir) {
			_ = os.RemoveAll(dir) // an empty folder does no harm
		}
		return fault.Wrap(fault.Invalid, "module", err, "not accepted by the compiler")
	}
	if hit {
		h.stats.cacheHits.Add(1)
	} else {
		h.stats.compiles.Add(1)
	}
	return nil
}

func (m *Module) open(ctx context.Context, dir string, metered []byte, p *parsed) (err error) {
	cfg := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
	var cache wazero.CompilationCache
	if dir != "" {
		if cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return err
		}
		cfg = cfg.WithCompilationCache(cache)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, cfg)
	defer func() {
		if err != nil {
			rt.Close(ctx)
			if cache != nil {
				cache.Close(ctx)
			}
		}
	}()
	wasi := slices.ContainsFunc(p.imports, func(d importDecl) bool { return d.module == wasi_snapshot_preview1.ModuleName })
	if wasi {
		if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
			return err
		}
	}
	if err := serve(ctx, rt); err != nil {
		return err
	}
	compiled, err := rt.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), metered)
	if err != nil {
		return err
	}
	m.runtime, m.cache, m.compiled = rt, cache, compiled
	return nil
}

// hasFiles reports whether a file lies in dir or one folder below.
func hasFiles(dir string) bool {
	for _, pattern := range []string{"*", "*/*"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && !strings.HasSuffix(name, ".tmp") {
				return true
			}
		}
	}
	return false
}
