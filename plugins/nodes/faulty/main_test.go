package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/sparkrsi/spark/plugins/nodes/internal/vectors"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/modbuild"
)

func TestVectors(t *testing.T) {
	vectors.Run(t, "../../../testkit/abi/vectors.json", "faulty", types)
}

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
		t.Errorf("the manifest names %v, the module registers %v", named, have)
	}
}
