package node_test

import (
	"fmt"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// repeater says a word several times.
type repeater struct{ times int }

func (r *repeater) Configure(c *node.Config) error {
	r.times = c.Int("times", 2, 1, 100)
	return nil
}

func (r *repeater) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	word := doc.Get("word")
	if word.Kind() != node.String {
		return fault.New(fault.Invalid, "word", "is %s, want a string", word.Kind())
	}
	out.Object()
	out.Key("words").Array()
	for range r.times {
		out.Value(word)
	}
	out.End()
	out.End()
	return nil
}

// A module registers its node types in the init function of its main package:
//
//	func init() { node.Register(types) }
//
// Here the same types run natively.
func Example() {
	types := map[string]func() node.Node{"repeat": func() node.Node { return &repeater{} }}
	instance := node.NewInstance(types, (&nodetest.Host{}).Calls())

	err := instance.Configure([]byte(`{"node": "repeat", "config": {"times": 101}}`))
	fmt.Println(err)
	err = instance.Configure([]byte(`{"node": "repeat", "config": {"times": 3}}`))
	fmt.Println(err)
	out, err := instance.Process([]byte(`{"word": "go"}`))
	fmt.Println(string(out), err)
	_, err = instance.Process([]byte(`{"word": 1}`))
	fmt.Println(err)
	// Output:
	// config.times: is 101, want an integer from 1 to 100
	// <nil>
	// {"words":["go","go","go"]} <nil>
	// word: is a number, want a string
}

func ExampleValue_Path() {
	doc, err := node.Parse([]byte(`{"hits": [{"id": "a"}, {"id": "b"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(doc.Path("hits.1.id").Str(), doc.Path("hits.7.id").Kind())
	// Output: b nothing
}
