package graph

import (
	"bytes"
	"testing"
)

const docsearch = `graph: docsearch
version: 1.0.0
assets: {corpus: corpus.jsonl}
start: normalize
nodes:
  normalize: {module: textnorm@^1, config: {stem: false}}
  retrieve:
    module: bm25@^1
    assets: [corpus]
    config: {k1: 1.2, b: 0.75, depth: 50.0}
    timeout: 2s
    retry: {attempts: 3, backoff: 50ms, max_backoff: 2s, kinds: [transient, timeout]}
    grant: {clock: true}
  answer:    {module: template@^1, config: {template: "a\nb"}}
  apologise: {module: template@^1, input: {q: "=nodes.normalize.output.q", n: 1}}
edges:
  - {from: normalize, to: retrieve}
  - {from: retrieve, to: answer, when: "size(output.hits) > 0"}
  - {from: retrieve, to: apologise, otherwise: true}
  - {from: retrieve, to: apologise, on_error: [timeout, transient]}
output: [answer, apologise]
`

func TestDecodeExample(t *testing.T) {
	g, fs := Decode([]byte(docsearch), "g.yaml")
	if g == nil || len(fs) > 0 {
		t.Fatal(fs)
	}
	if fs := g.Validate(nil); len(fs) > 0 {
		t.Fatal(fs)
	}
	if got := string(g.Node("retrieve").Config); got != `{"b":0.75,"depth":50,"k1":1.2}` {
		t.Errorf("config %s", got)
	}
	p, err := Compile(&Locked{Graph: g, Locks: []Lock{{Node: "normalize"}, {Node: "retrieve"}, {Node: "answer"}, {Node: "apologise"}}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Type != TypeBranching || len(p.Nodes[3].Reads) != 1 {
		t.Errorf("plan %+v", p)
	}
}

// What a reader of YAML 1.1 takes for a boolean is quoted.
func TestEncodeQuotesOldBooleans(t *testing.T) {
	g, fs := Decode([]byte("graph: g\nstart: ask\nnodes: {ask: {wait: {prompt: p, choices: [\"yes\", \"No\", \"on\", \"y\", maybe]}}}\n"), "")
	if fs.HasErrors() {
		t.Fatal(fs)
	}
	if out := Encode(g); !bytes.Contains(out, []byte(`choices: ["yes", "No", "on", "y", maybe]`)) {
		t.Errorf("%s", out)
	}
}

func TestEncodeKeepsDigest(t *testing.T) {
	g, _ := Decode([]byte(docsearch), "")
	out := Encode(g)
	h, fs := Decode(out, "")
	if len(fs) > 0 {
		t.Fatalf("%s\n%s", fs, out)
	}
	if d := Diff(g, h); len(d) > 0 {
		t.Errorf("%s\n%s", FormatChanges(d), out)
	}
	if Digest(&Locked{Graph: g}) != Digest(&Locked{Graph: h}) {
		t.Error("digest changed")
	}
}

func BenchmarkDecodeCompile(b *testing.B) {
	locks := []Lock{{Node: "normalize"}, {Node: "retrieve"}, {Node: "answer"}, {Node: "apologise"}}
	for b.Loop() {
		g, fs := Decode([]byte(docsearch), "")
		if len(fs) > 0 {
			b.Fatal(fs)
		}
		if _, err := Compile(&Locked{Graph: g, Locks: locks}); err != nil {
			b.Fatal(err)
		}
	}
}
