// Schema writes the JSON Schemas of graph and policy documents to docs/schema from
// the types that they are decoded into, with the comments of their fields as
// descriptions. Run it in the root of the repository; with -check it changes
// nothing and fails when a schema is not current.
//
//	go run ./core/graph/cmd/schema [-check]
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/sparkrsi/spark/core/graph"
)

func main() {
	check := flag.Bool("check", false, "fail when a schema is not current")
	flag.Parse()
	if err := update(".", *check); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

// documents are the types of documents by the name of their schema.
var documents = map[string]reflect.Type{
	"graph":  reflect.TypeFor[graph.Graph](),
	"policy": reflect.TypeFor[graph.Policy](),
}

// update brings the schemas below root up to date, or only looks.
func update(root string, check bool) error {
	words, err := comments(filepath.Join(root, "core", "graph"))
	if err != nil {
		return err
	}
	for name, t := range documents {
		w := &writer{words: words, defs: map[string]any{}}
		top := w.object(t)
		top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		top["title"] = "Spark " + name
		top["$defs"] = w.defs
		if w.err != nil {
			return w.err
		}
		text, err := encode(top)
		if err != nil {
			return err
		}
		path := filepath.Join(root, "docs", "schema", name+".schema.json")
		old, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(old, text):
		case check:
			return fmt.Errorf("%s is not current: run go run ./core/graph/cmd/schema", path)
		default:
			if err := os.WriteFile(path, text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode writes a schema as people read it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
