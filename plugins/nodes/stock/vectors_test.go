package main

import (
	"testing"

	"github.com/sparkrsi/spark/plugins/nodes/internal/vectors"
)

func TestVectors(t *testing.T) {
	vectors.Run(t, "../../../testkit/abi/vectors.json", "stock", types)
}
