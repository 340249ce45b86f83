package graph

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata")

// known serves the node types of the scenarios.
func known(ref string) (*abi.NodeType, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Type == "bm25" && r.Range.Match("1.2.0"):
		return &abi.NodeType{Type: "bm25", Version: "1.2.0", Config: json.RawMessage(`{"type":"object","additionalProperties":false,
			"required":["depth"],"properties":{"k1":{"type":"number","minimum":0,"maximum":3},"b":{"type":"number"},
			"depth":{"type":"integer"},"weights":{"type":"array","items":{"type":"number"}},"mode":{"enum":["or","and"]}}}`)}, nil
	case r.Type == "writer" && r.Range.Match("0.1.0"):
		return &abi.NodeType{Type: "writer", Version: "0.1.0", Capabilities: []abi.Capability{abi.CapGenerate}}, nil
	case r.Type == "retrieve":
		return &abi.NodeType{Type: "retrieve", Input: json.RawMessage(`{"type":"object","required":["query"],"properties":{"query":{"type":"string"},"limit":{"type":"integer"}},"additionalProperties":false}`),
			Output: json.RawMessage(`{"type":"object","required":["hits","query"],"additionalProperties":false,"properties":{"query":{"type":"string"},"total":{"type":"integer"},
			"hits":{"type":"array","items":{"type":"object","required":["id","score"],"additionalProperties":false,"properties":{"id":{"type":"string"},"score":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}}}}}}}`)}, nil
	case r.Type == "text": // says nothing about other keys
		return &abi.NodeType{Type: "text", Input: json.RawMessage(`{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}`),
			Output: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"},"ok":{"type":"boolean"}}}`)}, nil
	case r.Type == "count":
		return &abi.NodeType{Type: "count", Input: json.RawMessage(`{"type":"array","items":{"type":"string"}}`), Output: json.RawMessage(`{"type":"integer"}`)}, nil
	case r.Type == "odd": // more than lint reads
		return &abi.NodeType{Type: "odd", Input: json.RawMessage(`{"anyOf":[{"type":"string"},{"type":"object"}]}`), Output: json.RawMessage(`{"oneOf":[{"type":"string"}]}`)}, nil
	case r.Type == "forms": // a question as a text or as an object; hits, or why there are none
		return &abi.NodeType{Type: "forms", Input: json.RawMessage(`{"anyOf":[{"type":"string"},{"type":"object","required":["question"],"properties":{"question":{"type":"string"}}}]}`),
			Output: json.RawMessage(`{"$defs":{"hit":{"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"string"},"next":{"$ref":"#/$defs/hit"}}}},
			"oneOf":[{"type":"object","required":["n","hits"],"additionalProperties":false,"properties":{"n":{"type":"integer"},"hits":{"type":"array","items":{"$ref":"#/$defs/hit"}}}},
			{"type":"object","required":["n","error"],"additionalProperties":false,"properties":{"n":{"type":"integer"},"error":{"type":["string","null"]}}}]}`)}, nil
	case r.Type == "either": // takes one of two forms, gives text or nothing
		return &abi.NodeType{Type: "either", Input: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"anyOf":[{"required":["text"]},{"required":["error"]}]}`),
			Output: json.RawMessage(`{"type":["string","null"]}`)}, nil
	case r.Type == "pure":
		return &abi.NodeType{Type: "pure", Effects: abi.EffectsNone, Deterministic: true}, nil
	case r.Type == "sender":
		return &abi.NodeType{Type: "sender", Effects: abi.EffectsWrite, Idempotent: true}, nil
	case r.Type == "random":
		return &abi.NodeType{Type: "random", Effects: abi.EffectsNone}, nil
	case r.Type == "remote":
		return &abi.NodeType{Type: "remote", Config: json.RawMessage(`{"$ref":"file:///etc/passwd"}`)}, nil
	}
	return nil, fault.New(fault.NotFound, "", "no module serves %s", ref).WithHint("spark module push FILE")
}

// nestable serves the graphs that scenarios nest.
func nestable(ref string) (*NestedLock, error) {
	if r, err := ParseRef(ref); err == nil && r.Type == "inner" && r.Range.Match("1.2.0") {
		g, fs := Decode([]byte("graph: inner\nversion: 1.2.0\nstart: x\nnodes: {x: {native: f}}\n"), "")
		return &NestedLock{Version: "1.2.0", Locked: &Locked{Graph: g}}, fs.Err("")
	}
	if ref == "counting" {
		g, fs := Decode([]byte("graph: counting\nstate: {n: {reduce: sum}}\nstart: x\nnodes: {x: {native: f}}\n"), "")
		return &NestedLock{Locked: &Locked{Graph: g}}, fs.Err("")
	}
	return nil, fault.New(fault.NotFound, "", "no graph serves %s", ref).WithHint("spark graph apply FILE")
}

// TestFindings reads testdata/*.txt. A file is a sequence of cases divided by
// ==== lines; a case is a verb (graph, policy), a document, a line of ---- and
// the findings. Run with -rewrite to renew the findings.
func TestFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range strings.Split(string(data), "====\n") {
			in, want, ok := strings.Cut(c, "----\n")
			verb, doc, ok2 := strings.Cut(in, "\n")
			if !ok || !ok2 {
				t.Fatalf("%s: malformed case %q", file, c)
			}
			got := findingsOf(t, verb, doc)
			if got != want && !*rewrite {
				t.Errorf("%s:\n%s\ngot\n%s\nwant\n%s", file, doc, got, want)
			}
			out = append(out, verb+"\n"+doc+"----\n"+got)
		}
		if *rewrite {
			if err := os.WriteFile(file, []byte(strings.Join(out, "====\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func findingsOf(t *testing.T, verb, doc string) string {
	var fs Findings
	switch verb {
	case "policy":
		_, fs = DecodePolicy([]byte(doc), "policy.yaml")
	case "graph":
		var g *Graph
		if g, fs = Decode([]byte(doc), "graph.yaml"); g != nil {
			fs = append(fs, g.Validate(known, Nested(nestable))...)
		}
	default:
		t.Fatalf("unknown verb %q", verb)
	}
	if len(fs) == 0 {
		return "ok\n"
	}
	return fs.String()
}
