package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// TestExamples runs the examples in the texts beside the node types. Each type has
// one, but for those that ask models and servers.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```example\n")[1:]
		if len(blocks) == 0 {
			continue
		}
		description, err := os.ReadFile(strings.TrimSuffix(file, ".md") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		kind, err := abi.DecodeNodeType(description)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			lines := map[string]string{}
			for line := range strings.Lines(block) {
				key, doc, ok := strings.Cut(line, ":")
				if !ok {
					t.Fatalf("%s: line %q", file, line)
				}
				lines[key] = doc
			}
			host := &nodetest.Host{Assets: map[string][]byte{"corpus": []byte(lines["corpus"])}}
			i := node.NewInstance(types, host.Calls())
			if err := i.Configure([]byte(`{"node":"` + kind.Type + `","config":` + lines["config"] + `,"assets":["corpus"]}`)); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			out, err := i.Process([]byte(lines["input"]))
			if err != nil || !nodetest.Same(string(out), lines["output"]) {
				t.Errorf("%s: %s gives %s, %v, want %s", file, lines["input"], out, err, lines["output"])
			}
			shown[kind.Type] = true
		}
	}
	for name := range types {
		if outside := name == "generate" || strings.HasPrefix(name, "http_"); shown[name] == outside {
			t.Errorf("%s: an example %v", name, shown[name])
		}
	}
}
