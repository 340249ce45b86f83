// Package rollout decides which version of a graph a run takes and when a
// release moves on. It holds no runs and does no I/O: the host asks Router for
// every run and swaps pointers through it.
//
// A run is pinned: what Pick returned is used to the run's end, whatever is
// released meanwhile.
package rollout

import (
	"sync"
	"sync/atomic"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Strategy is how a new version takes over.
type Strategy string

// Direct moves all new runs to the new version at once. Runs under way end on
// the version they began with.
const Direct Strategy = "direct"

// ParseStrategy returns the strategy named s; "" is Direct.
func ParseStrategy(s string) (Strategy, error) {
	switch Strategy(s) {
	case "", Direct:
		return Direct, nil
	}
	return "", fault.New(fault.Invalid, "rsi.strategy", "release strategy %q is not supported by this version", s).
		WithHint("use direct")
}

// Target is a version that can take runs. Retain and Release count the runs on
// it, so that its resources can be freed once the last one ended.
type Target interface {
	comparable
	// Retain takes the target for one run. False means it is gone and the
	// caller must pick again.
	Retain() bool
}

// Router maps graphs to what serves them. The zero value is ready. Pick is
// lock-free and safe for concurrent use with all other methods.
type Router[T Target] struct {
	mu     sync.Mutex // serialises Swap and Remove
	routes sync.Map   // graph name -> *atomic.Pointer[T]
}

// Pick returns the target of a graph, retained for one run. The second result
// is false when no target serves the graph.
func (r *Router[T]) Pick(graph string) (T, bool) {
	var none T
	slot, ok := r.routes.Load(graph)
	if !ok {
		return none, false
	}
	for {
		t := slot.(*atomic.Pointer[T]).Load()
		if t == nil {
			return none, false
		}
		if (*t).Retain() {
			return *t, true
		}
		// The target was swapped out between Load and Retain. The pointer has
		// moved on by then, since Swap stores before the owner lets go.
	}
}

// Swap makes t serve a graph if old serves it now (the zero value for nothing)
// and reports whether it did. The caller owns old afterwards and lets go of it.
func (r *Router[T]) Swap(graph string, old, t T) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, _ := r.routes.LoadOrStore(graph, new(atomic.Pointer[T]))
	slot := v.(*atomic.Pointer[T])
	var none, now T
	if p := slot.Load(); p != nil {
		now = *p
	}
	if now != old {
		return false
	}
	if t == none {
		slot.Store(nil)
		return true
	}
	slot.Store(&t)
	return true
}

// Current returns what serves a graph without retaining it.
func (r *Router[T]) Current(graph string) (T, bool) {
	var none T
	slot, ok := r.routes.Load(graph)
	if !ok {
		return none, false
	}
	if t := slot.(*atomic.Pointer[T]).Load(); t != nil {
		return *t, true
	}
	return none, false
}

// Graphs returns the names of the graphs that are served, in no order.
func (r *Router[T]) Graphs() []string {
	var names []string
	r.routes.Range(func(k, v any) bool {
		if v.(*atomic.Pointer[T]).Load() != nil {
			names = append(names, k.(string))
		}
		return true
	})
	return names
}
