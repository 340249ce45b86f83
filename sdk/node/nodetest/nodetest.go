// Package nodetest runs nodes natively, without WASM, against a small host that
// keeps what a node did: for the tests of node authors.
//
//	n := nodetest.New(t, greet.New, `{"polite": true}`, nil)
//	out := n.Process(`{"name": "Ada"}`)
//
// What differs from a real host: nothing bounds time or memory, and every
// capability that Host has something for is granted.
package nodetest

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// name is the node type that New gives its node.
const name = "node"

// Node is a configured node under test. Its methods fail the test when the node
// does what they do not expect.
type Node struct {
	t        testing.TB
	create   func() node.Node
	instance *node.Instance
	host     *Host
	config   []byte // document that the instance took last
}

// New returns a node made by create with the settings in the JSON object config,
// which the node must take. "" is no settings; a nil host is an empty one. All
// assets of the host are given to the node.
func New(t testing.TB, create func() node.Node, config string, host *Host) *Node {
	t.Helper()
	if host == nil {
		host = &Host{}
	}
	n := &Node{t: t, host: host, create: create}
	n.instance = n.another()
	n.Configure(config)
	return n
}

func (n *Node) another() *node.Instance {
	return node.NewInstance(map[string]func() node.Node{name: n.create}, n.host.Calls())
}

// Configure gives the live node new settings, which it must take.
func (n *Node) Configure(config string) {
	n.t.Helper()
	if err := n.TryConfigure(config); err != nil {
		n.t.Fatalf("configure %s: %v", config, err)
	}
}

// TryConfigure gives the live node new settings and returns what it says.
func (n *Node) TryConfigure(config string) error {
	if config == "" {
		config = "{}"
	}
	assets, err := json.Marshal(n.host.names())
	if err != nil {
		return err
	}
	n.config = []byte(`{"node":"` + name + `","config":` + config + `,"assets":` + string(assets) + `}`)
	return n.instance.Configure(n.config)
}

// Process returns the output for a JSON document, which must be JSON. The bytes
// are the caller's.
func (n *Node) Process(in string) string {
	n.t.Helper()
	out, err := n.TryProcess(in)
	if err != nil {
		n.t.Fatalf("process %.200s: %v", in, err)
	}
	if _, err := node.Parse([]byte(out)); err != nil {
		n.t.Fatalf("process %.200s: output %.200s: %v", in, out, err)
	}
	return out
}

// TryProcess returns what the node returns for a document. Effects that it awaits
// are performed, and each time another instance goes on, made and configured for
// it: what a node keeps between two calls of Process is not lost, what it keeps
// between Process and Resume is.
func (n *Node) TryProcess(in string) (string, error) {
	out, err := n.instance.Process([]byte(in))
	for errors.Is(err, node.ErrAwaiting) {
		doc := n.host.Perform()
		if doc == nil {
			return "", fault.New(fault.Internal, "", "the node returned ErrAwaiting and awaits nothing")
		}
		other := n.another()
		if err := other.Configure(n.config); err != nil {
			return "", err
		}
		out, err = other.Resume(doc)
	}
	return string(out), err
}

// Want fails the test unless the output for in equals want as a JSON value.
func (n *Node) Want(in, want string) {
	n.t.Helper()
	if got := n.Process(in); !Same(got, want) {
		n.t.Errorf("process %s\n got %s\nwant %s", in, got, want)
	}
}

// WantFault fails the test unless the node refuses in with a fault of kind k.
func (n *Node) WantFault(in string, k fault.Kind) {
	n.t.Helper()
	if out, err := n.TryProcess(in); !fault.Is(err, k) {
		n.t.Errorf("process %.200s: %q and error %v, want a fault of kind %s", in, out, err, k)
	}
}

// Same reports whether a and b are the same JSON value. What is no JSON is the
// same as nothing.
func Same(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}
