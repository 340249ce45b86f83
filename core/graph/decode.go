package graph

import (
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Decode reads a graph document, YAML or JSON of at most MaxDocument bytes. The
// findings are all that is wrong with its form, in document order; the graph is
// nil when one of them is an error. It is not validated: see Validate. File
// names the document in findings without a better place and may be empty.
func Decode(data []byte, file string) (*Graph, Findings) {
	root, fs := parseDocument(data)
	if fs != nil {
		return nil, withFile(fs, file)
	}
	d := &decoder{pos: positions{}}
	g := &Graph{}
	if d.survey(root, "", 1) {
		d.graph(g, root)
	}
	if fs = withFile(sortFindings(d.fs), file); fs.HasErrors() {
		return nil, fs
	}
	g.pos = d.pos
	return g, fs
}

// withFile gives findings about the document as a whole the file as their path.
func withFile(fs Findings, file string) Findings {
	for i := range fs {
		if fs[i].Path == "" {
			fs[i].Path = file
		}
	}
	return fs
}

func (d *decoder) graph(g *Graph, root *yaml.Node) {
	ok := d.object(root, "", fields{
		"graph":   d.name(&g.Name),
		"version": d.str(&g.Version),
		"summary": d.str(&g.Summary),
		"durable": d.boolean(&g.Durable),
		"policy":  d.name(&g.Policy),
		"start":   d.str(&g.Start),
		"state":   d.stateKeys(&g.State),
		"output":  d.words(&g.Output),
		"assets": func(n *yaml.Node, path string) {
			d.entries(n, path, func(k, v *yaml.Node, path string) {
				var file string
				d.str(&file)(v, path)
				if !validName.MatchString(k.Value) {
					d.errorf(k, path, nameHint, "%q is not a name", k.Value)
				}
				if g.Assets == nil {
					g.Assets = map[string]string{}
				}
				g.Assets[k.Value] = file
			})
		},
		"nodes": func(n *yaml.Node, path string) {
			d.entries(n, path, func(k, v *yaml.Node, path string) {
				if !validName.MatchString(k.Value) {
					d.errorf(k, path, nameHint, "%q is not a name", k.Value)
				}
				g.Nodes = append(g.Nodes, d.node(k.Value, v, path))
			})
		},
		"edges": func(n *yaml.Node, path string) {
			d.items(n, path, func(n *yaml.Node, path string) { g.Edges = append(g.Edges, d.edge(n, path)) })
		},
	}, "inputs", "input", "schema")
	if ok {
		d.require(root, "", "graph", "start", "nodes")
	}
}

func (d *decoder) node(name string, n *yaml.Node, path string) *Node {
	v := &Node{Name: name}
	ok := d.object(n, path, fields{
		"module":     d.filled(&v.Module),
		"native":     d.filled(&v.Native),
		"graph":      d.filled(&v.Graph),
		"wait":       func(n *yaml.Node, path string) { v.Wait = d.wait(n, path) },
		"state":      word(d, &v.State, StateIsolated, StateShared),
		"config":     d.jsonObject(&v.Config),
		"assets":     d.words(&v.Assets),
		"timeout":    d.duration(&v.Timeout),
		"retry":      func(n *yaml.Node, path string) { v.Retry = d.retry(n, path) },
		"join":       word(d, &v.Join, JoinAll, JoinAny),
		"route":      word(d, &v.Route, RouteAll, RouteFirst),
		"max_visits": d.atLeast(1, &v.MaxVisits),
		"input": func(n *yaml.Node, path string) {
			var raw json.RawMessage
			if d.json(&raw)(n, path); string(raw) == "null" {
				d.wrongType(n, path, "a mapping of the input")
			}
			v.Input = &Mapping{Raw: raw}
		},
		"cache":           func(n *yaml.Node, path string) { v.Cache = d.cache(n, path) },
		"rate_limit":      func(n *yaml.Node, path string) { v.RateLimit = d.rateLimit(n, path) },
		"circuit_breaker": func(n *yaml.Node, path string) { v.CircuitBreaker = d.breaker(n, path) },
		"budget":          func(n *yaml.Node, path string) { v.Budget = d.nodeBudget(n, path) },
		"idempotency_key": d.expression(&v.IdempotencyKey),
		"validate":        word(d, &v.Validate, ValidateAlways, ValidateSample, ValidateOff),
		"isolation": func(n *yaml.Node, path string) {
			if n.Kind == yaml.ScalarNode && n.Value == "process" {
				d.errorf(n, path, "use reset, which gives each call a fresh instance", "a process of its own for a node is not supported by this version")
				return
			}
			word(d, &v.Isolation, IsolationPooled, IsolationReset)(n, path)
		},
		"foreach": func(n *yaml.Node, path string) { v.Foreach = d.foreach(n, path) },
		"grant": func(n *yaml.Node, path string) {
			v.Grant = &Grant{}
			d.object(n, path, fields{"generate": d.boolean(&v.Grant.Generate), "clock": d.boolean(&v.Grant.Clock),
				"random": d.boolean(&v.Grant.Random), "http": d.words(&v.Grant.HTTP)})
		},
	}, "model", "implements")
	if ok && lookup(n, "module") == nil && lookup(n, "native") == nil && lookup(n, "graph") == nil && lookup(n, "wait") == nil {
		d.errorf(n, path, "add module: NAME@VERSION, graph: NAME@VERSION, native: FUNCTION or wait: {prompt: TEXT}", "says neither module nor graph nor native nor wait")
	}
	v.normalise()
	return v
}

func (d *decoder) edge(n *yaml.Node, path string) *Edge {
	e := &Edge{}
	d.object(n, path, fields{
		"from":      d.str(&e.From),
		"to":        d.str(&e.To),
		"when":      d.str(&e.When),
		"otherwise": d.boolean(&e.Otherwise),
		"on_error":  d.kinds(&e.OnError),
	})
	d.require(n, path, "from", "to")
	if n.Kind == yaml.MappingNode {
		if w := lookup(n, "when"); w != nil && w.ShortTag() == "!!str" && strings.TrimSpace(e.When) == "" {
			d.errorf(w, join(path, "when"), "write a condition or remove the key", "is empty")
		}
		if k := lookup(n, "on_error"); k != nil && k.Kind == yaml.SequenceNode && len(k.Content) == 0 {
			d.errorf(k, join(path, "on_error"), "name the kinds of error that take this edge", "is empty")
		}
	}
	return e
}

func (d *decoder) kinds(to *[]fault.Kind) field {
	return func(n *yaml.Node, path string) {
		var words []string
		d.words(&words)(n, path)
		for i, w := range words {
			k, ok := fault.ParseKind(w)
			if !ok {
				at := n
				if i < len(n.Content) {
					at = n.Content[i]
				}
				d.errorf(at, index(path, i), oneOf(w, kindNames()), "%q is not a kind of error", w)
				continue
			}
			*to = append(*to, k)
		}
	}
}

func kindNames() []string {
	var names []string
	for _, k := range fault.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// word decodes one of a few words.
func word[T ~string](d *decoder, to *T, choices ...T) field {
	return func(n *yaml.Node, path string) {
		var s string
		before := len(d.fs)
		if d.str(&s)(n, path); len(d.fs) > before {
			return
		}
		if slices.Contains(choices, T(s)) {
			*to = T(s)
			return
		}
		var names []string
		for _, c := range choices {
			names = append(names, string(c))
		}
		d.errorf(n, path, oneOf(s, names), "%q is not one of the choices", s)
	}
}

func oneOf(word string, names []string) string {
	if near := nearest(word, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "one of " + strings.Join(names, ", ")
}
