package graph

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

func decodeOK(t *testing.T, doc string) *Graph {
	t.Helper()
	g, fs := Decode([]byte(doc), "")
	if fs.HasErrors() {
		t.Fatal(fs)
	}
	return g
}

func TestPlan(t *testing.T) {
	const head = "graph: g\nstart: a\nnodes: {a: {native: f}, b: {native: f}, c: {native: f}, d: {native: f}}\n"
	for _, c := range []struct {
		edges, kind  string
		levels, outs []int
		back         []int
	}{
		{"[{from: a, to: b}, {from: b, to: c}, {from: c, to: d}]", TypeSequential, []int{0, 1, 2, 3}, []int{3}, nil},
		{"[{from: a, to: b, when: \"true\"}, {from: a, to: c, otherwise: true}, {from: c, to: d}]", TypeBranching, []int{0, 1, 1, 2}, []int{1, 3}, nil},
		{"[{from: a, to: b}, {from: a, to: c}, {from: b, to: d}, {from: c, to: d}]", TypeParallel, []int{0, 1, 1, 2}, []int{3}, nil},
		{"[{from: a, to: b}, {from: a, to: c, when: \"true\"}, {from: b, to: c}, {from: c, to: d}]", TypeParallel, []int{0, 1, 2, 3}, []int{3}, nil},
		{"[{from: a, to: b}, {from: a, to: c, on_error: [trap]}, {from: b, to: d}, {from: c, to: d}]", TypeBranching, []int{0, 1, 1, 2}, []int{3}, nil},
		{"[{from: a, to: b}, {from: b, to: c}, {from: c, to: b}, {from: c, to: d}]", TypeCyclic, []int{0, 1, 2, 3}, []int{3}, []int{2}},
	} {
		p, err := Compile(&Locked{Graph: decodeOK(t, head+"edges: "+c.edges+"\n")})
		if err != nil {
			t.Fatal(err)
		}
		var back []int
		for i, e := range p.Edges {
			if e.Back {
				back = append(back, i)
			}
		}
		if p.Type != c.kind || !slices.Equal(p.Levels, c.levels) || !slices.Equal(p.Output, c.outs) || !slices.Equal(back, c.back) {
			t.Errorf("%s: %s, levels %v, output %v, back %v", c.edges, p.Type, p.Levels, p.Output, back)
		}
	}
}

func TestCompileNeedsLocks(t *testing.T) {
	g := decodeOK(t, docsearch)
	if _, err := Compile(&Locked{Graph: g}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "nodes.normalize: module textnorm@^1 is not locked") {
		t.Error(err)
	}
	var locks []Lock
	for _, n := range g.Nodes {
		locks = append(locks, Lock{Node: n.Name, Type: strings.Split(n.Module, "@")[0], Version: "1.0.0", Digest: "d"})
	}
	l := &Locked{Graph: g, Locks: locks, Assets: []AssetLock{{Name: "corpus", Digest: "x", Size: 1}}}
	p, err := Compile(l)
	if err != nil || p.Nodes[1].Type.Name != "bm25" || p.Nodes[1].Type.Version != "1.0.0" {
		t.Fatal(p, err)
	}
	// What a store keeps is JSON; it must come back as the same version.
	raw, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var back Locked
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if Digest(&back) != Digest(l) || len(Diff(g, back.Graph)) > 0 {
		t.Errorf("stored version differs: %s", FormatChanges(Diff(g, back.Graph)))
	}
	before := Digest(l)
	for i, change := range []func(*Locked){
		func(l *Locked) { l.Locks[0].Digest = "e" },
		func(l *Locked) { l.Assets[0].Digest = "y" },
		func(l *Locked) { l.Graph.Nodes[0].Timeout = 1 },
		func(l *Locked) { slices.Reverse(l.Graph.Edges) },
	} {
		var c Locked
		json.Unmarshal(raw, &c)
		if change(&c); Digest(&c) == before {
			t.Errorf("change %d keeps the digest", i)
		}
	}
}

func TestSpelledOutDefaults(t *testing.T) {
	short := decodeOK(t, "graph: g\nstart: a\nnodes: {a: {native: f, timeout: 1.5}}\n")
	long := decodeOK(t, `{"graph":"g","start":"a","nodes":{"a":{"native":"f","timeout":"1500ms","join":"all","route":"all","config":{},"grant":{"clock":false}}}}`)
	if Digest(&Locked{Graph: short}) != Digest(&Locked{Graph: long}) {
		t.Error(FormatChanges(Diff(short, long)))
	}
}

func TestPolicyWeights(t *testing.T) {
	p, fs := DecodePolicy([]byte("policy: p\nobjectives: {a: {weight: 3, direction: maximize}, b: {weight: 1, direction: minimize}}\n"), "")
	if len(fs) > 0 || math.Abs(p.Objectives["a"].Weight-.75) > 1e-12 || math.Abs(p.Objectives["b"].Weight-.25) > 1e-12 {
		t.Error(p, fs)
	}
}

func TestBounds(t *testing.T) {
	for name, c := range map[string]struct{ doc, words string }{
		"size":   {strings.Repeat("#", MaxDocument+1), "the limit is 1048576"},
		"depth":  {"a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "nested deeper than 64"},
		"UTF-8":  {"graph: g\nstart: \xff", "not valid UTF-8"},
		"JSON":   {`{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "}", "nested deeper than 64"},
		"laughs": {"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases are not allowed"},
	} {
		g, fs := Decode([]byte(c.doc), "f")
		if g != nil || !strings.Contains(fs.String(), c.words) {
			t.Errorf("%s: %s", name, fs)
		}
	}
	_, fs := Decode([]byte("graph: g\nstart: \xff"), "f")
	if fs[0].Line != 2 || fs[0].Column != 8 {
		t.Errorf("position %+v", fs[0])
	}
	if err := fs.Err("f"); !fault.Is(err, fault.Invalid) || err.Error() != "f:2:8: document is not valid UTF-8" {
		t.Error(err)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1.0,"a":[1e2,-0,0.5,1e400]}`: `{"a":[100,0,0.5,1.7976931348623157e+308],"b":1}`,
		` "\u003c\u2028é" `:                `"<\u2028é"`,
		`9007199254740993`:                 `9007199254740993`,
		`1e16`:                             `10000000000000000`,
		`{"a":1,"a":2}`:                    `{"a":2}`,
	} {
		got, err := Canonical([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
		if again, _ := Canonical(got); string(again) != string(got) {
			t.Errorf("%s is no fixpoint: %s", got, again)
		}
	}
	for _, in := range []string{"", "{", "1 2", "nope"} {
		if got, err := Canonical([]byte(in)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %s, %v", in, got, err)
		}
	}
}
