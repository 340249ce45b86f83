package node_test

import (
	"errors"
	"fmt"

	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// debate asks a model, and then asks it what is wrong with its answer. What Resume
// needs to know travels in the state: the first answer.
type debate struct{ host *node.Host }

func (d *debate) Configure(c *node.Config) error {
	d.host = c.Host()
	return nil
}

func (d *debate) Process(in []byte, _ *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	return d.host.AwaitGenerate(node.Request{Model: "small", Prompt: doc.Get("question").Str()}, nil)
}

func (d *debate) Resume(state []byte, got *node.Result, out *node.Writer) error {
	answer, err := got.Generated()
	if err != nil {
		return err
	}
	if len(state) == 0 {
		return d.host.AwaitGenerate(node.Request{Model: "small", Prompt: "What is wrong with this? " + answer.Text}, []byte(answer.Text))
	}
	out.Object()
	out.Key("answer").Text(state)
	out.Key("doubt").String(answer.Text)
	out.End()
	return nil
}

// A node that implements Resumer holds no instance while it waits.
func ExampleResumer() {
	host := &nodetest.Host{Generate: func(r abi.GenerateRequest) (abi.GenerateResponse, error) {
		return abi.GenerateResponse{Text: "re: " + r.Messages[0].Content}, nil
	}}
	instance := node.NewInstance(map[string]func() node.Node{"debate": func() node.Node { return &debate{} }}, host.Calls())
	if err := instance.Configure([]byte(`{"node": "debate"}`)); err != nil {
		fmt.Println(err)
	}
	out, err := instance.Process([]byte(`{"question": "Why?"}`))
	for errors.Is(err, node.ErrAwaiting) { // what a host does, between two calls
		out, err = instance.Resume(host.Perform())
	}
	fmt.Println(string(out), err)
	// Output: {"answer":"re: Why?","doubt":"re: What is wrong with this? re: Why?"} <nil>
}
