package wasmhost

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// rep returns b n times.
func rep(n int, b ...byte) []byte { return bytes.Repeat(b, n) }

func TestAdmitRefuses(t *testing.T) {
	spark := func(name string, params, results []byte) asmImport {
		return asmImport{module: "spark", name: name, params: params, results: results}
	}
	without := func(name string) *asm {
		a := newGuest(nil, nil)
		for i, e := range a.exports {
			if e.name == name {
				a.exports = append(a.exports[:i:i], a.exports[i+1:]...)
				break
			}
		}
		return a
	}
	with := func(change func(a *asm)) *asm {
		a := newGuest(nil, nil)
		change(a)
		return a
	}
	body := func(code []byte) *asm { return with(func(a *asm) { a.fn(asmFunc{code: code}) }) }
	funcref := []byte{0x70, 0, 1}
	for name, c := range map[string]struct {
		guest *asm
		wasm  []byte
		kind  fault.Kind
		words []string
	}{
		"empty":            {wasm: []byte{}, kind: fault.Invalid, words: []string{"not a WASM binary"}},
		"text":             {wasm: []byte("(module)"), kind: fault.Invalid, words: []string{"not a WASM binary"}},
		"cut off":          {wasm: newGuest(nil, nil).module(t)[:60], kind: fault.Invalid, words: []string{"malformed"}},
		"too large":        {wasm: append(newGuest(nil, nil).module(t), rep(1<<20, 0)...), kind: fault.Limit, words: []string{"size in bytes", "1048576"}},
		"no manifest":      {wasm: newGuest(nil, nil).wasm(), kind: fault.Invalid, words: []string{abi.Section}},
		"bad manifest":     {wasm: with(func(a *asm) { a.custom = map[string][]byte{abi.Section: []byte(`{"abi":7}`)} }).wasm(), kind: fault.Invalid, words: []string{"manifest refused", "abi: version 7"}},
		"manifest no JSON": {wasm: with(func(a *asm) { a.custom = map[string][]byte{abi.Section: []byte(`{`)} }).wasm(), kind: fault.Invalid, words: []string{abi.Section}},
		"1000 tables":      {guest: with(func(a *asm) { a.tables = make([][]byte, 1000); fillWith(a.tables, funcref) }), kind: fault.Limit, words: []string{"number of tables is 1000, the limit is 1"}},
		"large table":      {guest: with(func(a *asm) { a.tables = [][]byte{append([]byte{0x70, 0}, appendU32(nil, 1<<20)...)} }), kind: fault.Limit, words: []string{"table entries is 1048576, the limit is 65536"}},
		"two memories":     {wasm: twoMemories(t), kind: fault.Limit, words: []string{"number of memories is 2, the limit is 1"}},
		"large memory":     {guest: with(func(a *asm) { a.min = 65536 }), kind: fault.Limit, words: []string{"initial memory", "65536"}},
		"br_table":         {guest: body(cat(c32(0), []byte{opBrTable}, appendU32(nil, 5000), rep(5001, 0))), kind: fault.Limit, words: []string{"br_table is 5000, the limit is 4096"}},
		"nesting":          {guest: body(cat(rep(5000, opBlock, blockVoid), rep(5000, opEnd))), kind: fault.Limit, words: []string{"nesting of blocks", "the limit is"}},
		"long function":    {guest: body(rep(200<<10, 0x01)), kind: fault.Limit, words: []string{"size in bytes of function 4", "the limit is 131072"}},
		"locals":           {guest: with(func(a *asm) { a.fn(asmFunc{locals: vec(append(appendU32(nil, 1<<31), typeI32))}) }), kind: fault.Limit, words: []string{"number of locals"}},
		"globals": {guest: with(func(a *asm) {
			a.globals = make([][]byte, 2000)
			fillWith(a.globals, []byte{typeI32, 1, opI32Const, 0, opEnd})
		}), kind: fault.Limit, words: []string{"number of globals"}},
		"parameters": {guest: with(func(a *asm) { a.fn(asmFunc{params: rep(500, typeI32)}) }), kind: fault.Limit, words: []string{"parameters"}},
		"calls times globals": {guest: with(func(a *asm) {
			a.globals = make([][]byte, 900)
			fillWith(a.globals, []byte{typeI32, 1, opI32Const, 0, opEnd})
			a.fn(asmFunc{code: rep(2000, opCall, 4)})
		}), kind: fault.Limit, words: []string{"times mutable globals"}},
		"unknown opcode":     {guest: body([]byte{0x06}), kind: fault.Invalid, words: []string{"malformed function 4", "0x6"}},
		"tail call":          {guest: body([]byte{0x12, 0}), kind: fault.Invalid, words: []string{"unknown instruction 0x12"}},
		"does not validate":  {guest: body([]byte{opI32Add}), kind: fault.Invalid, words: []string{"not accepted by the compiler"}},
		"no marker":          {guest: without(abi.Marker), kind: fault.Invalid, words: []string{`"spark_abi_v1"`}},
		"no memory":          {guest: without(abi.Memory), kind: fault.Invalid, words: []string{"memory"}},
		"no process":         {guest: without(abi.Process), kind: fault.Invalid, words: []string{`"spark_process"`}},
		"wrong type":         {guest: with(func(a *asm) { a.funcs[1].results = long; a.funcs[1].code = c64(0) }), kind: fault.Invalid, words: []string{`"spark_alloc" as (i32) -> (i64)`, "(i32) -> (i32)"}},
		"environment":        {guest: newGuest(nil, nil, asmImport{module: "env", name: "abort"}), kind: fault.Denied, words: []string{"env.abort", "serves only spark and wasi_snapshot_preview1"}},
		"unknown host call":  {guest: newGuest(nil, nil, spark("emit", two, one)), kind: fault.Denied, words: []string{"spark.emit", "does not serve"}},
		"other version":      {guest: newGuest(nil, nil, asmImport{module: "wasi_unstable", name: "fd_write"}), kind: fault.Denied, words: []string{"wasi_unstable.fd_write"}},
		"host call as other": {guest: newGuest(nil, nil, spark(abi.Now, nil, one)), kind: fault.Invalid, words: []string{"spark.now as () -> (i32)", "() -> (i64)"}},
		"fuel by hand":       {guest: newGuest(nil, nil, spark(abi.FuelImport, nil, nil)), kind: fault.Denied, words: []string{"only the host inserts"}},
		"imported memory":    {guest: newGuest(nil, nil, asmImport{module: "spark", name: "memory", kind: externMemory}), kind: fault.Denied, words: []string{"spark.memory", "not a function"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHost(t, Config{MaxModuleMiB: 1})
			wasm := c.wasm
			if c.guest != nil {
				wasm = c.guest.module(t)
			}
			m, err := h.Admit(wasm, false)
			if m != nil {
				t.Fatal("a module came back")
			}
			wantFault(t, err, c.kind, c.words...)
			if n := h.Stats().Modules; n != 0 {
				t.Errorf("%d modules kept", n)
			}
		})
	}
}

