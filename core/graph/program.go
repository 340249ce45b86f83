package graph

import (
	"errors"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/sparkrsi/spark/sdk/fault"
)

// The bounds of one expression.
const (
	MaxExpression = 8 << 10 // bytes of source
	maxCost       = 1 << 20 // units of CEL's cost model, where a loop could run away
)

// Program is a compiled condition or mapping. It is immutable and safe for
// concurrent use.
type Program struct {
	src   string
	parts []part
	reads []string
	item  bool     // reads item or index
	state []string // keys of the state that it names
}

// part is a piece of a value: literal JSON, or an expression in its place.
type part struct {
	literal []byte
	src     string
	expr    cel.Program
}

// Source returns the text that was compiled.
func (p *Program) Source() string { return p.src }

// Reads returns the names of the nodes whose output the program refers to, in
// the order of first use. The slice must not be changed.
func (p *Program) Reads() []string { return p.reads }

// ReadsItem reports whether the program refers to item or index, which only a
// foreach sets.
func (p *Program) ReadsItem() bool { return p.item }

// CompileExpression compiles one CEL expression over input, output, nodes, state,
// run, item and index that gives any value. It fails with Invalid.
func CompileExpression(src string) (*Program, error) {
	p := &Program{src: src}
	pt, err := p.compile(src, false)
	if err != nil {
		return nil, err
	}
	p.parts = []part{pt}
	return p, nil
}

// CompileCondition compiles a CEL expression over input, output, nodes, state
// and run that gives a boolean. It fails with Invalid.
func CompileCondition(src string) (*Program, error) {
	p := &Program{src: src}
	pt, err := p.compile(src, true)
	if err != nil {
		return nil, err
	}
	p.parts = []part{pt}
	return p, nil
}

// CompileMapping compiles the JSON of a Mapping: strings that start with "=" are
// expressions, every other value stands for itself. It fails with Invalid, whose
// path names the place inside the mapping.
func CompileMapping(raw []byte) (*Program, error) {
	v, err := decodeJSON(raw)
	if err != nil {
		return nil, err
	}
	p := &Program{src: string(raw)}
	b := &mappingBuilder{p: p}
	if err := b.add(v, ""); err != nil {
		return nil, err
	}
	b.flush()
	return p, nil
}

type mappingBuilder struct {
	p   *Program
	lit []byte
}

func (m *mappingBuilder) flush() {
	if len(m.lit) > 0 {
		m.p.parts = append(m.p.parts, part{literal: m.lit})
		m.lit = nil
	}
}

func (m *mappingBuilder) add(v any, path string) error {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "=") {
			break
		}
		pt, err := m.p.compile(v[1:], false)
		if err != nil {
			var f *fault.Error
			if errors.As(err, &f) {
				c := *f
				c.Path = path
				return &c
			}
			return err
		}
		m.flush()
		m.p.parts = append(m.p.parts, pt)
		return nil
	case []any:
		m.lit = append(m.lit, '[')
		for i, e := range v {
			if i > 0 {
				m.lit = append(m.lit, ',')
			}
			if err := m.add(e, index(path, i)); err != nil {
				return err
			}
		}
		m.lit = append(m.lit, ']')
		return nil
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		m.lit = append(m.lit, '{')
		for i, k := range keys {
			if i > 0 {
				m.lit = append(m.lit, ',')
			}
			m.lit = append(appendString(m.lit, k), ':')
			if err := m.add(v[k], join(path, k)); err != nil {
				return err
			}
		}
		m.lit = append(m.lit, '}')
		return nil
	}
	m.lit = appendCanonical(m.lit, v)
	return nil
}

