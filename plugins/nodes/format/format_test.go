package format

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestFormat(t *testing.T) {
	n := nodetest.New(t, New, `{"k":2}`, nil)
	const in = `{"hits":[{"id":"a","score":2,"sig":"func a()","summary":"A.","name":"a"},{"id":"b","score":1},{"id":"c","score":0}]}`
	n.Want(in, `{"answers":[{"id":"a","score":2,"sig":"func a()","summary":"A."},{"id":"b","score":1}]}`)
	n.Configure(`{"summary":false,"k":1}`)
	n.Want(in, `{"answers":[{"id":"a","score":2,"sig":"func a()"}]}`)
	n.Want(`{"hits":[]}`, `{"answers":[]}`)
	n.WantFault(`{}`, fault.Invalid)
	n.WantFault(`{"hits":1}`, fault.Invalid)
	n.WantFault(`{"hits":[{"id":"a"}]}`, fault.Invalid)
	n.WantFault(`{"hits":[{"id":1,"score":1}]}`, fault.Invalid)
	n.WantFault(`nope`, fault.Invalid)
}
