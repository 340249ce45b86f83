package stats

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"testing"
)

// awkward are the numbers that break arithmetic.
var awkward = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), -1, 1, 0.5, 2, 1e-300, 1e300,
	math.MaxFloat64, math.SmallestNonzeroFloat64, 1 + 1e-15, 0.99, 1.01}

// junk are the values that must never count in a candidate's favour.
var junk = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), -1, -1e300, -math.SmallestNonzeroFloat64}

// fuzzDesigns cover every kind, lone and joined.
func fuzzDesigns(f *testing.F) []*Plan {
	latency := Objective{Name: "latency", Weight: 1, Direction: Minimize, Kind: Ratio}
	throughput := Objective{Name: "throughput", Weight: 1, Direction: Maximize, Kind: Ratio, Scale: 0.1, Min: ptr(0.5)}
	quality := Objective{Name: "quality", Weight: 2, Direction: Maximize, Kind: Bounded, Min: ptr(0.1)}
	answered := Objective{Name: "answered", Weight: 1, Direction: Maximize, Kind: Rate}
	var plans []*Plan
	for _, objectives := range [][]Objective{{latency}, {throughput}, {quality}, {answered}, {quality, latency, throughput, answered}} {
		p, err := NewPlan(Design{N: 30, FirstLook: 10, Every: 5, MinEffect: -1, Objectives: objectives})
		if err != nil {
			f.Fatal(err)
		}
		plans = append(plans, p)
	}
	return plans
}

// A value byte picks an awkward number or a plain one.
func fuzzValue(b byte) float64 {
	if int(b) < len(awkward) {
		return awkward[b]
	}
	return float64(b) / 128
}

// run feeds the pairs that the bytes describe and checks what must hold of any report.
func run(t *testing.T, p *Plan, data []byte, candidate func(byte) float64) Report {
	e := p.Start()
	for width := 1 + 2*p.given; len(data) >= width; data = data[width:] {
		pair := Pair{BaselineOK: data[0]%8 != 0, CandidateOK: data[0]%16 != 1}
		for i := range p.given {
			pair.Baseline = append(pair.Baseline, fuzzValue(data[1+2*i]))
			pair.Candidate = append(pair.Candidate, candidate(data[2+2*i]))
		}
		if _, err := e.Add(pair); err != nil {
			t.Fatal(err)
		}
	}
	r := e.Report()
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if r.PairsUsed > r.PairsRun || r.PairsRun > r.PairsPlanned {
		t.Fatalf("%d pairs used, %d run, %d planned", r.PairsUsed, r.PairsRun, r.PairsPlanned)
	}
	if r.Verdict == Pass {
		if r.PairsUsed < fewestPairs || !(*r.Z > r.Boundary) || !(r.Effect.Estimate >= 0) {
			t.Fatalf("passed with %d pairs, score %v, boundary %v, effect %+v", r.PairsUsed, *r.Z, r.Boundary, r.Effect)
		}
		for _, c := range r.Constraints {
			if c.State != Held || c.Violation == nil || !(*c.Violation < heldBelow) {
				t.Fatalf("passed with constraint %s, %s", c, c.State)
			}
		}
		for _, row := range r.Objectives {
			if row.Pairs < fewestPairs {
				t.Fatalf("passed with %d pairs of %s", row.Pairs, row.Objective)
			}
		}
	}
	if e := r.Effect; e != nil && !(e.Low <= e.Estimate && e.Estimate <= e.High) {
		t.Fatalf("effect %+v", *e)
	}
	return r
}

func fuzzSeeds(f *testing.F) {
	faster := []byte{0}
	mixed := []byte{4}
	for i := range byte(40) {
		faster = append(faster, 2, 128+i, 64)
		mixed = append(mixed, i, i, 40-i, 100, 90, 80+i, 70, i*5, 17)
	}
	for _, seed := range [][]byte{nil, {0}, faster, mixed} {
		f.Add(seed)
	}
}

// No numbers, however odd, make an experiment panic, pass without evidence or write a report that is not JSON.
func FuzzExperiment(f *testing.F) {
	plans := fuzzDesigns(f)
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 {
			run(t, plans[int(data[0])%len(plans)], data[1:], fuzzValue)
		}
	})
}

// A candidate whose every value is missing, infinite, negative or 0 is never promoted, whatever the baseline did.
func FuzzJunkNeverPasses(f *testing.F) {
	plans := fuzzDesigns(f)
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		r := run(t, plans[int(data[0])%len(plans)], data[1:], func(b byte) float64 { return junk[int(b)%len(junk)] })
		if r.Verdict == Pass {
			t.Fatalf("junk passed: %+v", r)
		}
	})
}

// The scores stay within what their number of values allows and the estimates within their data.
func FuzzScores(f *testing.F) {
	f.Add([]byte{})
	for _, x := range awkward {
		f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(x)), math.Float64bits(-x/3)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d []float64
		allFinite := true
		for ; len(data) >= 8; data = data[8:] {
			d = append(d, math.Float64frombits(binary.LittleEndian.Uint64(data)))
			allFinite = allFinite && finite(d[len(d)-1])
		}
		n := float64(len(d))
		flip, rank := SignFlip(d), SignedRank(d)
		if allFinite && (math.IsNaN(flip) || math.Abs(flip) > math.Sqrt(n)*(1+1e-12)) {
			t.Fatalf("sign flip of %v is %v", d, flip)
		}
		if allFinite && (math.IsNaN(rank) || math.Abs(rank) > math.Sqrt(1.5*n*(n+1)/(2*n+1))*(1+1e-12)) {
			t.Fatalf("signed rank of %v is %v", d, rank)
		}
		hl, err := HodgesLehmann(d, 2)
		if (err == nil) != (allFinite && len(d) >= 2) {
			t.Fatalf("Hodges-Lehmann of %v: %v", d, err)
		}
		if err == nil && !(hl.Low <= hl.Estimate && hl.Estimate <= hl.High) {
			t.Fatalf("Hodges-Lehmann of %v is %v", d, hl)
		}
		if m, err := MeanInterval(d, 2); err == nil && !(m.Low <= m.Estimate && m.Estimate <= m.High) {
			t.Fatalf("mean of %v is %v", d, m)
		}
		var a AnytimeT
		for _, x := range d {
			a.Add(x)
		}
		if e := a.E(); math.IsNaN(e) || e < 0 {
			t.Fatalf("evidence of %v is %v", d, e)
		}
	})
}
