package rsi

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sparkrsi/spark/core/stats"
)

// SCREEN ranks by the same number that CONFIRM tests.
func TestScreenAndExperimentAgreeOnU(t *testing.T) {
	list := []stats.Objective{
		{Name: Cost, Weight: .1, Direction: stats.Minimize, Kind: stats.Ratio},
		{Name: Latency, Weight: .3, Direction: stats.Minimize, Kind: stats.Ratio},
		{Name: Quality, Weight: .4, Direction: stats.Maximize, Kind: stats.Bounded},
		{Name: "waste", Weight: .1, Direction: stats.Minimize, Kind: stats.Bounded},
		{Name: Reliability, Weight: .1, Direction: stats.Maximize, Kind: stats.Success},
	}
	const n = 60
	exp, err := stats.NewExperiment(stats.Design{N: n, FirstLook: n, Objectives: list})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func() sample {
		return sample{values: []float64{math.Exp(rng.NormFloat64()), math.Exp(.2 * rng.NormFloat64()), rng.Float64(), rng.Float64(), 1}, ok: true}
	}
	var b, c []sample
	level := make([]float64, len(list))
	for i := range n {
		b, c = append(b, draw()), append(c, draw())
		if i == 3 { // a baseline that fails leaves only quality and success
			b[i].ok, b[i].err = false, errors.New("crashed")
			b[i].values = []float64{math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()}
		}
		if _, err := exp.Add(stats.Pair{Baseline: b[i].values, Candidate: c[i].values, BaselineOK: b[i].ok, CandidateOK: c[i].ok}); err != nil {
			t.Fatal(err)
		}
	}
	r := exp.Report()
	for k, row := range r.Objectives {
		level[k] = *row.Baseline
	}
	var sum float64
	for i := range n {
		sum += improvement(list, b[i], c[i], level)
	}
	if got, want := 100*sum/n, r.Effect.Estimate; math.Abs(got-want) > 1e-9 {
		t.Errorf("SCREEN says %v, CONFIRM %v", got, want)
	}
}

func TestAFailureIsTheWorst(t *testing.T) {
	list := []stats.Objective{{Name: Latency, Weight: 1, Direction: stats.Minimize, Kind: stats.Ratio}}
	ok := sample{values: []float64{1}, ok: true}
	failed := sample{values: []float64{math.NaN()}}
	if u := improvement(list, ok, failed, []float64{1}); u != -maxLogRatio {
		t.Errorf("a crash is worth %v", u)
	}
	if u := improvement(list, failed, ok, []float64{1}); u != 0 {
		t.Errorf("a crash of the baseline is worth %v", u)
	}
	if u := improvement(list, ok, sample{values: []float64{math.E / 2}, ok: true}, []float64{1}); math.Abs(u-(math.Log(2)-1)) > 1e-12 {
		t.Errorf("e/2 times the latency is worth %v", u)
	}
}

func TestMeanOfRepeats(t *testing.T) {
	crash := errors.New("crashed")
	m := mean([]sample{{values: []float64{1, math.NaN()}, ok: true}, {values: []float64{9, 9}, err: crash}, {values: []float64{3, 4}, ok: true}})
	if m.ok || m.err != crash || m.values[0] != 2 || m.values[1] != 4 {
		t.Errorf("%+v", m)
	}
}
