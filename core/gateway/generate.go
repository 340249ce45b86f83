package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// errTimeout is the cause of a try's context that ended by Config.Timeout.
var errTimeout = errors.New("no answer in time")

// Generate answers r and returns what the call was: the target that answered or
// failed last, when, tokens, cost, and the error. A try that fails as Transient,
// Unavailable or by its timeout is repeated up to Attempts times with growing
// waits; then, and at once for Limit, the next target of an alias is tried. Any
// other fault is returned as it is. The call is zero when no provider was asked:
// Invalid for a malformed request, NotFound for an unknown model, or the fault of
// the budget. When ctx ends, its error is returned as Timeout or Cancelled.
func (g *Gateway) Generate(ctx context.Context, r *model.Request) (*model.Response, run.ModelCall, error) {
	var call run.ModelCall
	if err := r.Validate(); err != nil {
		return nil, call, err
	}
	targets, err := g.route(r.Model)
	if err != nil {
		return nil, call, err
	}
	start := time.Now()
	for i, t := range targets {
		if g.cfg.Budget != nil {
			if err = g.cfg.Budget.Allow(ctx, t.String(), r); err != nil {
				break
			}
		}
		var resp *model.Response
		var price Price
		resp, price, err = g.ask(ctx, t, r)
		call = run.ModelCall{Provider: t.provider, Model: t.model, Start: start, End: time.Now(), Usage: run.Usage{Calls: 1}, Err: err}
		if err == nil {
			call.Usage.InputTokens, call.Usage.OutputTokens = resp.InputTokens, resp.OutputTokens
			call.Usage.Cost, call.Cached = price.cost(resp), resp.Cached
			if resp.Model != "" {
				call.Model = resp.Model
			}
			if g.cfg.Budget != nil {
				g.cfg.Budget.Spent(call)
			}
			return resp, call, nil
		}
		if ctx.Err() != nil || !retryable(err) && !fault.Is(err, fault.Limit) {
			break
		}
		if i+1 < len(targets) {
			g.cfg.Logger.Warn("model call falls back", "from", t.String(), "to", targets[i+1].String(), "error", err)
		}
	}
	return nil, call, err
}

// ask tries one target up to Attempts times.
func (g *Gateway) ask(ctx context.Context, t target, r *model.Request) (*model.Response, Price, error) {
	pause := g.cfg.Backoff
	for attempt := 1; ; attempt++ {
		resp, price, err := g.try(ctx, t, r)
		if err == nil || attempt == g.cfg.Attempts || !retryable(err) || ctx.Err() != nil {
			return resp, price, err
		}
		g.cfg.Logger.Warn("model call is repeated", "model", t.String(), "attempt", attempt, "wait", pause, "error", err)
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, Price{}, ended(ctx, t)
		}
		pause = min(2*pause, g.cfg.MaxBackoff)
	}
}

// try asks the provider of t once.
func (g *Gateway) try(ctx context.Context, t target, r *model.Request) (*model.Response, Price, error) {
	provider := g.cfg.Providers[t.provider]
	own, cancel := context.WithTimeoutCause(ctx, g.cfg.Timeout, errTimeout)
	defer cancel()
	price, err := g.price(own, provider, t)
	var resp *model.Response
	if err == nil {
		request := *r
		request.Model = t.model
		resp, err = provider.Generate(own, &request)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, Price{}, ended(ctx, t)
	case err != nil && context.Cause(own) == errTimeout:
		return nil, Price{}, fault.Wrap(fault.Timeout, "models."+t.String(), context.DeadlineExceeded, "no answer within %v", g.cfg.Timeout)
	case err != nil:
		return nil, Price{}, fault.Wrap("", "models."+t.String(), err, "model call")
	case resp == nil || resp.InputTokens < 0 || resp.OutputTokens < 0:
		return nil, Price{}, fault.New(fault.Internal, "models."+t.String(), "the provider gave no answer or a negative number of tokens").
			WithHint("report it to the author of the provider")
	}
	return resp, price, nil
}

// ended is the fault of a call whose caller's context has ended.
func ended(ctx context.Context, t target) error {
	return fault.Wrap("", "models."+t.String(), ctx.Err(), "model call")
}

func retryable(err error) bool {
	switch fault.KindOf(err) {
	case fault.Transient, fault.Unavailable, fault.Timeout:
		return true
	}
	return false
}
