package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// vars is what is known about the variables of an expression.
type vars struct {
	output *typing
	of     string // what output is, in words
	item   *typing
}

// expressionLint walks one expression.
type expressionLint struct {
	*linter
	path   string
	vars   vars
	tested map[string]bool // paths that has() asks for
	said   map[string]bool
}

func (l *linter) expressions(path string, vs vars) *expressionLint {
	return &expressionLint{linter: l, path: path, vars: vs, tested: map[string]bool{}, said: map[string]bool{}}
}

// condition checks an expression that must give a boolean.
func (x *expressionLint) condition(src string) {
	if t := x.value(src); !t.is("boolean") {
		x.errorf(x.path, "compare it, as in size(output.hits) > 0", "condition %q gives %s, want a boolean", src, t.what())
	}
}

// value checks an expression and returns what is known about its value. One that
// does not compile was reported elsewhere.
func (x *expressionLint) value(src string) *typing {
	env, err := environment()
	if err != nil {
		return nil
	}
	checked, iss := env.Compile(src)
	if iss.Err() != nil {
		return nil
	}
	e := ast.NavigateAST(checked.NativeRep())
	for _, s := range ast.MatchDescendants(e, ast.KindMatcher(ast.SelectKind)) {
		if s.AsSelect().IsTestOnly() {
			x.tested[textOf(s.AsSelect().Operand())+"."+s.AsSelect().FieldName()] = true
		}
	}
	for _, c := range ast.MatchDescendants(e, ast.KindMatcher(ast.CallKind)) {
		if c.AsCall().FunctionName() == operators.In {
			if key := c.AsCall().Args()[0]; key.Kind() == ast.LiteralKind {
				x.tested[fmt.Sprintf("%s.%v", textOf(c.AsCall().Args()[1]), key.AsLiteral().Value())] = true
			}
		}
	}
	return x.walk(e, nil)
}

// textOf writes a chain of selections, "" for anything else.
func textOf(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if of := textOf(e.AsSelect().Operand()); of != "" {
			return of + "." + e.AsSelect().FieldName()
		}
	case ast.CallKind:
		if c := e.AsCall(); c.FunctionName() == operators.Index {
			of, at := textOf(c.Args()[0]), c.Args()[1]
			if of == "" || at.Kind() != ast.LiteralKind {
				return ""
			}
			if i, ok := at.AsLiteral().(types.Int); ok {
				return index(of, int(i))
			}
			return fmt.Sprintf("%s.%v", of, at.AsLiteral().Value())
		}
	}
	return ""
}

// walk returns what is known about e. Local are the variables of macros around
// it.
func (x *expressionLint) walk(e ast.Expr, local map[string]*typing) *typing {
	switch e.Kind() {
	case ast.LiteralKind:
		return literal(e)
	case ast.IdentKind:
		return x.ident(e.AsIdent(), local)
	case ast.SelectKind:
		return x.selection(e, local)
	case ast.ListKind:
		for _, c := range e.AsList().Elements() {
			x.walk(c, local)
		}
		return &typing{class: "array"}
	case ast.MapKind:
		for _, c := range e.AsMap().Entries() {
			x.walk(c.AsMapEntry().Key(), local)
			x.walk(c.AsMapEntry().Value(), local)
		}
		return &typing{class: "object"}
	case ast.ComprehensionKind:
		return x.comprehension(e, local)
	case ast.CallKind:
		return x.call(e, local)
	}
	return nil
}

func literal(e ast.Expr) *typing {
	switch e.AsLiteral().(type) {
	case types.String:
		return &typing{class: "string"}
	case types.Int, types.Uint, types.Double:
		return &typing{class: "number"}
	case types.Bool:
		return &typing{class: "boolean"}
	case types.Null:
		return &typing{class: "null"}
	}
	return nil
}

