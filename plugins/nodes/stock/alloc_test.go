package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// TestSteadyState runs a search through its nodes: after the first run none of
// them allocates, so guests are not stopped by their collector.
func TestSteadyState(t *testing.T) {
	host := &nodetest.Host{Assets: map[string][]byte{"corpus": []byte(corpus + "\n" +
		`{"id":"a.Read","pkg":"a/b","name":"Read","kind":"type","sig":"type Read","doc":"Read\nreads \"all\". Deprecated: no."}`)}}
	doc := []byte(`{"question":"What reads, does B, and \"quotes\"?"}`)
	for _, step := range []struct{ node, config string }{
		{"echo", `{}`},
		{"textnorm", `{"stop_words":true}`},
		{"expand", `{"weight":0.5}`},
		{"bm25", `{"stem":"porter"}`},
		{"rerank", `{"stem":"porter","name":1,"coverage":1,"pkg":1,"kind":1,"deprecated":1,"path_depth":0.1}`},
		{"format", `{}`},
	} {
		i := node.NewInstance(types, host.Calls())
		if err := i.Configure([]byte(`{"node":"` + step.node + `","config":` + step.config + `,"assets":["corpus"]}`)); err != nil {
			t.Fatal(err)
		}
		out, err := i.Process(doc)
		if err != nil {
			t.Fatal(step.node, err)
		}
		out = append([]byte(nil), out...)
		if n := testing.AllocsPerRun(20, func() { i.Process(doc) }); n > 0 {
			t.Errorf("%s allocates %v times a call", step.node, n)
		}
		doc = out
	}
	if len(doc) < 100 {
		t.Errorf("the search ended in %s", doc)
	}
}

// settled is a document and settings for each node type that needs nothing but
// its input.
var settled = map[string]struct{ config, in string }{
	"classify":  {`{"rules":[{"label":"a","words":["two words","b"]},{"label":"c","pattern":"x+y"}]}`, `{"text":"Two words, xxy"}`},
	"contains":  {`{"path":"text"}`, `{"expected":{"text":["A \"quote\"","b"]},"output":{"text":"a \"QUOTE\""}}`},
	"dedupe":    {`{"mode":"near"}`, `{"items":["a b c d","A b, c d!","e"]}`},
	"exact":     {`{}`, `{"expected":[1,"x"],"output":[1.0,"x"]}`},
	"json_path": {`{"paths":["a.0"]}`, `{"expected":{"a":[1]},"output":{"a":[1]}}`},
	"merge":     {`{"as":"object"}`, `{"x":{"a":1,"b":2},"y":{"b":3}}`},
	"numeric":   {`{"in_text":true,"slope":2}`, `{"expected":10,"output":"about 11,000.5"}`},
	"overlap":   {`{"stem":"porter"}`, `{"expected":["running fast"],"output":"runs \"fast\""}`},
	"regex":     {`{"pattern":"b+c"}`, `{"output":"abbc\n"}`},
	"split":     {`{"by":"sentences","size":2,"overlap":1}`, `{"text":"One. Two? Three!\nFour"}`},
	"template":  {`{"template":"{{a.0}}-{{b}}"}`, `{"a":["x\ny"],"b":1}`},
	"top":       {`{"n":2}`, `{"items":[{"score":1},{"score":3},{"score":2}]}`},
	"transform": {`{"output":{"a":"$.h | where s > 1 | sort s desc","b":{"$each":"$.h","$as":"@.n | upper"},"c":"$.h.*.n | join \", \""}}`,
		`{"h":[{"s":1,"n":"a \"b\""},{"s":3,"n":"c"},{"s":2,"n":"d"}]}`},
}

// elsewhere are the node types whose allocations another test counts, or that
// answer with memory of their own.
var elsewhere = []string{"bm25", "echo", "expand", "format", "generate", "http_get", "http_send", "mrr", "rerank", "textnorm"}

// TestSettled: no other node type allocates once it has seen its input.
func TestSettled(t *testing.T) {
	for name := range types {
		if _, ok := settled[name]; ok == slices.Contains(elsewhere, name) {
			t.Errorf("%s must be in exactly one of the lists", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(settled)) {
		x := settled[name]
		i := node.NewInstance(types, (&quiet{}).calls())
		if err := i.Configure([]byte(`{"node":"` + name + `","config":` + x.config + `}`)); err != nil {
			t.Fatal(name, err)
		}
		doc := []byte(x.in)
		if out, err := i.Process(doc); err != nil || len(out) == 0 {
			t.Fatalf("%s: %s, %v", name, out, err)
		}
		if n := testing.AllocsPerRun(20, func() { i.Process(doc) }); n > 0 {
			t.Errorf("%s allocates %v times a call", name, n)
		}
	}
}

// quiet is a host that keeps nothing, so that its own allocations do not count.
type quiet struct{ node.Calls }

func (q *quiet) calls() node.Calls { return q }

// SpanAttr forgets the attribute.
func (*quiet) SpanAttr(string, []byte) {}
