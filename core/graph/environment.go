package graph

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	celenv "cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// environment is CEL as Spark speaks it: the standard functions and macros, the
// seven variables, and numbers that mix in comparisons and arithmetic, because
// JSON does not tell 1 from 1.0. It is built once; building costs milliseconds.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	excluded := celenv.NewLibrarySubset()
	var mixed []*decls.FunctionDecl
	for _, fn := range stdlib.Functions() {
		op, ok := arithmetic[fn.Name()]
		if !ok {
			continue
		}
		excluded.AddExcludedFunctions(celenv.NewFunction(fn.Name()))
		m, err := mixedFunction(fn, op)
		if err != nil {
			return nil, err
		}
		mixed = append(mixed, m)
	}
	return cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(excluded)),
		cel.FunctionDecls(mixed...),
		cel.CrossTypeNumericComparisons(true),
		cel.Variable("input", cel.DynType),
		cel.Variable("output", cel.DynType),
		cel.Variable("nodes", cel.DynType),
		cel.Variable("state", cel.DynType),
		cel.Variable("run", cel.DynType),
		cel.Variable("item", cel.DynType),
		cel.Variable("index", cel.DynType),
	)
})

// operation is one arithmetic operator on two values of the same type.
type operation struct {
	trait int
	apply func(l, r ref.Val) ref.Val
}

var arithmetic = map[string]operation{
	operators.Add: {traits.AdderType, func(l, r ref.Val) ref.Val { return l.(traits.Adder).Add(r) }},
	operators.Subtract: {traits.SubtractorType, func(l, r ref.Val) ref.Val {
		return l.(traits.Subtractor).Subtract(r)
	}},
	operators.Multiply: {traits.MultiplierType, func(l, r ref.Val) ref.Val {
		return l.(traits.Multiplier).Multiply(r)
	}},
	operators.Divide: {traits.DividerType, func(l, r ref.Val) ref.Val { return l.(traits.Divider).Divide(r) }},
}

// mixedFunction returns fn with overloads for int and double together.
func mixedFunction(fn *decls.FunctionDecl, op operation) (*decls.FunctionDecl, error) {
	var opts []decls.FunctionOpt
	for _, o := range fn.OverloadDecls() {
		opts = append(opts, decls.Overload(o.ID(), o.ArgTypes(), o.ResultType()))
	}
	opts = append(opts,
		decls.Overload("mixed_int_double"+fn.Name(), []*types.Type{types.IntType, types.DoubleType}, types.DoubleType),
		decls.Overload("mixed_double_int"+fn.Name(), []*types.Type{types.DoubleType, types.IntType}, types.DoubleType),
		decls.SingletonBinaryBinding(func(l, r ref.Val) ref.Val {
			switch lv := l.(type) {
			case types.Int:
				if _, ok := r.(types.Double); ok {
					l = types.Double(lv)
				}
			case types.Double:
				if rv, ok := r.(types.Int); ok {
					r = types.Double(rv)
				}
			}
			return op.apply(l, r)
		}, op.trait))
	return decls.NewFunction(fn.Name(), opts...)
}
