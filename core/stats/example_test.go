package stats_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/sparkrsi/spark/core/stats"
)

// A candidate that answers a little better and takes a quarter less time is tried on at most 140 inputs.
func Example() {
	floor := 0.5
	e, err := stats.NewExperiment(stats.Design{
		N: 140,
		Objectives: []stats.Objective{
			{Name: "quality", Weight: 0.6, Direction: stats.Maximize, Kind: stats.Bounded, Min: &floor},
			{Name: "latency", Weight: 0.4, Direction: stats.Minimize, Kind: stats.Ratio},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func() float64 { return math.Exp(0.2 * rng.NormFloat64()) }
	for i := range 140 {
		score := 0.5 + 0.1*float64(i%5)
		pair := stats.Pair{
			Baseline: []float64{score, 0.040 * noise()}, BaselineOK: true,
			Candidate: []float64{score, 0.030 * noise()}, CandidateOK: true,
		}
		if i%10 == 0 {
			pair.Candidate[0] += 0.1
		}
		decision, err := e.Add(pair)
		if err != nil {
			fmt.Println(err)
			return
		}
		if decision.Done {
			break
		}
	}
	report := e.Report()
	fmt.Println(report.Verdict, report.PairsUsed, "of", report.PairsPlanned)
	for _, row := range report.Objectives {
		fmt.Printf("%s %+.1f %s, %s\n", row.Objective, row.Change.Estimate, row.Unit, row.State)
	}
	for _, c := range report.Constraints {
		fmt.Println(c.Objective, c.Rule, c.State)
	}
	// Output:
	// pass 20 of 140
	// quality +1.4 percent, undecided
	// latency -27.2 percent, better
	// success +0.0 points, undecided
	// quality min held
	// latency margin held
	// success margin held
}

// The boundaries of four looks, by alpha spending.
func ExampleBoundaries() {
	bounds, err := stats.Boundaries(0.025, stats.KimDeMets(2), []int{25, 50, 75, 100}, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f\n", bounds)
	// Output: [2.9552 2.5594 2.3009 2.0920]
}

// One wild value moves the median of Walsh averages little.
func ExampleHodgesLehmann() {
	i, err := stats.HodgesLehmann([]float64{0.20, 0.22, 0.18, 0.25, 0.21, 0.19, 0.23, -1.5}, 1.96)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", i.Estimate)
	// Output: 0.205
}

// A p95 is compared with its uncertainty or not at all.
func ExampleQuantileRatio() {
	rng := rand.New(rand.NewPCG(3, 4))
	few := make([]float64, 58)
	_, err := stats.QuantileRatio(few, few, 0.95, rng)
	fmt.Println(err)
	// Output: quantile ratio at 0.95: 58 values: too few values
}

// How many inputs it takes to see a tenth, and what 140 can see.
func ExamplePairsFor() {
	fmt.Println(stats.PairsFor(0.4, -0.10))
	fmt.Printf("%.1f %%\n", -100*math.Expm1(-stats.SmallestEffect(140, 0.4)))
	// Output:
	// 119
	// 9.2 %
}
