package rsi

import (
	"errors"
	"fmt"
	"time"

	"github.com/sparkrsi/spark/core/graph"
)

// errSpent says that a budget ended. Its wrapper names which.
var errSpent = errors.New("budget spent")

// The defaults of graph.Budget.
const (
	defaultRuns = 5000
	defaultTime = time.Hour
)

// budget is what a cycle may still spend. It belongs to the cycle's goroutine.
type budget struct {
	limit graph.Budget
	now   func() time.Time
	start time.Time
	runs  int
	cost  float64
}

func newBudget(b graph.Budget, now func() time.Time) *budget {
	if b.Runs == 0 {
		b.Runs = defaultRuns
	}
	if b.Time == 0 {
		b.Time = graph.Duration(defaultTime)
	}
	return &budget{limit: b, now: now, start: now()}
}

// allowance is the part of a budget that a phase may reach, so that choosing
// leaves something for confirming.
type allowance struct {
	share   float64 // of cost and time
	reserve int     // runs that stay untouched
}

// everything is the whole budget.
var everything = allowance{share: 1}

// take reserves one run, or says what is used up.
func (b *budget) take(a allowance) error {
	share := a.share
	switch {
	case b.runs >= b.limit.Runs-a.reserve:
		return fmt.Errorf("%w: %d of %d runs are used", errSpent, b.runs, b.limit.Runs)
	case b.limit.CostUSD > 0 && b.cost >= share*b.limit.CostUSD:
		return fmt.Errorf("%w: $%.4f of $%.4f are used", errSpent, b.cost, b.limit.CostUSD)
	case b.now().Sub(b.start) >= time.Duration(share*float64(b.limit.Time)):
		return fmt.Errorf("%w: %s of %s are used", errSpent, b.now().Sub(b.start).Round(time.Second), b.limit.Time)
	}
	b.runs++
	return nil
}
