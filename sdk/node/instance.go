package node

import (
	"errors"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Instance is a module instance without the WASM around it: what the module's
// exports drive, and what nodetest drives natively. Not safe for concurrent use.
type Instance struct {
	types map[string]func() Node
	host  *Host
	doc   []byte // the configuration document; strings of a Config view it
	name  string // node type of node
	node  Node   // nil until a node type was configured
	ready bool   // the last Configure succeeded
	out   Writer
}

// NewInstance returns an instance of a module with the given node types, which
// reaches its host by calls.
func NewInstance(types map[string]func() Node, calls Calls) *Instance {
	return &Instance{types: types, host: &Host{calls: calls}}
}

// Configure takes an abi.Configuration document. A node that is live and of the
// same type is configured anew, otherwise a node is created. Errors are faults:
// NotFound for a node type the module does not have, Invalid with every finding
// for settings, and what the node returns.
func (i *Instance) Configure(doc []byte) error {
	i.ready = false
	i.doc = append(i.doc[:0], doc...)
	v, err := Parse(i.doc)
	if err != nil {
		return fault.Wrap(fault.Invalid, "configuration", err, "refused")
	}
	c := Config{host: i.host}
	var name string
	for k, x := range v.Fields() {
		switch k.Str() {
		case "node":
			name = x.Str()
		case "config":
			if x.Kind() != Object && x.Kind() != Null {
				return fault.New(fault.Invalid, "config", "is %s, want an object", x.Kind())
			}
			c.values = x
		case "assets":
			for a := range x.Items() {
				c.assets = append(c.assets, a.Str())
			}
		default:
			return fault.New(fault.Invalid, k.Str(), "is unknown in a configuration, known are node, config, assets")
		}
	}
	create, ok := i.types[name]
	if !ok {
		return fault.New(fault.NotFound, "node", "no node type %q in this module, it has %s", name, strings.Join(i.names(), ", "))
	}
	if i.node == nil || i.name != name {
		i.node, i.name = create(), name
	}
	err = i.node.Configure(&c)
	// Findings about settings explain an error of the node better than it does.
	if found := c.err(); found != nil {
		return found
	}
	i.ready = err == nil
	return err
}

// Process hands the document in to the configured node and returns its output,
// valid until the next call. Errors are those of the node, Rejected before the
// first successful Configure, Internal when the node left its output open.
// ErrAwaiting is none: the node goes on with Resume.
func (i *Instance) Process(in []byte) ([]byte, error) {
	if !i.ready {
		return nil, fault.New(fault.Rejected, "", "the instance is not configured")
	}
	i.out.Reset()
	return i.finish(i.node.Process(in, &i.out))
}

// finish returns what the node wrote, unless it failed or awaits something.
func (i *Instance) finish(err error) ([]byte, error) {
	if err != nil { // every call comes by here: what costs is asked after a failure only
		if _, ok := i.node.(Resumer); errors.Is(err, ErrAwaiting) && !ok {
			return nil, fault.New(fault.Internal, i.name, "the node awaits an effect and has no method Resume")
		}
		return nil, err
	}
	if !i.out.closed() {
		return nil, fault.New(fault.Internal, i.name, "output document has %d brackets left open", i.out.depth)
	}
	return i.out.buf, nil
}

func (i *Instance) names() []string {
	var names []string
	for name := range i.types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
