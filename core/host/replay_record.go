package host

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// captured returns a payload that telemetry kept, nil and false when it did not.
func captured(attrs []backend.Attr, key string) ([]byte, bool) {
	for i := range attrs {
		if attrs[i].Key == key && attrs[i].Kind == backend.KindString {
			return []byte(attrs[i].Str), true
		}
	}
	return nil, false
}

// visitOf returns which visit of its node a step was.
func visitOf(s *backend.Span) uint64 {
	for i := range s.Attrs {
		if s.Attrs[i].Key == "visit" {
			return s.Attrs[i].Num
		}
	}
	return 0
}

// itemOf returns 1 + the index of the item of a foreach that a step worked on, 0
// outside of one: the id of a span is made of the root's, its number and its item.
func itemOf(t *backend.Trace, s *backend.Span) int {
	offset := binary.BigEndian.Uint64(s.ID[:]) - binary.BigEndian.Uint64(t.RootSpan[:]) - 1 - uint64(s.Seq)
	return int(offset >> 32)
}

// audience counts what the record answered and what ran, on the way to telemetry.
type audience struct {
	next engine.Observer // nil when telemetry is off
	each map[string]bool // nodes whose steps are made of others
	out  *Replayed
}

// Observe implements engine.Observer.
func (a *audience) Observe(o *run.Observation) {
	if a.next != nil {
		a.next.Observe(o)
	}
	if o.Phase != run.StepFinished {
		return
	}
	switch {
	case o.Trail != nil && slices.ContainsFunc(o.Trail.Attrs, func(at run.Attr) bool { return at.Key == "replayed" }):
		a.out.Answered++
	case errors.Is(o.Err, errHeld):
	case a.each[o.Node] && o.Item == 0:
	default:
		a.out.Ran++
		if !slices.Contains(a.out.Nodes, o.Node) {
			a.out.Nodes = append(a.out.Nodes, o.Node)
		}
	}
}

// sameJSON reports whether two documents say the same, whatever their layout and
// the order of their keys.
func sameJSON(a, b []byte) bool {
	x, okA := canonical(a)
	y, okB := canonical(b)
	return okA && okB && bytes.Equal(x, y)
}

func canonical(b []byte) ([]byte, bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil, false
	}
	out, err := json.MarshalIndent(v, "", "  ")
	return out, err == nil
}

// maxDiffLines bounds the documents that are compared line by line: the time and
// memory of it is their product.
const maxDiffLines = 1000

// lineDiff returns the lines that lead from one document to another, as -, + and,
// for two around them, as they are. Source: the longest common subsequence by
// dynamic programming, Wagner & Fischer 1974, J. ACM 21:168.
func lineDiff(a, b []byte) string {
	x, _ := canonical(a)
	y, _ := canonical(b)
	from, to := strings.Split(string(x), "\n"), strings.Split(string(y), "\n")
	if len(from) > maxDiffLines || len(to) > maxDiffLines {
		return ""
	}
	longest := make([][]int, len(from)+1)
	for i := range longest {
		longest[i] = make([]int, len(to)+1)
	}
	for i := len(from) - 1; i >= 0; i-- {
		for j := len(to) - 1; j >= 0; j-- {
			if from[i] == to[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var lines []string
	for i, j := 0, 0; i < len(from) || j < len(to); {
		switch {
		case i < len(from) && j < len(to) && from[i] == to[j]:
			lines = append(lines, "  "+from[i])
			i, j = i+1, j+1
		case j == len(to) || i < len(from) && longest[i+1][j] >= longest[i][j+1]:
			lines = append(lines, "- "+from[i])
			i++
		default:
			lines = append(lines, "+ "+to[j])
			j++
		}
	}
	var out strings.Builder
	for i, l := range lines {
		near := func(l string) bool { return l[0] != ' ' }
		if slices.ContainsFunc(lines[max(0, i-2):min(len(lines), i+3)], near) {
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}
