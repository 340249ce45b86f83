package graph

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestApplyDiff(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	kinds := map[Kind]int{}
	for i := range 2000 {
		a, b := randomGraph(r), randomGraph(r)
		b.Name = a.Name
		before := string(canonicalOf(a))
		changes := Diff(a, b)
		for _, c := range changes {
			kinds[c.Kind]++
		}
		// Changes cross process borders as JSON.
		raw, err := json.Marshal(changes)
		if err != nil {
			t.Fatal(err)
		}
		var sent []Change
		if err := json.Unmarshal(raw, &sent); err != nil {
			t.Fatal(err)
		}
		got, err := Apply(a, sent...)
		if err != nil {
			t.Fatalf("round %d: %v\n%s\n%s\n%s", i, err, FormatChanges(changes), canonicalOf(a), canonicalOf(b))
		}
		if string(canonicalOf(got)) != string(canonicalOf(b)) {
			t.Fatalf("round %d: got\n%s\nwant\n%s\nchanges\n%s", i, canonicalOf(got), canonicalOf(b), FormatChanges(changes))
		}
		if string(canonicalOf(a)) != before {
			t.Fatal("Apply changed its argument")
		}
		if d := Diff(got, b); len(d) != 0 {
			t.Fatalf("difference to itself: %s", FormatChanges(d))
		}
	}
	for _, k := range []Kind{NodeConfigUpdate, NodeModuleUpdate, NodePolicyUpdate, NodeAdd, NodeRemove, EdgeAdd, EdgeRemove,
		EdgeModify, GraphUpdate} {
		if kinds[k] < 100 {
			t.Errorf("only %d changes of kind %s", kinds[k], k)
		}
	}
}

func TestEncodeRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		g := randomGraph(r)
		text := Encode(g)
		h, fs := Decode(text, "")
		if fs.HasErrors() {
			t.Fatalf("%s\n%s", fs, text)
		}
		if Digest(&Locked{Graph: g}) != Digest(&Locked{Graph: h}) {
			t.Fatalf("%s\n%s\n%s", text, canonicalOf(g), canonicalOf(h))
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	g, _ := Decode([]byte(docsearch), "")
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for name, c := range map[string]struct {
		change Change
		want   fault.Kind
	}{
		"stale value":     {Change{Kind: NodeConfigUpdate, Target: "retrieve", Path: "k1", Old: raw("1.3"), New: raw("2")}, fault.Conflict},
		"absent Old":      {Change{Kind: NodeConfigUpdate, Target: "retrieve", Path: "k1", New: raw("2")}, fault.Conflict},
		"unknown node":    {Change{Kind: NodeConfigUpdate, Target: "nobody", Path: "k1", New: raw("2")}, fault.NotFound},
		"through a value": {Change{Kind: NodeConfigUpdate, Target: "retrieve", Path: "k1.x", New: raw("2")}, fault.Conflict},
		"grant":           {Change{Kind: NodeGrantUpdate, Target: "answer", Path: "grant", New: raw(`{"clock":true}`)}, fault.Denied},
		"grant as policy": {Change{Kind: NodePolicyUpdate, Target: "answer", Path: "grant", New: raw(`{"clock":true}`)}, fault.Invalid},
		"asset as module": {Change{Kind: NodeModuleUpdate, Target: "answer", Path: "assets", New: raw(`["corpus"]`)}, fault.Invalid},
		"name as policy":  {Change{Kind: NodePolicyUpdate, Target: "answer", Path: "name", New: raw(`"x"`)}, fault.Invalid},
		"policy":          {Change{Kind: GraphUpdate, Path: "policy", New: raw(`"mine"`)}, fault.Invalid},
		"graph assets":    {Change{Kind: GraphGrantUpdate, Path: "assets", New: raw(`{}`)}, fault.Denied},
		"add with grant": {Change{Kind: NodeAdd, Target: "x", New: raw(`{"name":"x","module":"m@*","grant":{"clock":true}}`)},
			fault.Denied},
		"add with asset":   {Change{Kind: NodeAdd, Target: "x", New: raw(`{"name":"x","module":"m@*","assets":["corpus"]}`)}, fault.Denied},
		"add a twin":       {Change{Kind: NodeAdd, Target: "answer", New: raw(`{"name":"answer"}`)}, fault.Conflict},
		"add unknown key":  {Change{Kind: NodeAdd, Target: "x", New: raw(`{"name":"x","cache":1}`)}, fault.Invalid},
		"add other name":   {Change{Kind: NodeAdd, Target: "x", New: raw(`{"name":"y"}`)}, fault.Invalid},
		"remove stale":     {Change{Kind: NodeRemove, Target: "answer", Old: raw(`{"name":"answer"}`)}, fault.Conflict},
		"edge elsewhere":   {Change{Kind: EdgeAdd, Target: "a->b", New: raw(`{"from":"a","to":"c"}`)}, fault.Invalid},
		"edge twice":       {Change{Kind: EdgeAdd, Target: "normalize->retrieve", New: raw(`{"from":"normalize","to":"retrieve"}`)}, fault.Conflict},
		"edge unknown":     {Change{Kind: EdgeRemove, Target: "a->b"}, fault.NotFound},
		"bad timeout":      {Change{Kind: NodePolicyUpdate, Target: "answer", Path: "timeout", New: raw(`"soon"`)}, fault.Invalid},
		"order incomplete": {Change{Kind: GraphUpdate, Path: "nodes", Old: canonicalOf(nodeOrder(g)), New: raw(`["answer"]`)}, fault.Invalid},
		"not JSON":         {Change{Kind: NodeConfigUpdate, Target: "answer", Path: "x", New: raw(`{`)}, fault.Invalid},
		"no kind":          {Change{Kind: "node_explode", Target: "answer"}, fault.Invalid},
	} {
		before := Digest(&Locked{Graph: g})
		out, err := Apply(g, c.change)
		if !fault.Is(err, c.want) || out != nil {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if Digest(&Locked{Graph: g}) != before {
			t.Errorf("%s changed the graph", name)
		}
	}
	// A config key that is absent has the default of a schema that only the module
	// knows, so any Old is taken.
	out, err := Apply(g, Change{Kind: NodeConfigUpdate, Target: "answer", Path: "limits.top", Old: raw("10"), New: raw("20")})
	if err != nil || string(out.Node("answer").Config) != `{"limits":{"top":20},"template":"a\nb"}` {
		t.Errorf("default: %v", err)
	}
}

func TestChangeString(t *testing.T) {
	a, _ := Decode([]byte(docsearch), "")
	b, err := Apply(a,
		Change{Kind: NodeConfigUpdate, Target: "retrieve", Path: "k1", Old: json.RawMessage("1.2"), New: json.RawMessage("1.50")},
		Change{Kind: NodePolicyUpdate, Target: "retrieve", Path: "timeout", Old: json.RawMessage(`"2s"`), New: json.RawMessage("3")},
		Change{Kind: EdgeAdd, Target: "normalize->answer", New: json.RawMessage(`{"to":"answer","from":"normalize"}`)},
		Change{Kind: GraphUpdate, Path: "version", Old: json.RawMessage(`"1.0.0"`), New: json.RawMessage(`"1.1.0"`)})
	if err != nil {
		t.Fatal(err)
	}
	want := `~ version: "1.0.0" -> "1.1.0"
~ nodes.retrieve.config.k1: 1.2 -> 1.5
~ nodes.retrieve.timeout: "2s" -> "3s"
+ edge normalize->answer: {"from":"normalize","to":"answer"}
`
	if got := FormatChanges(Diff(a, b)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if b.Node("retrieve").Config == nil || Digest(&Locked{Graph: a}) == Digest(&Locked{Graph: b}) {
		t.Error("digest did not change")
	}
	c := a.Clone()
	c.Version, c.Summary = "2.0.0", "other words"
	if Digest(&Locked{Graph: a}) != Digest(&Locked{Graph: c}) {
		t.Error("the label changed the digest")
	}
}
