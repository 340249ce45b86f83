package postgres

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/testkit/backendtest"
	"github.com/sparkrsi/spark/testkit/postgres"
)

// The queries of docs/TELEMETRY.md run as they stand there and say what a plain
// loop over the same runs says.
func TestDocumentedQueries(t *testing.T) {
	text, err := os.ReadFile("../../../docs/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	answers := []func([]*backend.Trace) []string{byHour, byVersion, byModel, ofQuality}
	if len(queries) != len(answers) {
		t.Fatalf("%d queries are documented, %d are known here", len(queries), len(answers))
	}
	s := postgres.Start(t)
	c := inSchema(s, layoutRows, t.TempDir())
	b := openAs(t, c)
	defer b.Close(context.Background())
	all := varied(400)
	first := time.Now().Add(-5 * time.Hour)
	for i, x := range all {
		moved(x, first.Add(time.Duration(i)*30*time.Second).UnixNano())
		x.Version, x.Probability = fmt.Sprint("1.0.", i%3), []float64{1, .5, .125}[i%3] // sums of these weights are exact
		if i%4 == 0 {
			call := backendtest.Step(x, 90, x.Start, x.End)
			call.Seq, call.NodeType, call.Kind, call.Tokens, call.Cost = -1, "model", 3, int64(i), float64(i)*.001
			call.Attrs = []backend.Attr{{Key: "gen_ai.request.model", Str: fmt.Sprint("model", i%3)}}
			x.Spans = append(x.Spans, call)
		}
	}
	if bad, err := b.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: all}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	for i, q := range queries {
		got := strings.Split(run(t, s, c, "SET TimeZone = UTC;\n"+q[1]), "\n")
		want := answers[i](all)
		if len(want) < 2 || !slices.EqualFunc(got, want, sameLine) {
			t.Errorf("%s\nsays\n%s\nwant\n%s", q[1], strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// sameLine compares fields, numbers but for rounding.
func sameLine(x, y string) bool {
	return slices.EqualFunc(strings.Split(x, "|"), strings.Split(y, "|"), func(x, y string) bool {
		a, err1 := strconv.ParseFloat(x, 64)
		b, err2 := strconv.ParseFloat(y, 64)
		return x == y || err1 == nil && err2 == nil && math.Abs(a-b) <= 1e-9*max(1, math.Abs(a))
	})
}

func hourOf(ns int64) string {
	return time.Unix(0, ns).UTC().Truncate(time.Hour).Format("2006-01-02 15:04:05+00")
}

func line(fields ...any) string {
	text := make([]string, len(fields))
	for i := range fields {
		text[i] = fmt.Sprint(fields[i])
	}
	return strings.Join(text, "|")
}

// each returns a line for each group of f, by their keys.
func each[T any](groups map[string]T, f func(key string, v T) string) (lines []string) {
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		lines = append(lines, f(k, groups[k]))
	}
	return lines
}

func byHour(all []*backend.Trace) []string {
	groups := map[string][][2]float64{} // duration and weight
	for _, x := range all {
		for _, s := range x.Spans {
			if x.Graph == "docsearch" && s.Seq >= 0 && s.Status != backend.Cancelled {
				k := hourOf(x.Start) + "|" + s.Node
				groups[k] = append(groups[k], [2]float64{float64(s.End-s.Start) / 1e9, 1 / x.Probability})
			}
		}
	}
	return each(groups, func(k string, list [][2]float64) string {
		slices.SortFunc(list, func(x, y [2]float64) int { return int(math.Copysign(1, x[0]-y[0])) })
		total := 0.
		for _, v := range list {
			total += v[1]
		}
		at := func(q float64) float64 {
			seen := 0.
			for _, v := range list {
				if seen += v[1]; seen >= q*total {
					return v[0]
				}
			}
			return math.NaN()
		}
		return line(k, total, at(.5), at(.95))
	})
}

func byVersion(all []*backend.Trace) []string {
	groups := map[string][2]float64{}
	for _, x := range all {
		if x.Graph != "docsearch" || x.RunKind != "production" || x.Status == backend.Cancelled {
			continue
		}
		g := groups[x.Version]
		g[0] += 1 / x.Probability
		if x.Status == backend.Failed {
			g[1] += 1 / x.Probability
		}
		groups[x.Version] = g
	}
	return each(groups, func(k string, g [2]float64) string { return line(k, g[0], g[1]/g[0]) })
}

func byModel(all []*backend.Trace) []string {
	groups := map[string][3]float64{}
	for _, x := range all {
		for _, s := range x.Spans {
			if s.NodeType == "model" {
				w, g := 1/x.Probability, groups[s.Attrs[0].Str]
				groups[s.Attrs[0].Str] = [3]float64{g[0] + w, g[1] + w*float64(s.Tokens), g[2] + w*s.Cost}
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(groups), func(x, y string) int { return int(math.Copysign(1, groups[y][2]-groups[x][2])) })
	var lines []string
	for _, k := range keys {
		lines = append(lines, line(k, groups[k][0], groups[k][1], groups[k][2]))
	}
	return lines
}

func ofQuality(all []*backend.Trace) []string {
	groups := map[string][2]float64{}
	for _, x := range all {
		for _, m := range x.Metrics {
			if m.Name == "quality" {
				w, k := 1/x.Probability, hourOf(m.Time)+"|"+x.Version
				groups[k] = [2]float64{groups[k][0] + w, groups[k][1] + w*m.Value}
			}
		}
	}
	return each(groups, func(k string, g [2]float64) string { return line(k, g[1]/g[0]) })
}
