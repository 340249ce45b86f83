package host

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/fault"
)

// A run with checkpoints belongs to the host and not to its caller: it is stored
// before its first step and goes on when the caller leaves, when it waits for a
// person, and on the next host when this one ends. Where it stands is written in
// the store; that it executes here, in lives.
//
//	running --> finished | failed | cancelled
//	  |  ^
//	  v  | an answer, a deadline, a cancellation
//	waiting

// journal appends the records of one execution to the store; it implements
// engine.Journal.
type journal struct {
	store *store.Store
	run   string
	seq   int
	body  []byte // memory of the last record
}

// Append implements engine.Journal.
func (j *journal) Append(r *engine.Record) (err error) {
	if j.body, err = r.AppendTo(j.body[:0]); err != nil {
		return err
	}
	if err := j.store.AppendJournal(j.run, j.seq, j.body); err != nil {
		return err
	}
	j.seq++
	return nil
}

// pausing observes one execution of a run that may end before its run does. That
// the host closed is no end of the run, so telemetry does not hear of it.
type pausing struct {
	*telemetry.Run
	ctx context.Context
}

// Observe implements engine.Observer.
func (p pausing) Observe(o *run.Observation) {
	if o.Phase == run.RunFinished && o.Err != nil && closing(p.ctx) {
		return
	}
	p.Run.Observe(o)
}

// closing reports whether ctx, of a run, ended because the host closes.
func closing(ctx context.Context) bool { return context.Cause(ctx) == error(errClosing) }

// launch makes a run with checkpoints live and calls f, which takes it to its end
// or its next pause, on a goroutine that Close waits for. It returns the execution
// that the run has already when there is one.
func (h *Host) launch(info *run.Info, f func(ctx context.Context, l *live) (*Result, error)) (l, other *live, err error) {
	leave, err := h.enter()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(h.ctx)
	l = &live{info: info, cancel: cancel, done: make(chan struct{})}
	if other := h.lives.enter(l); other != nil {
		cancel(nil)
		leave()
		return nil, other, nil
	}
	go func() {
		defer leave()
		defer cancel(nil)
		l.res, l.err = f(ctx, l)
		h.lives.leave(info.ID)
		close(l.done)
	}()
	return l, nil, nil
}

// begin starts a run with checkpoints on d, which it releases at the end, and
// waits for its outcome.
func (h *Host) begin(ctx context.Context, d *deployment, info *run.Info, input []byte) (*Result, error) {
	r := store.Run{ID: info.ID.String(), Graph: info.Graph, Version: info.VersionID, Label: info.Version,
		TraceID: info.TraceID.String(), Input: input, Created: info.Started}
	if info.ParentSpan != ([8]byte{}) {
		r.Parent = hex.EncodeToString(info.ParentSpan[:])
	}
	// It is live before it is stored, so that nobody takes it for one that was
	// interrupted.
	l, other, err := h.launch(info, func(ctx context.Context, l *live) (*Result, error) {
		if err := h.store.StartRun(ctx, r); err != nil {
			d.release()
			return nil, err
		}
		return h.conduct(ctx, l, d, input, nil, nil)
	})
	if other != nil {
		err = fault.New(fault.Conflict, r.ID, "there is a run with this id")
	}
	if err != nil {
		d.release()
		return nil, err
	}
	return l.outcome(ctx)
}

// outcome waits until the execution ended, or its caller leaves: then the run goes
// on.
func (l *live) outcome(ctx context.Context) (*Result, error) {
	select {
	case <-l.done:
		return l.res, l.err
	case <-ctx.Done():
		res := resultOf(l.info, nil, store.RunRunning)
		return res, fault.Wrap(fault.Cancelled, "", ctx.Err(), "the caller left, the run goes on").(*fault.Error).
			WithHint("look at it with `spark runs show %.8s`, end it with `spark runs cancel %.8s`", res.RunID, res.RunID)
	}
}

// conduct executes a run, or continues it behind the records of its journal, and
// stores where it stands then. It releases d.
func (h *Host) conduct(ctx context.Context, l *live, d *deployment, input []byte, past []engine.Record, answers []engine.Answer) (*Result, error) {
	defer d.release()
	o := engine.Options{Info: l.info, Parallel: h.cfg.Parallel, Cache: h.cache, Limits: d.limits,
		Journal: &journal{store: h.store, run: l.info.ID.String(), seq: len(past)}}
	rec := d.profile.rec.Begin(l.info)
	if rec != nil {
		o.Observer = pausing{rec, ctx}
		if len(h.cfg.Natives) > 0 {
			ctx = rec.Context(ctx)
		}
	}
	var res *engine.Result
	var err error
	if past == nil && answers == nil {
		res, err = engine.Run(ctx, d.program, input, o)
	} else {
		res, err = engine.Resume(ctx, d.program, input, past, answers, o)
	}
	out := resultOf(l.info, res, store.RunRunning)
	switch {
	case err != nil && closing(ctx):
		rec.Discard()
		return out, fault.Wrap(fault.Unavailable, "", err, "the host closed, the run goes on when it opens again").(*fault.Error).
			WithHint("`spark serve` takes it up by itself, `spark runs resume %.8s` without a daemon", out.RunID)
	case err != nil:
		return h.ended(ctx, out, err)
	case len(res.Waiting) > 0:
		rec.Discard()
		return h.pause(out, res.Waiting)
	}
	out.Status = store.RunFinished
	return out, h.store.ChangeRun(ctx, out.RunID, store.RunRunning, store.RunChange{Status: store.RunFinished, Output: out.Output})
}

