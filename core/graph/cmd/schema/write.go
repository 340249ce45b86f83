package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// comments returns the first sentence that the source says of each type, and what
// it says of each field, by Type and Type.Field, on one line.
func comments(dir string) (map[string]string, error) {
	words := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				t := s.(*ast.TypeSpec)
				words[t.Name.Name] = line(g.Doc)
				if first, _, more := strings.Cut(words[t.Name.Name], ". "); more {
					words[t.Name.Name] = first + "."
				}
				fields, ok := t.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range fields.Fields.List {
					for _, name := range f.Names {
						text := line(f.Comment)
						if text == "" {
							text = line(f.Doc)
						}
						words[t.Name.Name+"."+name.Name] = text
					}
				}
			}
		}
	}
	return words, nil
}

func line(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// writer makes schemas of types. Structs below the top are definitions.
type writer struct {
	words map[string]string
	defs  map[string]any
	err   error
}

// object returns the schema of a struct.
func (w *writer) object(t reflect.Type) map[string]any {
	props := map[string]any{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "" || key == "-" || t == reflect.TypeFor[graph.Node]() && f.Name == "Name" {
			continue
		}
		place := t.Name() + "." + f.Name
		s, rule := w.schema(f.Type), rules[place] // the first notes what the type holds, too
		if rule["type"] != nil || rule["anyOf"] != nil {
			s = maps.Clone(rule)
		} else {
			maps.Copy(s, rule)
		}
		if text := w.words[place]; text != "" {
			s["description"] = text
		} else if s["description"] == nil && s["$ref"] == nil {
			if text := w.words[named(f.Type)]; text != "" {
				s["description"] = text
			}
		}
		props[key] = s
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if text := w.words[t.Name()]; text != "" {
		out["description"] = text
	}
	maps.Copy(out, wholes[t.Name()])
	return out
}

func named(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// schema returns the schema of a type.
func (w *writer) schema(t reflect.Type) map[string]any {
	if s, ok := types[t]; ok {
		return maps.Clone(s)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.schema(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		s := map[string]any{"type": "array", "items": w.schema(t.Elem())}
		if t.Elem().Kind() == reflect.String {
			s["uniqueItems"] = true
		}
		return s
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": w.schema(t.Elem())}
	case reflect.Struct:
		if _, ok := w.defs[t.Name()]; !ok {
			w.defs[t.Name()] = nil // it may hold itself
			w.defs[t.Name()] = w.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	}
	if w.err == nil {
		w.err = fmt.Errorf("no schema is known for %v", t)
	}
	return nil
}

// namePattern is what names of a document look like.
const namePattern = "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"

const year = 365 * 24 * 3600

func choices[T ~string](list ...T) map[string]any {
	return map[string]any{"type": "string", "enum": list}
}

// types are the schemas of types whose JSON is not their structure.
var types = map[reflect.Type]map[string]any{
	reflect.TypeFor[graph.Duration](): {"type": []string{"string", "number"}, "pattern": "^[-+]?[0-9.][-+0-9A-Za-z._µμ]*$",
		"minimum": 0, "maximum": year, "description": "5s, 250ms or a number of seconds"},
	reflect.TypeFor[graph.Mapping]():     {"not": map[string]any{"type": "null"}},
	reflect.TypeFor[json.RawMessage]():   {"type": "object"},
	reflect.TypeFor[fault.Kind]():        choices(fault.Kinds()...),
	reflect.TypeFor[graph.Reducer]():     choices(graph.ReduceLast, graph.ReduceSum, graph.ReduceMax, graph.ReduceAppend),
	reflect.TypeFor[graph.StateScope]():  choices(graph.StateIsolated, graph.StateShared),
	reflect.TypeFor[graph.Join]():        choices(graph.JoinAll, graph.JoinAny),
	reflect.TypeFor[graph.Route]():       choices(graph.RouteAll, graph.RouteFirst),
	reflect.TypeFor[graph.OnItemError](): choices(graph.ItemFail, graph.ItemSkip, graph.ItemNull),
	reflect.TypeFor[graph.OnTimeout]():   choices(graph.TimeoutFail, graph.TimeoutDefault),
	reflect.TypeFor[graph.Validation]():  choices(graph.ValidateAlways, graph.ValidateSample, graph.ValidateOff),
	reflect.TypeFor[graph.Isolation]():   choices(graph.IsolationPooled, graph.IsolationReset),
}

var (
	name       = map[string]any{"pattern": namePattern}
	expression = map[string]any{"pattern": `\S`}
	filled     = map[string]any{"minLength": 1}
	positive   = map[string]any{"minimum": 1}
	atLeast0   = map[string]any{"minimum": 0}
	anything   = map[string]any{"anyOf": []any{true}}
)

// called is a mapping whose keys are names.
func called(values map[string]any) map[string]any {
	return map[string]any{"type": "object", "propertyNames": map[string]any{"pattern": namePattern}, "additionalProperties": values}
}

func between(low, high any) map[string]any { return map[string]any{"minimum": low, "maximum": high} }

// rules are what fields have beside the schema of their type, or instead of it
// where they name one.
var rules = map[string]map[string]any{
	"Graph.Name":   name,
	"Graph.Policy": name,
	"Graph.Assets": called(map[string]any{"type": "string"}),
	"Graph.State":  called(map[string]any{"$ref": "#/$defs/Key"}),
	"Graph.Nodes": {"type": "object", "propertyNames": map[string]any{"pattern": namePattern}, "minProperties": 1, "maxProperties": graph.MaxNodes,
		"additionalProperties": map[string]any{"$ref": "#/$defs/Node"}},
	"Graph.Edges": {"maxItems": graph.MaxEdges},

	"Key.Initial":             anything,
	"Node.Module":             filled,
	"Node.Native":             filled,
	"Node.Graph":              filled,
	"Node.MaxVisits":          positive,
	"Node.IdempotencyKey":     expression,
	"Edge.OnError":            {"type": "array", "items": choices(fault.Kinds()...), "minItems": 1, "uniqueItems": true},
	"Retry.Attempts":          between(1, 100),
	"Cache.Key":               expression,
	"RateLimit.Rate":          {"exclusiveMinimum": 0, "maximum": 1e9},
	"RateLimit.Burst":         between(1, 1e6),
	"CircuitBreaker.Failures": positive,
	"CircuitBreaker.Window":   positive,
	"NodeBudget.CostUSD":      atLeast0,
	"Foreach.Items":           expression,
	"Foreach.Concurrency":     between(1, graph.MaxConcurrency),
	"Wait.Prompt":             expression,
	"Wait.Choices":            {"maxItems": graph.MaxChoices},
	"Wait.Default":            anything,

	"Policy.Name":             name,
	"Objective.Weight":        {"exclusiveMinimum": 0, "maximum": 1e12},
	"Objective.Direction":     {"enum": []string{"minimize", "maximize"}},
	"Objective.Margin":        {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
	"Limits.CostUSD":          atLeast0,
	"RSI.AnalysisWindowHours": between(0, 24*366),
	"RSI.Strategy":            {"enum": []string{"", "direct", "canary", "shadow", "blue-green"}},
	"RSI.MinEffect":           between(0, 1),
	"Budget.CostUSD":          atLeast0,
}

func required(keys ...string) map[string]any { return map[string]any{"required": keys} }

// wholes are what the mapping of a type has beside its keys.
var wholes = map[string]map[string]any{
	"Graph": {"required": []string{"graph", "start", "nodes"}, "description": "A workflow: its nodes, and the edges between them. docs/GRAPH.md explains every key."},
	"Node":  {"oneOf": []any{required("module"), required("native"), required("graph"), required("wait")}},
	"Edge": {"required": []string{"from", "to"}, "not": map[string]any{"anyOf": []any{
		required("on_error", "when"), map[string]any{"required": []string{"otherwise", "when"}, "properties": otherwise},
		map[string]any{"required": []string{"on_error", "otherwise"}, "properties": otherwise}}}},
	"Retry":          required("attempts"),
	"RateLimit":      required("rate"),
	"CircuitBreaker": required("failures"),
	"Foreach":        required("items"),
	"Wait":           required("prompt"),
	"Policy":         {"required": []string{"policy"}, "description": "What a graph is judged by and limited to. docs/GRAPH.md explains every key."},
	"Objective":      required("weight", "direction"),
	"Evaluation":     required("dataset"),
	"Scorer":         required("module"),
}

// otherwise is an edge that says so; false is as good as none.
var otherwise = map[string]any{"otherwise": map[string]any{"const": true}}
