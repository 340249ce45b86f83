package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The events that policies leave in the trail of a step.
const (
	EventThrottled     = "node_throttled"      // waited for its rate limit; wait_s
	EventCircuitOpen   = "node_circuit_open"   // its failure opened the circuit
	EventCircuitClosed = "node_circuit_closed" // its success closed the circuit
	EventCircuitReject = "node_circuit_reject" // refused by the open circuit
)

// policies are the parts of a node's policy that all runs of a program share.
type policies struct {
	limit   *limiter
	breaker *breaker
}

func policiesOf(n *graph.Node) (p policies) {
	if r := n.RateLimit; r != nil {
		per := time.Duration(r.Per)
		if per == 0 {
			per = time.Second
		}
		p.limit = &limiter{interval: max(time.Duration(float64(per)/r.Rate), 1), burst: max(r.Burst, 1), most: time.Duration(r.MaxWait)}
	}
	if b := n.CircuitBreaker; b != nil {
		cooldown := time.Duration(b.Cooldown)
		if cooldown == 0 {
			cooldown = 30 * time.Second
		}
		kinds := b.Kinds
		if len(kinds) == 0 {
			kinds = defaultKinds
		}
		p.breaker = &breaker{failures: b.Failures, failed: make([]bool, max(b.Window, b.Failures)), cooldown: cooldown, kinds: kinds}
	}
	return p
}

// limiter is a token bucket by virtual scheduling. Source: the generic cell rate
// algorithm, ITU-T Recommendation I.371, 2004, annex A.
type limiter struct {
	interval time.Duration // between two tokens
	burst    int
	most     time.Duration // longest wait; 0 is any

	mu   sync.Mutex // guards full
	full time.Time  // when the bucket will be full again
}

// reserve takes a token and returns how long to wait for it, or false when that
// is longer than allowed; then nothing was taken.
func (l *limiter) reserve(now time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.full
	if full.Before(now) {
		full = now
	}
	wait := max(full.Sub(now)-time.Duration(l.burst-1)*l.interval, 0)
	if l.most > 0 && wait > l.most {
		return wait, false
	}
	l.full = full.Add(l.interval)
	return wait, true
}

// breaker is closed while attempts pass, open while they are refused, and half
// open while one attempt decides.
type breaker struct {
	failures int
	cooldown time.Duration
	kinds    []fault.Kind

	mu      sync.Mutex // guards the fields below
	failed  []bool     // the last attempts, a ring
	next    int
	count   int       // of true in failed
	until   time.Time // the circuit is open; zero when it is closed
	probing bool      // half open: the attempt that decides is under way
}

// enter reports whether an attempt may start, else until when it may not.
func (b *breaker) enter(now time.Time) (until time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return time.Time{}, true
	}
	if b.probing || now.Before(b.until) {
		return b.until, false
	}
	b.probing = true
	return time.Time{}, true
}

// leave records how an attempt ended and returns the event of a change, or "".
// One that was cancelled decides nothing.
func (b *breaker) leave(err error, now time.Time) string {
	kind := fault.KindOf(err)
	b.mu.Lock()
	defer b.mu.Unlock()
	bad := err != nil && slices.Contains(b.kinds, kind)
	switch {
	case err != nil && kind == fault.Cancelled && !bad:
		b.probing = false
	case !b.until.IsZero() && !b.probing: // began before the circuit opened
	case b.probing && bad:
		b.until, b.probing = now.Add(b.cooldown), false
		return EventCircuitOpen
	case b.probing:
		clear(b.failed)
		b.count, b.until, b.probing = 0, time.Time{}, false
		return EventCircuitClosed
	default:
		if b.failed[b.next] {
			b.count--
		}
		if b.failed[b.next] = bad; bad {
			b.count++
		}
		b.next = (b.next + 1) % len(b.failed)
		if b.count >= b.failures {
			b.until = now.Add(b.cooldown)
			return EventCircuitOpen
		}
	}
	return ""
}

func (t *token) event(kind string, now time.Time, attrs ...run.Attr) {
	t.trail.Events = append(t.trail.Events, run.Event{Type: kind, Name: t.step.Node, Time: now, Attrs: attrs})
}

