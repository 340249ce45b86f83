package backend

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

// sample is a run with a step, a model call below it and a span of code.
func sample() *Trace {
	id := func(n byte) SpanID { return SpanID{7: n} }
	return &Trace{
		TraceID: ID{1}, RunID: ID{2}, RootSpan: id(1), Graph: "docsearch", Version: "1.0.0", Environment: "prod", RunKind: "production",
		Start: 1e9, End: 2e9, Status: Failed, ErrorType: "timeout", Probability: 1, Derive: DeriveEvents | DeriveMetrics,
		Resource: []Attr{{Key: "service.name", Str: "spark"}}, Attrs: []Attr{{Key: "team", Str: "old"}, {Key: "team", Str: "search"}},
		Spans: []Span{
			{ID: id(2), Parent: id(1), Node: "retrieve", NodeType: "bm25", Kind: 1, Start: 1e9, End: 1.25e9, Status: OK, After: -1, Cost: .5,
				Attrs: []Attr{{Key: "hits", Kind: KindInt, Num: 3}, floatAttr("score", .5), {Key: "deep", Kind: KindBool, Num: 1}, {Key: "text", Str: "3"}}},
			{ID: id(3), Parent: id(2), Node: "retrieve", NodeType: "model", Kind: 3, Start: 1e9, End: 1.1e9, Status: OK, Seq: -1},
			{ID: id(4), Parent: id(2), Node: "retrieve", NodeType: "span", Kind: 1, Start: 1e9, End: 1.2e9, Status: Failed, Seq: -1, Attrs: []Attr{{Key: "span.name", Str: "rank"}}},
		},
		Events:  []Event{{Type: "agent_step", Name: "plan", Span: id(2), Time: 1.1e9}},
		Metrics: []Metric{{Name: "quality", Agg: "gauge", Node: "retrieve", Span: id(2), Time: 1.2e9, Value: .9, Attrs: []Attr{{Key: "judge", Str: "a"}}}},
	}
}

