package gateway

import (
	"context"

	"github.com/sparkrsi/spark/sdk/model"
)

// price returns what t costs: as configured, else as its provider states, which
// is asked once. A model whose price nobody knows costs 0 and is logged once.
func (g *Gateway) price(ctx context.Context, p model.Provider, t target) (Price, error) {
	name := t.String()
	if price, ok := g.cfg.Prices[name]; ok {
		return price, nil
	}
	g.mu.Lock()
	stated, asked := g.prices[t.provider]
	g.mu.Unlock()
	if !asked {
		info, err := p.Info(ctx)
		if err != nil {
			return Price{}, err
		}
		stated = map[string]Price{}
		for _, m := range info.Models {
			if m.InputCost != nil && m.OutputCost != nil {
				stated[m.ID] = Price{*m.InputCost, *m.OutputCost}
			}
		}
		g.mu.Lock()
		g.prices[t.provider] = stated
		g.mu.Unlock()
	}
	price, ok := stated[t.model]
	if !ok {
		g.mu.Lock()
		first := !g.warned[name]
		g.warned[name] = true
		g.mu.Unlock()
		if first {
			g.cfg.Logger.Warn("no price is known for a model; its calls count as free", "model", name)
		}
	}
	return price, nil
}

// cost returns what r cost at price p, in US dollars.
func (p Price) cost(r *model.Response) float64 {
	if r.Cached {
		return 0
	}
	return (float64(r.InputTokens)*p.Input + float64(r.OutputTokens)*p.Output) / 1e6
}
