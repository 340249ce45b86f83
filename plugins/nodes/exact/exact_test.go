package exact

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestEqual(t *testing.T) {
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true}, {`1`, `2`, false}, {`1e400`, `1e400`, true}, {`1e400`, `1e401`, false}, {`"a"`, `"\u0061"`, true}, {`"1"`, `1`, false},
		{`null`, `null`, true}, {`true`, `false`, false}, {`[1,[2]]`, `[ 1, [2.0] ]`, true}, {`[1,2]`, `[2,1]`, false}, {`[1]`, `[1,2]`, false},
		{`{"a":1,"b":{}}`, `{"b":{},"a":1}`, true}, {`{"a":1}`, `{"b":1}`, false}, {`{"a":1}`, `{"a":1,"b":2}`, false}, {`{}`, `[]`, false},
	} {
		a, err := node.Parse([]byte(x.a))
		if err != nil {
			t.Fatal(err)
		}
		b, err := node.Parse([]byte(x.b))
		if err != nil {
			t.Fatal(err)
		}
		if Equal(a, b) != x.want || Equal(b, a) != x.want {
			t.Errorf("Equal(%s, %s) is not %v", x.a, x.b, x.want)
		}
	}
}

func TestScore(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	n.Want(`{"input":1,"expected":{"a":1},"output":{"a":1.0}}`, `{"score":1,"comment":"equal"}`)
	n.Want(`{"expected":{"a":1},"output":{"a":2}}`, `{"score":0,"comment":"differs"}`)
	n.WantFault(`{"output":1}`, fault.Invalid)
	n.Configure(`{"path":"x.y","expected":"z"}`)
	n.Want(`{"expected":{"z":"s"},"output":{"x":{"y":"s"}}}`, `{"score":1,"comment":"equal"}`)
	n.Want(`{"expected":{"z":"s"},"output":{"x":1}}`, `{"score":0,"comment":"the output has no value at x.y"}`)
	n.WantFault(`{"expected":{},"output":{}}`, fault.Invalid)
	n.WantFault(`{`, fault.Invalid)
}
