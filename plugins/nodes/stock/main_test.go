package main

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

const corpus = `{"id":"a.B","pkg":"a","name":"B","kind":"func","sig":"func B()","doc":"B does."}`

// required are settings without a default, by node type.
var required = map[string]map[string]any{
	"classify":  {"rules": []map[string]any{{"label": "a", "words": []string{"b"}}}},
	"generate":  {"model": "m", "prompt": "p"},
	"http_get":  {"url": "u"},
	"http_send": {"url": "u"},
}

// property is one setting in a config schema.
type property struct {
	Type    string       `json:"type"`
	Default any          `json:"default"`
	Minimum *float64     `json:"minimum"`
	Maximum *float64     `json:"maximum"`
	Enum    []string     `json:"enum"`
	Text    string       `json:"description"`
	Tunable *abi.Tunable `json:"x-tunable"`
}

// TestManifest holds the manifest against the code: the same node types, the same
// settings, defaults and bounds.
func TestManifest(t *testing.T) {
	m, err := modbuild.Manifest(modbuild.ManifestFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, n := range m.Nodes {
		named = append(named, n.Type)
	}
	if have := slices.Sorted(maps.Keys(node.Registered())); !slices.Equal(named, have) {
		t.Fatalf("the manifest names %v, the module registers %v", named, have)
	}
	for _, n := range m.Nodes {
		t.Run(n.Type, func(t *testing.T) { settings(t, n) })
	}
}

func settings(t *testing.T, n abi.NodeType) {
	var schema struct {
		Properties           map[string]property `json:"properties"`
		AdditionalProperties *bool               `json:"additionalProperties"`
	}
	if err := json.Unmarshal(n.Config, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Error("the schema must refuse unknown settings, as the node does")
	}
	// configured returns a node with the settings and what it said.
	host := &nodetest.Host{Assets: map[string][]byte{"corpus": []byte(corpus)}}
	configured := func(config map[string]any) (made node.Node, err error) {
		all := maps.Clone(required[n.Type])
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, config)
		doc, err := json.Marshal(map[string]any{"node": "x", "config": all, "assets": []string{"corpus"}})
		if err != nil {
			t.Fatal(err)
		}
		create := func() node.Node { made = types[n.Type](); return made }
		return made, node.NewInstance(map[string]func() node.Node{"x": create}, host.Calls()).Configure(doc)
	}
	refused := func(key string, value any) {
		t.Helper()
		if _, err := configured(map[string]any{key: value}); err == nil {
			t.Errorf("%s: %v is taken", key, value)
		}
	}
	taken := func(key string, value any) {
		t.Helper()
		if _, err := configured(map[string]any{key: value}); err != nil {
			t.Errorf("%s: %v is refused: %v", key, value, err)
		}
	}
	refused("unheard_of", 1)
	defaults := map[string]any{}
	for key, p := range schema.Properties {
		if p.Text == "" {
			t.Errorf("%s has no description", key)
		}
		if x := p.Tunable; x != nil && x.Min != nil && (p.Minimum == nil || *x.Min < *p.Minimum || *x.Max > *p.Maximum) {
			t.Errorf("%s: may be tuned beyond its bounds", key)
		}
		if p.Default != nil {
			defaults[key] = p.Default
		}
		refused(key, []any{})
		for _, v := range p.Enum {
			taken(key, v)
		}
		if len(p.Enum) > 0 {
			refused(key, "unheard of")
		}
		if p.Minimum != nil {
			taken(key, *p.Minimum)
			refused(key, *p.Minimum-1)
		}
		if p.Maximum != nil {
			taken(key, *p.Maximum)
			refused(key, *p.Maximum+1)
		}
		if p.Type == "integer" {
			refused(key, *p.Minimum+0.5)
		}
		if x := p.Tunable; x != nil && x.Min != nil {
			taken(key, *x.Min)
			taken(key, *x.Max)
		}
	}
	plain, err := configured(nil)
	if err != nil {
		t.Fatal(err)
	}
	explicit, err := configured(defaults)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, explicit) {
		t.Errorf("the schema's defaults %v are not the node's:\n%+v\n%+v", defaults, explicit, plain)
	}
	if slices.Contains(n.Capabilities, abi.CapAsset) {
		host.Assets = nil
		if _, err := configured(nil); err == nil {
			t.Error("wants the asset capability and does without")
		}
	}
}
