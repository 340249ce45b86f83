package graph

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// The measures of a drawing, in pixels.
const (
	charWidth = 7
	boxHeight = 44
	boxGap    = 28 // between boxes of one row
	laneWidth = 20 // of an edge that passes a row
	rowGap    = 44 // between rows, without labels
	labelLine = 14
	margin    = 24
)

// slot is a place in a row: a node, or an edge on its way through.
type slot struct {
	node  int // -1 for an edge
	edge  int
	box   float64 // width of what is drawn
	width float64 // with the labels above it
	x     float64 // centre
	y     float64 // top
	row   int
	rank  float64 // for ordering
	up    []*slot // in the row above
}

// layout places the nodes of a graph in rows by level, and each edge in the rows
// between its ends. Source: Sugiyama, Tagawa & Toda 1981, IEEE Trans. SMC 11:109,
// with the order of each row by the barycentre of what leads to it.
type layout struct {
	shape         *shape
	nodes         []*slot
	ways          [][]*slot // by edge: from source to target; nil for back edges
	rows          [][]*slot
	width, height float64
	backs         []int // edges that lead back, beside the drawing
}

func layoutOf(g *Graph) *layout {
	l := &layout{shape: shapeOf(g), nodes: make([]*slot, len(g.Nodes)), ways: make([][]*slot, len(g.Edges))}
	for i, n := range g.Nodes {
		chars := max(utf8.RuneCountInString(n.Name), utf8.RuneCountInString(cut(n.runs(), 32)))
		s := &slot{node: i, edge: -1, box: float64(chars*charWidth + 24)}
		s.width = s.box
		for _, e := range l.shape.in[i] {
			s.width = max(s.width, float64(utf8.RuneCountInString(g.Edges[e].short())*charWidth))
		}
		l.nodes[i] = l.place(s, l.shape.level[i])
	}
	for e := range g.Edges {
		from, to := l.shape.from[e], l.shape.to[e]
		if from < 0 || to < 0 {
			continue
		}
		if l.shape.back[e] {
			l.backs = append(l.backs, e)
			continue
		}
		way := []*slot{l.nodes[from]}
		for row := l.shape.level[from] + 1; row < l.shape.level[to]; row++ {
			s := l.place(&slot{node: -1, edge: e, width: laneWidth}, row)
			s.up = append(s.up, way[len(way)-1])
			way = append(way, s)
		}
		l.nodes[to].up = append(l.nodes[to].up, way[len(way)-1])
		l.ways[e] = append(way, l.nodes[to])
	}
	l.arrange()
	l.stack(g)
	return l
}

func (l *layout) place(s *slot, row int) *slot {
	for len(l.rows) <= row {
		l.rows = append(l.rows, nil)
	}
	s.row = row
	l.rows[row] = append(l.rows[row], s)
	return s
}

// arrange orders each row and centres it.
func (l *layout) arrange() {
	widths := make([]float64, len(l.rows))
	for r, row := range l.rows {
		for i, s := range row {
			s.rank = float64(i)
			if len(s.up) > 0 {
				s.rank = 0
				for _, u := range s.up {
					s.rank += u.x / float64(len(s.up))
				}
			}
		}
		slices.SortStableFunc(row, func(a, b *slot) int { return cmp.Compare(a.rank, b.rank) })
		x := 0.0
		for _, s := range row {
			s.x = x + s.width/2
			x += s.width + boxGap
		}
		widths[r] = x - boxGap
		for _, s := range row { // around 0, so that rows line up while ordering
			s.x -= widths[r] / 2
		}
	}
	widest := slices.Max(append(widths, 0))
	for _, row := range l.rows {
		for _, s := range row {
			s.x += margin + widest/2
		}
	}
	l.width = widest + 2*margin + float64(len(l.backs))*laneWidth
}

// stack gives the rows their heights: above each there is room for the labels of
// the edges that end there.
func (l *layout) stack(g *Graph) {
	y := 0.0
	for _, row := range l.rows {
		labels := 0
		for _, s := range row {
			if s.node >= 0 {
				labels = max(labels, len(l.labels(g, s.node)))
			}
		}
		y += rowGap + float64(labels*labelLine)
		for _, s := range row {
			s.y = y
		}
		y += boxHeight
	}
	l.height = y + rowGap
}

// labels lists the edges into a node that have a label.
func (l *layout) labels(g *Graph, node int) (edges []int) {
	for _, e := range l.shape.in[node] {
		if g.Edges[e].label() != "" {
			edges = append(edges, e)
		}
	}
	return edges
}

// port returns where along the top or the bottom of a node one of its edges ends.
func (s *slot) port(edges []int, e int) float64 {
	room := min(14, (s.box-16)/float64(max(len(edges), 1)))
	return s.x + (float64(slices.Index(edges, e))-float64(len(edges)-1)/2)*room
}

func (s *slot) bottom() float64 { return s.y + boxHeight }
