package graph

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

// library resolves references among documents by graph name, as a host would.
func library(t *testing.T, docs map[string]string) func(ref string) (*NestedLock, error) {
	var resolve func(ref string) (*NestedLock, error)
	resolve = func(ref string) (*NestedLock, error) {
		r, err := ParseRef(ref)
		if err != nil {
			return nil, err
		}
		doc, ok := docs[r.Type]
		if !ok {
			return nil, fault.New(fault.NotFound, "", "no graph %s", ref)
		}
		l := &Locked{Graph: decodeOK(t, doc)}
		return &NestedLock{Version: l.Graph.Version, Locked: l}, Nest(l, nil, resolve)
	}
	return resolve
}

func TestNested(t *testing.T) {
	docs := map[string]string{
		"middle": "graph: middle\nversion: 1.0.0\nstart: m\nnodes: {m: {graph: deep}}\n",
		"deep":   "graph: deep\nversion: 3.0.0\nstart: d\nnodes: {d: {native: f}}\n",
	}
	outer := &Locked{Graph: decodeOK(t, "graph: outer\nstart: a\nnodes: {a: {graph: middle@^1}, b: {graph: deep, state: shared}}\nedges: [{from: a, to: b}]\n")}
	if _, err := Compile(outer); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "graph middle@^1 is not locked") {
		t.Error(err)
	}
	if err := Nest(outer, nil, library(t, docs)); err != nil {
		t.Fatal(err)
	}
	p, err := Compile(outer)
	if err != nil {
		t.Fatal(err)
	}
	n := p.Nodes[0]
	if n.Type.Name != "graph" || n.Type.Version != "1.0.0" || n.Type.Digest != outer.Nested[0].Digest ||
		n.Nested.Nodes[0].Nested.Graph.Name != "deep" || n.Nested.Locked != outer.Nested[0].Locked {
		t.Errorf("%+v", n)
	}
	// A version as it is stored is the same version, and what it nests counts.
	raw, err := json.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(*Locked){
		func(*Locked) {},
		func(l *Locked) { l.Nested[0].Version, l.Nested[0].Locked.Graph.Version = "9.9.9", "9.9.9" },
		func(l *Locked) { l.Nested[0].Locked.Nested[0].Locked.Graph.Nodes[0].Timeout = 1 },
		func(l *Locked) { l.Nested[1].Locked.Graph.Nodes[0].Native = "g" },
	} {
		var c Locked
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		if change(&c); (Digest(&c) == Digest(outer)) != (i < 2) {
			t.Errorf("change %d: digest %s, was %s", i, Digest(&c), Digest(outer))
		}
	}
	// A node keeps its version while its reference stays, whatever the library has.
	docs["deep"] = strings.Replace(docs["deep"], "native: f", "native: h", 1)
	again := &Locked{Graph: outer.Graph.Clone()}
	if err := Nest(again, outer, library(t, docs)); err != nil || Digest(again) != Digest(outer) {
		t.Error("the same references gave another version", err)
	}
	again.Graph.Nodes[1].Graph = "deep@^3"
	if err := Nest(again, outer, library(t, docs)); err != nil || again.Nested[1].Digest == outer.Nested[1].Digest ||
		again.Nested[0].Digest != outer.Nested[0].Digest {
		t.Error("a changed reference was not resolved anew", err)
	}
}

func TestNestingIsRefused(t *testing.T) {
	one := func(name, inner string) string {
		return fmt.Sprintf("graph: %s\nstart: a\nnodes: {a: {graph: %s}}\n", name, inner)
	}
	loop := &Locked{Graph: decodeOK(t, one("a", "b"))}
	inner := &Locked{Graph: decodeOK(t, one("b", "a"))}
	inner.Nested = []NestedLock{{Node: "a", Locked: &Locked{Graph: decodeOK(t, "graph: a\nstart: a\nnodes: {a: {native: f}}\n")}}}
	err := Nest(loop, nil, func(string) (*NestedLock, error) { return &NestedLock{Locked: inner}, nil })
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "graph a holds itself: a -> b -> a") || fault.HintOf(err) == "" {
		t.Error(err)
	}
	if _, err := Compile(loop); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	docs := map[string]string{}
	for i := range MaxNesting + 2 {
		docs[fmt.Sprint("g", i)] = one(fmt.Sprint("g", i), fmt.Sprint("g", i+1))
	}
	docs[fmt.Sprint("g", MaxNesting+1)] = fmt.Sprintf("graph: g%d\nstart: a\nnodes: {a: {native: f}}\n", MaxNesting+1)
	if _, err := library(t, docs)("g1"); err != nil {
		t.Error(err)
	}
	if _, err := library(t, docs)("g0"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "deeper than 8") {
		t.Error(err)
	}
}
