// Package echo returns its input as its output, byte for byte. It reads nothing
// of it, so what a run of it costs is what a step costs.
package echo

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

type echo struct{}

// New returns an echo node. It has no settings.
func New() node.Node { return echo{} }

func (echo) Configure(*node.Config) error { return nil }

func (echo) Process(in []byte, out *node.Writer) error {
	if len(in) == 0 {
		return fault.New(fault.Invalid, "", "the input is empty, want a document")
	}
	out.Raw(in)
	return nil
}
