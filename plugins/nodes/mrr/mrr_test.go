package mrr

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestScore(t *testing.T) {
	n := nodetest.New(t, New, `{"k":3}`, nil)
	for _, x := range []struct{ ids, answers, want string }{
		{`["a"]`, `[{"id":"a"}]`, `{"score":1,"comment":"a at rank 1"}`},
		{`["z","b"]`, `[{"id":"a"},{"id":"b"},{"id":"z"}]`, `{"score":0.5,"comment":"b at rank 2"}`},
		{`["c"]`, `[{"id":"a"},{"id":1},{"id":"c"}]`, `{"score":0.3333333333333333,"comment":"c at rank 3"}`},
		{`["d"]`, `[{"id":"a"},{},{"id":"c"},{"id":"d"}]`, `{"score":0,"comment":"none of the expected ids among the first 3"}`},
		{`["\u0061"]`, `[{"id":"a"}]`, `{"score":1,"comment":"a at rank 1"}`},
		{`["a"]`, `[]`, `{"score":0,"comment":"none of the expected ids among the first 3"}`},
	} {
		n.Want(`{"input":{},"expected":{"ids":`+x.ids+`},"output":{"answers":`+x.answers+`}}`, x.want)
	}
	for _, bad := range []string{`{}`, `{"expected":{"ids":[]},"output":{"answers":[]}}`, `{"expected":{"ids":"a"},"output":{"answers":[]}}`,
		`{"expected":{"ids":["a"]},"output":{}}`, `{"expected":{"ids":["a"]},"output":{"answers":"a"}}`, `x`} {
		n.WantFault(bad, fault.Invalid)
	}
	n.Configure(`{"answers":"a.b"}`)
	n.Want(`{"expected":{"ids":["x"]},"output":{"a":{"b":[{"id":"x"}]}}}`, `{"score":1,"comment":"x at rank 1"}`)
}
