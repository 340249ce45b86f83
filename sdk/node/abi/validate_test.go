package abi

import (
	"strings"
	"testing"
)

// TestHTTPHasEffects: a node that talks to servers cannot say that it does not.
func TestHTTPHasEffects(t *testing.T) {
	for effects, fits := range map[Effects]bool{EffectsNone: false, EffectsRead: true, EffectsWrite: true} {
		m := Manifest{ABI: Version, Name: "m", Version: "1.0.0", Nodes: []NodeType{{Type: "n", Version: "1.0.0", Summary: "Sends.",
			Effects: effects, Capabilities: []Capability{CapHTTP}}}}
		err := m.Validate()
		if (err == nil) != fits || err != nil && !strings.Contains(err.Error(), "nodes.0.effects") {
			t.Errorf("%s: %v", effects, err)
		}
	}
}
