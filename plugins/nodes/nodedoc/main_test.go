package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

// TestCurrent: the reference in the repository is what the manifests say.
func TestCurrent(t *testing.T) {
	if err := run("../../../docs/NODES.md", "../stock", true); err != nil {
		t.Errorf("%v: %s", err, fault.HintOf(err))
	}
}

func TestReference(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("manifest.json", `{"abi":1,"name":"m","version":"1.2.3","nodes":["a.json",{"type":"b","version":"1.0.0","summary":"B.","effects":"none"}]}`)
	write("a.json", `{"type":"a","version":"2.0.0","summary":"A | a.","effects":"write","capabilities":["http"],"implements":["x/v1"],
		"config":{"type":"object","required":["u"],"properties":{
			"u":{"type":"string","description":"One|two."},
			"n":{"type":"integer","minimum":1,"maximum":9,"default":2,"x-tunable":{"min":1,"max":5,"log":true}},
			"e":{"type":"string","enum":["p","q"],"default":"p","x-tunable":true},
			"t":{"type":"string","default":"","x-prompt":true}}},
		"input":{"type":["object","array"]},"output":{"type":"object","required":["r"],"properties":{"r":{},"s":{}}}}`)
	write("a.md", "More about a.\n")
	write("b.json", `{}`)
	out := filepath.Join(dir, "out.md")
	if err := run(out, dir, true); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
	// The second node type has no settings, which a manifest may leave out.
	if err := run(out, dir, false); err != nil {
		t.Fatal(err)
	}
	if err := run(out, dir, true); err != nil {
		t.Error(err)
	}
	doc, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Node types of the module `m` 1.2.3", `| [a](#a) | A \| a. | x/v1 |`, "\n## b\n\nB.\n",
		"version 2.0.0 \u00b7 effects write \u00b7 not deterministic \u00b7 not idempotent \u00b7 needs http \u00b7 takes object or array \u00b7 gives `{r, s?}`.",
		`| ` + "`u` | string | required |  | One\\|two. |", "| `n` | integer, 1 to 9 | `2` | 1 to 5, log |  |",
		"| `e` | `p` `q` | `\"p\"` | yes |  |", "| `t` | string | `\"\"` | prompt |  |", "\nMore about a.\n"} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("lacks %q:\n%s", want, doc)
		}
	}
	write("out.md", string(doc)+" ")
	if err := run(out, dir, true); !fault.Is(err, fault.Corrupt) {
		t.Errorf("%v", err)
	}
}
