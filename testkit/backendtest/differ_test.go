package backendtest

import (
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Rounding is no difference, everything else is one and is named.
func TestDiffer(t *testing.T) {
	sum := func(change func(*backend.Aggregate)) *backend.Aggregate {
		var a backend.Aggregator
		for _, x := range Samples(0, 50) {
			a.Add(x)
		}
		g := a.Aggregate()
		change(g)
		return g
	}
	want := sum(func(*backend.Aggregate) {})
	for at, change := range map[string]func(*backend.Aggregate){
		"":                   func(a *backend.Aggregate) { a.Runs.Mean *= 1 + 1e-10; a.Nodes["n2"].Cost *= 1 - 1e-10 },
		".runs.mean_seconds": func(a *backend.Aggregate) { a.Runs.Mean *= 1 + 1e-8 },
		".nodes.n2.cost_usd": func(a *backend.Aggregate) { a.Nodes["n2"].Cost = 0 },
		".nodes":             func(a *backend.Aggregate) { delete(a.Nodes, "n2") },
		".failures[0].":      func(a *backend.Aggregate) { a.Failures[0].Node = "n0" },
		".failures":          func(a *backend.Aggregate) { a.Failures = a.Failures[1:] },
		".runs.recorded":     func(a *backend.Aggregate) { a.Runs.Recorded++ },
		".metrics.quality": func(a *backend.Aggregate) {
			m := a.Metrics["quality"]
			m.Min = -m.Min
			a.Metrics["quality"] = m
		},
	} {
		got := Differ(sum(change), want)
		if (got == "") != (at == "") || !strings.HasPrefix(got, at) {
			t.Errorf("%q, want a difference at %q", got, at)
		}
	}
}