// compile compiles one expression and collects what it reads.
func (p *Program) compile(src string, boolean bool) (part, error) {
	if len(src) > MaxExpression {
		return part{}, fault.New(fault.Invalid, "", "expression has %d bytes, the limit is %d", len(src), MaxExpression)
	}
	env, err := environment()
	if err != nil {
		return part{}, fault.Wrap(fault.Internal, "", err, "expression environment")
	}
	checked, iss := env.Compile(src)
	if err := iss.Err(); err != nil {
		text, _, _ := strings.Cut(iss.Errors()[0].Message, " expecting ")
		return part{}, fault.New(fault.Invalid, "", "expression %q does not compile: %s", src, text).
			WithHint("expressions are CEL over input, output, nodes.NAME.output, state and run")
	}
	if t := checked.OutputType(); boolean && t.Kind() != types.BoolKind && t.Kind() != types.DynKind {
		return part{}, fault.New(fault.Invalid, "", "condition %q gives %s, want a boolean", src, t).
			WithHint("compare it, as in size(output.hits) > 0")
	}
	loops, err := p.survey(ast.NavigateAST(checked.NativeRep()), src)
	if err != nil {
		return part{}, err
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if loops {
		opts = append(opts, cel.CostLimit(maxCost))
	}
	prg, err := env.Program(checked, opts...)
	if err != nil {
		return part{}, fault.Wrap(fault.Invalid, "", err, "expression %q", src)
	}
	return part{src: src, expr: prg}, nil
}

// survey collects the nodes that e reads, refuses uses of nodes, state and run
// that do not name a key, and reports whether e loops.
func (p *Program) survey(e ast.NavigableExpr, src string) (loops bool, err error) {
	for _, id := range ast.MatchDescendants(e, ast.KindMatcher(ast.IdentKind)) {
		name := id.AsIdent()
		if (name == "item" || name == "index") && !bound(id, name) {
			p.item = true
		}
		if name != "nodes" && name != "state" && name != "run" {
			continue
		}
		key, at, ok := keyOf(id)
		if !ok || name == "nodes" && key == "" {
			return false, fault.New(fault.Invalid, "", "expression %q uses %s without a fixed key", src, name).
				WithHint("write nodes.NAME.output, state.KEY or run.id")
		}
		if name == "state" && key != "" && !slices.Contains(p.state, key) {
			p.state = append(p.state, key)
		}
		if name != "nodes" {
			continue
		}
		if field, _, ok := keyOf(at); !ok || field != "output" {
			return false, fault.New(fault.Invalid, "", "expression %q asks nodes.%s for something else than output", src, key).
				WithHint("write nodes.%s.output", key)
		}
		if !slices.Contains(p.reads, key) {
			p.reads = append(p.reads, key)
		}
	}
	return len(ast.MatchDescendants(e, ast.KindMatcher(ast.ComprehensionKind))) > 0, nil
}

// bound reports whether a macro such as map declares the variable that id names.
func bound(id ast.NavigableExpr, name string) bool {
	for e := id; ; {
		up, ok := e.Parent()
		if !ok {
			return false
		}
		if up.Kind() == ast.ComprehensionKind {
			c := up.AsComprehension()
			if (c.IterVar() == name || c.IterVar2() == name) && c.IterRange().ID() != e.ID() {
				return true
			}
		}
		e = up
	}
}

// keyOf returns the key by which the parent of e selects from e, "" when it is
// computed, and the parent. It returns false when e is used in any other way.
func keyOf(e ast.NavigableExpr) (string, ast.NavigableExpr, bool) {
	up, ok := e.Parent()
	if !ok {
		return "", nil, false
	}
	switch up.Kind() {
	case ast.SelectKind:
		return up.AsSelect().FieldName(), up, true
	case ast.CallKind:
		c := up.AsCall()
		if c.FunctionName() == operators.Index && c.Args()[0].ID() == e.ID() {
			if lit := c.Args()[1]; lit.Kind() == ast.LiteralKind {
				key, ok := lit.AsLiteral().(types.String)
				return string(key), up, ok
			}
			return "", up, true
		}
		if c.FunctionName() == operators.In && c.Args()[1].ID() == e.ID() {
			return "", up, true
		}
	}
	return "", nil, false
}

// Bool evaluates a condition. It fails with Invalid when the expression cannot
// be evaluated on the data or gives no boolean, and with Limit when it is too
// costly.
func (p *Program) Bool(s Scope) (bool, error) {
	a := activate(s)
	defer release(a)
	v, err := p.parts[0].eval(a)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fault.New(fault.Invalid, "", "condition %q gave %s, want a boolean", p.src, v.Type().TypeName())
	}
	return bool(b), nil
}

// Value evaluates a mapping and returns its JSON, a slice of its own. Values
// that an expression takes over whole are copied as they are.
func (p *Program) Value(s Scope) ([]byte, error) {
	a := activate(s)
	defer release(a)
	var b []byte
	for i := range p.parts {
		if pt := &p.parts[i]; pt.expr == nil {
			b = append(b, pt.literal...)
		} else {
			v, err := pt.eval(a)
			if err != nil {
				return nil, err
			}
			if b, err = appendValue(b, v); err != nil {
				return nil, fault.Wrap("", "", err, "expression %q", pt.src)
			}
		}
	}
	return b, nil
}

// List evaluates an expression that gives a list and returns the JSON of its
// elements, which may share memory with the data of the scope. It fails with
// Invalid when the value is no list and with Limit beyond MaxItems.
func (p *Program) List(s Scope) ([][]byte, error) {
	a := activate(s)
	defer release(a)
	v, err := p.parts[0].eval(a)
	if err != nil {
		return nil, err
	}
	var items [][]byte
	if l, ok := v.(*list); ok {
		c := cursor{b: l.raw}
		for _, e, ok := c.next(false); ok && len(items) <= MaxItems; _, e, ok = c.next(false) {
			items = append(items, e[:len(e):len(e)])
		}
		if c.bad {
			return nil, fault.New(fault.Invalid, "", "expression %q: the data is not JSON", p.src)
		}
	} else if l, ok := v.(traits.Lister); ok {
		n, _ := l.Size().(types.Int)
		for i := types.Int(0); i < n && len(items) <= MaxItems; i++ {
			e, err := appendValue(nil, l.Get(i))
			if err != nil {
				return nil, fault.Wrap("", "", err, "expression %q", p.src)
			}
			items = append(items, e)
		}
	} else {
		return nil, fault.New(fault.Invalid, "", "expression %q gave %s, want a list", p.src, v.Type().TypeName())
	}
	if len(items) > MaxItems {
		return nil, fault.New(fault.Limit, "", "expression %q gives more than %d items", p.src, MaxItems).
			WithHint("split the list before it, or nest a loop")
	}
	return items, nil
}

func activate(s Scope) *activation {
	a := activations.Get().(*activation)
	a.scope = s
	return a
}

func release(a *activation) {
	*a = activation{}
	activations.Put(a)
}

func (pt *part) eval(a *activation) (ref.Val, error) {
	v, _, err := pt.expr.Eval(a)
	if err == nil {
		return v, nil
	}
	var stop interpreter.EvalCancelledError
	if errors.As(err, &stop) {
		return nil, fault.New(fault.Limit, "", "expression %q costs more than %d units", pt.src, maxCost).
			WithHint("compute it in a node instead")
	}
	f := fault.New(fault.Invalid, "", "expression %q: %s", pt.src, err)
	if strings.Contains(err.Error(), "no such key") {
		f = f.WithHint("test first with has(...)")
	}
	return nil, f
}
