package merge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestMerge(t *testing.T) {
	joined := `{"a":{"x":1,"hits":[1,2]},"b":null,"c":{"x":3,"y":null,"hits":[]},"d\u0021":{"y":4,"hits":5}}`
	for _, x := range []struct{ config, in, want string }{
		{``, `[1,null,[2]]`, `{"items":[1,[2]],"count":2}`},
		{`{"nulls":true}`, `[1,null]`, `{"items":[1,null],"count":2}`},
		{`{"field":"x"}`, joined, `{"items":[1,3],"count":2}`},
		{`{"field":"x","names":true}`, joined, `{"items":[{"name":"a","value":1},{"name":"c","value":3}],"count":2}`},
		{`{"field":"hits","as":"concat"}`, joined, `{"items":[1,2,5],"count":3}`},
		{`{"as":"object"}`, joined, `{"x":3,"hits":5,"y":4}`},
		{`{"as":"object","conflict":"first"}`, joined, `{"x":1,"hits":[1,2],"y":4}`},
		{`{"as":"object","nulls":true,"field":"m"}`, `[{"m":{"a":1}},{"m":{"\u0061":null}},{}]`, `{"a":null}`},
		{`{"from":"list"}`, `{"list":[7]}`, `{"items":[7],"count":1}`},
	} {
		nodetest.New(t, New, x.config, nil).Want(x.in, x.want)
	}
	n := nodetest.New(t, New, `{"as":"object","conflict":"error"}`, nil)
	n.WantFault(joined, fault.Rejected)
	n.WantFault(`[1]`, fault.Invalid)
	n.WantFault(`1`, fault.Invalid)
	n.WantFault(`{`, fault.Invalid)
	var many strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintf(&many, `,{"k%d":1}`, i)
	}
	n.WantFault("["+many.String()[1:]+"]", fault.Limit)
}