func (x *expressionLint) ident(name string, local map[string]*typing) *typing {
	if t, ok := local[name]; ok {
		return t
	}
	switch name {
	case "output":
		return x.vars.output
	case "item":
		return x.vars.item
	case "index":
		return &typing{class: "number"}
	}
	return nil
}

// selection checks one step of a path.
func (x *expressionLint) selection(e ast.Expr, local map[string]*typing) *typing {
	s := e.AsSelect()
	if t, ok := x.record(e, local); ok {
		return t
	}
	of := x.walk(s.Operand(), local)
	if s.IsTestOnly() {
		return &typing{class: "boolean"}
	}
	return x.key(of, textOf(s.Operand()), s.FieldName())
}

// record returns what nodes.NAME.output, state.KEY and run.KEY read as.
func (x *expressionLint) record(e ast.Expr, local map[string]*typing) (*typing, bool) {
	text := textOf(e)
	root, rest, _ := strings.Cut(text, ".")
	if _, shadowed := local[root]; shadowed || e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		return nil, false
	}
	switch root {
	case "state":
		if !strings.Contains(rest, ".") {
			return typingOfKey(x.g.State[rest]), true
		}
	case "run":
		return &typing{class: "string"}, true
	case "nodes":
		name, field, ok := strings.Cut(rest, ".")
		if i, known := x.s.index[name]; ok && field == "output" && known && x.always[i] {
			return x.out[i], true
		}
		return nil, !strings.Contains(field, ".")
	}
	return nil, false
}

// key returns what is known about one key, and reports one that is not there.
func (x *expressionLint) key(of *typing, at, name string) *typing {
	sub, found, certain := of.key(name)
	where := at + "." + name
	said := x.said[where] || x.tested[where]
	x.said[where] = true
	switch {
	case of == nil || said:
	case !of.is("object"):
		x.errorf(x.path, "", "%s is %s, it has no key %q", at, of.what(), name)
	case !found && of.closed:
		x.errorf(x.path, didYouMean(name, of, "its keys are "+keysOf(of)), "%s has no key %q", x.words(at), name)
	case !found && len(of.props) > 0 && !of.more:
		x.warnf(x.path, didYouMean(name, of, "its keys are "+keysOf(of)), "the schema of %s names no key %q", x.words(at), name)
	case found && !certain && len(of.required) > 0:
		x.warnf(x.path, fmt.Sprintf("test it first: has(%s) && ...", where), "%s may be missing", where)
	}
	return sub
}

func (x *expressionLint) words(at string) string {
	if at == "output" && x.vars.of != "" {
		return x.vars.of
	}
	return at
}

func keysOf(t *typing) string { return strings.Join(slices.Sorted(maps.Keys(t.props)), ", ") }

func (x *expressionLint) comprehension(e ast.Expr, local map[string]*typing) *typing {
	c := e.AsComprehension()
	over := x.walk(c.IterRange(), local)
	if !over.is("array") && !over.is("object") {
		x.errorf(x.path, "", "%s is %s, it cannot be walked through", textOf(c.IterRange()), over.what())
	}
	inner := maps.Clone(local)
	if inner == nil {
		inner = map[string]*typing{}
	}
	inner[c.AccuVar()] = nil
	if inner[c.IterVar()] = nil; over != nil && over.class == "array" && !c.HasIterVar2() {
		inner[c.IterVar()] = over.items
	}
	if c.HasIterVar2() {
		inner[c.IterVar2()] = nil
	}
	x.walk(c.LoopStep(), inner)
	if init := x.walk(c.AccuInit(), local); init != nil && (init.class == "boolean" || init.class == "array") {
		return &typing{class: init.class} // all, exists, map, filter
	}
	return nil
}

// stringFunctions are the functions that only text has.
var stringFunctions = []string{"startsWith", "endsWith", "matches", "contains"}