func fillWith(list [][]byte, item []byte) {
	for i := range list {
		list[i] = item
	}
}

func twoMemories(t *testing.T) []byte {
	one := []byte{secMemory, 3, 1, 0, 1}
	wasm := newGuest(nil, nil).module(t)
	if bytes.Count(wasm, one) != 1 {
		t.Fatal("memory section not found")
	}
	return bytes.Replace(wasm, one, []byte{secMemory, 5, 2, 0, 1, 0, 1}, 1)
}

func TestAdmitIsIdempotent(t *testing.T) {
	h := openHost(t, Config{CacheDir: filepath.Join(t.TempDir(), "cache")})
	wasm := newGuest(nil, nil).module(t)
	const n = 8
	var wg sync.WaitGroup
	got := make([]*Module, n)
	for i := range n {
		wg.Go(func() {
			m, err := h.Admit(wasm, false)
			if err != nil {
				t.Error(err)
			}
			got[i] = m
		})
	}
	wg.Wait()
	for _, m := range got {
		if m != got[0] {
			t.Fatal("same bytes, other module")
		}
	}
	if s := h.Stats(); s.Compiles != 1 || s.Modules != 1 {
		t.Fatalf("%+v", s)
	}
	if d := got[0].Digest(); len(d) != 64 || got[0].Manifest().Name != "hand" {
		t.Fatalf("digest %q, manifest %+v", d, got[0].Manifest())
	}
	for range n {
		got[0].Release()
	}
	if s := h.Stats(); s.Modules != 0 {
		t.Fatalf("%d modules after the last release", s.Modules)
	}
	if _, err := h.Node(t.Context(), got[0], NodeSpec{Type: "hand"}); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("node of a released module: %v", err)
	}
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	wasm := newGuest(nil, nil).module(t)
	admitOnce := func() Stats {
		h := openHost(t, Config{CacheDir: dir})
		m := admit(t, h, wasm, false)
		wantEcho(t, newNode(t, h, m, NodeSpec{Type: "hand"}))
		return h.Stats()
	}
	if s := admitOnce(); s.Compiles != 1 || s.CacheHits != 0 {
		t.Fatalf("first: %+v", s)
	}
	if s := admitOnce(); s.Compiles != 0 || s.CacheHits != 1 {
		t.Fatalf("second: %+v", s)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	// A damaged entry is made again.
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if len(files) != 1 {
		t.Fatalf("files in the cache: %v", files)
	}
	code, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{code[:len(code)/2], {}, append(bytes.Clone(code[:len(code)-9]), "damaged!!"...)} {
		if err := os.WriteFile(files[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if s := admitOnce(); s.Compiles != 1 || s.CacheHits != 0 {
			t.Fatalf("with %d of %d bytes: %+v", len(damaged), len(code), s)
		}
	}
	// A folder that others may write to is refused.
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{CacheDir: dir})
	wantFault(t, err, fault.Denied, dir, "0770")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openHost(t, Config{CacheDir: dir})
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v stays", info.Mode())
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{CacheDir: file})
	wantFault(t, err, fault.Invalid, file, "no folder")
}

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Fatal(err)
	}
	err := Config{MemoryMiB: -1, FuelInterval: 5, Instances: -2, ModelInstances: -3, StartTimeout: -1}.Validate()
	for _, path := range []string{"memory_mib", "fuel_interval", "instances", "model_instances", "start_timeout"} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v lacks %s", err, path)
		}
	}
	if _, err := Open(context.Background(), Config{MemoryMiB: 1 << 20}); err == nil {
		t.Fatal("opened")
	}
}
