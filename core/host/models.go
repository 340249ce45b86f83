package host

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/sparkrsi/spark/core/gateway"
	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// models starts the providers when the first model call needs them. It
// implements wasmhost.Generator.
type models struct {
	host *Host

	mu      sync.Mutex // guards the fields below
	gateway *gateway.Gateway
	plugins []*plughost.Plugin
}

func (m *models) Generate(ctx context.Context, req []byte, trail *run.Trail) ([]byte, error) {
	g, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	return g.GenerateJSON(ctx, req, trail)
}

// open returns the gateway with every configured provider behind it.
func (m *models) open(ctx context.Context) (*gateway.Gateway, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gateway != nil {
		return m.gateway, nil
	}
	if len(m.host.cfg.Models) == 0 {
		return nil, fault.New(fault.Unavailable, "models", "no model provider is configured").
			WithHint("add one under models: in the configuration")
	}
	providers := map[string]model.Provider{}
	for _, name := range slices.Sorted(maps.Keys(m.host.cfg.Models)) {
		cfg := m.host.cfg.Models[name]
		if cfg.Provider != nil {
			providers[name] = cfg.Provider
			continue
		}
		spec, err := m.host.pluginSpec(cfg.Plugin, plughost.Model, cfg.Config)
		if err != nil {
			return nil, err
		}
		spec.Name = name
		// The process outlives the run whose call started it.
		p, err := plughost.Launch(context.WithoutCancel(ctx), spec)
		if err != nil {
			return nil, fault.Wrap("", "models."+name, err, "start the provider")
		}
		m.plugins = append(m.plugins, p)
		providers[name] = model.NewClient(p.Conn())
	}
	g, err := gateway.New(gateway.Config{Providers: providers})
	if err != nil {
		return nil, err
	}
	m.gateway = g
	return g, nil
}

func (m *models) close(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, p := range m.plugins {
		errs = append(errs, p.Close(ctx))
	}
	m.plugins, m.gateway = nil, nil
	return errors.Join(errs...)
}
