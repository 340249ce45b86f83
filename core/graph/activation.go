package graph

import (
	"reflect"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// activation serves the variables of one evaluation from a Scope.
type activation struct {
	scope         Scope
	input, output ref.Val // decoded on first use
}

var activations = sync.Pool{New: func() any { return new(activation) }}

var _ cel.Activation = (*activation)(nil)

// Parent returns nil: there is no outer scope.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName returns the value of a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "output":
		if a.output == nil {
			a.output = lazy(a.scope.Output)
		}
		return a.output, true
	case "input":
		if a.input == nil {
			a.input = lazy(a.scope.Input)
		}
		return a.input, true
	case "nodes":
		return record(a.node), true
	case "state":
		return record(a.state), true
	case "run":
		return record(a.run), true
	case "item":
		return lazy(a.scope.Item), true
	case "index":
		return types.Int(a.scope.Index), true
	}
	return nil, false
}

func (a *activation) node(name string) (ref.Val, bool) {
	return record(func(key string) (ref.Val, bool) {
		if key != "output" {
			return nil, false
		}
		if a.scope.Nodes == nil {
			return types.NullValue, true
		}
		return lazy(a.scope.Nodes(name)), true
	}), true
}

func (a *activation) state(key string) (ref.Val, bool) {
	if a.scope.State == nil {
		return nil, false
	}
	raw, ok := a.scope.State.Get(key)
	if !ok {
		return nil, false
	}
	return lazy(raw), true
}

// run does not serve the kind of the run, so that no document can behave one way
// in an experiment and another way in production.
func (a *activation) run(key string) (ref.Val, bool) {
	info := a.scope.Info
	if info == nil {
		return nil, false
	}
	switch key {
	case "id":
		return types.String(info.ID.String()), true
	case "graph":
		return types.String(info.Graph), true
	case "version":
		return types.String(info.Version), true
	}
	return nil, false
}

// record is a mapping that can only be asked for single keys. Compiling refuses
// expressions that would iterate or compare one.
type record func(key string) (ref.Val, bool)

var _ traits.Mapper = record(nil)

// Find returns the value of one key.
func (r record) Find(key ref.Val) (ref.Val, bool) {
	s, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	return r(string(s))
}

// Get returns the value of one key or an error value.
func (r record) Get(key ref.Val) ref.Val {
	if v, ok := r.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains reports whether a key has a value.
func (r record) Contains(key ref.Val) ref.Val {
	_, ok := r.Find(key)
	return types.Bool(ok)
}

func (r record) refuse() ref.Val {
	return types.NewErr("nodes, state and run can only be asked for a key")
}

// Size is an error value.
func (r record) Size() ref.Val { return r.refuse() }

// Equal is an error value.
func (r record) Equal(ref.Val) ref.Val { return r.refuse() }

// ConvertToType is an error value.
func (r record) ConvertToType(ref.Type) ref.Val { return r.refuse() }

// Iterator yields nothing.
func (r record) Iterator() traits.Iterator {
	return types.NewRefValList(types.DefaultTypeAdapter, nil).Iterator()
}

// Type is the type of maps.
func (r record) Type() ref.Type { return types.MapType }

// Value returns the record itself.
func (r record) Value() any { return r }

// ConvertToNative always fails.
func (r record) ConvertToNative(reflect.Type) (any, error) { return nil, r.refuse().(*types.Err) }
