package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sparkrsi/spark/core/graph"
)

const root = "../../../.."

func TestCurrent(t *testing.T) {
	if err := update(root, true); err != nil {
		t.Error(err)
	}
}

// documentsOf returns the documents of the repository as JSON values, by where
// they stand: the examples, the improvement cycle, and the scenarios of core/graph
// whatever is wrong with them.
func documentsOf(t *testing.T) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	add := func(where string, doc []byte) {
		var v map[string]any
		if yaml.Unmarshal(doc, &v) != nil || v == nil {
			return // not even YAML
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return // keys that JSON does not have
		}
		v = nil
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		found[where] = v
	}
	for _, dir := range []string{"examples", "core/rsi"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".yaml" {
				var doc []byte
				if doc, err = os.ReadFile(path); err == nil {
					add(path, doc)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	scenarios, err := filepath.Glob(filepath.Join(root, "core/graph/testdata/*.txt"))
	if err != nil || len(scenarios) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range scenarios {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range strings.Split(string(text), "====\n") {
			doc, _, _ := strings.Cut(c, "----\n")
			_, doc, _ = strings.Cut(doc, "\n")
			add(fmt.Sprintf("%s#%d", file, i), []byte(doc))
		}
	}
	for where, v := range found {
		if kindOf(v) == "" {
			delete(found, where) // settings of a host
		}
	}
	return found
}

func kindOf(v map[string]any) string {
	switch {
	case v["graph"] != nil:
		return "graph"
	case v["policy"] != nil:
		return "policy"
	}
	return ""
}

// taken returns what the decoder finds wrong with a document.
func taken(kind string, doc []byte) graph.Findings {
	if kind == "policy" {
		_, fs := graph.DecodePolicy(doc, "")
		return fs
	}
	g, fs := graph.Decode(doc, "")
	if g != nil {
		fs = append(fs, g.Validate(nil, graph.StepsLimited())...)
	}
	return fs
}

// form are the findings that a schema makes, too.
var form = regexp.MustCompile(`^unknown key|^is .* want (a mapping|a list|a string|true or false|a number|an integer|a duration)|^key "\w+" is missing|` +
	`^".*" is (not one of the choices|not a name|not a kind of error|not a direction)$|must be at least|must lie between|is not supported by this version$`)

func schemas(t *testing.T) map[string]*graph.Schema {
	t.Helper()
	out := map[string]*graph.Schema{}
	for name := range documents {
		text, err := os.ReadFile(filepath.Join(root, "docs/schema", name+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = graph.CompileSchema(text); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// agree fails where decoder and schema do not: the schema takes all that the
// decoder takes, and refuses what breaks its form.
func agree(t *testing.T, s *graph.Schema, where, kind string, v any) (refused bool) {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	fs := taken(kind, doc)
	vs, err := s.Check(doc)
	if err != nil {
		t.Fatal(err)
	}
	if !fs.HasErrors() && len(vs) > 0 {
		t.Fatalf("%s: the decoder takes %s\nthe schema says %+v", where, doc, vs)
	}
	for _, f := range fs {
		if f.Severity == graph.SeverityError && form.MatchString(f.Message) && len(vs) == 0 {
			t.Fatalf("%s: the decoder says %s of %s\nthe schema takes it", where, f, doc)
		}
	}
	return fs.HasErrors()
}

// TestAgreement holds the schemas against the decoder, on every document of the
// repository and on what seeded mutations make of it.
func TestAgreement(t *testing.T) {
	all := schemas(t)
	docs := documentsOf(t)
	sound, refused, mutants := 0, 0, 0
	r := rand.New(rand.NewPCG(7, 7))
	for _, where := range slices.Sorted(maps.Keys(docs)) {
		kind := kindOf(docs[where])
		bad := agree(t, all[kind], where, kind, docs[where])
		if !strings.Contains(where, "#") && bad {
			t.Errorf("%s is refused", where)
		}
		if !bad {
			sound++
		}
		for range 60 {
			v := clone(t, docs[where])
			for range 1 + r.IntN(2) {
				mutate(r, v)
			}
			if kindOf(v) != kind {
				continue
			}
			mutants++
			if agree(t, all[kind], where, kind, v) {
				refused++
			}
		}
	}
	if sound < 20 || mutants < 1000 || refused < mutants/4 {
		t.Errorf("%d sound documents, %d mutants of which %d refused: too few to prove anything", sound, mutants, refused)
	}
	t.Logf("%d documents, %d of them sound; %d mutants, %d of them refused", len(docs), sound, mutants, refused)
}

func clone(t *testing.T, v map[string]any) (c map[string]any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(raw)).Decode(&c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values returns what a mutation puts in.
func values() []any {
	return []any{nil, true, false, 0.0, 1.0, -1.0, 1.5, 1e13, "", "x", "first", "5s", "soon", "1h30m", "2", "=output.a", "a b", []any{}, []any{"x"}, []any{"x", "x"},
		[]any{"timeout"}, map[string]any{}, map[string]any{"a": 1.0}, map[string]any{"attempts": 2.0}, map[string]any{"ttl": "1s", "key": "input.a"}}
}

var keys = []string{"module", "native", "graph", "wait", "config", "timeout", "retry", "join", "route", "max_visits", "input", "foreach", "grant", "cache",
	"rate_limit", "circuit_breaker", "budget", "idempotency_key", "validate", "isolation", "state", "when", "otherwise", "on_error", "attempts", "backoff",
	"limits", "objectives", "rsi", "tokens", "min", "margin", "nodez", "tiemout", "durable", "assets", "summary"}

// mutate changes one place of a document.
func mutate(r *rand.Rand, v map[string]any) {
	var maps_ []map[string]any
	var lists [][]any
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			maps_ = append(maps_, v)
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(v[k])
			}
		case []any:
			if len(v) > 0 {
				lists = append(lists, v)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	odd := values()
	m := maps_[r.IntN(len(maps_))]
	own := slices.Sorted(maps.Keys(m))
	switch n := r.IntN(5); {
	case n == 0 && len(own) > 0:
		delete(m, own[r.IntN(len(own))])
	case n == 1:
		m[keys[r.IntN(len(keys))]] = odd[r.IntN(len(odd))]
	case n == 2 && len(lists) > 0:
		l := lists[r.IntN(len(lists))]
		l[r.IntN(len(l))] = odd[r.IntN(len(odd))]
	case len(own) > 0:
		m[own[r.IntN(len(own))]] = odd[r.IntN(len(odd))]
	}
}
