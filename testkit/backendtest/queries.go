package backendtest

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Of how many filters each kind is asked.
const (
	randomFilters = 300
	pagedEvery    = 5
	summedEvery   = 6
)

// queries asks for what random filters select and compares with what a loop over
// all traces finds.
func queries(t *testing.T, open Open) {
	w := fresh(t, open)
	r := rand.New(rand.NewPCG(20260301, 1))
	var all []*backend.Trace
	for n := range 90 {
		all = append(all, motley(r, n))
	}
	all = append(all, Odd())
	for i := 0; i < len(all); i += 40 {
		if bad := write(t, w, i, all[i:min(i+40, len(all))]); len(bad) > 0 {
			t.Fatalf("quarantined %+v", bad)
		}
	}
	some := 0
	for n := range randomFilters {
		f := filterOf(r, all)
		want := Select(t, all, f)
		if got := read(t, w, f); !equal(got, want) {
			t.Errorf("filter %d %s:\n got %s\nwant %s", n, show(f), names(got, all), names(want, all))
			continue
		}
		whole := f
		whole.Limit, whole.Offset = 0, 0
		if n := len(Select(t, all, whole)); n > 0 && n < len(all) {
			some++
		}
		if n%pagedEvery == 0 {
			pages(t, w, all, whole, 1+r.IntN(20))
		}
		if n%summedEvery == 0 {
			summed(t, w, all, whole)
		}
	}
	if some < randomFilters/3 {
		t.Errorf("only %d of %d filters selected some of the traces: they prove too little", some, randomFilters)
	}
}

