package otel

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/sdk/backend"
)

// unit is 1 as OpenTelemetry's consistent probability sampling counts: thresholds
// and random values have 56 bits.
const unit = uint64(1) << 56

// state returns the tracestate of the spans of a run that was kept with a
// probability p below 1, nothing for others: th, the threshold (1-p) 2^56, of which
// receivers take the adjusted count 1/p, and rv, the random value that they go on
// sampling by. The decision was made by the run's id rather than the trace's, so
// the value is drawn from that, evenly among those that the threshold lets
// through: what a receiver keeps of such runs has the probability it writes into
// th then. Source: OpenTelemetry specification, TraceState: Probability Sampling.
func state(t *backend.Trace) string {
	if t.Probability >= 1 {
		return ""
	}
	kept := max(uint64(math.Round(t.Probability*float64(unit))), 1)
	if kept >= unit {
		return ""
	}
	// A finalizer of 64 bits: ids need not be random. Source: Steele, Lea & Flood
	// 2014, Fast splittable pseudorandom number generators, OOPSLA.
	h := binary.BigEndian.Uint64(t.RunID[:8]) ^ bits.RotateLeft64(binary.BigEndian.Uint64(t.RunID[8:]), 32)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	random, _ := bits.Mul64(h^h>>31, kept)
	b := append(make([]byte, 0, 48), "ot=th:"...)
	b = append(b, strings.TrimRight(digits(unit-kept), "0")...)
	b = append(b, ";rv:"...)
	return string(append(b, digits(unit-kept+random)...))
}

// digits returns the 14 hexadecimal digits of v.
func digits(v uint64) string { return strconv.FormatUint(unit|v, 16)[1:] }

// probability returns the one that a tracestate says, or false when it says none.
func probability(state string) (float64, bool) {
	for member := range strings.SplitSeq(state, ",") {
		list, ok := strings.CutPrefix(strings.TrimSpace(member), "ot=")
		if !ok {
			continue
		}
		for pair := range strings.SplitSeq(list, ";") {
			th, ok := strings.CutPrefix(pair, "th:")
			if !ok || len(th) == 0 || len(th) > 14 {
				continue
			}
			v, err := strconv.ParseUint(th+strings.Repeat("0", 14-len(th)), 16, 64)
			return float64(unit-v) / float64(unit), err == nil
		}
	}
	return 0, false
}
