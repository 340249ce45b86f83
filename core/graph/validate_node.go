package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

func (v *validator) node(n *Node) {
	path := "nodes." + n.Name
	kinds := 0
	for _, set := range []bool{n.Module != "", n.Native != "", n.Graph != "", n.Wait != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		v.errorf(path, "keep one of them", "a node has exactly one of module, native, graph and wait")
	}
	if n.Graph != "" {
		v.graph(n, path)
	} else if n.State != "" {
		v.errorf(path+".state", "remove the key", "only a node with graph has a state of its own or shares one")
	}
	if n.Module != "" {
		v.module(n, path)
	}
	if n.Wait != nil {
		v.wait(n, path)
	}
	if n.Native != "" && (n.Validate != "" || n.Isolation != "") {
		v.errorf(path, "remove validate and isolation", "a Go function has neither schemas nor instances")
	}
	if c := n.Validate; c != "" && c != ValidateAlways && c != ValidateSample && c != ValidateOff {
		v.errorf(path+".validate", "one of always, sample, off", "%q is not one of the choices", c)
	}
	if c := n.Isolation; c != "" && c != IsolationPooled && c != IsolationReset {
		v.errorf(path+".isolation", "one of pooled, reset", "%q is not one of the choices", c)
	}
	for i, name := range n.Assets {
		if _, ok := v.g.Assets[name]; !ok {
			v.errorf(index(path+".assets", i), "declare it under assets: NAME: FILE", "asset %q is not declared", name)
		}
	}
	if n.Join != "" && n.Join != JoinAll && n.Join != JoinAny {
		v.errorf(path+".join", "one of all, any", "%q is not one of the choices", n.Join)
	}
	if n.Route != "" && n.Route != RouteAll && n.Route != RouteFirst {
		v.errorf(path+".route", "one of all, first", "%q is not one of the choices", n.Route)
	}
	if n.MaxVisits < 0 || n.Timeout < 0 {
		v.errorf(path, "", "max_visits and timeout cannot be negative")
	}
	if r := n.Retry; r != nil {
		if r.Attempts < 1 || r.Attempts > maxAttempts {
			v.errorf(path+".retry.attempts", "", "is %d, must lie between 1 and %d", r.Attempts, maxAttempts)
		}
		if r.MaxBackoff > 0 && r.Backoff > r.MaxBackoff {
			v.errorf(path+".retry.backoff", "", "is %v, must not be above max_backoff %v", r.Backoff, r.MaxBackoff)
		}
		for _, k := range r.Kinds {
			if _, ok := fault.ParseKind(string(k)); !ok {
				v.errorf(path+".retry.kinds", oneOf(string(k), kindNames()), "%q is not a kind of error", k)
			}
		}
	}
	if n.Input != nil {
		p, err := CompileMapping(n.Input.Raw)
		v.expression(path+".input", p, err)
		if err == nil {
			v.ancestors(n, p, path+".input")
			if n.Foreach == nil {
				v.itemless(p, path+".input")
			}
		}
	}
	if f := n.Foreach; f != nil {
		v.foreach(n, f, path+".foreach")
	}
	v.policies(n, path)
}

func (v *validator) foreach(n *Node, f *Foreach, path string) {
	p, err := CompileExpression(f.Items)
	v.expression(path+".items", p, err)
	if err == nil {
		v.ancestors(n, p, path+".items")
		v.itemless(p, path+".items")
	}
	if f.Concurrency < 0 || f.Concurrency > MaxConcurrency {
		v.errorf(path+".concurrency", "", "is %d, must lie between 1 and %d", f.Concurrency, MaxConcurrency)
	}
	if m := f.OnItemError; m != "" && m != ItemFail && m != ItemSkip && m != ItemNull {
		v.errorf(path+".on_item_error", "one of fail, skip, null", "%q is not one of the choices", m)
	}
}

