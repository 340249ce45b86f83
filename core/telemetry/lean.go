package telemetry

import (
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// A lean Run records a run that is sampled out already: of its steps only what the
// statistics need, for they count all runs. Lean ones have a pool of their own:
// every field that one of them uses is set for each run anew, so nothing has to be
// cleared between two. They need no lock: only Observe touches what changes, and its
// calls for one run come one after the other.

// beginLean is Begin for a run that is sampled out.
func (r *Recorder) beginLean(info *run.Info) *Run {
	if info.Kind != run.Production { // in no statistics
		r.sampledOut.Add(1)
		return nil
	}
	x := r.leans.Get().(*Run)
	x.id, x.info = info.ID, info
	t := &x.t
	t.TraceID, t.Start = backend.ID(r.traceID(info)), info.Started.UnixNano()
	t.Graph, t.Version, t.VersionID = info.Graph, info.Version, info.VersionID
	return x
}

// observeLean is Observe for a lean Run.
func (r *Run) observeLean(o *run.Observation) {
	if o.Info == nil || o.Info != r.info && o.Info.ID != r.id {
		return
	}
	if o.Phase != run.StepFinished {
		if o.Phase == run.RunFinished {
			r.leanFinish(o)
		}
		return
	}
	if r.rec.nodes != nil && !r.rec.nodes[o.Node] || len(r.t.Spans) >= r.rec.cfg.MaxSpansPerTrace {
		return
	}
	s := r.next()
	s.Node, s.Seq, s.After, s.Retries, s.CacheHit = o.Node, o.Seq, o.After, o.Retries, o.CacheHit
	s.Start = o.Start.UnixNano()
	s.End = s.Start + max(int64(o.End.Sub(o.Start)), 0)
	s.Status, s.Tokens, s.Cost = backend.OK, 0, 0
	if o.Err != nil {
		s.Status = leanStatus(o.Err)
	}
	if o.Trail != nil && len(o.Trail.Calls) > 0 {
		u := o.Trail.Usage()
		s.Tokens, s.Cost = u.InputTokens+u.OutputTokens, u.Cost
	}
}

func leanStatus(err error) backend.Status {
	switch {
	case err == nil:
		return backend.OK
	case fault.Is(err, fault.Cancelled):
		return backend.Cancelled
	}
	return backend.Failed
}

// leanFinish counts the run and gives r back.
func (r *Run) leanFinish(o *run.Observation) {
	rec, timed := r.rec, time.Time{}
	if r.turn++; r.turn == measureEvery {
		r.turn, timed = 0, time.Now()
	}
	t := &r.t
	t.End = t.Start + max(int64(o.End.Sub(o.Info.Started)), 0)
	t.Status = leanStatus(o.Err)
	rec.book.add(t)
	r.id, r.info = run.ID{}, nil // later observations are ignored
	rec.sampledOut.Add(1)
	rec.recycle(r)
	if !timed.IsZero() {
		rec.meter.observed(timed)
	}
}
