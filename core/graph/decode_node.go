package graph

import (
	"math"
	"strings"

	"go.yaml.in/yaml/v3"
)

// expression decodes the text of a CEL expression.
func (d *decoder) expression(to *string) field {
	return func(n *yaml.Node, path string) {
		before := len(d.fs)
		if d.str(to)(n, path); len(d.fs) == before && strings.TrimSpace(*to) == "" {
			d.errorf(n, path, "write an expression or remove the key", "is empty")
		}
	}
}

// filled decodes a string that says something.
func (d *decoder) filled(to *string) field {
	return func(n *yaml.Node, path string) {
		before := len(d.fs)
		if d.str(to)(n, path); len(d.fs) == before && *to == "" {
			d.errorf(n, path, "name one or remove the key", "is empty")
		}
	}
}

func (d *decoder) retry(n *yaml.Node, path string) *Retry {
	r := &Retry{}
	d.object(n, path, fields{
		"attempts":    d.atLeast(1, &r.Attempts),
		"backoff":     d.duration(&r.Backoff),
		"max_backoff": d.duration(&r.MaxBackoff),
		"kinds":       d.kinds(&r.Kinds),
	})
	d.require(n, path, "attempts")
	if r.Attempts > maxAttempts {
		d.errorf(n, join(path, "attempts"), "", "is %d, the limit is %d", r.Attempts, maxAttempts)
	}
	return r
}

func (d *decoder) foreach(n *yaml.Node, path string) *Foreach {
	f := &Foreach{}
	d.object(n, path, fields{
		"items":         d.expression(&f.Items),
		"concurrency":   d.atLeast(1, &f.Concurrency),
		"on_item_error": word(d, &f.OnItemError, ItemFail, ItemSkip, ItemNull),
	})
	d.require(n, path, "items")
	return f
}

// maxAttempts bounds the tries of one step.
const maxAttempts = 100

func (d *decoder) cache(n *yaml.Node, path string) *Cache {
	c := &Cache{}
	d.object(n, path, fields{"ttl": d.duration(&c.TTL), "key": d.expression(&c.Key), "force": d.boolean(&c.Force)})
	return c
}

func (d *decoder) rateLimit(n *yaml.Node, path string) *RateLimit {
	r := &RateLimit{}
	d.object(n, path, fields{
		"rate":     d.number(&r.Rate),
		"per":      d.duration(&r.Per),
		"burst":    d.atLeast(1, &r.Burst),
		"max_wait": d.duration(&r.MaxWait),
	})
	d.require(n, path, "rate")
	return r
}

func (d *decoder) breaker(n *yaml.Node, path string) *CircuitBreaker {
	b := &CircuitBreaker{}
	d.object(n, path, fields{
		"failures": d.atLeast(1, &b.Failures),
		"window":   d.atLeast(1, &b.Window),
		"cooldown": d.duration(&b.Cooldown),
		"kinds":    d.kinds(&b.Kinds),
	})
	d.require(n, path, "failures")
	return b
}

func (d *decoder) nodeBudget(n *yaml.Node, path string) *NodeBudget {
	b, tokens := &NodeBudget{}, 0
	d.object(n, path, fields{"cost_usd": d.within(0, math.MaxFloat64, &b.CostUSD), "tokens": d.atLeast(0, &tokens)})
	b.Tokens = int64(tokens)
	return b
}
