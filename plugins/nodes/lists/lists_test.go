package lists

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

func TestEditor(t *testing.T) {
	var e Editor
	for _, x := range []struct{ in, path, want string }{
		{`{"a":1,"items":[3,"x",{}],"b":[1]}`, "items", `{"a":1,"items":[{},3],"b":[1]}`},
		{` {"a": {"b": [0 , 1, 2]}} `, "a.b", `{"a": {"b": [2,0]}}`},
		{"\n[1,2,3]\n", ".", `[3,1]`},
		{`[[9],[1,2,"]"]]`, "1", `[[9],["]",1]]`},
	} {
		// The buffer is larger than the document, as a guest's input buffer is.
		in := append(make([]byte, 0, 4096), x.in...)
		if err := e.Read(in, x.path); err != nil {
			t.Fatal(err)
		}
		var out node.Writer
		e.Write(&out, []node.Value{e.Items[len(e.Items)-1], e.Items[0]})
		if got := string(out.Bytes()); got != x.want {
			t.Errorf("%s became %s, want %s", x.in, got, x.want)
		}
	}
	for in, kind := range map[string]fault.Kind{
		`{`:            fault.Invalid,
		`{"items":1}`:  fault.Invalid,
		`{"other":[]}`: fault.Invalid,
		`{"items":[` + strings.Repeat("1,", Max) + `1]}`: fault.Limit,
	} {
		if err := e.Read([]byte(in), "items"); !fault.Is(err, kind) {
			t.Errorf("%.20s: %v, want %s", in, err, kind)
		}
	}
}
