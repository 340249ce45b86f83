package top

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestTop(t *testing.T) {
	n := nodetest.New(t, New, `{"n":2}`, nil)
	in := `{"q":"x","items":[{"id":1,"score":0.5},{"id":2,"score":2},{"id":3,"score":0.5},{"id":4,"score":-1}],"more":[1]}`
	n.Want(in, `{"q":"x","items":[{"id":2,"score":2},{"id":1,"score":0.5}],"more":[1]}`)
	n.Configure(`{"order":"lowest","min_score":0}`)
	n.Want(in, `{"q":"x","items":[{"id":1,"score":0.5},{"id":3,"score":0.5},{"id":2,"score":2}],"more":[1]}`)
	n.Configure(`{"items":".","score":"."}`)
	n.Want(`[1,3,2]`, `[3,2,1]`)
	n.Want(`[]`, `[]`)
	n.WantFault(`["a"]`, fault.Rejected)
	n.WantFault(`{}`, fault.Invalid)
	n.Configure(`{"items":".","score":"s.v","missing":"last"}`)
	n.Want(`[{"a":1},{"s":{"v":1}},{"b":1},{"s":{"v":2}}]`, `[{"s":{"v":2}},{"s":{"v":1}},{"a":1},{"b":1}]`)
	n.Configure(`{"items":".","score":"s.v","missing":"drop","n":1}`)
	n.Want(`[{"a":1},{"s":{"v":1}},{"s":{"v":"x"}},{"s":{"v":2}}]`, `[{"s":{"v":2}}]`)
}
