// Package backendtest is the conformance suite of telemetry backends: every one
// passes it, in process and over the wire. What a backend declares it cannot do
// is not asked of it and named in the log.
package backendtest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Open opens a backend whose data lies in the folder dir. Opening a folder again
// after Close finds what a persistent backend kept there.
type Open func(t *testing.T, dir string) backend.Writer

// Run puts a backend through the whole suite, each part in a subtest of its own.
func Run(t *testing.T, open Open) {
	w := open(t, t.TempDir())
	caps := backend.Describe(w).Capabilities
	closeNow(t, w)
	parts := []struct {
		name  string
		needs bool
		what  string
		test  func(t *testing.T, open Open)
	}{
		{"RoundTrip", caps.Queryable, "queryable", roundTrip},
		{"OddValues", caps.Queryable, "queryable", oddValues},
		{"KeepsNoMemory", caps.Queryable, "queryable", keepsNoMemory},
		{"Quarantine", true, "", quarantine},
		{"Filters", caps.Queryable, "queryable", filters},
		{"Queries", caps.Filters, "filters", queries},
		{"Paging", caps.Queryable, "queryable", paging},
		{"BadFilter", caps.Queryable, "queryable", badFilter},
		{"Aggregate", caps.Queryable, "queryable", aggregate},
		{"Sketches", caps.Queryable, "queryable", sketches},
		{"Counts", caps.Queryable, "queryable", counts},
		{"Cancelled", true, "", cancelled},
		{"Concurrent", caps.Queryable, "queryable", concurrent},
		{"LargeBatch", caps.Queryable, "queryable", largeBatch},
		{"CloseTwice", true, "", closeTwice},
		{"Idempotent", caps.Idempotent && caps.Queryable, "idempotent", idempotent},
		{"Prune", caps.Retention && caps.Queryable, "retention", prune},
		{"Restart", caps.Persistent && caps.Queryable, "persistent", restart},
		{"Refusals", !caps.Queryable || !caps.Retention || !caps.Filters, "lack of a power", refusals},
	}
	for _, p := range parts {
		if !p.needs {
			t.Logf("%s not asked: the backend does not declare %s", p.name, p.what)
			continue
		}
		t.Run(p.name, func(t *testing.T) { p.test(t, open) })
	}
}