// Select returns what f selects of all, which are in the order of arrival: the
// plain way that every backend must agree with.
func Select(t testing.TB, all []*backend.Trace, f backend.Filter) (out []*backend.Trace) {
	t.Helper()
	m, err := f.Match()
	if err != nil {
		t.Fatalf("%s: %v", show(f), err)
	}
	for _, x := range all {
		if m.Trace(x) {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(x, y *backend.Trace) int {
		return cmp.Compare(m.Key(x.Start, x.End, x.Cost()), m.Key(y.Start, y.End, y.Cost()))
	})
	if m.Desc {
		slices.Reverse(out)
	}
	out = out[min(f.Offset, len(out)):]
	if f.Limit > 0 {
		out = out[:min(f.Limit, len(out))]
	}
	return out
}

// pages proves that pages of one size concatenate to the whole.
func pages(t *testing.T, w backend.Writer, all []*backend.Trace, f backend.Filter, size int) {
	t.Helper()
	want := Select(t, all, f)
	var got []*backend.Trace
	for f.Limit = size; ; f.Offset += size {
		page := read(t, w, f)
		got = append(got, page...)
		if len(page) < size {
			break
		}
	}
	if !equal(got, want) {
		t.Errorf("pages of %d of %s:\n got %s\nwant %s", size, show(f), names(got, all), names(want, all))
	}
}

// summed proves that an aggregate is of what is selected.
func summed(t *testing.T, w backend.Writer, all []*backend.Trace, f backend.Filter) {
	t.Helper()
	f.Sort, f.Newest = "", false
	var a backend.Aggregator
	for _, x := range Select(t, all, f) {
		a.Add(x)
	}
	got, err := querier(t, w).Aggregate(t.Context(), f)
	if err != nil {
		t.Errorf("aggregate %s: %v", show(f), err)
		return
	}
	want := a.Aggregate()
	for _, x := range [...]*backend.Aggregate{got, want} {
		for i := range x.Failures {
			x.Failures[i].Samples, x.Failures[i].Traces = nil, nil // any of them will do
		}
	}
	if at := Differ(got, want); at != "" {
		t.Errorf("aggregate %s: %s", show(f), at)
	}
}

func equal(got, want []*backend.Trace) bool {
	return slices.EqualFunc(got, want, func(x, y *backend.Trace) bool { return reflect.DeepEqual(bits(x), bits(y)) })
}

// names tells traces by their place in all.
func names(some, all []*backend.Trace) string {
	var out []int
	for _, x := range some {
		out = append(out, slices.IndexFunc(all, func(y *backend.Trace) bool { return x.RunID == y.RunID }))
	}
	return fmt.Sprint(out)
}

func show(f backend.Filter) string {
	b, _ := json.Marshal(f)
	return string(b)
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// Words of every sort: what needs quoting, what looks like a pattern, what only
// differs in case, in its normal form or by a byte that is no UTF-8.
var motleyNames = []string{"search", "Search", "sea%ch", "sea_ch", "größe", "gro\u0308ße", "天气", "天气 2", "a*b", "a?b", `a\b`, "", "\xff\xfe", "nul\x00", `!"quoted"`, "'; --", "🦊", "node.duration"}

// motleyAttrs returns attributes of few keys and values, so that conditions hit.
func motleyAttrs(r *rand.Rand) (out []backend.Attr) {
	for range r.IntN(4) {
		key := pick(r, "k", "hits", "score", "größe", "nul\x00", "a=b", "environment", "success", "span.name")
		switch r.IntN(6) {
		case 0, 1:
			out = append(out, integer(key, pick[int64](r, 0, 1, 3, -7, math.MaxInt64, 1<<53+1)))
		case 2:
			out = append(out, number(key, pick(r, 0, math.Copysign(0, -1), .5, 3, 1e300, 1<<53, 5e-324, math.NaN(), math.Inf(1))))
		case 3:
			out = append(out, backend.Attr{Key: key, Kind: backend.KindBool, Num: r.Uint64N(2)})
		default:
			out = append(out, text(key, pick(r, "x", "3", "true", "", "3.0", "NaN", "größe", "prod", "\xff", `"`)))
		}
	}
	return out
}

// motley returns the nth trace of a set with many ties and oddities.
func motley(r *rand.Rand, n int) *backend.Trace {
	start := Begin.Add(time.Duration(r.IntN(20)) * time.Second).UnixNano()
	if r.IntN(4) == 0 {
		start += r.Int64N(2000) // not a whole microsecond
	}
	t := &backend.Trace{
		TraceID: ID(n / 2), RunID: ID(1_000_000 + n), Graph: pick(r, motleyNames...), Version: pick(r, "", "1.0.0", "1.0.1"), VersionID: pick(r, "", "v1"),
		GraphType: pick(r, "", "sequential"), Environment: pick(r, "", "prod", "test"), RunKind: pick(r, "production", "experiment"),
		Start: start, Status: backend.Status(r.IntN(4)), Probability: pick(r, 1, 1, .25), Derive: backend.Derive(r.IntN(4)),
		Attrs: motleyAttrs(r), Resource: motleyAttrs(r),
	}
	if t.Status == backend.Failed {
		t.ErrorType, t.Error = pick(r, "timeout", "trap"), "it failed"
	}
	binary.BigEndian.PutUint64(t.RootSpan[:], uint64(n+1)<<32)
	seq := 0
	for i := range r.IntN(6) {
		s := Step(t, seq, start+int64(r.IntN(5))*1e8, 0)
		s.End = s.Start + pick[int64](r, 0, 1e6, 5e6, 5e6+1, 3e9)
		binary.BigEndian.PutUint64(s.ID[:], binary.BigEndian.Uint64(t.RootSpan[:])+uint64(i)+1)
		s.Node, s.NodeType = pick(r, motleyNames...), pick(r, "echo", "größe", "")
		s.Kind, s.Status, s.Retries = uint8(1+r.IntN(5)), backend.Status(r.IntN(4)), r.IntN(2)*3
		s.Cost, s.Attrs = pick(r, 0, 0, .25, .5, 1), motleyAttrs(r)
		if s.Status == backend.Failed {
			s.ErrorType = "timeout"
		}
		if i > 0 && r.IntN(3) == 0 {
			parent := &t.Spans[i-1]
			s.Parent, s.Seq, s.After, s.NodeType = parent.ID, -1, parent.Seq, pick(r, "model", "span")
			if s.NodeType == "span" {
				s.Attrs = append(s.Attrs, text("span.name", pick(r, motleyNames...)))
			}
		} else {
			seq++
		}
		t.Spans = append(t.Spans, s)
	}
	of := func() (span backend.SpanID, node string) {
		if len(t.Spans) == 0 || r.IntN(3) == 0 {
			return span, ""
		}
		s := &t.Spans[r.IntN(len(t.Spans))]
		return s.ID, s.Node
	}
	for range r.IntN(3) {
		span, _ := of()
		t.Events = append(t.Events, backend.Event{Type: pick(r, "agent_step", "node_retry", "graph_started", "größe"), Name: pick(r, motleyNames...),
			Span: span, Time: start + int64(r.IntN(5))*1e8, Attrs: motleyAttrs(r)})
	}
	for range r.IntN(3) {
		span, node := of()
		name := pick(r, motleyNames...)
		t.Metrics = append(t.Metrics, backend.Metric{Name: name, Agg: []string{"counter", "gauge", "histogram"}[len(name)%3], Unit: "1", Node: node,
			Span: span, Time: start + int64(r.IntN(5))*1e8, Value: float64(r.IntN(5)), Attrs: motleyAttrs(r)})
	}
	t.End = start + pick[int64](r, 0, 1e6, 5e8, 5e8+1, 4e9)
	return t
}

// filterOf returns a filter with values that occur in all, mostly.
func filterOf(r *rand.Rand, all []*backend.Trace) (f backend.Filter) {
	t := all[r.IntN(len(all))]
	f.Of = pick(r, "", "", "traces", "spans", "spans", "events", "metrics")
	var span *backend.Span
	if len(t.Spans) > 0 {
		span = &t.Spans[r.IntN(len(t.Spans))]
	}
	from, long := t.Start, t.End-t.Start
	name := t.Graph
	var attrs []backend.Attr
	switch events, metrics := t.AllEvents(), t.AllMetrics(); {
	case f.Of == "spans" && span != nil:
		name, from, long, attrs = span.Name(), span.Start, span.End-span.Start, span.Attrs
	case f.Of == "events" && len(events) > 0:
		e := &events[r.IntN(len(events))]
		name, from, attrs = e.Name, e.Time, e.Attrs
		if r.IntN(2) == 0 {
			f.Type = e.Type
		}
		if r.IntN(6) == 0 && e.Span != (backend.SpanID{}) {
			f.SpanID = fmt.Sprintf("%x", e.Span)
		}
	case f.Of == "metrics" && len(metrics) > 0:
		p := &metrics[r.IntN(len(metrics))]
		name, from, attrs = p.Name, p.Time, p.Attrs
		if r.IntN(2) == 0 {
			f.Agg = p.Agg
		}
	}
	attrs = append(append(slices.Clone(attrs), t.Attrs...), t.Resource...)
	rarely := func(n int) bool { return r.IntN(n) == 0 }
	if rarely(8) {
		f.Graph = valid(t.Graph)
	}
	if rarely(8) {
		f.Version = t.Version
	}
	if rarely(10) {
		f.RunKind = t.RunKind
	}
	if rarely(15) {
		f.TraceID = fmt.Sprintf("%x", pick(r, t.TraceID, t.RunID))
	}
	if rarely(4) {
		f.Name = valid(name)
	}
	if rarely(3) {
		f.Like = pattern(r, name)
	}
	if rarely(6) && span != nil {
		f.Node = valid(span.Node)
	}
	if rarely(5) {
		f.From = time.Unix(0, max(from-pick[int64](r, 0, 0, 1, 1e9), 0))
	}
	if rarely(5) {
		f.To = time.Unix(0, min(from, math.MaxInt64-1e10)+pick[int64](r, 1, 1000, 1e9, 5e9))
	}
	if f.Of == "" || f.Of == "traces" || f.Of == "spans" {
		if rarely(5) {
			f.Status = t.Status.String()
		}
		if rarely(6) {
			f.MinMillis = float64(min(long, 1e12)) / 1e6
		}
		if rarely(6) {
			f.MaxMillis = max(f.MinMillis, float64(min(long, 1e12))/1e6)
		}
		f.Sort = pick(r, "", "", "", "start", "-start", "duration", "-duration", "cost", "-cost")
	} else {
		f.Sort = pick(r, "", "", "start", "-start")
	}
	if f.Of == "spans" && span != nil {
		if rarely(4) {
			f.Kind = []string{"", "internal", "server", "client", "producer", "consumer"}[span.Kind]
		}
		if rarely(4) {
			f.Type = valid(span.NodeType)
		}
		if rarely(12) {
			f.SpanID = fmt.Sprintf("%x", span.ID)
		}
		if rarely(8) {
			f.ParentID = fmt.Sprintf("%x", span.Parent)
		}
	}
	for rarely(3) {
		f.Attrs = append(f.Attrs, condOf(r, t, attrs))
	}
	f.Newest = f.Sort == "" && rarely(3)
	if rarely(3) {
		f.Limit, f.Offset = 1+r.IntN(20), r.IntN(10)
	}
	return f
}

// valid returns a text as filters take it.
func valid(s string) string {
	for _, c := range s {
		if c == '\uFFFD' {
			return ""
		}
	}
	return s
}

// pattern returns a pattern that name fits, mostly.
func pattern(r *rand.Rand, name string) string {
	out := ""
	for _, c := range name {
		switch {
		case c == '\uFFFD' || r.IntN(4) == 0:
			out += "?"
		case r.IntN(6) == 0:
			out += "*"
		case c == '*' || c == '?' || c == '\\':
			out += `\` + string(c)
		default:
			out += string(c)
		}
	}
	return out + pick(r, "", "", "*")
}

// condOf returns a condition on one of some attributes or on one that fields imply.
func condOf(r *rand.Rand, t *backend.Trace, attrs []backend.Attr) backend.Cond {
	if len(attrs) == 0 || r.IntN(4) == 0 {
		return pick(r, backend.Cond{Key: "environment", Op: "=", Value: t.Environment}, backend.Cond{Key: "graph_version", Op: "=", Value: t.Version},
			backend.Cond{Key: "success", Op: "=", Value: "true"}, backend.Cond{Key: "error_type", Op: "=", Value: "timeout"},
			backend.Cond{Key: "node_type", Op: "=", Value: "echo"}, backend.Cond{Key: "retry_count", Op: ">=", Value: "3"},
			backend.Cond{Key: "graph_id", Op: "=", Value: valid(t.Graph)}, backend.Cond{Key: "duration", Op: ">", Value: ".001"})
	}
	a := attrs[r.IntN(len(attrs))]
	c := backend.Cond{Key: valid(a.Key), Op: "=", Value: valid(a.Str)}
	if c.Key == "" {
		c.Key = "k"
	}
	switch a.Kind {
	case backend.KindInt:
		c.Value = strconv.FormatInt(int64(a.Num), 10) + pick(r, "", "", ".0")
	case backend.KindFloat:
		c.Value = strconv.FormatFloat(math.Float64frombits(a.Num), pick[byte](r, 'g', 'e'), -1, 64)
	case backend.KindBool:
		c.Value = strconv.FormatBool(a.Num != 0)
	}
	if v, err := strconv.ParseFloat(c.Value, 64); err == nil && !math.IsNaN(v) && r.IntN(3) == 0 {
		c.Op = pick(r, "<", "<=", ">", ">=")
	}
	return c
}
