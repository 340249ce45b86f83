package main

import (
	"strings"
	"testing"
)

const output = `goos: linux
BenchmarkTen/eino-2    100   80000 ns/op   42.5 allocs/step   5000 cpu-ns/step   8000 ns/step
BenchmarkTen/wasm-telemetry-2    100   80000 ns/op   1.5 allocs/step   3000 cpu-ns/step   4000 ns/step
BenchmarkGuest-2    100   80000 ns/op   1 allocs/step   900 cpu-ns/step   1000 ns/step
BenchmarkRecord/spark-2    10   1000000 ns/op   0.0 allocs/span   300 ns/span
BenchmarkLoop/alone-2    6   66 ns/op   169.9 max-gc-ms   51 max-overshoot-ms   3.67 max-stop-ms
PASS
`

func TestTable(t *testing.T) {
	r := results{}
	for _, text := range []string{output, strings.ReplaceAll(output, " 8000 ns/step", " 4000 ns/step"), strings.ReplaceAll(output, "51 max", "12 max")} {
		if err := r.read([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	table(&out, r)
	for _, want := range []string{
		"| eino, native functions | 8 us | 5 us | 42.5 |  |  |",
		"| Spark, Go guests, telemetry to memory | 4 us | 3 us | 1.5 | 0.50 |  |",
		"| **engine beyond the guest**, telemetry to memory | 3 us | 2.1 us | 0.5 | 0.38 | at most 5 us: met |",
		"| **Spark recorder**, span of 8 attributes | 300 ns |  | 0.0 |  | at most 250 ns: **missed** |",
		"| guest that loops: past its deadline, worst | 51 ms | | | | at most 50 ms: **missed** |",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no line\n%s\nin\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "Swap") {
		t.Error("a benchmark that was not run has a row")
	}
	if err := r.read([]byte("BenchmarkX-2 10 many ns/op\n")); err == nil {
		t.Error("what is no number was taken")
	}
}