// call checks what an operator or a function is applied to.
func (x *expressionLint) call(e ast.Expr, local map[string]*typing) *typing {
	c := e.AsCall()
	fn := c.FunctionName()
	var args []*typing
	if c.IsMemberFunction() {
		if t := x.walk(c.Target(), local); slices.Contains(stringFunctions, fn) && !t.is("string") {
			x.errorf(x.path, "", "%s is %s, %s needs a string", textOf(c.Target()), t.what(), fn)
		}
	}
	for _, a := range c.Args() {
		args = append(args, x.walk(a, local))
	}
	switch fn {
	case operators.Index:
		if key, ok := c.Args()[1].AsLiteral().(types.String); ok && c.Args()[1].Kind() == ast.LiteralKind {
			if t, ok := x.record(e, local); ok {
				return t
			}
			return x.key(args[0], textOf(c.Args()[0]), string(key))
		}
		if args[0] != nil && args[0].class == "array" {
			return args[0].items
		}
		return nil
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		x.comparable(c, args, fn)
		return &typing{class: "boolean"}
	case operators.Equals, operators.NotEquals:
		a, b := classOf(args[0]), classOf(args[1])
		if a != "" && b != "" && a != b && a != "null" && b != "null" {
			x.warnf(x.path, "compare values of the same type", "%s and %s are never equal: %s and %s",
				nameOf(c.Args()[0]), nameOf(c.Args()[1]), article(a), article(b))
		}
		return &typing{class: "boolean"}
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		for i, a := range args {
			if !a.is("boolean") {
				x.errorf(x.path, "compare it", "%s is %s, want a boolean", nameOf(c.Args()[i]), a.what())
			}
		}
		return &typing{class: "boolean"}
	case operators.Conditional:
		if !args[0].is("boolean") {
			x.errorf(x.path, "compare it", "%s is %s, want a boolean", nameOf(c.Args()[0]), args[0].what())
		}
		if classOf(args[1]) == classOf(args[2]) && args[1] != nil {
			return &typing{class: args[1].class}
		}
		return nil
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		x.comparable(c, args, fn)
		if a := classOf(args[0]); a != "" && a == classOf(args[1]) {
			return &typing{class: a}
		}
		return nil
	case operators.In:
		if t := args[1]; !t.is("array") && !t.is("object") {
			x.errorf(x.path, "", "%s is %s, nothing is in it", nameOf(c.Args()[1]), t.what())
		}
		return &typing{class: "boolean"}
	case "size":
		of := c.Args()
		if c.IsMemberFunction() {
			of, args = []ast.Expr{c.Target()}, []*typing{x.walk(c.Target(), local)}
		}
		if t := args[0]; !t.is("string") && !t.is("array") && !t.is("object") {
			x.errorf(x.path, "", "%s is %s, it has no size", nameOf(of[0]), t.what())
		}
		return &typing{class: "number"}
	case "string":
		return &typing{class: "string"}
	case "int", "double", "uint":
		return &typing{class: "number"}
	case "bool", "startsWith", "endsWith", "matches", "contains":
		return &typing{class: "boolean"}
	}
	return nil
}

// comparable reports operands of different types.
func (x *expressionLint) comparable(c ast.CallExpr, args []*typing, fn string) {
	if len(args) != 2 {
		return
	}
	a, b := classOf(args[0]), classOf(args[1])
	if a != "" && b != "" && a != b {
		op := strings.Trim(fn, "_")
		x.errorf(x.path, "convert one of them, as in double(x) or string(x)", "%s %s %s: %s and %s", nameOf(c.Args()[0]), op,
			nameOf(c.Args()[1]), article(a), article(b))
	}
}

// nameOf writes an operand for a message.
func nameOf(e ast.Expr) string {
	if e.Kind() == ast.LiteralKind {
		if s, ok := e.AsLiteral().(types.String); ok {
			return fmt.Sprintf("%q", string(s))
		}
		return fmt.Sprint(e.AsLiteral().Value())
	}
	if s := textOf(e); s != "" {
		return s
	}
	return "a part of it"
}