func closeNow(t testing.TB, w backend.Writer) {
	t.Helper()
	if err := w.Close(context.Background()); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// fresh opens an empty backend and closes it with the test.
func fresh(t *testing.T, open Open) backend.Writer {
	w := open(t, t.TempDir())
	t.Cleanup(func() { w.Close(context.Background()) })
	return w
}

func write(t testing.TB, w backend.Writer, id int, traces []*backend.Trace, rows ...backend.Sketch) []backend.Quarantined {
	t.Helper()
	bad, err := w.Write(t.Context(), &backend.Batch{ID: ID(id), Traces: traces, Sketches: rows})
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return bad
}

func querier(t testing.TB, w backend.Writer) backend.Querier {
	t.Helper()
	q, err := backend.AsQuerier(w)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func read(t testing.TB, w backend.Writer, f backend.Filter) []*backend.Trace {
	t.Helper()
	var out []*backend.Trace
	for x, err := range querier(t, w).Traces(t.Context(), f) {
		if err != nil {
			t.Fatalf("traces %+v: %v", f, err)
		}
		out = append(out, x)
	}
	return out
}

func same(t testing.TB, got, want []*backend.Trace) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d traces, want %d", len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(bits(got[i]), bits(want[i])) {
			t.Fatalf("trace %d\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

// bits returns t with floats that are not equal to themselves made comparable.
func bits(t *backend.Trace) *backend.Trace {
	c := t.Clone()
	mend := func(v *float64) {
		if math.IsNaN(*v) {
			*v = -12345
		}
	}
	for i := range c.Spans {
		mend(&c.Spans[i].Cost)
	}
	for i := range c.Metrics {
		mend(&c.Metrics[i].Value)
	}
	return c
}

func roundTrip(t *testing.T, open Open) {
	w := fresh(t, open)
	write(t, w, 0, Samples(0, 20))
	write(t, w, 1, nil)
	write(t, w, 2, Samples(20, 30))
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, read(t, w, backend.Filter{}), Samples(0, 30))
}

func oddValues(t *testing.T, open Open) {
	w := fresh(t, open)
	if bad := write(t, w, 0, []*backend.Trace{Odd(), Sample(1)}); len(bad) > 0 {
		t.Fatalf("quarantined %+v", bad)
	}
	same(t, read(t, w, backend.Filter{}), []*backend.Trace{Odd(), Sample(1)})
	same(t, read(t, w, backend.Filter{Graph: Odd().Graph, Version: Odd().Version}), []*backend.Trace{Odd()})
	same(t, read(t, w, backend.Filter{Node: Odd().Spans[0].Node}), []*backend.Trace{Odd()})
}

func keepsNoMemory(t *testing.T, open Open) {
	w := fresh(t, open)
	x := Sample(1)
	rows := []backend.Sketch{{Epoch: ID(1), Graph: "g", Hour: 1, Seq: 1, Data: []byte("before")}}
	write(t, w, 0, []*backend.Trace{x}, rows...)
	clear(x.Spans)
	clear(x.Attrs)
	copy(rows[0].Data, "after!")
	same(t, read(t, w, backend.Filter{}), Samples(1, 2))
	for s, err := range querier(t, w).Sketches(t.Context(), backend.Filter{}) {
		if err != nil || string(s.Data) != "before" {
			t.Fatalf("sketch %q, %v", s.Data, err)
		}
	}
}

func quarantine(t *testing.T, open Open) {
	w := fresh(t, open)
	batch := Samples(0, 6)
	batch[1].TraceID = backend.ID{}
	batch[3].Probability = math.NaN()
	batch[4].End = batch[4].Start - 1
	bad := write(t, w, 0, batch)
	if len(bad) != 3 || bad[0].Index != 1 || bad[1].Index != 3 || bad[2].Index != 4 {
		t.Fatalf("quarantined %+v, want the traces 1, 3 and 4", bad)
	}
	for _, q := range bad {
		if q.Reason == "" || q.Record == "" {
			t.Errorf("quarantined %+v without a reason or a name", q)
		}
	}
	if backend.Describe(w).Capabilities.Queryable {
		same(t, read(t, w, backend.Filter{}), []*backend.Trace{Sample(0), Sample(2), Sample(5)})
	}
}

func filters(t *testing.T, open Open) {
	w := fresh(t, open)
	all := append(Samples(0, 60), Odd())
	all[7].Graph = ""
	write(t, w, 0, all)
	some := all[9] // its run id is not its trace id
	for _, f := range []backend.Filter{
		{Graph: "docsearch"}, {Graph: "docsearch", Version: "1.0.1"}, {Version: "1.0.0"}, {Graph: "none"},
		{RunKind: "shadow"}, {Status: "ok"}, {Status: "error"}, {Status: "cancelled"}, {Status: "unset"},
		{TraceID: fmt.Sprintf("%x", some.TraceID)}, {TraceID: fmt.Sprintf("%X", some.RunID)}, {TraceID: fmt.Sprintf("%x", ID(999))},
		{Node: "n5"}, {Node: "n2", Limit: 3, Offset: 2}, {Node: "none"}, {MinMillis: 2000},
		{From: Begin.Add(10 * time.Second)}, {To: Begin.Add(10 * time.Second)},
		{From: Begin.Add(10 * time.Second), To: Begin.Add(20 * time.Second), Graph: "answer", RunKind: "production", Status: "ok"},
	} {
		m, err := f.Match()
		if err != nil {
			t.Fatal(err)
		}
		var want []*backend.Trace
		page := f.Page()
		for _, x := range all {
			if m.Trace(x) && !page.Full() && page.Take() {
				want = append(want, x)
			}
		}
		got := read(t, w, f)
		if len(got) != len(want) {
			t.Errorf("%+v: %d traces, want %d", f, len(got), len(want))
			continue
		}
		same(t, got, want)
	}
}

func paging(t *testing.T, open Open) {
	w := fresh(t, open)
	write(t, w, 0, Samples(0, 300))
	write(t, w, 1, Samples(300, 700))
	var got []*backend.Trace
	for at := 0; ; at += 97 {
		page := read(t, w, backend.Filter{Limit: 97, Offset: at})
		got = append(got, page...)
		if len(page) < 97 {
			break
		}
	}
	same(t, got, Samples(0, 700))
	same(t, read(t, w, backend.Filter{Newest: true, Limit: 2, Offset: 1}), []*backend.Trace{Sample(698), Sample(697)})
	n := 0
	for _, err := range querier(t, w).Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Fatalf("a reader that stopped early saw %d traces", n)
	}
}

func badFilter(t *testing.T, open Open) {
	w := fresh(t, open)
	for _, f := range []backend.Filter{{Status: "fine"}, {TraceID: "xyz"}, {Limit: -1}, {Offset: -1}} {
		n := 0
		for _, err := range querier(t, w).Traces(t.Context(), f) {
			if n++; !fault.Is(err, fault.Invalid) {
				t.Errorf("%+v: %v, want an invalid fault", f, err)
			}
		}
		if n != 1 {
			t.Errorf("%+v: %d answers, want one error", f, n)
		}
	}
}

func aggregate(t *testing.T, open Open) {
	w := fresh(t, open)
	all := append(Samples(0, 200), Odd())
	write(t, w, 0, all)
	for _, f := range []backend.Filter{{}, {Graph: "docsearch", RunKind: "production"}, {Graph: "answer", Version: "1.0.1", From: Begin.Add(time.Minute), To: Begin.Add(3 * time.Minute)},
		{Node: "n4", Status: "error"}, {Graph: "none"}} {
		m, _ := f.Match()
		var a backend.Aggregator
		for _, x := range all {
			if m.Trace(x) {
				a.Add(x)
			}
		}
		got, err := querier(t, w).Aggregate(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if at := Differ(got, a.Aggregate()); at != "" {
			t.Errorf("%+v: %s", f, at)
		}
	}
}

func sketches(t *testing.T, open Open) {
	w := fresh(t, open)
	hour := Begin.Unix() / 3600
	row := func(epoch int, node string, at int64, seq uint64, data string) backend.Sketch {
		return backend.Sketch{Epoch: ID(epoch), Graph: "g", Version: "1", VersionID: "v", Hour: at, Node: node, Seq: seq, Data: []byte(data)}
	}
	write(t, w, 0, nil, row(1, "", hour, 2, "second"), row(1, "n", hour, 2, "node"), row(2, "", hour, 1, "other epoch"), row(1, "", hour+5, 1, "later"))
	write(t, w, 1, nil, row(1, "", hour, 1, "late first"))
	write(t, w, 2, nil, row(1, "n", hour, 3, "node again"))
	ask := func(f backend.Filter) map[string]bool {
		got := map[string]bool{}
		for s, err := range querier(t, w).Sketches(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprintf("%x/%s/%s/%s/%s/%d/%d=%s", s.Epoch[15], s.Graph, s.Version, s.VersionID, s.Node, s.Hour-hour, s.Seq, s.Data)] = true
		}
		return got
	}
	want := map[string]bool{"2/g/1/v//0/2=second": true, "2/g/1/v/n/0/3=node again": true, "3/g/1/v//0/1=other epoch": true, "2/g/1/v//5/1=later": true}
	if got := ask(backend.Filter{}); !reflect.DeepEqual(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	delete(want, "2/g/1/v//5/1=later")
	if got := ask(backend.Filter{Graph: "g", Version: "1", From: Begin.Add(time.Minute), To: Begin.Add(2 * time.Hour)}); !reflect.DeepEqual(got, want) {
		t.Errorf("first hour: %v, want %v", got, want)
	}
	if got := ask(backend.Filter{Graph: "other"}); len(got) > 0 {
		t.Errorf("another graph has %v", got)
	}
}

func counts(t *testing.T, open Open) {
	w := fresh(t, open)
	var want backend.Counts
	all := Samples(0, 25)
	all[3].Graph = ""
	for _, x := range all {
		want.Add(backend.Counts{Traces: 1, Spans: int64(len(x.Spans)), Events: int64(len(x.AllEvents())), Metrics: int64(len(x.AllMetrics()))})
	}
	want.Unattributed, want.Sketches = 1, 1
	write(t, w, 0, all, backend.Sketch{Epoch: ID(1), Graph: "g", Hour: 1, Seq: 1, Data: []byte("x")})
	got, err := querier(t, w).Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Bytes <= 0 {
		t.Errorf("%d bytes", got.Bytes)
	}
	got.Bytes = 0
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func cancelled(t *testing.T, open Open) {
	w := fresh(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Write(ctx, &backend.Batch{ID: ID(1), Traces: Samples(0, 3)}); !fault.Is(err, fault.Cancelled) {
		t.Errorf("write with a cancelled context: %v", err)
	}
	if !backend.Describe(w).Capabilities.Queryable {
		return
	}
	if got := read(t, w, backend.Filter{}); len(got) != 0 {
		t.Errorf("%d traces of a cancelled write", len(got))
	}
	write(t, w, 1, Samples(0, 3))
	same(t, read(t, w, backend.Filter{}), Samples(0, 3))
}

func concurrent(t *testing.T, open Open) {
	w := fresh(t, open)
	q := querier(t, w)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				n := 0
				for x, err := range q.Traces(t.Context(), backend.Filter{}) {
					if err != nil || x.TraceID != ID(n) {
						t.Errorf("trace %d: %v", n, err)
						return
					}
					n++
				}
				if n%10 != 0 {
					t.Errorf("%d traces: part of a batch was visible", n)
				}
				if _, err := q.Count(t.Context()); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n := range 30 {
		write(t, w, n, Samples(10*n, 10*n+10))
	}
	close(stop)
	readers.Wait()
	same(t, read(t, w, backend.Filter{}), Samples(0, 300))
}

// largeBatch is more than one message to a plugin.
func largeBatch(t *testing.T, open Open) {
	w := fresh(t, open)
	batch := Samples(0, 60)
	for i, x := range batch {
		for k := range 4 {
			x.Attrs = append(x.Attrs, text(fmt.Sprint("text", k), fmt.Sprintf("%d %d %0*d", i, k, 16000, i)))
		}
	}
	batch[20].Probability = 2
	batch[50].Probability = 2
	bad := write(t, w, 0, batch)
	if len(bad) != 2 || bad[0].Index != 20 || bad[1].Index != 50 {
		t.Fatalf("quarantined %+v, want the traces 20 and 50", bad)
	}
	got := read(t, w, backend.Filter{})
	same(t, got, append(append(append([]*backend.Trace{}, batch[:20]...), batch[21:50]...), batch[51:]...))
}

func closeTwice(t *testing.T, open Open) {
	w := fresh(t, open)
	write(t, w, 0, Samples(0, 1))
	closeNow(t, w)
	closeNow(t, w)
}

func idempotent(t *testing.T, open Open) {
	w := fresh(t, open)
	for range 3 {
		write(t, w, 0, Samples(0, 10))
		write(t, w, 1, Samples(10, 20))
	}
	same(t, read(t, w, backend.Filter{}), Samples(0, 20))
	if n, err := querier(t, w).Count(t.Context()); err != nil || n.Traces != 20 {
		t.Errorf("%d traces counted, %v", n.Traces, err)
	}
}

func prune(t *testing.T, open Open) {
	w := fresh(t, open)
	all := Samples(0, 100)
	all[4].Graph, all[4].Version = "", ""
	hour := Begin.Unix() / 3600
	write(t, w, 0, all, backend.Sketch{Epoch: ID(1), Graph: "g", Hour: hour - 1, Seq: 1, Data: []byte("old")},
		backend.Sketch{Epoch: ID(1), Graph: "g", Hour: hour, Seq: 1, Data: []byte("new")})
	limit := Begin.Add(50 * time.Second)
	var keep []*backend.Trace
	for _, x := range all {
		if x.End >= limit.UnixNano() {
			keep = append(keep, x)
		}
	}
	p, err := backend.AsRetention(w)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Prune(t.Context(), limit); err != nil || n != int64(len(all)-len(keep)) {
		t.Fatalf("pruned %d, %v; want %d", n, err, len(all)-len(keep))
	}
	if n, err := p.Prune(t.Context(), limit); err != nil || n != 0 {
		t.Fatalf("pruned %d more, %v", n, err)
	}
	same(t, read(t, w, backend.Filter{}), keep)
	if n, err := querier(t, w).Count(t.Context()); err != nil || n.Traces != int64(len(keep)) || n.Unattributed != 0 || n.Sketches != 1 {
		t.Errorf("counts %+v, %v", n, err)
	}
}

func restart(t *testing.T, open Open) {
	dir := t.TempDir()
	w := open(t, dir)
	write(t, w, 0, Samples(0, 10), backend.Sketch{Epoch: ID(1), Graph: "g", Hour: 1, Seq: 2, Data: []byte("kept")})
	closeNow(t, w)
	w = open(t, dir)
	defer w.Close(context.Background())
	same(t, read(t, w, backend.Filter{}), Samples(0, 10))
	write(t, w, 0, Samples(0, 10)) // the answer was lost with the process: nothing doubles
	write(t, w, 1, Samples(10, 12), backend.Sketch{Epoch: ID(1), Graph: "g", Hour: 1, Seq: 1, Data: []byte("older")})
	same(t, read(t, w, backend.Filter{}), Samples(0, 12))
	for s, err := range querier(t, w).Sketches(t.Context(), backend.Filter{}) {
		if err != nil || string(s.Data) != "kept" {
			t.Errorf("sketch %q, %v", s.Data, err)
		}
	}
}

// refusals are what a backend that lacks a power must answer.
func refusals(t *testing.T, open Open) {
	w := fresh(t, open)
	caps := backend.Describe(w).Capabilities
	if _, err := backend.AsQuerier(w); !caps.Queryable && !fault.Is(err, fault.Denied) {
		t.Errorf("query: %v, want a denied fault", err)
	}
	if caps.Queryable && !caps.Filters {
		for _, err := range querier(t, w).Traces(t.Context(), backend.Filter{Sort: "start"}) {
			if !fault.Is(err, fault.Denied) {
				t.Errorf("a condition of later versions: %v, want a denied fault", err)
			}
		}
	}
	if _, err := backend.AsRetention(w); !caps.Retention && !fault.Is(err, fault.Denied) {
		t.Errorf("prune: %v, want a denied fault", err)
	}
}
