package host

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Why the host itself ended the context of a run.
var (
	errClosing   = fault.New(fault.Unavailable, "", "the host is closing")
	errCancelled = fault.New(fault.Cancelled, "", "on request")
)

// live is one execution of a run in this process. A run that waits for a person
// has none.
type live struct {
	info   *run.Info
	cancel context.CancelCauseFunc
	// done is closed when the execution ended, after res and err were set; nil for a
	// run without checkpoints, which nobody but its caller waits for.
	done chan struct{}
	res  *Result
	err  error

	mu    sync.Mutex     // guards nodes
	nodes map[string]int // steps under way, of a run with checkpoints
}

// lives are the executions of this process by the id of their run.
type lives struct {
	mu   sync.Mutex // guards byID
	byID map[run.ID]*live
}

// enter adds l, or returns the execution that the run has already.
func (r *lives) enter(l *live) (other *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other = r.byID[l.info.ID]; other == nil {
		r.byID[l.info.ID] = l
	}
	return other
}

func (r *lives) leave(id run.ID) {
	r.mu.Lock()
	delete(r.byID, id)
	r.mu.Unlock()
}

func (r *lives) get(id run.ID) *live {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// find returns the execution whose id begins like this, nil when none or several
// do, or when it is shorter than a run is named by.
func (r *lives) find(prefix string) (found *live) {
	if len(prefix) < store.MinRunID {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, l := range r.byID {
		if !strings.HasPrefix(id.String(), prefix) {
			continue
		}
		if found != nil {
			return nil
		}
		found = l
	}
	return found
}

// all returns the executions that keep accepts.
func (r *lives) all(keep func(*live) bool) (list []*live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.byID {
		if keep(l) {
			list = append(list, l)
		}
	}
	return list
}

// under returns the nodes whose steps are under way, sorted.
func (l *live) under() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.nodes))
}

// step counts a step of a node that begins (1) or ends (-1).
func (l *live) step(node string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nodes == nil {
		l.nodes = map[string]int{}
	}
	if l.nodes[node] += n; l.nodes[node] == 0 {
		delete(l.nodes, node)
	}
}

// watched is a node of a graph with checkpoints: which of its steps are under way
// can be asked.
type watched struct {
	engine.NodeRunner
	lives *lives
}

// RunNode implements engine.NodeRunner.
func (w watched) RunNode(ctx context.Context, s *run.Step) ([]byte, error) {
	if l := w.lives.get(s.Info.ID); l != nil {
		l.step(s.Node, 1)
		defer l.step(s.Node, -1)
	}
	return w.NodeRunner.RunNode(ctx, s)
}

// state returns what is known of a run without checkpoints.
func (l *live) state() *RunState {
	return &RunState{Live: true, Run: store.Run{ID: l.info.ID.String(), Graph: l.info.Graph, Version: l.info.VersionID, Label: l.info.Version,
		TraceID: l.info.TraceID.String(), Status: store.RunRunning, Created: l.info.Started, Changed: l.info.Started}}
}
