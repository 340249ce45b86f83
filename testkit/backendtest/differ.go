package backendtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/sparkrsi/spark/sdk/backend"
)

// Precision is how far, relative to the larger one, two numbers of an aggregate
// may lie apart: in which order a backend adds up is its own affair.
const Precision = 1e-9

// percentiles may be those of a histogram as Durations, or exact.
const percentilePrecision = 1. / 32

// Differ returns where two aggregates differ and how, or nothing when they are the
// same but for Precision, and their percentiles but for two buckets of a histogram.
func Differ(got, want *backend.Aggregate) string {
	g, err := figures(got)
	if err != nil {
		return err.Error()
	}
	w, err := figures(want)
	if err != nil {
		return err.Error()
	}
	return differ("", g, w)
}

// figures returns a as the plain values of its JSON.
func figures(a *backend.Aggregate) (v any, err error) {
	b, err := json.Marshal(a)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	return v, err
}

func differ(at string, got, want any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(w))) {
			break
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if s := differ(at+"."+k, g[k], w[k]); s != "" {
				return s
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			if s := differ(fmt.Sprintf("%s[%d]", at, i), g[i], w[i]); s != "" {
				return s
			}
		}
		return ""
	case float64:
		precision := Precision
		switch at[strings.LastIndexByte(at, '.')+1:] {
		case "p50_seconds", "p95_seconds", "p99_seconds":
			precision = percentilePrecision
		}
		if g, ok := got.(float64); ok && math.Abs(g-w) <= precision*max(math.Abs(g), math.Abs(w)) {
			return ""
		}
	default:
		if got == want {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, want %v", at, got, want)
}
