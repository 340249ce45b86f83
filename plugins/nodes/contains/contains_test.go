package contains

import (
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

func TestContains(t *testing.T) {
	n := nodetest.New(t, New, `{"path":"text","expected":"has"}`, nil)
	doc := func(has string) string {
		return `{"input":{},"expected":{"has":` + has + `},"output":{"text":"The \"Quick\" brown FOX läuft ÜBER"}}`
	}
	n.Want(doc(`"fox"`), `{"score":1,"comment":"1 of 1 expected texts are there"}`)
	n.Want(doc(`["fox","\"quick\"","dog","über"]`), `{"score":0.75,"comment":"3 of 4 expected texts are there"}`)
	n.Configure(`{"path":"text","expected":"has","mode":"all"}`)
	n.Want(doc(`["fox","dog"]`), `{"score":0,"comment":"an expected text is missing"}`)
	n.Want(doc(`["fox"]`), `{"score":1,"comment":"1 of 1 expected texts are there"}`)
	n.Configure(`{"path":"text","expected":"has","mode":"any"}`)
	n.Want(doc(`["dog","fox"]`), `{"score":1,"comment":"an expected text is there"}`)
	n.Want(doc(`["dog"]`), `{"score":0,"comment":"0 of 1 expected texts are there"}`)
	n.Configure(`{"path":"text","expected":"has","ignore_case":false}`)
	n.Want(doc(`["fox"]`), `{"score":0,"comment":"0 of 1 expected texts are there"}`)
	for _, bad := range []string{`1`, `[]`, `["a",1]`, `{}`} {
		n.WantFault(doc(bad), fault.Invalid)
	}
	n.WantFault(`{"output":{}}`, fault.Invalid)
	n.Want(`{"expected":{"has":"a"},"output":{}}`, `{"score":0,"comment":"the output has no value at text"}`)
	n.Configure("")
	n.Want(`{"expected":"1,2","output":[1,2]}`, `{"score":1,"comment":"1 of 1 expected texts are there"}`)
}
