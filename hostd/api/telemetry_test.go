package api

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// TestParametersCarryTheWholeFilter sets every field of a filter: a new one that no
// parameter carries fails here.
func TestParametersCarryTheWholeFilter(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	spans := backend.Filter{Of: backend.OfSpans, Graph: "g & h", Version: "1.0.0", RunKind: "production", TraceID: strings.Repeat("1f", 16), Name: "größe", Like: `a*\?`,
		Type: "model", Kind: "client", Status: "error", Node: "n", SpanID: strings.Repeat("1f", 8), ParentID: strings.Repeat("2f", 8),
		Attrs: []backend.Cond{{Key: "a", Op: "=", Value: "b=c&d"}, {Key: "n", Op: ">=", Value: "3"}}, From: at, To: at.Add(1), MinMillis: .25, MaxMillis: 1e6,
		Sort: "-cost", Limit: 7, Offset: 9}
	metrics := backend.Filter{Of: backend.OfMetrics, Agg: "gauge", Newest: true, Limit: 1}
	set := map[string]bool{}
	for _, f := range []backend.Filter{spans, metrics} {
		got, err := filter(values(f, "prod"), f.Of)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v, %v, want %+v", got, err, f)
		}
		v := reflect.ValueOf(f)
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				set[v.Type().Field(i).Name] = true
			}
		}
	}
	if n := reflect.TypeFor[backend.Filter]().NumField(); len(set) != n {
		t.Errorf("%d of %d fields were tried", len(set), n)
	}
}

// TestParametersAreRefusedByName covers what only this side bounds; the rest is
// the filter's own.
func TestParametersAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ query, path string }{
		{"colour=red", "colour"}, {"limit=0", "limit"}, {"limit=-1", "limit"}, {"limit=10001", "limit"}, {"limit=1e3", "limit"},
		{"offset=-1", "offset"}, {"offset=10000001", "offset"}, {"offset=99999999999999999999", "offset"},
		{"from=yesterday", "from"}, {"to=2300-01-01T00:00:00Z", "to"}, {"min_millis=-1", "min_millis"}, {"min_millis=x", "min_millis"}, {"max_millis=NaN", "max_millis"},
		{"newest=maybe", "newest"}, {"sort=name", "sort"}, {"attrs=novalue", "attrs"}, {"attrs=a%3Eb", "attrs"}, {"status=ok&status=error", "status"},
		{"kind=client", "kind"}, {"type=model", "type"}, {"aggregation=gauge", "aggregation"}, {"trace_id=12", "trace_id"}, {"name=%ff", "name"},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = filter(q, backend.OfTraces)
		var e *fault.Error
		if !fault.Is(err, fault.Invalid) || !errors.As(err, &e) || e.Path != c.path {
			t.Errorf("%s: %v, want an invalid fault of %s", c.query, err, c.path)
		}
	}
}
