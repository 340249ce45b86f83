package main

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// row is one line of the table.
type row struct {
	what   string
	bench  string
	beyond string  // benchmark whose figures are taken off, "" for none
	unit   string  // of what: step, span, swap; its metrics are ns/, cpu-ns/ and allocs/
	peer   string  // benchmark whose time is 1, "" for none
	aim    float64 // ns, 0 for none
	worst  string  // instead of all that: metric in ms, of which the worst is shown
}

var rows = []row{
	{what: "eino, native functions", bench: "Ten/eino", unit: "step", peer: "Ten/eino"},
	{what: "eino, native functions, all-predecessors mode", bench: "Ten/eino-dag", unit: "step", peer: "Ten/eino"},
	{what: "Spark, native functions", bench: "Ten/native", unit: "step", peer: "Ten/eino"},
	{what: "Spark, native functions, telemetry to memory", bench: "Ten/native-telemetry", unit: "step", peer: "Ten/eino"},
	{what: "Spark, Go guests", bench: "Ten/wasm", unit: "step", peer: "Ten/eino"},
	{what: "Spark, Go guests, telemetry to memory", bench: "Ten/wasm-telemetry", unit: "step", peer: "Ten/eino"},
	{what: "the guest alone, one call", bench: "Guest", unit: "step", peer: "Ten/eino"},
	{what: "**engine beyond the guest**, telemetry off", bench: "Ten/wasm", beyond: "Guest", unit: "step", peer: "Ten/eino"},
	{what: "**engine beyond the guest**, telemetry to memory", bench: "Ten/wasm-telemetry", beyond: "Guest", unit: "step", peer: "Ten/eino", aim: 5000},
	{what: "telemetry to memory, a step", bench: "Ten/native-telemetry", beyond: "Ten/native", unit: "step"},
	{what: "OTel Go SDK, span of 8 attributes", bench: "Record/otel", unit: "span", peer: "Record/otel"},
	{what: "Spark, the same with two looks at the clock", bench: "Record/spark-clock", unit: "span", peer: "Record/otel"},
	{what: "**Spark recorder**, span of 8 attributes", bench: "Record/spark", unit: "span", peer: "Record/otel", aim: 250},
	{what: "OTel Go SDK, 50,000 spans waiting", bench: "Record/otel-large", unit: "span", peer: "Record/otel-large"},
	{what: "Spark recorder, 50,000 spans waiting", bench: "Record/spark-large", unit: "span", peer: "Record/otel-large"},
	{what: "Router.Swap under two callers that pick without pause", bench: "Swap", unit: "swap"},
	{what: "Apply of a changed config on a warm module, idle host", bench: "Apply/idle", unit: "apply"},
	{what: "the same while two callers run the graph without pause", bench: "Apply/busy", unit: "apply"},
	{what: "a request of theirs (two guests, telemetry to memory)", bench: "Apply/busy", unit: "request"},
	{what: "guest that loops: past its deadline, median", bench: "Loop/alone", unit: "overshoot"},
	{what: "guest that loops: past its deadline, worst", bench: "Loop/alone", worst: "max-overshoot-ms", aim: 50e6},
	{what: "the same while the host collects garbage without pause, median", bench: "Loop/collecting", unit: "overshoot"},
	{what: "the same, worst", bench: "Loop/collecting", worst: "max-overshoot-ms", aim: 50e6},
	{what: "one stop of the world by these collections, worst", bench: "Loop/collecting", worst: "max-stop-ms", aim: 50e6},
	{what: "one whole runtime.GC of these, worst", bench: "Loop/collecting", worst: "max-gc-ms"},
}

// table writes r as Markdown. Rows whose benchmark was not run are left out.
func table(w io.Writer, r results) {
	fmt.Fprintln(w, "| what | time | processor time | allocations | of the peer's time | aim |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	for _, x := range rows {
		if r[x.bench] == nil {
			continue
		}
		if x.worst != "" {
			v := slices.Max(r[x.bench][x.worst]) * 1e6
			fmt.Fprintf(w, "| %s | %s | | | | %s |\n", x.what, nanos(v, true), x.verdict(v, true))
			continue
		}
		time, ok := x.metric(r, "ns/")
		cpu, hasCPU := x.metric(r, "cpu-ns/")
		allocs, hasAllocs := x.metric(r, "allocs/")
		ratio, hasRatio := 0.0, false
		if x.peer != "" && x.peer != x.bench {
			ratio, hasRatio = median(pair(x.series(r, "ns/"), r[x.peer]["ns/"+x.unit], share))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", x.what, nanos(time, ok), nanos(cpu, hasCPU),
			number(allocs, 1, hasAllocs), number(ratio, 2, hasRatio), x.verdict(time, ok))
	}
}

// series returns one value a round.
func (x row) series(r results, prefix string) []float64 {
	v := r[x.bench][prefix+x.unit]
	if x.beyond != "" {
		v = pair(v, r[x.beyond][prefix+x.unit], minus)
	}
	return v
}

func (x row) metric(r results, prefix string) (float64, bool) { return median(x.series(r, prefix)) }

// verdict says whether a time reaches the aim.
func (x row) verdict(ns float64, ok bool) string {
	switch {
	case x.aim == 0 || !ok:
		return ""
	case ns <= x.aim:
		return "at most " + nanos(x.aim, true) + ": met"
	}
	return "at most " + nanos(x.aim, true) + ": **missed**"
}

// nanos returns a duration in the unit in which it reads best.
func nanos(v float64, ok bool) string {
	switch {
	case !ok:
		return ""
	case math.Abs(v) >= 1e6:
		return fmt.Sprintf("%.3g ms", v/1e6)
	case math.Abs(v) >= 1e3:
		return fmt.Sprintf("%.3g us", v/1e3)
	}
	return fmt.Sprintf("%.0f ns", v)
}

func number(v float64, digits int, ok bool) string {
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, v)
}
