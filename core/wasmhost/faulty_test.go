package wasmhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// TestFaulty: every way to misbehave ends in one line that says what happened
// and what to do.
func TestFaulty(t *testing.T) {
	h := openHost(t, Config{MemoryMiB: 32})
	m := admit(t, h, builtModule(t, "faulty"), false)
	const limit = 100 * time.Millisecond
	for name, c := range map[string]struct {
		node, config string
		timeout      time.Duration
		kind         fault.Kind
		message      string
		hint         string
	}{
		"trap":    {"trap", `{}`, time.Minute, fault.Trap, "faulty: module crashed while processing: panic: trapped on purpose", defect},
		"loop":    {"loop", `{}`, limit, fault.Timeout, "faulty: stopped: node timeout of 100ms passed", "raise the timeout of the node"},
		"recurse": {"recurse", `{}`, limit, fault.Timeout, "faulty: stopped: node timeout of 100ms passed", "raise the timeout of the node"},
		"pit":     {"recurse", `{"deep":true}`, time.Minute, fault.Limit, "faulty: module wanted more than its 32 MiB of memory while processing", "raise nodes.memory_mib"},
		"memory":  {"eatmemory", `{}`, time.Minute, fault.Limit, "faulty: module wanted more than its 32 MiB of memory while processing", "raise nodes.memory_mib"},
		"no JSON": {"badjson", `{}`, time.Minute, fault.Rejected, `faulty: output of 5 bytes is not JSON in UTF-8, it is wrong at byte 0`, defect},
		"half":    {"badjson", `{"form":"half"}`, time.Minute, fault.Rejected, `faulty: output of 5 bytes is not JSON in UTF-8, it is wrong at byte 4`, defect},
		"bytes":   {"badjson", `{"form":"utf8"}`, time.Minute, fault.Rejected, `faulty: output of 3 bytes is not JSON in UTF-8, as byte 1 is not UTF-8`, defect},
		"failing": {"failing", `{"kind":"transient","message":"busy","hint":"wait"}`, time.Minute, fault.Transient, "faulty: busy", "wait"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, h, m, NodeSpec{Type: c.node, Config: json.RawMessage(c.config), Timeout: c.timeout})
			_, err := n.RunNode(t.Context(), step(`{}`))
			if fault.KindOf(err) != c.kind || err.Error() != c.message {
				t.Errorf("%v (%s), want %s (%s)", err, fault.KindOf(err), c.message, c.kind)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, c.hint) || strings.Contains(hint, "\n") {
				t.Errorf("hint %q, want %q", hint, c.hint)
			}
		})
	}
	// A stripped module still tells where it crashed.
	for name, first := range map[string]string{"trap": "main.trap.Process\n\t", "eatmemory": "main.(*eatMemory).Process\n\t", "recurse": "main.down\n\t"} {
		s, config := step(`{}`), json.RawMessage(`{}`)
		if name == "recurse" {
			config = json.RawMessage(`{"deep":true}`)
		}
		_, err := newNode(t, h, m, NodeSpec{Type: name, Config: config, Timeout: time.Minute}).RunNode(t.Context(), s)
		trace := fault.TraceOf(err)
		if !strings.HasPrefix(trace, first) || !strings.Contains(trace, "plugins/nodes/faulty/main.go:") || strings.Contains(trace, "0x") {
			t.Errorf("%s: %v, trace\n%s", name, err, trace)
		}
		if strings.Count(err.Error(), "\n") > 0 || strings.Contains(err.Error(), "main.go") || strings.Contains(fmt.Sprint(s.Trail.Logs), "main.") || name == "trap" && len(s.Trail.Logs) > 0 {
			t.Errorf("%s: %v, logs %+v", name, err, s.Trail.Logs)
		}
	}
	// The remedy for a timeout works.
	spin := NodeSpec{Type: "spin", Config: json.RawMessage(`{"kilosteps":30000}`), Timeout: 5 * time.Millisecond}
	_, err := newNode(t, h, m, spin).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Timeout)
	spin.Timeout = time.Minute
	if _, err := newNode(t, h, m, spin).RunNode(t.Context(), step(`{}`)); err != nil {
		t.Errorf("with more time: %v", err)
	}
	// The caller's own reasons stay on the line.
	reason := errors.New("a sibling failed")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	_, err = newNode(t, h, m, spin).RunNode(ctx, step(`{}`))
	if !errors.Is(err, reason) || err.Error() != "faulty: call was cancelled: context canceled: a sibling failed" {
		t.Error(err)
	}
}

// TestMemoryRemedy: which limit was too small decides what to do about it, and
// doing so helps.
func TestMemoryRemedy(t *testing.T) {
	wants := func(pages int32) *asm {
		return newGuest(cat(c32(pages), []byte{opMemoryGrow, 0}, c32(-1), []byte{0x46 /* i32.eq */, opIf, blockVoid, opUnreachable, opEnd}, echoCode), nil)
	}
	run := func(host int, a *asm) error {
		h := openHost(t, Config{MemoryMiB: host})
		_, err := handNode(t, h, a, 0).RunNode(t.Context(), step(`{}`))
		return err
	}
	if err := run(8, wants(100)); err != nil { // 6 MiB of the 8 that the manifest asks for
		t.Error(err)
	}
	err := run(64, wants(200))
	if fault.KindOf(err) != fault.Limit || !strings.Contains(fault.HintOf(err), "whose manifest asks for more memory_mib") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	err = run(8, wants(200))
	if fault.KindOf(err) != fault.Limit || !strings.Contains(fault.HintOf(err), "raise nodes.memory_mib of the host") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// TestTrapNamesFunctions: a module with names tells where it crashed.
func TestTrapNamesFunctions(t *testing.T) {
	h := openHost(t, Config{})
	a := newGuest(nil, nil)
	deep := a.fn(asmFunc{code: []byte{opUnreachable}})
	a.funcs[3].code = cat(callTo(deep), c64(0))
	names := vec(append(appendU32(nil, deep), sized([]byte("inner"))...))
	a.custom = map[string][]byte{"name": appendSection(nil, 1, names)}
	_, err := handNode(t, h, a, 0).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Trap, "module crashed while processing: unreachable")
	if trace := fault.TraceOf(err); trace != ".inner()\n.$4(i32,i32) i64" || strings.Contains(err.Error(), "inner") {
		t.Errorf("%v, trace %q", err, trace)
	}
}