// ended stores that a run failed or was cancelled, and returns err.
func (h *Host) ended(ctx context.Context, out *Result, err error) (*Result, error) {
	c := store.RunChange{Status: store.RunFailed, Error: err.Error()}
	if context.Cause(ctx) == error(errCancelled) {
		c.Status = store.RunCancelled
	}
	out.Status = c.Status
	if storing := h.store.ChangeRun(ctx, out.RunID, store.RunRunning, c); storing != nil && !fault.Is(storing, fault.Conflict) {
		h.log.Error("the end of a run cannot be stored; it is continued when the host opens again", "run", out.RunID, "error", storing)
	}
	return out, err
}

// pause stores that a run waits for a person.
func (h *Host) pause(out *Result, questions []engine.Question) (*Result, error) {
	out.Status, out.Waiting = store.RunWaiting, questions
	c := store.RunChange{Status: store.RunWaiting}
	for _, q := range questions {
		if !q.Deadline.IsZero() && (c.Deadline.IsZero() || q.Deadline.Before(c.Deadline)) {
			c.Deadline = q.Deadline
		}
	}
	var err error
	if c.Waiting, err = json.Marshal(questions); err != nil {
		return out, fault.Wrap(fault.Internal, out.RunID, err, "encode the questions")
	}
	err = h.store.ChangeRun(h.ctx, out.RunID, store.RunRunning, c)
	if err == nil && !c.Deadline.IsZero() {
		h.nudge(c.Deadline)
	}
	return out, err
}

// resumption says how a run is continued.
type resumption struct {
	answers   []engine.Answer
	cancelled bool  // to its cancellation, so that its trace tells of the steps it had
	lost      error // to its failure, for this reason
}

// resume continues a run that is running and not live, or that waits. It
// fails with Conflict when the run executes or has another status by now.
func (h *Host) resume(ctx context.Context, r *store.Run, how resumption) (*live, error) {
	info, err := infoOf(r)
	if err != nil {
		return nil, err
	}
	claimed := make(chan error, 1)
	l, other, err := h.launch(info, func(ctx context.Context, l *live) (*Result, error) {
		// It may have gone on since r was read; from here on nobody else changes it.
		now, err := h.store.Run(ctx, r.ID)
		switch {
		case err != nil:
		case now.Status != r.Status:
			err = fault.New(fault.Conflict, r.ID, "the run is %s by now", now.Status).WithHint("look at it with `spark runs show %.8s`", r.ID)
		case r.Status == store.RunWaiting:
			err = h.store.ChangeRun(ctx, r.ID, store.RunWaiting, store.RunChange{Status: store.RunRunning})
		}
		if claimed <- err; err != nil {
			return nil, err
		}
		if how.cancelled {
			l.cancel(errCancelled)
		}
		return h.proceed(ctx, l, r, how)
	})
	if err == nil && other != nil {
		err = fault.New(fault.Conflict, r.ID, "the run is executing").WithHint("look at it with `spark runs show %.8s`", r.ID)
	}
	if err != nil {
		return nil, err
	}
	select {
	case err = <-claimed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// proceed takes a run up where its journal ends, on the version it began with. A
// run whose version or journal cannot be had any more has failed.
func (h *Host) proceed(ctx context.Context, l *live, r *store.Run, how resumption) (*Result, error) {
	past := []engine.Record{}
	rows, err := [][]byte(nil), how.lost
	if err == nil {
		rows, err = h.store.Journal(h.ctx, r.ID)
	}
	for i := 0; err == nil && i < len(rows); i++ {
		var rec engine.Record
		rec, err = engine.ParseRecord(rows[i])
		past = append(past, rec)
	}
	var d *deployment
	if err == nil {
		d, err = h.exactly(h.ctx, r.Graph, r.Version)
	}
	if err == nil {
		l.info.GraphType, l.info.TelemetryOff, l.info.Propagate = d.program.Plan.Type, d.profile.rec == nil, d.profile.rec.Propagates()
		return h.conduct(ctx, l, d, r.Input, past, how.answers)
	}
	out := resultOf(l.info, nil, store.RunRunning)
	if closing(ctx) {
		return out, err
	}
	err = fault.Wrap("", "", err, "the run cannot be continued")
	h.log.Error("a run cannot be continued", "run", r.ID, "graph", r.Graph, "version", r.Label, "error", err, "hint", fault.HintOf(err))
	if p, unknown := h.profileOf(h.ctx, r.Graph); unknown == nil && p.rec != nil {
		now := time.Now()
		p.rec.Begin(l.info).Observe(&run.Observation{Phase: run.RunFinished, Info: l.info, Start: l.info.Started, End: now, Err: err})
	}
	return h.ended(ctx, out, err)
}

// exactly returns the deployment of the version with this id, retained.
func (h *Host) exactly(ctx context.Context, name, id string) (*deployment, error) {
	if d, ok := h.router.Pick(name); ok {
		if d.id == id {
			return d, nil
		}
		d.release()
	}
	v, err := h.store.Version(ctx, name, id)
	if err != nil {
		return nil, err
	}
	return h.pin(ctx, v.Locked, v.Label)
}

// infoOf returns the identity of a stored run.
func infoOf(r *store.Run) (*run.Info, error) {
	id, err := run.ParseID(r.ID)
	if err != nil {
		return nil, err
	}
	info := &run.Info{ID: id, TraceID: id, Graph: r.Graph, Version: r.Label, VersionID: r.Version, Kind: run.Production, Started: r.Created}
	if trace, err := run.ParseID(r.TraceID); err == nil {
		info.TraceID = trace
	}
	hex.Decode(info.ParentSpan[:], []byte(r.Parent))
	return info, nil
}