// throttle takes a place in the rate limit of t's node. It reports whether the
// attempt must not run now: it waits until t.delay is over, or it failed.
func (t *token) throttle(now time.Time) bool {
	l := t.frame.prep.policies[t.node].limit
	if l == nil || t.paid {
		t.paid = false
		return false
	}
	wait, ok := l.reserve(now)
	if !ok {
		t.err = fault.New(fault.Limit, t.path(), "the rate limit would make it wait %v, max_wait is %v", wait, l.most).
			WithHint("raise max_wait or the rate, or send less")
		return true
	}
	if wait == 0 {
		return false
	}
	t.delay, t.paid = wait, true
	t.event(EventThrottled, now, run.Float("wait_s", wait.Seconds()))
	return true
}

// guarded runs an attempt through the circuit breaker of its node.
func (x *execution) guarded(ctx context.Context, t *token) ([]byte, error) {
	b := t.frame.prep.policies[t.node].breaker
	if b == nil {
		return x.call(ctx, t)
	}
	now := time.Now()
	if until, ok := b.enter(now); !ok {
		t.event(EventCircuitReject, now)
		return nil, fault.New(fault.Unavailable, t.path(), "the circuit is open after %d failures, for another %v", b.failures,
			max(until.Sub(now), 0).Round(time.Millisecond)).WithHint("see why the node fails, or wait")
	}
	out, err := x.call(ctx, t)
	judged := err
	if err != nil && ctx.Err() != nil { // whatever the node said when it was stopped
		kind := fault.Cancelled
		if errors.Is(context.Cause(ctx), errNodeTimeout) {
			kind = fault.Timeout
		}
		judged = fault.Wrap(kind, "", err, "")
	}
	now = time.Now()
	if change := b.leave(judged, now); change != "" {
		t.event(change, now)
	}
	return out, err
}

// spender names a node whose budget a run counts.
type spender struct {
	prep *prepared
	node int
}

// account adds the model calls of t's last attempt to the run and to every node
// with a budget that t belongs to. A node over its budget fails.
func (x *execution) account(t *token) {
	var used run.Usage
	for _, c := range t.trail.Calls[t.calls:] {
		used.Add(c.Usage)
	}
	t.calls = len(t.trail.Calls)
	if used == (run.Usage{}) {
		return
	}
	x.usage.Add(used)
	if !x.p.prep.budgets {
		return
	}
	for at, inside := t, (*frame)(nil); at != nil; at = inside.parent {
		if at.frame.prep.plan.Nodes[at.node].Spec.Budget != nil {
			s := spender{at.frame.prep, at.node}
			if x.spent == nil {
				x.spent = map[spender]run.Usage{}
			}
			sum := x.spent[s]
			sum.Add(used)
			x.spent[s] = sum
			if err := x.overspent(at, false); err != nil && inside != nil {
				inside.fail(err)
			} else if err != nil && t.err == nil {
				t.err, t.output = err, nil
			}
		}
		inside = at.frame
	}
}

// overspent returns a fault when the node of t is over its budget, or with
// exhausted when it has none left.
func (x *execution) overspent(t *token, exhausted bool) error {
	b := t.frame.prep.plan.Nodes[t.node].Spec.Budget
	if b == nil {
		return nil
	}
	used := x.spent[spender{t.frame.prep, t.node}]
	if n := used.InputTokens + used.OutputTokens; b.Tokens > 0 && (n > b.Tokens || exhausted && n == b.Tokens) {
		return fault.New(fault.Limit, t.frame.prep.paths[t.node]+".budget", "the node used %d tokens in this run, its budget is %d", n, b.Tokens).
			WithHint("raise budget.tokens of the node")
	}
	if b.CostUSD > 0 && (used.Cost > b.CostUSD || exhausted && used.Cost == b.CostUSD) {
		return fault.New(fault.Limit, t.frame.prep.paths[t.node]+".budget", "the node cost %.6g USD in this run, its budget is %.6g", used.Cost, b.CostUSD).
			WithHint("raise budget.cost_usd of the node")
	}
	return nil
}
