package host

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/fault"
)

// RunState is a run with checkpoints, or one without that executes now.
type RunState struct {
	store.Run
	Durable bool     `json:"durable"`         // it has checkpoints
	Live    bool     `json:"live"`            // it executes in this host; running without it was interrupted
	Nodes   []string `json:"nodes,omitempty"` // steps under way, of a run with checkpoints
}

// Questions returns what the run waits for.
func (s *RunState) Questions() (list []engine.Question, err error) {
	if len(s.Waiting) > 0 {
		err = fault.Wrap(fault.Corrupt, s.ID, json.Unmarshal(s.Waiting, &list), "the questions of the run")
	}
	return list, err
}

// Runs returns the runs with checkpoints and those that execute now and are listed,
// newest first and without their outputs.
func (h *Host) Runs(ctx context.Context, f store.RunFilter) ([]*RunState, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	stored, err := h.store.Runs(ctx, f)
	if err != nil {
		return nil, err
	}
	list := make([]*RunState, 0, len(stored))
	for _, r := range stored {
		list = append(list, h.state(r))
	}
	if f.Due.IsZero() && (f.Status == "" || f.Status == store.RunRunning) {
		for _, l := range h.lives.all(func(l *live) bool { return l.done == nil && (f.Graph == "" || f.Graph == l.info.Graph) }) {
			list = append(list, l.state())
		}
	}
	slices.SortFunc(list, func(a, b *RunState) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, nil
}

// state joins what is stored of a run with how it executes.
func (h *Host) state(r *store.Run) *RunState {
	s := &RunState{Run: *r, Durable: true}
	if info, err := infoOf(r); err == nil {
		if l := h.lives.get(info.ID); l != nil {
			s.Live, s.Nodes = true, l.under()
		}
	}
	return s
}

// ShowRun returns one run by its id or at least its first six digits, with its
// output if it has finished. NotFound for a run that had no checkpoints and is over.
func (h *Host) ShowRun(ctx context.Context, id string) (*RunState, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := h.store.Run(ctx, id)
	if err == nil {
		return h.state(r), nil
	}
	if l := h.lives.find(id); fault.Is(err, fault.NotFound) && l != nil {
		return l.state(), nil
	}
	return nil, err
}

// Answer answers a question of a run, JSON for the id of the question, and
// continues the run: it returns what Run would, which may be that the run waits
// again. NotFound when the run has no such question open, Invalid when the answer
// is not one of its choices or breaks its schema; the run then waits as before.
func (h *Host) Answer(ctx context.Context, id, question string, answer json.RawMessage) (*Result, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := h.settled(ctx, id)
	if err != nil {
		return nil, err
	}
	list, err := h.state(r).Questions()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(q engine.Question) bool { return q.ID == question })
	if i < 0 {
		return nil, noQuestion(r, question, list)
	}
	if err := list[i].Check(answer); err != nil {
		return nil, err
	}
	l, err := h.resume(ctx, r, resumption{answers: []engine.Answer{{Question: question, Value: answer}}})
	if err != nil {
		return nil, err
	}
	return l.outcome(ctx)
}

func noQuestion(r *store.Run, question string, open []engine.Question) error {
	err := fault.New(fault.NotFound, r.ID, "the run is %s and asks nothing called %q", r.Status, question)
	switch {
	case r.Status == store.RunRunning:
		return err.WithHint("it was interrupted: continue it with `spark runs resume %.8s`", r.ID)
	case len(open) == 0:
		return err.WithHint("`spark runs list --status waiting` shows the runs that ask")
	}
	ids := make([]string, len(open))
	for i, q := range open {
		ids[i] = q.ID
	}
	return err.WithHint("it asks %s", strings.Join(ids, ", "))
}

// settled returns a stored run once nothing of it executes: answers that come
// together take turns.
func (h *Host) settled(ctx context.Context, id string) (*store.Run, error) {
	for {
		r, err := h.store.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		info, err := infoOf(r)
		if err != nil {
			return nil, err
		}
		l := h.lives.get(info.ID)
		if l == nil {
			if r.Status == store.RunRunning || r.Status == store.RunWaiting {
				return r, nil
			}
			return nil, fault.New(fault.Conflict, r.ID, "the run is %s", r.Status).WithHint("look at it with `spark runs show %.8s`", r.ID)
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Cancelled, r.ID, ctx.Err(), "the run is executing")
		}
	}
}

// Resume continues a run that was interrupted and returns what Run would. Conflict
// when it executes, waits for a person or is over.
func (h *Host) Resume(ctx context.Context, id string) (*Result, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := h.store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	due := r.Status == store.RunWaiting && !r.Deadline.IsZero() && !r.Deadline.After(time.Now())
	if r.Status != store.RunRunning && !due {
		hint := "look at it with `spark runs show %.8s`"
		if r.Status == store.RunWaiting {
			hint = "answer it with `spark runs answer %.8s QUESTION JSON`"
		}
		return nil, fault.New(fault.Conflict, r.ID, "the run is %s, there is nothing to resume", r.Status).WithHint(hint, r.ID)
	}
	l, err := h.resume(ctx, r, resumption{})
	if err != nil {
		return nil, err
	}
	return l.outcome(ctx)
}

