package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// results holds what every round measured: benchmark, then unit, then one value
// a round. Names have neither the prefix Benchmark nor the number of processors.
type results map[string]map[string][]float64

// read adds the output of one round of `go test -bench`.
func (r results) read(text []byte) error {
	for raw := range bytes.Lines(text) {
		f := strings.Fields(string(raw))
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		if r[name] == nil {
			r[name] = map[string][]float64{}
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return fmt.Errorf("%q of benchmark %s is no number", f[i], name)
			}
			r[name][f[i+1]] = append(r[name][f[i+1]], v)
		}
	}
	return nil
}

// median returns the middle of v, the mean of the two middle ones when their
// number is even; false when there are none.
func median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2, true
}

// pair returns f of the values of a and b in each round that has both.
func pair(a, b []float64, f func(a, b float64) float64) []float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		out = append(out, f(a[i], b[i]))
	}
	return out
}

func minus(a, b float64) float64 { return a - b }
func share(a, b float64) float64 { return a / b }
