package spark_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
)

// TestReadmeDocuments decodes the documents that the README shows.
func TestReadmeDocuments(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
		doc, _, closed := strings.Cut(part, "```")
		if !closed {
			t.Fatal("a yaml block is not closed")
		}
		var found graph.Findings
		if strings.HasPrefix(doc, "policy:") {
			_, found = graph.DecodePolicy([]byte(doc), "README.md")
		} else {
			var g *graph.Graph
			if g, found = graph.Decode([]byte(doc), "README.md"); g != nil {
				found = append(found, g.Validate(nil)...)
			}
		}
		if len(found) > 0 {
			t.Errorf("%s\nin\n%s", found, doc)
		}
		seen++
	}
	if seen < 2 {
		t.Fatalf("%d documents were found", seen)
	}
}
