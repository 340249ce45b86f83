package graph

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// style serves light and dark pages alike.
const style = `text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}.r,.l{font-size:11px;fill:#656d76}.l{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}` +
	`.n rect{fill:#fff;stroke:#8c959f}.s rect{stroke:#0969da;stroke-width:2}.o rect{stroke-width:3}` +
	`.e{fill:none;stroke:#8c959f}.f{stroke-dasharray:5 4}.add rect{fill:#dafbe1;stroke:#1a7f37}.del rect{fill:#ffebe9;stroke:#cf222e}` +
	`.mod rect{fill:#fff8c5;stroke:#9a6700}.e.add{stroke:#1a7f37;stroke-width:2}.e.del{stroke:#cf222e;stroke-width:2}.e.mod{stroke:#9a6700;stroke-width:2}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.r,.l{fill:#9198a1}.l{stroke:#0d1117}.n rect{fill:#151b23}.add rect{fill:#12261e}.del rect{fill:#25171c}.mod rect{fill:#272115}}`

// SVG returns a drawing of the graph as a document of its own, top to bottom,
// without scripts or references to anything outside.
func SVG(g *Graph) string { return drawing(g, nil, nil) }

// drawing draws g; nodes by name and edges by target get a class of their own.
func drawing(g *Graph, nodes, edges map[string]string) string {
	l := layoutOf(g)
	outputs := g.outputs(l.shape)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`, l.width, l.height, l.width, l.height)
	fmt.Fprintf(&b, "\n<title>%s</title>\n<style>%s</style>\n", html.EscapeString(strings.TrimSpace(g.Name+" "+g.Version)), style)
	b.WriteString(`<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#8c959f"/></marker></defs>` + "\n")
	targets := edgeOrder(g)
	for e := range g.Edges {
		l.edge(&b, g, e, edges[targets[e]])
	}
	for e := range g.Edges { // over all edges
		l.label(&b, g, e)
	}
	for i, n := range g.Nodes {
		s, class := l.nodes[i], "n"
		if i == l.shape.start {
			class += " s"
		}
		if outputs[i] {
			class += " o"
		}
		if c := nodes[n.Name]; c != "" {
			class += " " + c
		}
		fmt.Fprintf(&b, `<g class="%s"><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="8"/>`, class,
			html.EscapeString(strings.Join(append([]string{n.Name, n.runs()}, n.notes()...), "\n")), s.x-s.box/2, s.y, s.box, boxHeight)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text><text class="r" x="%.1f" y="%.1f" text-anchor="middle">%s</text></g>`+"\n",
			s.x, s.y+18, html.EscapeString(n.Name), s.x, s.y+35, html.EscapeString(cut(n.runs(), 32)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// edge draws an edge as a curve through its slots, or, when it leads back, between
// the rows and beside them.
func (l *layout) edge(b *strings.Builder, g *Graph, i int, class string) {
	from, to := l.shape.from[i], l.shape.to[i]
	if from < 0 || to < 0 {
		return
	}
	e, s, t := g.Edges[i], l.nodes[from], l.nodes[to]
	x0, x1 := s.port(l.shape.out[from], i), t.port(l.shape.in[to], i)
	var path strings.Builder
	fmt.Fprintf(&path, "M%.1f %.1f", x0, s.bottom())
	if way := l.ways[i]; way != nil {
		for k, next := range way[1:] {
			x, y0, y1 := next.x, way[k].bottom(), next.y
			if next == t {
				x = x1
			}
			fmt.Fprintf(&path, "C%.1f %.1f %.1f %.1f %.1f %.1f", x0, (y0+y1)/2, x, (y0+y1)/2, x, y1)
			if next != t {
				fmt.Fprintf(&path, "V%.1f", next.bottom())
			}
			x0 = x
		}
	} else {
		lane := slices.Index(l.backs, i)
		right := l.width - margin - float64(lane)*laneWidth
		fmt.Fprintf(&path, "V%.1fH%.1fV%.1fH%.1fV%.1f", s.bottom()+8+float64(lane%4)*4, right, t.y-rowGap+12+float64(lane%4)*4, x1, t.y)
	}
	if len(e.OnError) > 0 {
		class += " f"
	}
	fmt.Fprintf(b, `<path class="%s" d="%s" marker-end="url(#a)"/>`, strings.TrimSpace("e "+strings.TrimSpace(class)), path.String())
	b.WriteByte('\n')
}

// label writes when an edge fires, above its target.
func (l *layout) label(b *strings.Builder, g *Graph, i int) {
	e, to := g.Edges[i], l.shape.to[i]
	if l.shape.from[i] < 0 || to < 0 || e.label() == "" {
		return
	}
	labels := l.labels(g, to)
	y := l.nodes[to].y - 12 - float64((len(labels)-1-slices.Index(labels, i))*labelLine)
	fmt.Fprintf(b, `<text class="l" x="%.1f" y="%.1f" text-anchor="middle">%s<title>%s</title></text>`+"\n", l.nodes[to].x, y,
		html.EscapeString(e.short()), html.EscapeString(e.label()))
}
