package graph

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

const drawn = `graph: drawn
version: 1.0.0
start: norm
nodes:
  norm: {native: norm}
  find: {module: bm25@^1, config: {k1: 1.2}, timeout: 2s, retry: {attempts: 3}, cache: {ttl: 5m}}
  each: {graph: score@^2, state: shared, foreach: {items: output.hits}, max_visits: 4}
  say:  {module: template@^1, join: any, rate_limit: {rate: 5}}
  sorry: {module: template@^1}
edges:
  - {from: norm, to: find}
  - {from: find, to: each, when: "size(output.hits) > 0 && output.hits[0].score > 1.5"}
  - {from: find, to: sorry, otherwise: true}
  - {from: find, to: sorry, on_error: [timeout, transient]}
  - {from: each, to: find, when: "output[0] < \"x\""}
  - {from: each, to: say, otherwise: true}
  - {from: norm, to: say, on_error: [trap]}
output: [say, sorry]
`

func TestText(t *testing.T) {
	want := `drawn 1.0.0 (cyclic, 5 nodes, 7 edges)

>  norm   native norm
     -> find
     -> say   on error trap
   find   bm25@^1, timeout 2s, 3 attempts, cached
     -> each   when size(output.hits) > 0 && output.hits[0].score > 1.5
     -> sorry  otherwise
     -> sorry  on error timeout, transient
   each   graph score@^2, shared state, for each of output.hits, at most 4 visits
     ^> find  when output[0] < "x"
     -> say   otherwise
*  say    template@^1, join any, at most 5 in 1s
*  sorry  template@^1
`
	if got := Text(decodeOK(t, drawn)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	one := "graph: one\nsummary: \"two\\n lines\"\nstart: a\nnodes: {a: {native: f}}\n"
	if got, want := Text(decodeOK(t, one)), "one (sequential, 1 node, 0 edges)\ntwo lines\n\n>* a  native f\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDOT(t *testing.T) {
	got := DOT(decodeOK(t, drawn))
	for _, want := range []string{
		"digraph \"drawn\" {\n",
		`"norm" [label="norm\nnative norm", penwidth=2];`,
		`"say" [label="say\ntemplate@^1\njoin any\nat most 5 in 1s", peripheries=2];`,
		`"norm" -> "find";`,
		`"each" -> "find" [label="when output[0] < \"x\"", constraint=false];`,
		`"find" -> "sorry" [label="on error timeout, transient", style=dashed];`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Count(got, " -> ") != 7 {
		t.Errorf("%d edges", strings.Count(got, " -> "))
	}
}

// wellFormed parses XML and returns its texts.
func wellFormed(t *testing.T, doc string) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	d.Strict = true
	var text strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if c, ok := token.(xml.CharData); ok {
			text.WriteString(string(c) + "\n")
		}
	}
}

func TestSVG(t *testing.T) {
	got := SVG(decodeOK(t, drawn))
	text := wellFormed(t, got)
	for _, want := range []string{"norm", "graph score@^2", "output[0] < \"x\"", "when size(output.hits) > 0 && output.hits[0].score > 1.5"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Count(got, "<rect") != 5 || strings.Count(got, `marker-end`) != 7 || strings.Contains(got, "NaN") {
		t.Error(got)
	}
}

// Whatever the graph, boxes of a drawing lie inside of it and apart, and edges
// lead down unless they close a cycle.
func TestLayout(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for range 300 {
		g := randomGraph(r)
		for i := range r.IntN(12) {
			g.Nodes = append(g.Nodes, &Node{Name: fmt.Sprint("m", i), Native: strings.Repeat("x", r.IntN(60))})
			g.Edges = append(g.Edges, &Edge{From: fmt.Sprint("m", r.IntN(i+1)), To: fmt.Sprint("m", i)}, &Edge{From: fmt.Sprint("n", r.IntN(6)), To: fmt.Sprint("m", i)})
		}
		wellFormed(t, SVG(g))
		DOT(g)
		Text(g)
		l := layoutOf(g)
		for _, row := range l.rows {
			for i, s := range row {
				if s.x-s.width/2 < margin-1 || s.x+s.width/2 > l.width-margin+1 || s.bottom() > l.height {
					t.Fatalf("outside of %v x %v: %+v", l.width, l.height, s)
				}
				if i > 0 && row[i-1].x+row[i-1].width/2 >= s.x-s.width/2 {
					t.Fatalf("%+v meets %+v", row[i-1], s)
				}
			}
		}
		for e, way := range l.ways {
			for i := 1; i < len(way); i++ {
				if way[i].row != way[i-1].row+1 {
					t.Fatalf("edge %d jumps from row %d to %d", e, way[i-1].row, way[i].row)
				}
			}
		}
	}
}

func TestDiffHTML(t *testing.T) {
	a := decodeOK(t, drawn)
	b := decodeOK(t, strings.NewReplacer("1.0.0", "1.1.0", "k1: 1.2", "k1: 1.5", "  sorry: {module: template@^1}\n", "  sorry: {module: template@^1}\n  new: {native: '<b>'}\n",
		"  - {from: norm, to: say, on_error: [trap]}\n", "  - {from: norm, to: new, on_error: [trap]}\n").Replace(drawn))
	got := DiffHTML(a, b)
	text := wellFormed(t, strings.Replace(strings.Replace(got, "<!doctype html>", "", 1), `<meta charset="utf-8">`, "", 1))
	for _, want := range []string{"drawn 1.0.0 → drawn 1.1.0", "nodes.find.config.k1", "1.5", "native <b>", "edge norm->say"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, want := range []string{`class="n mod"`, `class="n add"`, `class="e del f"`, `class="e add f"`, `<tr class="add">`, `<tr class="del">`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if same := DiffHTML(a, a); !strings.Contains(same, "The graphs say the same.") || strings.Contains(same, "<table>") {
		t.Error(same)
	}
}
