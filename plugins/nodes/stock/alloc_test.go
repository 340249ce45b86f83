package main

import (
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
