package jsonpath

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestScore(t *testing.T) {
	n := nodetest.New(t, New, "", nil)
	doc := func(expected, output string) string {
		return `{"expected":` + expected + `,"output":` + output + `}`
	}
	n.Want(doc(`{"a":1,"b":{"c":["x","y"],"d":null},"e":[]}`, `{"a":1.0,"b":{"c":["x","z"],"d":null,"more":1},"e":[]}`),
		`{"score":0.8,"comment":"4 of 5 expected values are there"}`)
	n.Want(doc(`{"a":1}`, `"text"`), `{"score":0,"comment":"0 of 1 expected values are there"}`)
	n.Want(doc(`3`, `3`), `{"score":1,"comment":"1 of 1 expected values are there"}`)
	n.Configure(`{"paths":["a.b","c.0"],"path":"r"}`)
	n.Want(doc(`{"r":{"a":{"b":1},"c":[2]}}`, `{"r":{"a":{"b":1},"c":[3]}}`), `{"score":0.5,"comment":"1 of 2 expected values are there"}`)
	n.WantFault(doc(`{"r":{"a":1}}`, `{}`), fault.Invalid)
	n.WantFault(doc(`{}`, `{}`), fault.Invalid)
	n.Configure(`{"mode":"all"}`)
	n.Want(doc(`[1,2]`, `[1,2,3]`), `{"score":1,"comment":"2 of 2 expected values are there"}`)
	n.Want(doc(`[1,2]`, `[1]`), `{"score":0,"comment":"an expected value is missing or differs"}`)
	for _, bad := range []string{`{"paths":[]}`, `{"paths":"a"}`, `{"paths":[1]}`} {
		if err := n.TryConfigure(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
