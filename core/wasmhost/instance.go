package wasmhost

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// instance is one live copy of a module. One goroutine uses it at a time: the
// one that took it from the pool. It is also the context.Context of its guest
// calls, so that host functions find it without a lookup or an allocation.
type instance struct {
	pool  *pool
	mod   api.Module
	mem   api.Memory
	arena *arena
	doc   string // configuration document it took last, "" for none

	alloc, configure, process api.Function
	resume                    api.Function // nil for a module that awaits nothing

	stack   [3]uint64
	input   uint32 // the guest's input buffer and its size, 0 when there is none
	room    int
	outputs int  // outputs since the start, for sampled checks
	broken  bool // must not be used again
	ran     bool // it saw a document of a step

	call call
	base context.Context // values for wazero while the instance is started
}

var _ context.Context = (*instance)(nil)

// Deadline, Done and Err say nothing: guests are stopped by fuel, and the host
// functions of this package look at call.
func (in *instance) Deadline() (time.Time, bool) { return time.Time{}, false }
func (in *instance) Done() <-chan struct{}       { return nil }
func (in *instance) Err() error                  { return nil }

// Value serves what wazero looks for when it starts a module.
func (in *instance) Value(key any) any {
	if in.base == nil {
		return nil
	}
	return in.base.Value(key)
}

// start makes a fresh instance of the pool's module.
func (p *pool) start(ctx context.Context, until deadline) (*instance, error) {
	h := p.module.host
	mem, err := newArena(p.memory)
	if err != nil {
		return nil, fault.Wrap(fault.Limit, "wasm host", err, "%d bytes of address space for an instance", p.memory)
	}
	in := &instance{pool: p, arena: mem}
	in.base = experimental.WithMemoryAllocator(context.Background(), in.arena)
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithArgs("spark").
		WithStdout(&lines{in: in, level: "info"}).WithStderr(&lines{in: in, level: "warn"})
	if p.grant.Clock {
		cfg = cfg.WithSysWalltime().WithSysNanotime()
	}
	if p.grant.Random {
		cfg = cfg.WithRandSource(rand.Reader)
	}
	in.begin(ctx, until, nil)
	mod, err := p.module.runtime.InstantiateModule(in, p.module.compiled, cfg)
	in.base = nil
	if err != nil {
		mem.Free()
		return nil, in.failed("starting", err)
	}
	h.stats.started.Add(1)
	h.stats.live.Add(1)
	in.mod, in.mem = mod, mod.ExportedMemory(abi.Memory)
	in.alloc, in.configure, in.process = mod.ExportedFunction(abi.Alloc), mod.ExportedFunction(abi.Configure), mod.ExportedFunction(abi.Process)
	in.resume = mod.ExportedFunction(abi.Resume)
	if f := mod.ExportedFunction(abi.Initialize); f != nil {
		if err := f.CallWithStack(in, in.stack[:0]); err != nil {
			err = in.failed("initializing", err)
			in.close()
			return nil, err
		}
	}
	if err := mod.ExportedFunction(abi.Marker).CallWithStack(in, in.stack[:1]); err != nil {
		err = in.failed("asking for the ABI version", err)
		in.close()
		return nil, err
	}
	if v := int32(in.stack[0]); v != abi.Version {
		in.close()
		return nil, fault.New(fault.Invalid, p.module.manifest.Name, "module speaks ABI v%d, the host v%d", v, abi.Version).
			WithHint("build the module for ABI v%d", abi.Version)
	}
	in.end()
	return in, nil
}

// close ends the instance and frees its memory.
func (in *instance) close() {
	h := in.pool.module.host
	h.stats.live.Add(-1)
	if err := in.mod.Close(context.Background()); err != nil {
		h.log.Warn("instance not closed cleanly", "module", in.pool.module.manifest.Name, "error", err)
	}
	in.arena.Free()
}

// setUp configures the instance. A refusal by the module comes back with the
// kind it gave, a crash or stop breaks the instance.
func (in *instance) setUp(ctx context.Context, until deadline, doc string) error {
	in.doc = ""
	in.begin(ctx, until, nil)
	defer in.end()
	in.pool.module.host.stats.configured.Add(1)
	if err := in.give(doc); err != nil {
		return err
	}
	in.stack[0], in.stack[1] = uint64(in.input), uint64(len(doc))
	if err := in.configure.CallWithStack(in, in.stack[:2]); err != nil {
		return in.failed("configuring", err)
	}
	if int32(in.stack[0]) != 0 {
		if in.arena.denied {
			return in.outOfMemory("configuring")
		}
		return in.refusal("config", "module refused its configuration without saying why")
	}
	in.doc = doc
	return nil
}

// run hands the input of s to the guest and returns a copy of its output, or the
// effect that it awaits.
func (in *instance) run(ctx context.Context, until deadline, s *run.Step) ([]byte, *effect, error) {
	in.begin(ctx, until, s)
	defer in.end()
	return in.document(in.process, "processing", s.Input)
}

// document hands doc to an export and returns a copy of its output, or the effect
// that the guest awaits.
func (in *instance) document(export api.Function, doing string, doc []byte) ([]byte, *effect, error) {
	in.pool.module.host.stats.calls.Add(1)
	in.ran = true
	select {
	case <-in.call.done:
		return nil, nil, in.expired()
	default:
	}
	if err := giveBytes(in, doc); err != nil {
		return nil, nil, err
	}
	in.stack[0], in.stack[1] = uint64(in.input), uint64(len(doc))
	if err := export.CallWithStack(in, in.stack[:2]); err != nil {
		in.call.effect = nil
		return nil, nil, in.failed(doing, err)
	}
	if e := in.call.effect; e != nil && in.stack[0] == 0 && !in.arena.denied {
		return nil, e, nil
	}
	in.call.effect = nil
	out, err := in.output(doing)
	return out, nil, err
}

