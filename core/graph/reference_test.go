package graph

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// stockTypes returns the stock node types as their modules declare them.
func stockTypes(t *testing.T) func(ref string) (*abi.NodeType, error) {
	t.Helper()
	files, err := filepath.Glob("../../plugins/nodes/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]*abi.NodeType{}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := abi.DecodeNodeType(doc); err == nil { // else the manifest of a module
			types[n.Type] = n
		}
	}
	return func(ref string) (*abi.NodeType, error) {
		r, err := ParseRef(ref)
		if err != nil {
			return nil, err
		}
		n := types[r.Type]
		if n == nil || !r.Range.Match(n.Version) {
			return nil, fault.New(fault.NotFound, "", "there is no stock node %s", ref)
		}
		return n, nil
	}
}

// TestReferenceExamples lints the documents that docs/GRAPH.md shows: none may
// have a finding, not even a doubt.
func TestReferenceExamples(t *testing.T) {
	text, err := os.ReadFile("../../docs/GRAPH.md")
	if err != nil {
		t.Fatal(err)
	}
	known := stockTypes(t)
	graphs, policies := 0, 0
	for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
		doc, _, closed := strings.Cut(part, "```")
		if !closed {
			t.Fatal("a yaml block is not closed")
		}
		var found Findings
		if strings.HasPrefix(doc, "policy:") {
			policies++
			_, found = DecodePolicy([]byte(doc), "GRAPH.md")
		} else {
			graphs++
			var g *Graph
			if g, found = Decode([]byte(doc), "GRAPH.md"); g != nil {
				found = append(found, g.Validate(known)...)
			}
		}
		if len(found) > 0 {
			t.Errorf("%s\nin\n%s", found, doc)
		}
	}
	if graphs < 9 || policies < 1 {
		t.Errorf("%d graphs and %d policies were found", graphs, policies)
	}
}

// TestReferenceIsComplete: docs/GRAPH.md names every key of both documents.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/GRAPH.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder // what stands in the first column, and in the forms of lists
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			rows.WriteString(line)
		}
	}
	keys := 0
	for _, file := range []string{"graph", "policy"} {
		doc, err := os.ReadFile("../../docs/schema/" + file + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		type object struct {
			Properties map[string]json.RawMessage `json:"properties"`
		}
		var s struct {
			object
			Defs map[string]object `json:"$defs"`
		}
		if err := json.Unmarshal(doc, &s); err != nil {
			t.Fatal(err)
		}
		s.Defs["the document"] = s.object
		for where, o := range s.Defs {
			for key := range o.Properties {
				keys++
				if !strings.Contains(rows.String(), "`"+key+"`") && !strings.Contains(rows.String(), "{"+key) && !strings.Contains(rows.String(), ", "+key) {
					t.Errorf("docs/GRAPH.md does not explain %q of %s in %s", key, where, file)
				}
			}
		}
	}
	if keys < 80 {
		t.Errorf("%d keys were looked for", keys)
	}
}
