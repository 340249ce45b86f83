package graph

import (
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// maxWindow bounds the attempts that a circuit breaker remembers.
const maxWindow = 10_000

// policies checks what a node says about caching, limits and failures.
func (v *validator) policies(n *Node, path string) {
	if c := n.Cache; c != nil {
		v.keyed(n, c.Key, path+".cache.key")
		if c.TTL < 0 {
			v.errorf(path+".cache.ttl", "", "cannot be negative")
		}
		if n.Native != "" && !c.Force {
			v.errorf(path+".cache", "add force: true if it always answers the same to the same input",
				"nothing says that the Go function %s gives the same output again", n.Native)
		}
	}
	v.keyed(n, n.IdempotencyKey, path+".idempotency_key")
	if r := n.RateLimit; r != nil {
		if !(r.Rate > 0 && r.Rate <= 1e9) {
			v.errorf(path+".rate_limit.rate", "", "is %v, must lie above 0 and at most at 1e9", r.Rate)
		}
		if r.Burst < 0 || r.Burst > 1e6 || r.Per < 0 || r.MaxWait < 0 {
			v.errorf(path+".rate_limit", "", "burst must lie between 1 and 1e6, per and max_wait cannot be negative")
		}
	}
	if b := n.CircuitBreaker; b != nil {
		if b.Failures < 1 || b.Window != 0 && b.Window < b.Failures || max(b.Window, b.Failures) > maxWindow {
			v.errorf(path+".circuit_breaker", "such as failures: 5, window: 10", "failures is %d and window %d, want 1 <= failures <= window <= %d",
				b.Failures, b.Window, maxWindow)
		}
		if b.Cooldown < 0 {
			v.errorf(path+".circuit_breaker.cooldown", "", "cannot be negative")
		}
		for _, k := range b.Kinds {
			if _, ok := fault.ParseKind(string(k)); !ok {
				v.errorf(path+".circuit_breaker.kinds", oneOf(string(k), kindNames()), "%q is not a kind of error", k)
			}
		}
	}
	if b := n.Budget; b != nil && (b.CostUSD < 0 || b.Tokens < 0) {
		v.errorf(path+".budget", "", "cannot be negative")
	}
}

// keyed checks an expression that gives a key.
func (v *validator) keyed(n *Node, src, path string) {
	if src == "" {
		return
	}
	p, err := CompileExpression(src)
	if v.expression(path, p, err); err != nil {
		return
	}
	v.ancestors(n, p, path)
	if n.Foreach == nil {
		v.itemless(p, path)
	}
}

// cacheable refuses to cache what need not give the same again.
func (v *validator) cacheable(n *Node, t *abi.NodeType, path string) {
	if n.Cache == nil || n.Cache.Force {
		return
	}
	switch {
	case t.Effects == abi.EffectsWrite:
		v.errorf(path+".cache", "remove it, or add force: true", "%s changes the world (effects: write), a cached output would leave that out", n.Module)
	case !t.Deterministic && !t.Idempotent:
		v.errorf(path+".cache", "add force: true if the same input may get the same output",
			"%s does not say that it is deterministic or idempotent", n.Module)
	}
}