// TestWhatAFilterSelects states for each field what it is about.
func TestWhatAFilterSelects(t *testing.T) {
	x := sample()
	at := func(ns int64) time.Time { return time.Unix(0, ns) }
	where := func(s ...string) (out []Cond) {
		for _, c := range s {
			x, err := ParseCond(c)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, x)
		}
		return out
	}
	for _, c := range []struct {
		f    Filter
		want bool
	}{
		{Filter{}, true},
		{Filter{Name: "docsearch"}, true}, {Filter{Name: "doc"}, false}, {Filter{Like: "doc*"}, true}, {Filter{Like: "Doc*"}, false},
		{Filter{Of: "traces", Status: "error"}, true}, {Filter{Status: "ok"}, false},
		{Filter{TraceID: "01000000000000000000000000000000"}, true}, {Filter{TraceID: "02000000000000000000000000000000"}, true}, {Filter{TraceID: "03000000000000000000000000000000"}, false},
		{Filter{From: at(1e9), To: at(1e9 + 1)}, true}, {Filter{From: at(1e9 + 1)}, false}, {Filter{To: at(1e9)}, false},
		{Filter{MinMillis: 1000, MaxMillis: 1000}, true}, {Filter{MinMillis: 1000.1}, false}, {Filter{MaxMillis: 999.9}, false},
		{Filter{Attrs: where("team=search", "service.name=spark", "environment=prod", "success=false", "error_type=timeout")}, true},
		{Filter{Attrs: where("team=old")}, false}, {Filter{Attrs: where("hits=3")}, false},

		{Filter{Of: "spans", Name: "rank"}, true}, {Filter{Of: "spans", Name: "rank", Status: "ok"}, false}, {Filter{Of: "spans", Like: "r?nk"}, true},
		{Filter{Of: "spans", Kind: "client", Type: "model"}, true}, {Filter{Of: "spans", Kind: "client", Type: "bm25"}, false},
		{Filter{Of: "spans", Kind: "server"}, false}, {Filter{Of: "spans", Kind: "producer"}, false}, {Filter{Of: "spans", Kind: "consumer"}, false},
		{Filter{Of: "spans", ParentID: "0000000000000002", MinMillis: 150}, true}, {Filter{Of: "spans", ParentID: "0000000000000001", MaxMillis: 150}, false},
		{Filter{Of: "spans", SpanID: "0000000000000003"}, true}, {Filter{Of: "spans", SpanID: "0000000000000009"}, false},
		{Filter{Of: "spans", From: at(1e9 + 1)}, false}, {Filter{Of: "spans", From: at(1e9), To: at(1e9 + 1)}, true},
		{Filter{Of: "spans", Attrs: where("hits=3", "hits=3.0", "hits=3e0", "hits>2", "hits<=3", "score>=.5", "score=0.50", "deep=true", "text=3")}, true},
		{Filter{Of: "spans", Attrs: where("hits>3")}, false}, {Filter{Of: "spans", Attrs: where("text=3.0")}, false}, {Filter{Of: "spans", Attrs: where("text>2")}, false},
		{Filter{Of: "spans", Attrs: where("deep=1")}, false}, {Filter{Of: "spans", Attrs: where("hits=x")}, false},
		{Filter{Of: "spans", Attrs: where("team=search", "node_type=bm25", "retry_count=0")}, true},
		{Filter{Of: "spans", Attrs: where("success=false", "hits=3")}, false}, // of two spans

		{Filter{Of: "events", Type: "agent_step", Name: "plan", Node: "retrieve"}, true}, {Filter{Of: "events", Type: "graph_failed"}, true},
		{Filter{Of: "events", Type: "graph_finished"}, false}, {Filter{Of: "events", Type: "llm_api_call", SpanID: "0000000000000003"}, true},
		{Filter{Of: "events", Type: "agent_step", From: at(1.1e9), To: at(1.1e9 + 1)}, true}, {Filter{Of: "events", Type: "agent_step", From: at(1.1e9 + 1)}, false},
		{Filter{Of: "events", Type: "graph_failed", Attrs: where("error_type=timeout", "duration=1")}, true},

		{Filter{Of: "metrics", Name: "quality", Agg: "gauge", Attrs: where("judge=a", "node_name=retrieve")}, true}, {Filter{Of: "metrics", Name: "quality", Agg: "counter"}, false},
		{Filter{Of: "metrics", Like: "node.*", Agg: "histogram"}, true}, {Filter{Of: "metrics", Name: "graph.cost", Node: "retrieve"}, false},
		{Filter{Of: "metrics", Name: "node.cache_hit"}, false},
	} {
		m, err := c.f.Match()
		if err != nil {
			t.Errorf("%+v: %v", c.f, err)
			continue
		}
		if got := m.Trace(x); got != c.want {
			t.Errorf("%+v selects: %v, want %v", c.f, got, c.want)
		}
		block := EncodeTrace(nil, x)
		for name, read := range map[string]func([]byte) (*Trace, error){"read": m.Reader().Read, "scan": m.Reader().Scan} {
			if got, err := read(block); err != nil || (got != nil) != c.want {
				t.Errorf("%s %+v: %v, %v, want %v", name, c.f, got != nil, err, c.want)
			}
		}
	}
}

// TestRefusedFilters proves that what makes no sense is refused with the name of
// its field, and never widens an answer.
func TestRefusedFilters(t *testing.T) {
	many := make([]Cond, maxConds+1)
	for i := range many {
		many[i] = Cond{"k", "=", "v"}
	}
	for _, c := range []struct {
		f    Filter
		path string
	}{
		{Filter{Of: "logs"}, "of"}, {Filter{Status: "fine"}, "status"}, {Filter{Of: "events", Status: "ok"}, "status"}, {Filter{TraceID: "xyz"}, "trace_id"},
		{Filter{TraceID: strings.Repeat("0", 32)}, "trace_id"}, {Filter{Of: "spans", SpanID: "12"}, "span_id"}, {Filter{SpanID: "0000000000000001"}, "span_id"},
		{Filter{Of: "metrics", ParentID: "0000000000000001"}, "parent_id"}, {Filter{Of: "spans", Kind: "INTERNAL"}, "kind"}, {Filter{Kind: "client"}, "kind"},
		{Filter{Of: "metrics", Agg: "sum"}, "aggregation"}, {Filter{Of: "spans", Agg: "gauge"}, "aggregation"}, {Filter{Type: "model"}, "type"},
		{Filter{Limit: -1}, "limit"}, {Filter{Offset: -1}, "offset"}, {Filter{Offset: math.MaxInt}, "offset"}, {Filter{Limit: math.MaxInt}, "limit"},
		{Filter{MinMillis: -1}, "min_millis"}, {Filter{MinMillis: math.NaN()}, "min_millis"}, {Filter{MaxMillis: math.Inf(1)}, "max_millis"},
		{Filter{MinMillis: 2, MaxMillis: 1}, "max_millis"}, {Filter{Of: "events", MinMillis: 1}, "min_millis"},
		{Filter{From: time.Unix(2, 0), To: time.Unix(1, 0)}, "to"}, {Filter{From: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}, "from"},
		{Filter{To: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)}, "to"},
		{Filter{Sort: "name"}, "sort"}, {Filter{Sort: "--start"}, "sort"}, {Filter{Sort: "start", Newest: true}, "sort"}, {Filter{Of: "events", Sort: "cost"}, "sort"},
		{Filter{Attrs: many}, "attrs"}, {Filter{Attrs: []Cond{{"", "=", "v"}}}, "attrs"}, {Filter{Attrs: []Cond{{"k", "~", "v"}}}, "attrs"},
		{Filter{Attrs: []Cond{{"k", ">", "v"}}}, "attrs"}, {Filter{Attrs: []Cond{{"k", "<", "NaN"}}}, "attrs"},
		{Filter{Like: strings.Repeat("*", maxPattern+1)}, "like"}, {Filter{Name: "\xff"}, "name"},
	} {
		_, err := c.f.Match()
		if e := new(fault.Error); !fault.Is(err, fault.Invalid) || !errors.As(err, &e) || e.Path != c.path {
			t.Errorf("%+v: %v, want an invalid fault of %s", c.f, err, c.path)
		}
	}
}

