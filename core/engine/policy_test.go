package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// In no stretch of time do more tokens leave the bucket than the burst and the
// rate give.
func TestLimiter(t *testing.T) {
	l := policiesOf(&graph.Node{RateLimit: &graph.RateLimit{Rate: 10, Burst: 4}}).limit
	start := time.Unix(1000, 0)
	var at []time.Duration
	now := start
	for i := range 200 {
		if i == 100 {
			now = now.Add(time.Hour) // the bucket fills again
		}
		wait, ok := l.reserve(now)
		if !ok {
			t.Fatal("refused without max_wait")
		}
		at = append(at, now.Add(wait).Sub(start))
		now = now.Add(time.Duration(i%7) * 20 * time.Millisecond)
	}
	for i := range at {
		for j := i; j < len(at); j++ {
			if n, most := j-i+1, 4+int((at[j]-at[i])/(100*time.Millisecond)); n > most {
				t.Fatalf("%d tokens from %v to %v, at most %d", n, at[i], at[j], most)
			}
		}
	}
	if at[99]-at[0] > 100*100*time.Millisecond {
		t.Errorf("slower than the rate: %v for 100", at[99]-at[0])
	}
	l = policiesOf(&graph.Node{RateLimit: &graph.RateLimit{Rate: 1, MaxWait: graph.Duration(time.Second)}}).limit
	for i, want := range []bool{true, true, false, false} {
		if _, ok := l.reserve(start); ok != want {
			t.Errorf("%d: %v", i, ok)
		}
	}
	if wait, ok := l.reserve(start.Add(time.Second)); !ok || wait != time.Second {
		t.Errorf("a refused attempt took a token: %v", wait)
	}
}

// All runs of a program share a limit and a circuit; a waiting run holds no
// worker.
func TestLimitIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := program(t, "graph: g\nstart: a\nnodes: {a: {native: f, rate_limit: {rate: 1}}}\n", map[string]Func{"f": echo})
		start := time.Now()
		done := make(chan time.Duration, 5)
		for range 5 {
			go func() {
				_, err := Run(t.Context(), p, []byte("1"), Options{})
				if err != nil {
					t.Error(err)
				}
				done <- time.Since(start)
			}()
		}
		for i := range 5 {
			if d := <-done; d != time.Duration(i)*time.Second {
				t.Errorf("run %d ended after %v", i, d)
			}
		}
	})
}

func TestBreaker(t *testing.T) {
	now := time.Unix(1000, 0)
	b := policiesOf(&graph.Node{CircuitBreaker: &graph.CircuitBreaker{Failures: 2, Window: 3, Cooldown: graph.Duration(time.Second)}}).breaker
	down, refused := fault.New(fault.Unavailable, "", "down"), fault.New(fault.Rejected, "", "no")
	for i, s := range []struct {
		wait    time.Duration
		allowed bool
		err     error
		event   string
	}{
		{0, true, down, ""},
		{0, true, nil, ""},
		{0, true, refused, ""}, // the first failure leaves the window
		{0, true, down, ""},
		{0, true, down, EventCircuitOpen},
		{999 * time.Millisecond, false, nil, ""},
		{time.Millisecond, true, down, EventCircuitOpen},
		{time.Second, true, context.Canceled, ""}, // decides nothing
		{0, true, errors.New("plain"), EventCircuitClosed},
		{0, true, down, ""},
		{0, true, down, EventCircuitOpen},
	} {
		now = now.Add(s.wait)
		_, ok := b.enter(now)
		if ok != s.allowed {
			t.Fatalf("%d: allowed %v", i, ok)
		}
		if !ok {
			continue
		}
		if e := b.leave(s.err, now); e != s.event {
			t.Fatalf("%d: event %q, want %q", i, e, s.event)
		}
	}
	now = now.Add(time.Second)
	_, first := b.enter(now)
	if _, second := b.enter(now); !first || second {
		t.Error("half open lets one attempt through", first, second)
	}
}

// A node that times out or that a failing sibling stops: only the first is its
// own failure.
func TestBreakerJudges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := "graph: g\nstart: a\nnodes: {a: {native: hang, timeout: 1s, circuit_breaker: {failures: 1, cooldown: 5s}}}\n"
		p := program(t, doc, map[string]Func{"hang": hang})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := Run(ctx, p, []byte("1"), Options{}); !fault.Is(err, fault.Cancelled) {
			t.Error(err)
		}
		var seen log
		if _, err := Run(t.Context(), p, []byte("1"), Options{Observer: &seen}); !fault.Is(err, fault.Timeout) {
			t.Error("the cancelled run opened the circuit:", err)
		}
		if _, err := Run(t.Context(), p, []byte("1"), Options{}); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Error("the timeout did not open the circuit:", err)
		}
	})
}

// Policies without effect on a run leave nothing in its observations.
func TestQuietPolicies(t *testing.T) {
	doc := `graph: g
start: a
nodes: {a: {native: f, rate_limit: {rate: 1000, burst: 1000}, circuit_breaker: {failures: 3}, budget: {tokens: 5}, cache: {force: true}}}
`
	p := program(t, doc, map[string]Func{"f": echo})
	var seen log
	if _, err := Run(t.Context(), p, []byte("1"), Options{Observer: &seen}); err != nil || seen.of("a")[0].Trail != nil || seen.of("a")[0].Phase != run.StepFinished {
		t.Errorf("%+v, %v", seen.of("a"), err)
	}
}
