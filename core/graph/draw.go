package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// Text returns the graph for a terminal: each node in document order with what it
// runs and its policy, and below it the edges that leave it.
//
//	search 1.0.0 (branching, 3 nodes, 2 edges)
//
//	>  retrieve   bm25@^1, timeout 2s
//	     -> answer     when size(output.hits) > 0
//	     -> apologise  otherwise
//	*  answer     template@^1
//	*  apologise  template@^1
//
// A > marks the start and a * each output.
func Text(g *Graph) string {
	s := shapeOf(g)
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, %s, %s)\n", strings.TrimSpace(g.Name+" "+g.Version), s.kind(g), count(len(g.Nodes), "node"), count(len(g.Edges), "edge"))
	if g.Summary != "" {
		fmt.Fprintf(&b, "%s\n", strings.Join(strings.Fields(g.Summary), " "))
	}
	b.WriteByte('\n')
	width := 0
	for _, n := range g.Nodes {
		width = max(width, len(n.Name))
	}
	outputs := g.outputs(s)
	for i, n := range g.Nodes {
		mark := ""
		if i == s.start {
			mark = ">"
		}
		if outputs[i] {
			mark += "*"
		}
		fmt.Fprintf(&b, "%-2s %-*s  %s\n", mark, width, n.Name, strings.Join(append([]string{n.runs()}, n.notes()...), ", "))
		to := 0
		for _, e := range s.out[i] {
			to = max(to, len(g.Edges[e].To))
		}
		for _, e := range s.out[i] {
			arrow := "->"
			if s.back[e] {
				arrow = "^>"
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("     %s %-*s  %s", arrow, to, g.Edges[e].To, g.Edges[e].label()), " "))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func count(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return strconv.Itoa(n) + " " + of
}

// outputs marks the nodes whose output can be that of the graph.
func (g *Graph) outputs(s *shape) []bool {
	marks := make([]bool, len(g.Nodes))
	for _, name := range g.Output {
		if i, ok := s.index[name]; ok {
			marks[i] = true
		}
	}
	if len(g.Output) == 0 {
		for i := range marks {
			marks[i] = len(s.out[i]) == 0
		}
	}
	return marks
}

// runs names what a node runs.
func (n *Node) runs() string {
	switch {
	case n.Module != "":
		return n.Module
	case n.Graph != "":
		return "graph " + n.Graph
	case n.Wait != nil:
		return "wait for a person"
	}
	return "native " + n.Native
}

// notes lists what a reader of a drawing wants to know beside that.
func (n *Node) notes() (notes []string) {
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if n.State != "" {
		add("%s state", n.State)
	}
	if f := n.Foreach; f != nil {
		add("for each of %s", cut(f.Items, 40))
	}
	if n.Join != "" {
		add("join %s", n.Join)
	}
	if n.Route != "" {
		add("route %s", n.Route)
	}
	if n.MaxVisits > 0 {
		add("at most %s", count(n.MaxVisits, "visit"))
	}
	if n.Timeout > 0 {
		add("timeout %v", n.Timeout)
	}
	if n.Retry != nil {
		add("%s", count(n.Retry.Attempts, "attempt"))
	}
	if n.Cache != nil {
		add("cached")
	}
	if r := n.RateLimit; r != nil {
		per := r.Per.String()
		if r.Per == 0 {
			per = "1s"
		}
		add("at most %v in %s", r.Rate, per)
	}
	if n.CircuitBreaker != nil {
		add("circuit breaker")
	}
	if n.Budget != nil {
		add("budget")
	}
	return notes
}

// label says when an edge fires; it is empty when it always does.
func (e *Edge) label() string {
	switch {
	case e.When != "":
		return "when " + strings.Join(strings.Fields(e.When), " ")
	case e.Otherwise:
		return "otherwise"
	case len(e.OnError) > 0:
		kinds := make([]string, len(e.OnError))
		for i, k := range e.OnError {
			kinds[i] = string(k)
		}
		return "on error " + strings.Join(kinds, ", ")
	}
	return ""
}

// short is the label as a drawing has room for it.
func (e *Edge) short() string { return cut(strings.TrimPrefix(e.label(), "when "), 32) }

// cut shortens s to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// DOT returns the graph in the language of Graphviz.
func DOT(g *Graph) string {
	s := shapeOf(g)
	outputs := g.outputs(s)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n", dotText(g.Name))
	for i, n := range g.Nodes {
		style := ""
		if i == s.start {
			style += ", penwidth=2"
		}
		if outputs[i] {
			style += ", peripheries=2"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", dotText(n.Name), dotText(strings.Join(append([]string{n.Name, n.runs()}, n.notes()...), "\n")), style)
	}
	for i, e := range g.Edges {
		if s.from[i] < 0 || s.to[i] < 0 {
			continue
		}
		var attrs []string
		if l := e.label(); l != "" {
			attrs = append(attrs, "label="+dotText(cut(l, 60)))
		}
		if len(e.OnError) > 0 {
			attrs = append(attrs, "style=dashed")
		}
		if s.back[i] {
			attrs = append(attrs, "constraint=false")
		}
		fmt.Fprintf(&b, "  %s -> %s", dotText(e.From), dotText(e.To))
		if len(attrs) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(attrs, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dotText writes a quoted string of Graphviz, lines centred.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
