package graph

import (
	"fmt"
	"html"
	"strings"
)

const page = `body{font:14px system-ui,sans-serif;margin:2rem;color:#1f2328;background:#fff}table{border-collapse:collapse;margin:1rem 0 2rem}` +
	`td,th{border:1px solid #d1d9e0;padding:.35rem .6rem;text-align:left;vertical-align:top}code{font:12px ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;word-break:break-word}` +
	`.add{background:#dafbe1}.del{background:#ffebe9}.mod{background:#fff8c5}.two{display:flex;flex-wrap:wrap;gap:2rem}.two>*{overflow:auto;max-width:100%}` +
	`@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th{border-color:#3d444d}.add{background:#12261e}.del{background:#25171c}.mod{background:#272115}}`

// DiffHTML returns a page of its own that shows what makes b of a: a table of the
// changes and both graphs, with what was added, removed and changed marked. It
// holds no scripts and refers to nothing outside.
func DiffHTML(a, b *Graph) string {
	changes := Diff(a, b)
	var w strings.Builder
	name := func(g *Graph) string { return html.EscapeString(strings.TrimSpace(g.Name + " " + g.Version)) }
	fmt.Fprintf(&w, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s → %s</title><style>%s</style></head><body>\n",
		name(a), name(b), page)
	fmt.Fprintf(&w, "<h1>%s → %s</h1>\n", name(a), name(b))
	if len(changes) == 0 {
		w.WriteString("<p>The graphs say the same.</p>\n")
	} else {
		fmt.Fprintf(&w, "<p>%s</p>\n<table><tr><th>what</th><th>before</th><th>after</th></tr>\n", count(len(changes), "change"))
		for _, c := range changes {
			fmt.Fprintf(&w, "<tr class=\"%s\"><td><code>%s</code></td><td>%s</td><td>%s</td></tr>\n", c.class(), html.EscapeString(c.place()),
				cell(c.Old), cell(c.New))
		}
		w.WriteString("</table>\n")
	}
	nodes, edges := map[string]string{}, map[string]string{}
	for _, c := range changes {
		switch c.Kind {
		case NodeAdd, NodeRemove:
			nodes[c.Target] = c.class()
		case NodeConfigUpdate, NodeModuleUpdate, NodePolicyUpdate, NodeGrantUpdate:
			nodes[c.Target] = "mod"
		case EdgeAdd, EdgeRemove, EdgeModify:
			edges[c.Target] = c.class()
		}
	}
	fmt.Fprintf(&w, "<div class=\"two\"><div><h2>before</h2>\n%s</div><div><h2>after</h2>\n%s</div></div>\n</body></html>\n",
		drawing(a, nodes, edges), drawing(b, nodes, edges))
	return w.String()
}

func cell(value []byte) string {
	if len(value) == 0 {
		return ""
	}
	return "<code>" + html.EscapeString(string(value)) + "</code>"
}

func (c *Change) class() string {
	switch {
	case len(c.Old) == 0 && (c.Kind == NodeAdd || c.Kind == EdgeAdd):
		return "add"
	case c.Kind == NodeRemove || c.Kind == EdgeRemove:
		return "del"
	}
	return "mod"
}
