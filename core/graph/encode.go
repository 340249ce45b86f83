package graph

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Encode returns g as a YAML document that Decode reads back to an equal graph.
func Encode(g *Graph) []byte {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	put := func(key string, v any) {
		if n := toNode(fromJSON(canonicalOf(v))); !isZero(n) {
			doc.Content = append(doc.Content, text(key), n)
		}
	}
	put("graph", g.Name)
	put("version", g.Version)
	put("summary", g.Summary)
	put("policy", g.Policy)
	if g.Durable {
		put("durable", true)
	}
	put("assets", g.Assets)
	put("state", g.State)
	put("start", g.Start)
	nodes := &yaml.Node{Kind: yaml.MappingNode}
	for _, n := range g.Nodes {
		nodes.Content = append(nodes.Content, text(n.Name), encodeNode(n))
	}
	doc.Content = append(doc.Content, text("nodes"), nodes)
	if len(g.Edges) > 0 {
		edges := &yaml.Node{Kind: yaml.SequenceNode}
		for _, e := range g.Edges {
			n := ordered(fieldsOf(e), "from", "to", "when", "otherwise", "on_error")
			n.Style = yaml.FlowStyle
			edges.Content = append(edges.Content, n)
		}
		doc.Content = append(doc.Content, text("edges"), edges)
	}
	put("output", g.Output)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		panic("graph: " + err.Error()) // nodes of our own always encode
	}
	enc.Close()
	return b.Bytes()
}

func encodeNode(n *Node) *yaml.Node {
	return ordered(fieldsOf(n), "module", "native", "graph", "wait", "state", "config", "assets", "timeout", "retry", "join", "route", "max_visits",
		"foreach", "input", "grant", "cache", "rate_limit", "circuit_breaker", "budget", "idempotency_key", "validate", "isolation")
}

// ordered makes a mapping of the fields that are set.
func ordered(f map[string]json.RawMessage, keys ...string) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keys {
		if v, ok := f[k]; ok {
			m.Content = append(m.Content, text(k), toNode(fromJSON(v)))
		}
	}
	return m
}

func fromJSON(raw json.RawMessage) any {
	v, err := decodeJSON(raw)
	if err != nil {
		panic("graph: " + err.Error()) // canonical by construction
	}
	return v
}

func isZero(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.Value == "" || n.Tag == "!!null") || n.Kind != yaml.ScalarNode && len(n.Content) == 0
}

// toNode turns a decoded JSON value into YAML.
func toNode(v any) *yaml.Node {
	switch v := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case bool:
		if v {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"}
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}
	case json.Number:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: string(v)}
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		plain := true
		for _, e := range v {
			c := toNode(e)
			plain = plain && c.Kind == yaml.ScalarNode
			n.Content = append(n.Content, c)
		}
		if plain {
			n.Style = yaml.FlowStyle
		}
		return n
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		n := &yaml.Node{Kind: yaml.MappingNode}
		if len(keys) == 0 {
			n.Style = yaml.FlowStyle
		}
		for _, k := range keys {
			n.Content = append(n.Content, text(k), toNode(v[k]))
		}
		return n
	}
	return text(v.(string))
}

// text makes a string scalar, quoted unless it is a plain word that cannot be
// taken for anything else.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	probe := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if !validName.MatchString(s) || probe.ShortTag() != "!!str" || oldBool(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// oldBool reports whether a reader of YAML 1.1 takes s for a boolean.
func oldBool(s string) bool {
	switch strings.ToLower(s) {
	case "y", "yes", "n", "no", "on", "off":
		return true
	}
	return false
}