// output returns a copy of the output that the guest left on the stack, or why
// there is none.
func (in *instance) output(doing string) ([]byte, error) {
	h := in.pool.module.host
	if in.arena.denied { // even if the guest coped: it stays that large
		in.broken = true
	}
	packed := in.stack[0]
	if packed == 0 {
		if in.arena.denied {
			return nil, in.outOfMemory(doing)
		}
		return nil, in.refusal("", "module failed without saying why")
	}
	at, n := uint32(packed>>32), uint32(packed)
	if limit := h.cfg.MaxPayloadMiB << 20; int64(n) > int64(limit) {
		return nil, fault.New(fault.Limit, in.pool.module.manifest.Name, "output of %d bytes, the limit is %d", n, limit).
			WithHint("make the node return less, by its settings or by splitting its input")
	}
	view, ok := in.mem.Read(at, n)
	if !ok {
		in.broken = true
		h.stats.traps.Add(1)
		return nil, fault.New(fault.Trap, in.pool.module.manifest.Name, "output of %d bytes at %#x lies outside the memory of %d bytes",
			n, at, in.mem.Size()).WithHint(defect)
	}
	out := make([]byte, n)
	copy(out, view)
	if err := in.checkOutput(out); err != nil {
		return nil, err
	}
	return out, nil
}

// give and giveBytes copy a document into the guest's input buffer. The buffer
// stays valid until a larger one is asked for.
func (in *instance) give(doc string) error { return giveBytes(in, doc) }

func giveBytes[T string | []byte](in *instance, doc T) error {
	name := in.pool.module.manifest.Name
	if limit := in.pool.module.host.cfg.MaxPayloadMiB << 20; len(doc) > limit {
		return fault.New(fault.Limit, name, "input of %d bytes, the limit is %d", len(doc), limit).
			WithHint("hand the node less at once, or give it what is large as an asset")
	}
	if len(doc) > in.room || in.input == 0 {
		in.input, in.room = 0, 0
		in.stack[0] = uint64(len(doc))
		if err := in.alloc.CallWithStack(in, in.stack[:1]); err != nil {
			return in.failed("making room for an input", err)
		}
		if in.input = uint32(in.stack[0]); in.input == 0 {
			if in.arena.denied {
				return in.outOfMemory("making room for an input")
			}
			in.broken = true
			return fault.New(fault.Limit, name, "module has no room for an input of %d bytes", len(doc)).
				WithHint("hand the node less at once")
		}
		in.room = len(doc)
	}
	view, ok := in.mem.Read(in.input, uint32(len(doc)))
	if !ok {
		in.broken = true
		return fault.New(fault.Trap, name, "input buffer of %d bytes at %#x lies outside the memory of %d bytes", len(doc), in.input, in.mem.Size()).
			WithHint(defect)
	}
	copy(view, doc)
	return nil
}

// defect is the remedy for what no setting can mend.
const defect = "the module is at fault: report it to its author with the input, or use another version of it"

// failed turns an error of wazero into a fault and breaks the instance: a guest
// that was cut off anywhere may answer wrongly later.
func (in *instance) failed(doing string, err error) error {
	in.broken = true
	p := in.pool
	name, stats := p.module.manifest.Name, &p.module.host.stats
	cause, trace := crash(err)
	if guest := in.call.stack(); guest != "" { // it knows files and lines, and names in a stripped module
		trace = guest
	}
	in.call.last = nil // no log of the step
	if in.call.stop != nil {
		stats.timeouts.Add(1)
		return in.call.stop
	}
	if in.arena.denied {
		return in.outOfMemory(doing).WithTrace(trace)
	}
	stats.traps.Add(1)
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return fault.New(fault.Trap, name, "module exited with code %d while %s%s", exit.ExitCode(), doing, in.lastWords()).WithHint(defect).WithTrace(trace)
	}
	words := in.lastWords()
	if words != "" && cause == "unreachable" { // how a guest ends itself after it spoke
		cause = ""
	} else {
		cause = ": " + cause
	}
	f := fault.New(fault.Trap, name, "module crashed while %s%s%s", doing, cause, words).WithHint(defect).WithTrace(trace)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f.Err = err
	}
	return f
}

func (in *instance) outOfMemory(doing string) *fault.Error {
	in.broken = true
	p := in.pool
	p.module.host.stats.memoryDenied.Add(1)
	hint := "give the node less data, or raise nodes.memory_mib of the host"
	if p.memory>>20 < p.module.host.cfg.MemoryMiB {
		hint = "give the node less data, or use a build of the module whose manifest asks for more memory_mib"
	}
	return fault.New(fault.Limit, p.module.manifest.Name, "module wanted more than its %d MiB of memory while %s", p.memory>>20, doing).
		WithHint("%s", hint)
}

// lastWords is what the guest said before it crashed.
func (in *instance) lastWords() string {
	switch {
	case in.call.failed && in.call.failMsg != "":
		return ": " + in.call.failMsg
	case in.call.stderr != "":
		return ": " + in.call.stderr
	}
	return ""
}
