package host

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Request asks for one run.
type Request struct {
	Graph   string
	Version string          // label or id; "" is the active version
	Input   json.RawMessage // JSON; empty is null
	TraceID run.ID          // inherited from the caller; zero for a fresh one
	Parent  [8]byte         // the caller's span
	// Listed makes the run known to Runs and Cancel while it executes, for about a
	// microsecond. Runs with checkpoints always are.
	Listed bool
}

// Result is how far a run came: to its end, or to where it waits for a person.
type Result struct {
	RunID     string          `json:"run_id"`
	Graph     string          `json:"graph"`
	Version   string          `json:"version"`
	VersionID string          `json:"version_id"`
	Status    store.RunStatus `json:"status"` // running: it goes on without its caller
	// Waiting are the questions of a run that waits. Answer continues it.
	Waiting    []engine.Question `json:"waiting,omitempty"`
	Output     json.RawMessage   `json:"output,omitempty"`
	OutputNode string            `json:"output_node,omitempty"`
	Steps      int               `json:"steps"`
	Seconds    float64           `json:"seconds"`
	Tokens     int64             `json:"tokens,omitempty"`
	CostUSD    float64           `json:"cost_usd,omitempty"`
}

// Run executes a graph once and returns its output. Errors are faults; a run that
// failed returns its Result beside the error, for its id and version.
//
// A run with checkpoints, of a graph that is durable or waits for a person, belongs
// to the host: when ctx ends, Run returns with Cancelled and the run goes on. When it
// has to wait for a person, Run returns without an error and with the questions.
func (h *Host) Run(ctx context.Context, req Request) (*Result, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(req.Input) == 0 {
		req.Input = json.RawMessage("null")
	}
	d, err := h.pick(ctx, req.Graph, req.Version)
	if err != nil {
		return nil, err
	}
	info := d.info(run.Production)
	if req.TraceID != (run.ID{}) {
		info.TraceID, info.ParentSpan = req.TraceID, req.Parent
	}
	if d.durable {
		return h.begin(ctx, d, info, req.Input)
	}
	defer d.release()
	if req.Listed {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		h.lives.enter(&live{info: info, cancel: cancel})
		defer h.lives.leave(info.ID)
	}
	var obs engine.Observer
	if r := d.profile.rec.Begin(info); r != nil {
		obs = r
		if len(h.cfg.Natives) > 0 { // only Go code can ask the context for its run
			ctx = r.Context(ctx)
		}
	}
	return d.run(ctx, req.Input, engine.Options{Info: info, Observer: obs, Parallel: h.cfg.Parallel, Cache: h.cache})
}

// info returns the identity of a fresh run of d.
func (d *deployment) info(kind run.Kind) *run.Info {
	id := run.NewID()
	return &run.Info{ID: id, TraceID: id, Graph: d.locked.Graph.Name, Version: d.label, VersionID: d.id,
		GraphType: d.program.Plan.Type, Kind: kind, Started: time.Now(), TelemetryOff: d.profile.rec == nil, Propagate: d.profile.rec.Propagates()}
}

// run executes d under its limits and without checkpoints.
func (d *deployment) run(ctx context.Context, input []byte, o engine.Options) (*Result, error) {
	o.Limits = d.limits
	res, err := engine.Run(ctx, d.program, input, o)
	status := store.RunFinished
	if err != nil {
		status = store.RunFailed
		if ctx.Err() != nil {
			status = store.RunCancelled
		}
	}
	return resultOf(o.Info, res, status), err
}

// resultOf returns how far a run came; res may be nil.
func resultOf(info *run.Info, res *engine.Result, status store.RunStatus) *Result {
	out := &Result{RunID: info.ID.String(), Graph: info.Graph, Version: info.Version, VersionID: info.VersionID,
		Status: status, Seconds: time.Since(info.Started).Seconds()}
	if res != nil {
		out.Output, out.OutputNode, out.Steps = res.Output, res.OutputNode, res.Steps
		out.Tokens, out.CostUSD = res.Usage.InputTokens+res.Usage.OutputTokens, res.Usage.Cost
	}
	return out
}

// pick returns the deployment that serves a version, retained for one run.
func (h *Host) pick(ctx context.Context, name, version string) (*deployment, error) {
	if version == "" {
		if d, ok := h.router.Pick(name); ok {
			return d, nil
		}
		if err := h.Serve(ctx, name); err != nil {
			return nil, err
		}
		if d, ok := h.router.Pick(name); ok {
			return d, nil
		}
		return nil, fault.New(fault.Unavailable, name, "the host is closing")
	}
	v, err := h.store.Version(ctx, name, version)
	if err != nil {
		return nil, err
	}
	if v.Active {
		return h.pick(ctx, name, "")
	}
	return h.pin(ctx, v.Locked, v.Label)
}

// pin returns a deployment of a version that is not active, retained for the
// caller. A few of them stay ready.
func (h *Host) pin(ctx context.Context, l *graph.Locked, label string) (*deployment, error) {
	key := graph.Digest(l)
	h.mu.Lock()
	if d, ok := h.pinned[key]; ok && d.Retain() {
		h.touch(key)
		h.mu.Unlock()
		return d, nil
	}
	h.mu.Unlock()
	d, err := h.prepare(ctx, l, label)
	if err != nil {
		return nil, err
	}
	d.Retain()
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.pinned[key]; ok {
		defer old.release()
	}
	h.pinned[key] = d
	h.touch(key)
	if len(h.order) > maxPinned {
		oldest := h.order[0]
		h.order = h.order[1:]
		defer h.pinned[oldest].release()
		delete(h.pinned, oldest)
	}
	return d, nil
}

// touch moves a key of pinned to the end of the order. The caller holds h.mu.
func (h *Host) touch(key string) {
	h.order = slices.DeleteFunc(h.order, func(k string) bool { return k == key })
	h.order = append(h.order, key)
}

// Serve makes the active version of a graph ready before its first run.
func (h *Host) Serve(ctx context.Context, name string) error {
	h.apply.Lock()
	defer h.apply.Unlock()
	if _, ok := h.router.Current(name); ok {
		return nil
	}
	v, err := h.store.Active(ctx, name)
	if err != nil {
		return err
	}
	d, err := h.prepare(ctx, v.Locked, v.Label)
	if err != nil {
		return err
	}
	if !h.router.Swap(name, nil, d) {
		d.release()
	}
	return nil
}

func itoa(i int) string { return strconv.Itoa(i) }
