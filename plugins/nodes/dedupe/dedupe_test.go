package dedupe

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/plugins/nodes/exact"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestExact(t *testing.T) {
	host := &nodetest.Host{}
	n := nodetest.New(t, New, ``, host)
	n.Want(`{"q":1,"items":[1,"1",1.0,{"a":1,"b":[2]},{"b":[2.0],"a":1},"\u0061","a",-0,0,null,null,[1,2],[2,1]]}`,
		`{"q":1,"items":[1,"1",{"a":1,"b":[2]},"\u0061",-0,null,[1,2],[2,1]]}`)
	if got := host.Attrs["dedupe.dropped"]; got != "5" {
		t.Errorf("dropped %s", got)
	}
	n.Configure(`{"items":"hits","key":"id"}`)
	in := `{"hits":[{"id":"a","n":1},{"id":"b"},{"n":2},{"id":"a","n":3},{"n":2}]}`
	n.Want(in, `{"hits":[{"id":"a","n":1},{"id":"b"},{"n":2},{"n":2}]}`)
	n.Configure(`{"items":"hits","key":"id","keep":"last"}`)
	n.Want(in, `{"hits":[{"id":"b"},{"n":2},{"id":"a","n":3},{"n":2}]}`)
	n.WantFault(`{"hits":1}`, fault.Invalid)
}

func TestNear(t *testing.T) {
	n := nodetest.New(t, New, `{"items":".","mode":"near","threshold":0.5}`, nil)
	n.Want(`["the quick brown fox jumps","The quick, brown fox jumped!","a slow fox","","!","one","One","the quick"]`,
		`["the quick brown fox jumps","a slow fox","","one","the quick"]`)
	n.Configure(`{"items":".","mode":"near","threshold":1,"key":"t"}`)
	n.Want(`[{"t":"a b c"},{"t":"a b d"},{"t":"A b-c"},{}]`, `[{"t":"a b c"},{"t":"a b d"},{}]`)
	n.WantFault(`[`+strings.Repeat("1,", maxNear)+`1]`, fault.Limit)
}

// FuzzHash checks that equal values have equal hashes.
func FuzzHash(f *testing.F) {
	f.Add(`{"a":[1,"x"]}`, `{ "a" : [1.0, "\u0078"] }`)
	f.Add(`0`, `-0`)
	f.Fuzz(func(t *testing.T, x, y string) {
		a, err := node.Parse([]byte(x))
		if err != nil {
			return
		}
		b, err := node.Parse([]byte(y))
		if err != nil {
			return
		}
		var h hasher
		if exact.Equal(a, b) && h.value(a) != h.value(b) {
			t.Errorf("%s and %s are equal, their hashes are not", x, y)
		}
	})
}
