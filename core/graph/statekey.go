package graph

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sparkrsi/spark/sdk/fault"
)

func (d *decoder) stateKeys(to *map[string]*Key) field {
	return func(n *yaml.Node, path string) {
		d.entries(n, path, func(k, v *yaml.Node, path string) {
			if !validName.MatchString(k.Value) {
				d.errorf(k, path, nameHint, "%q is not a name", k.Value)
			}
			key := &Key{}
			d.object(v, path, fields{"schema": d.jsonObject(&key.Schema), "initial": d.json(&key.Initial),
				"reduce": word(d, &key.Reduce, ReduceLast, ReduceSum, ReduceMax, ReduceAppend)})
			key.normalise()
			if *to == nil {
				*to = map[string]*Key{}
			}
			(*to)[k.Value] = key
		})
	}
}

func (k *Key) normalise() {
	if k.Reduce == ReduceLast {
		k.Reduce = ""
	}
	if string(k.Schema) == "{}" {
		k.Schema = nil
	}
}

// compile returns the plan of a key, or what is wrong with it and at which of its
// fields.
func (k *Key) compile() (p *PlanKey, at string, err error) {
	p = &PlanKey{Initial: k.Initial, Reduce: k.Reduce}
	if p.Schema, err = CompileSchema(k.Schema); err != nil {
		return nil, "schema", err
	}
	values := [][]byte{k.Initial}
	switch k.Reduce {
	case "":
		p.Reduce = ReduceLast
	case ReduceLast:
	case ReduceSum, ReduceMax:
		if v, err := decodeJSON(k.Initial); len(k.Initial) > 0 && (err != nil || !isNumber(v)) {
			return nil, "initial", fault.New(fault.Invalid, "", "is %s, %s needs a number", k.Initial, k.Reduce)
		}
		if p.Initial == nil && k.Reduce == ReduceSum {
			p.Initial, values = []byte("0"), nil
		}
	case ReduceAppend:
		if p.Initial == nil {
			p.Initial = []byte("[]")
		}
		var list []json.RawMessage
		if json.Unmarshal(p.Initial, &list) != nil || p.Initial[0] != '[' {
			return nil, "initial", fault.New(fault.Invalid, "", "is %s, append needs a list", k.Initial)
		}
		values = nil
		for _, v := range list {
			values = append(values, v)
		}
	default:
		return nil, "reduce", fault.New(fault.Invalid, "", "%q is not one of the choices", k.Reduce).
			WithHint("one of last, sum, max, append")
	}
	for _, v := range values {
		if len(v) == 0 {
			continue
		}
		vs, err := p.Schema.Check(v)
		if err == nil && len(vs) > 0 {
			err = fault.New(fault.Invalid, "", "%s", strings.TrimPrefix(vs[0].Path+": "+vs[0].Message, ": "))
		}
		if err != nil {
			return nil, "initial", err
		}
	}
	return p, "", nil
}

func isNumber(v any) bool {
	_, ok := v.(json.Number)
	return ok
}

// compileState returns the declared keys of a graph, nil when there are none.
func compileState(g *Graph) (map[string]*PlanKey, error) {
	if len(g.State) == 0 {
		return nil, nil
	}
	keys := make(map[string]*PlanKey, len(g.State))
	for name, k := range g.State {
		p, at, err := k.compile()
		if err != nil {
			return nil, fault.Wrap("", "state."+name+"."+at, err, "state key")
		}
		keys[name] = p
	}
	return keys, nil
}

// sharesState refuses a nested graph that shares a state whose keys it declares in
// another way.
func sharesState(outer, inner *Graph, n *Node) error {
	if n.State != StateShared {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(inner.State)) {
		if has := outer.State[name]; has == nil || !bytes.Equal(canonicalOf(has), canonicalOf(inner.State[name])) {
			return fault.New(fault.Invalid, "nodes."+n.Name+".state", "graph %s declares state.%s as %s, %s does not", inner.Name, name,
				canonicalOf(inner.State[name]), outer.Name).WithHint("declare the key alike in both, or use state: isolated")
		}
	}
	return nil
}

// stateKeys checks the declared keys and that expressions read no others.
func (v *validator) stateKeys() {
	for _, name := range slices.Sorted(maps.Keys(v.g.State)) {
		path := "state." + name
		if !validName.MatchString(name) {
			v.errorf(path, nameHint, "%q is not a name", name)
		}
		if _, at, err := v.g.State[name].compile(); err != nil {
			v.errorf(path+"."+at, fault.HintOf(err), "%v", err)
		}
	}
}

// declared reports keys that a program reads and the document does not declare.
func (v *validator) declared(path string, p *Program) {
	if len(v.g.State) == 0 {
		return
	}
	for _, name := range p.state {
		if v.g.State[name] != nil {
			continue
		}
		hint := "declare it under state"
		if near := nearest(name, slices.Sorted(maps.Keys(v.g.State))); near != "" {
			hint = "did you mean state." + near + "?"
		}
		v.errorf(path, hint, "reads state.%s, which is not declared", name)
	}
}
