package echo

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestEcho(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	for _, in := range []string{`{"a":1}`, `not json`, "\xff\x00"} {
		if out, err := n.TryProcess(in); err != nil || out != in {
			t.Errorf("%q came back as %q, %v", in, out, err)
		}
	}
	n.WantFault("", fault.Invalid)
}
