// Package gateway makes model calls: it routes a request to a provider, bounds and
// repeats tries, falls back to other models, reckons what the answer cost and
// tells it as a run.ModelCall. Start with New; Generate serves Go callers and
// GenerateJSON the host call of node modules.
//
// It never invents an answer: when no provider answers, the fault of the last one
// is returned.
package gateway

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// Config wires a Gateway. A zero number means its default.
type Config struct {
	// Providers by the name that requests route to. They are opened already and
	// stay the caller's to close.
	Providers map[string]model.Provider
	// Aliases name models: a request for the alias tries its targets in order,
	// each written "provider/model". An alias holds no slash.
	Aliases map[string][]string
	// Prices by "provider/model" replace those that the provider states.
	Prices map[string]Price

	Timeout    time.Duration // of one try: 60 s
	Attempts   int           // tries of one target: 3
	Backoff    time.Duration // before the second try, doubled for each further one: 200 ms
	MaxBackoff time.Duration // the longest of these waits: 10 s

	Budget Budget       // nil allows everything
	Logger *slog.Logger // nil discards
}

// Price is what a model costs, in US dollars for a million tokens.
type Price struct {
	Input  float64
	Output float64
}

// Budget limits model calls beyond the limits of a run. Methods are called
// concurrently.
type Budget interface {
	// Allow returns nil when target, "provider/model", may be asked, else the fault
	// that the caller gets, usually Limit. It is asked once for each target.
	Allow(ctx context.Context, target string, r *model.Request) error
	// Spent is told of every call that was answered.
	Spent(c run.ModelCall)
}

// Gateway routes and repeats model calls. It is safe for concurrent use.
type Gateway struct {
	cfg Config

	mu     sync.Mutex                  // guards the fields below
	prices map[string]map[string]Price // stated by providers: provider, model
	warned map[string]bool             // targets without a price that were logged
}

// New returns a gateway, or an Invalid fault that names what is wrong with cfg.
func New(cfg Config) (*Gateway, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 60 * time.Second
	}
	if cfg.Attempts <= 0 {
		cfg.Attempts = 3
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = 200 * time.Millisecond
	}
	if cfg.MaxBackoff <= 0 {
		cfg.MaxBackoff = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{cfg: cfg, prices: map[string]map[string]Price{}, warned: map[string]bool{}}
	return g, g.validate()
}

func (g *Gateway) validate() error {
	for _, name := range slices.Sorted(maps.Keys(g.cfg.Providers)) {
		if name == "" || strings.Contains(name, "/") {
			return fault.New(fault.Invalid, "models."+name, "a provider's name is not empty and holds no slash")
		}
		if g.cfg.Providers[name] == nil {
			return fault.New(fault.Invalid, "models."+name, "the provider is nil")
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(g.cfg.Aliases)) {
		path := "aliases." + alias
		if alias == "" || strings.Contains(alias, "/") {
			return fault.New(fault.Invalid, path, "an alias is not empty and holds no slash")
		}
		if len(g.cfg.Aliases[alias]) == 0 {
			return fault.New(fault.Invalid, path, "the alias has no target")
		}
		for _, to := range g.cfg.Aliases[alias] {
			if _, err := g.target(to); err != nil {
				return fault.Wrap(fault.Invalid, path, err, "target %q", to)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.cfg.Prices)) {
		if _, err := g.target(name); err != nil {
			return fault.Wrap(fault.Invalid, "prices."+name, err, "price of an unknown model")
		}
		if p := g.cfg.Prices[name]; !(p.Input >= 0 && p.Output >= 0) || math.IsInf(p.Input+p.Output, 0) {
			return fault.New(fault.Invalid, "prices."+name, "prices are %v and %v, want finite numbers from 0", p.Input, p.Output)
		}
	}
	return nil
}

// target is one model of one provider.
type target struct {
	provider string
	model    string
}

func (t target) String() string { return t.provider + "/" + t.model }

// target returns what "provider/model" means; the model's own name may hold
// slashes.
func (g *Gateway) target(name string) (target, error) {
	provider, id, ok := strings.Cut(name, "/")
	if !ok || id == "" {
		return target{}, fault.New(fault.NotFound, "model", "there is no model %q", name).WithHint("%s", g.known())
	}
	if g.cfg.Providers[provider] == nil {
		return target{}, fault.New(fault.NotFound, "model", "there is no provider %q, which the model %q needs", provider, name).WithHint("%s", g.known())
	}
	return target{provider, id}, nil
}

// route returns the targets for a request to the model called name, in the order
// in which they are tried. NotFound when there is none.
func (g *Gateway) route(name string) ([]target, error) {
	names, ok := g.cfg.Aliases[name]
	if !ok {
		names = []string{name}
	}
	targets := make([]target, len(names))
	for i, n := range names {
		var err error
		if targets[i], err = g.target(n); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// known says which names a request may use.
func (g *Gateway) known() string {
	var names []string
	for name := range g.cfg.Providers {
		names = append(names, name+"/MODEL")
	}
	for alias := range g.cfg.Aliases {
		names = append(names, alias)
	}
	if len(names) == 0 {
		return "configure a provider under models"
	}
	slices.Sort(names)
	return "name one of " + strings.Join(names, ", ")
}