// graph checks a node that is another graph.
func (v *validator) graph(n *Node, path string) {
	ref, err := ParseRef(n.Graph)
	if err != nil {
		v.errorf(path+".graph", refHint, "%v", err)
		return
	}
	v.notOnGraphs(path+".config", ref.Type, len(n.Config) > 0)
	v.notOnGraphs(path+".assets", ref.Type, len(n.Assets) > 0)
	v.notOnGraphs(path+".grant", ref.Type, n.Grant != nil)
	v.notOnGraphs(path+".cache", ref.Type, n.Cache != nil)
	v.notOnGraphs(path+".circuit_breaker", ref.Type, n.CircuitBreaker != nil)
	v.notOnGraphs(path+".idempotency_key", ref.Type, n.IdempotencyKey != "")
	v.notOnGraphs(path+".validate", ref.Type, n.Validate != "")
	v.notOnGraphs(path+".isolation", ref.Type, n.Isolation != "")
	if n.State != "" && n.State != StateIsolated && n.State != StateShared {
		v.errorf(path+".state", "one of isolated, shared", "%q is not one of the choices", n.State)
	}
	if ref.Type == v.g.Name {
		v.errorf(path+".graph", "use max_visits and an edge back to loop", "the graph holds itself")
		return
	}
	if v.nested == nil {
		return
	}
	k, err := v.nested(n.Graph)
	if err == nil {
		err = nesting(k.Locked, []string{v.g.Name})
	}
	if err == nil {
		err = sharesState(v.g, k.Locked.Graph, n)
	}
	if err != nil {
		v.errorf(path+".graph", fault.HintOf(err), "%v", err)
	}
}

func (v *validator) notOnGraphs(path, name string, set bool) {
	if set {
		v.errorf(path, "set it on a node of "+name, "a node that is a graph cannot have this key")
	}
}

// itemless refuses a program that reads what only a foreach sets.
func (v *validator) itemless(p *Program, path string) {
	if p.ReadsItem() {
		v.errorf(path, "only the input of a node with foreach has item and index", "reads item or index outside of a foreach")
	}
}

// ancestors refuses a mapping that reads a node from which no way leads here: it
// could only see it by accident of timing.
func (v *validator) ancestors(n *Node, p *Program, path string) {
	me := v.s.index[n.Name]
	for _, name := range p.Reads() {
		if i, ok := v.s.index[name]; ok && (i == me && !v.onCycle(me) || i != me && !v.s.reach(i, -1)[me]) {
			v.errorf(path, fmt.Sprintf("add an edge from %s, directly or through others", name),
				"reads %q, from which no edge leads here", name)
		}
	}
}

func (v *validator) onCycle(i int) bool {
	return slices.ContainsFunc(v.s.out[i], func(e int) bool { return v.s.reach(v.s.to[e], -1)[i] })
}

func (v *validator) module(n *Node, path string) {
	if _, err := ParseRef(n.Module); err != nil {
		v.errorf(path+".module", refHint, "%v", err)
		return
	}
	if v.known == nil {
		return
	}
	t, err := v.known(n.Module)
	if err != nil {
		v.errorf(path+".module", fault.HintOf(err), "%v", err)
		return
	}
	vs, err := CheckSchema(t.Config, n.Config)
	if err != nil {
		v.errorf(path+".config", "", "cannot be checked against the schema of %s: %v", n.Module, err)
	}
	for _, x := range vs {
		hint := x.Hint
		if hint == "" {
			hint = fmt.Sprintf("see the config schema of %s %s", t.Type, t.Version)
		}
		at := strings.TrimSuffix(join(path+".config", x.Path), ".")
		if strings.HasPrefix(x.Path, "[") {
			at = path + ".config" + x.Path
		}
		v.errorf(at, hint, "%s", x.Message)
	}
	v.cacheable(n, t, path)
	grant := n.Grant
	if grant == nil {
		grant = &Grant{}
	}
	for _, c := range t.Capabilities {
		missing := c == abi.CapGenerate && !grant.Generate || c == abi.CapClock && !grant.Clock ||
			c == abi.CapRandom && !grant.Random || c == abi.CapHTTP && len(grant.HTTP) == 0
		if missing {
			v.warnf(path+".grant", fmt.Sprintf("add grant: {%s: true} if it should have it", c),
				"%s asks for the capability %s, which is not granted", n.Module, c)
		}
	}
}
