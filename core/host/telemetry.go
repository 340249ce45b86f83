package host

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/batchjson"
	"github.com/sparkrsi/spark/sdk/fault"
)

// off is the profile name that switches telemetry off.
const off = "off"

// profile is one opened telemetry profile.
type profile struct {
	name      string
	once      sync.Once
	err       error
	opened    atomic.Bool                            // rec may be read without once
	rec       *telemetry.Recorder                    // nil when off
	writer    backend.Writer                         // the backend, safe for several who write
	sink      backend.Writer                         // writer, behind the collector graph when there is one
	collector *collector                             // nil for none
	front     func(to backend.Writer) backend.Writer // puts the collector in front; nil for none
	info      backend.Info
	plugin    *plughost.Plugin // nil for a backend in this process
}

// profile returns the opened profile called name; "" is the default one. The
// backend is started at the first call.
func (h *Host) profile(ctx context.Context, name string) (*profile, error) {
	if name == "" {
		name = h.cfg.DefaultProfile
	}
	h.mu.Lock()
	p := h.profiles[name]
	if p == nil {
		p = &profile{name: name}
		h.profiles[name] = p
	}
	h.mu.Unlock()
	p.once.Do(func() { p.err = h.openProfile(ctx, p) })
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

func (h *Host) openProfile(ctx context.Context, p *profile) error {
	if p.name == off {
		return nil
	}
	cfg, ok := h.cfg.Telemetry[p.name]
	if !ok {
		return fault.New(fault.Invalid, "telemetry", "there is no telemetry profile %q", p.name).
			WithHint("name one of the host's profiles, or off")
	}
	if !cfg.Enabled {
		return nil
	}
	w, here := h.cfg.Backends[cfg.Backend]
	if !here {
		if cfg.Backend == "sqlite" && cfg.DBPath == "" {
			cfg.DBPath = filepath.Join(h.cfg.DataDir, "telemetry.db")
		}
		spec, err := h.pluginSpec(cfg.Backend, plughost.Backend, cfg.BackendConfig())
		if err != nil {
			return err
		}
		w, p.plugin, err = launch(ctx, spec)
		if down(err) {
			h.log.Warn("the telemetry backend is down; runs go on and what they record waits", "profile", p.name, "backend", cfg.Backend, "error", err)
			w = &late{name: cfg.Backend, err: err, next: time.Now().Add(lateRetry),
				open: func(ctx context.Context) (backend.Writer, *plughost.Plugin, error) { return launch(ctx, spec) }}
		} else if err != nil {
			return err
		}
	}
	p.writer, p.info = inTurns(w), backend.Describe(w)
	err := h.collect(ctx, p, cfg.Collector)
	var rec *telemetry.Recorder
	if err == nil {
		rec, err = telemetry.New(cfg, p.writer, telemetry.Options{Environment: h.cfg.Environment, Logger: h.log, Collector: p.front,
			SpoolDir: filepath.Join(h.cfg.DataDir, "spool", p.name)})
	}
	if err != nil {
		if p.collector != nil {
			p.collector.close()
		}
		if p.plugin != nil {
			err = errors.Join(err, p.plugin.Close(ctx))
		}
		return err
	}
	p.rec = rec
	p.opened.Store(true)
	return nil
}

// collect puts the graph that collects in front of the backend of p. A graph that
// is not there yet may be applied later.
func (h *Host) collect(ctx context.Context, p *profile, name string) error {
	p.sink = p.writer
	if name == "" {
		return nil
	}
	// While the host closes its profiles none may be added.
	h.mu.Lock()
	if h.profiles[off] == nil {
		h.profiles[off] = &profile{name: off}
	}
	h.mu.Unlock()
	p.collector = &collector{host: h, profile: p.name, graph: name}
	p.front = func(to backend.Writer) backend.Writer { return inHalves(batchjson.Through(to, p.collector.run)) }
	p.sink = p.front(p.writer)
	d, err := p.collector.pick(ctx)
	switch {
	case err == nil:
		d.release()
	case fault.Is(err, fault.NotFound):
		h.log.Warn("telemetry waits for the graph that collects it", "profile", p.name, "graph", name)
	default:
		return err
	}
	return nil
}

// recording returns the opened profile called name; "" is the default one. A
// profile that is off is an Invalid fault.
func (h *Host) recording(ctx context.Context, name string) (*profile, error) {
	p, err := h.profile(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.rec == nil {
		return nil, fault.New(fault.Invalid, "telemetry."+p.name, "telemetry is off in profile %q", p.name).
			WithHint("name another profile, or enable this one")
	}
	return p, nil
}

func (p *profile) close(ctx context.Context) error {
	var errs []error
	if p.rec != nil {
		errs = append(errs, p.rec.Close(ctx))
	}
	if p.collector != nil {
		p.collector.close()
	}
	if p.plugin != nil {
		errs = append(errs, p.plugin.Close(ctx))
	}
	return errors.Join(errs...)
}

// Query returns the telemetry of a graph; "" means the default profile. It is
// refused when the profile is off or its backend cannot answer questions.
func (h *Host) Query(ctx context.Context, graphName string) (*telemetry.Query, error) {
	p, err := h.profileOf(ctx, graphName)
	if err != nil {
		return nil, err
	}
	return p.query()
}

// QueryProfile is Query for a profile by its name.
func (h *Host) QueryProfile(ctx context.Context, name string) (*telemetry.Query, error) {
	p, err := h.profile(ctx, name)
	if err != nil {
		return nil, err
	}
	return p.query()
}

func (p *profile) query() (*telemetry.Query, error) {
	if p.rec == nil {
		return nil, fault.New(fault.Invalid, "telemetry."+p.name, "telemetry is off in profile %q", p.name).
			WithHint("name another profile in the policy, or enable this one")
	}
	return p.rec.Query()
}

// TelemetryStats returns the counters of the recorder that serves a graph.
func (h *Host) TelemetryStats(ctx context.Context, graphName string) (telemetry.Stats, error) {
	p, err := h.profileOf(ctx, graphName)
	if err != nil || p.rec == nil {
		return telemetry.Stats{}, err
	}
	return p.rec.Stats(), nil
}

// Recorders returns the counters of every recorder that works, by the name of its
// profile.
func (h *Host) Recorders() map[string]telemetry.Stats {
	all := map[string]telemetry.Stats{}
	for _, p := range h.recorders() {
		all[p.name] = p.rec.Stats()
	}
	return all
}

// recorders returns the profiles that record.
func (h *Host) recorders() (list []*profile) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.profiles {
		if p.opened.Load() {
			list = append(list, p)
		}
	}
	return list
}

// Flush returns once everything recorded so far is durable in every backend.
func (h *Host) Flush(ctx context.Context) error {
	var errs []error
	for _, p := range h.recorders() {
		errs = append(errs, p.rec.Flush(ctx))
	}
	return errors.Join(errs...)
}

// FlushProfile does what Flush does for one profile, which it opens: what an
// earlier host left in its spool is written, too. "" is the default profile, and
// nothing when that is off.
func (h *Host) FlushProfile(ctx context.Context, name string) error {
	if name == "" && h.cfg.DefaultProfile == off {
		return nil
	}
	p, err := h.recording(ctx, name)
	if err != nil {
		return err
	}
	return p.rec.Flush(ctx)
}

// Prune removes what ended before t from the backend of a profile and returns how
// many traces that were; "" is the default profile. A Denied fault when the
// backend cannot.
func (h *Host) Prune(ctx context.Context, name string, t time.Time) (int64, error) {
	p, err := h.recording(ctx, name)
	if err != nil {
		return 0, err
	}
	if err := p.rec.Flush(ctx); err != nil {
		return 0, err
	}
	return p.rec.Prune(ctx, t)
}

// profileOf returns the profile that the policy of a graph names.
func (h *Host) profileOf(ctx context.Context, graphName string) (*profile, error) {
	if graphName == "" {
		return h.profile(ctx, "")
	}
	v, err := h.store.Active(ctx, graphName)
	if err != nil {
		return nil, err
	}
	pol, err := h.policy(ctx, v.Locked.Graph)
	if err != nil {
		return nil, err
	}
	if pol == nil {
		return h.profile(ctx, "")
	}
	return h.profile(ctx, pol.Policy.Telemetry)
}