// Cancel ends a run: one that executes, with checkpoints or listed, one that waits,
// and one that was interrupted. It returns once a run with checkpoints is over, and
// as soon as one without was told. Conflict when the run is over already.
func (h *Host) Cancel(ctx context.Context, id string) error {
	leave, err := h.enter()
	if err != nil {
		return err
	}
	defer leave()
	if l := h.lives.find(id); l != nil && l.done == nil {
		l.cancel(errCancelled)
		return nil
	}
	for {
		r, err := h.store.Run(ctx, id)
		if err != nil {
			return err
		}
		if r.Status.Final() {
			return fault.New(fault.Conflict, r.ID, "the run is %s", r.Status).WithHint("there is nothing to cancel")
		}
		info, err := infoOf(r)
		if err != nil {
			return err
		}
		l := h.lives.get(info.ID)
		if l != nil {
			l.cancel(errCancelled)
		} else if l, err = h.resume(ctx, r, resumption{cancelled: true}); fault.Is(err, fault.Conflict) {
			continue // somebody was faster
		} else if err != nil {
			return err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return fault.Wrap(fault.Cancelled, r.ID, ctx.Err(), "the run was told to end and has not ended yet")
		}
		// It may have finished, or come to its question, before it heard of it.
		if r, err = h.store.Run(ctx, r.ID); err != nil || r.Status == store.RunCancelled || r.Status == store.RunFailed {
			return err
		}
	}
}

// forgetEvery is how often runs that ended long ago are forgotten.
const forgetEvery = time.Hour

// nudge lets tend look at the deadlines again when one is earlier than the one it
// waits for.
func (h *Host) nudge(deadline time.Time) {
	if deadline.UnixNano() >= h.nextLook.Load() {
		return
	}
	select {
	case h.deadlines <- struct{}{}:
	default:
	}
}

// interrupted returns the runs that an earlier host left under way, and counts that
// they are taken up. It is asked before this host starts any.
func (h *Host) interrupted(ctx context.Context) ([]*store.Run, error) {
	if h.cfg.LeaveRuns {
		return nil, nil
	}
	if err := h.store.TakeUp(ctx); err != nil {
		return nil, err
	}
	return h.store.Runs(ctx, store.RunFilter{Status: store.RunRunning, Limit: 1 << 30})
}

// again continues a run on its own; how it ends is written where it stands.
func (h *Host) again(r *store.Run) {
	full, err := h.store.Run(h.ctx, r.ID) // a list has no inputs
	if err == nil && full.Status == r.Status {
		var how resumption
		if full.Status == store.RunRunning && h.cfg.TakeUps > 0 && full.Taken > h.cfg.TakeUps {
			how.lost = fault.New(fault.Limit, r.ID, "%d hosts in a row ended while the run was at this step", h.cfg.TakeUps).
				WithHint("the step may be what ends them: look for it in the trace, and start the run anew when it is mended")
		}
		_, err = h.resume(h.ctx, full, how)
	}
	if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
		h.tired("a run cannot be taken up", err, "run", r.ID)
	}
}

// tired logs what tend could not do, unless the host is closing.
func (h *Host) tired(msg string, err error, facts ...any) {
	if h.ctx.Err() == nil {
		h.log.Error(msg, append(facts, "error", err, "hint", fault.HintOf(err))...)
	}
}

// tend looks after the stored runs until the host closes: it takes up those that
// an earlier host left, continues those whose deadline has come, and forgets
// those that ended long ago.
func (h *Host) tend(left []*store.Run) {
	var forgotten time.Time
	for _, r := range left {
		h.again(r)
	}
	close(h.takenUp)
	for h.ctx.Err() == nil {
		now := time.Now()
		if h.cfg.RunRetention > 0 && now.Sub(forgotten) >= forgetEvery {
			forgotten = now
			if n, err := h.store.ForgetRuns(h.ctx, now.Add(-h.cfg.RunRetention)); err != nil {
				h.tired("runs that ended cannot be forgotten", err)
			} else if n > 0 {
				h.log.Info("runs that ended were forgotten", "count", n, "after", h.cfg.RunRetention)
			}
		}
		h.nextLook.Store(math.MaxInt64) // a deadline that comes from here on nudges
		pause := min(h.continueDue(now), forgetEvery)
		h.nextLook.Store(time.Now().Add(pause).UnixNano())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-h.deadlines:
		case <-h.ctx.Done():
		}
		timer.Stop()
	}
}

// continueDue continues the runs whose deadline has come and returns how long it is
// until the next one, at least a moment.
func (h *Host) continueDue(now time.Time) time.Duration {
	if h.cfg.LeaveRuns {
		return forgetEvery
	}
	due, err := h.store.Runs(h.ctx, store.RunFilter{Due: now})
	if err != nil {
		h.tired("runs whose deadline has come cannot be read", err)
		return time.Minute
	}
	for _, r := range due {
		h.again(r)
	}
	next, err := h.store.NextDeadline(h.ctx)
	switch {
	case err != nil:
		h.tired("deadlines of runs cannot be read", err)
		return time.Minute
	case next.IsZero():
		return forgetEvery
	}
	return max(time.Until(next), 10*time.Millisecond)
}