// old is a backend of the first version: it ignores what it does not know.
type old struct {
	Writer
	Querier
}

func (old) Describe() Info { return Info{Name: "old", Capabilities: Capabilities{Queryable: true}} }

func TestOlderBackendsRefuseWhatTheyDoNotKnow(t *testing.T) {
	q, err := AsQuerier(old{})
	if err != nil {
		t.Fatal(err)
	}
	for field, f := range map[string]Filter{"of": {Of: "spans"}, "name": {Name: "g"}, "like": {Like: "*"}, "attrs": {Attrs: []Cond{{"k", "=", "v"}}},
		"max_millis": {MaxMillis: 1}, "sort": {Sort: "cost"}, "kind": {Kind: "client"}} {
		refused := func(what string, err error) {
			if e := new(fault.Error); !fault.Is(err, fault.Denied) || !errors.As(err, &e) || e.Path != field {
				t.Errorf("%s %s: %v, want a denied fault that names the field", what, field, err)
			}
		}
		for _, err := range q.Traces(t.Context(), f) {
			refused("traces", err)
		}
		for _, err := range q.Sketches(t.Context(), f) {
			refused("sketches", err)
		}
		_, err := q.Aggregate(t.Context(), f)
		refused("aggregate", err)
	}
}

// FuzzGlob compares with the same pattern as a regular expression.
func FuzzGlob(f *testing.F) {
	for _, x := range [][2]string{{"", ""}, {"*", ""}, {"a*b*c", "aXbYbZc"}, {"?", "ß"}, {`\*`, "*"}, {`\`, `\`}, {"**?", "天气"}, {"a*", "b"}, {"*a*a*a*b", "aaaaaaaaaaaa"}, {`\?x`, "?x"}, {"[a]", "a"}} {
		f.Add(x[0], x[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			Glob(pattern, s) // must end and not panic
			return
		}
		var re strings.Builder
		re.WriteString(`(?s)\A`)
		runes := []rune(pattern)
		for i := 0; i < len(runes); i++ {
			switch c := runes[i]; {
			case c == '*':
				re.WriteString(".*")
			case c == '?':
				re.WriteString(".")
			case c == '\\' && i+1 < len(runes):
				i++
				re.WriteString(regexp.QuoteMeta(string(runes[i])))
			default:
				re.WriteString(regexp.QuoteMeta(string(c)))
			}
		}
		re.WriteString(`\z`)
		if want := regexp.MustCompile(re.String()).MatchString(s); Glob(pattern, s) != want {
			t.Errorf("Glob(%q, %q) is %v", pattern, s, !want)
		}
	})
}

func FuzzParseCond(f *testing.F) {
	for _, s := range []string{"k=v", "k>=1", "k<2", "=v", "k", "k>x", "a.b=c=d", "k=", "k<=1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCond(s)
		if err != nil {
			return
		}
		if c.String() != s || c.Key == "" || strings.ContainsAny(c.Key, "=<>") {
			t.Errorf("%q is read as %+v", s, c)
		}
	})
}
