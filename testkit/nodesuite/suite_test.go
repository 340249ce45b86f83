package nodesuite

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/wasmhost"
	"github.com/sparkrsi/spark/plugins/nodes"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
)

// TestStock: the stock node types keep the contract.
func TestStock(t *testing.T) {
	wasm, err := nodes.Stock()
	if err != nil {
		t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	corpus := `{"id":"a.Join","pkg":"a","name":"Join","kind":"func","sig":"func Join()","doc":"Join concatenates lists."}` + "\n"
	r, err := Run(t.Context(), wasm, Options{
		Configs: map[string]json.RawMessage{
			"generate":  json.RawMessage(`{"model":"m","prompt":"{{.}}"}`),
			"classify":  json.RawMessage(`{"rules":[{"label":"a","words":["fox"]}]}`),
			"http_get":  json.RawMessage(`{"url":"http://127.0.0.1:9/"}`),
			"http_send": json.RawMessage(`{"url":"http://127.0.0.1:9/"}`),
			"regex":     json.RawMessage(`{"pattern":"a"}`),
		},
		Assets: map[string]wasmhost.Asset{"corpus": {Digest: strings.Repeat("ab", 32), Data: strings.NewReader(corpus), Size: int64(len(corpus))}},
		Inputs: []json.RawMessage{json.RawMessage(`{"input":{},"expected":{"text":"a"},"output":{"text":"a"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Parts {
		if !p.Passed {
			t.Errorf("%s: %s", p.Name, p.Output)
		}
	}
	for _, n := range r.NotAsked {
		t.Log(n)
	}
	if len(r.Parts) < 100 || len(r.NotAsked) > 4 {
		t.Errorf("%d parts, not asked: %q", len(r.Parts), r.NotAsked)
	}
}

// TestFaulty: each node type that misbehaves is found, in the part that is for it.
func TestFaulty(t *testing.T) {
	out := filepath.Join(t.TempDir(), "faulty.wasm")
	if _, err := modbuild.Build(context.Background(), "../../plugins/nodes/faulty", out); err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), wasm, Options{Timeout: time.Second, Configs: map[string]json.RawMessage{"failing": json.RawMessage(`{"kind":"internal"}`), "spin": json.RawMessage(`{"kilosteps":1}`)},
		Assets: map[string]wasmhost.Asset{"a": {Digest: strings.Repeat("cd", 32), Data: strings.NewReader("a"), Size: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]string{}
	for _, p := range r.Parts {
		if !p.Passed {
			failed[p.Name] = p.Output
		}
	}
	for name, want := range map[string]string{"badjson/output": "is not JSON", "failing/output": "by fail", "eatmemory/output": "more than its", "loop/malformed input": "no end",
		"trap/malformed input": "trapped on purpose", "trap/output": "trapped on purpose"} {
		if got, ok := failed[name]; !ok || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"admission", "spin/output", "awaits/output", "calls/output"} {
		if why, bad := failed[name]; bad {
			t.Errorf("%s fails: %s", name, why)
		}
	}
}

// TestAdmission: what is no module is one failed part.
func TestAdmission(t *testing.T) {
	r, err := Run(t.Context(), []byte("no module"), Options{})
	if err != nil || len(r.Parts) != 1 || r.Passed() {
		t.Errorf("%+v, %v", r, err)
	}
}
