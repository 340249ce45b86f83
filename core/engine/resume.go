package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Resume continues a run that was interrupted, or that waits for a person, with
// the program, the input and the limits it was started with. Records are what its
// journal kept, in order; a prefix is enough. Steps whose results were recorded
// are not run again: their results are taken over, in the recorded order, so that
// the run takes the same ways, and they are observed with their recorded times.
// Then the run goes on as by Run and appends to o.Journal, which must not be nil.
// Limits.Time counts from what the run had used; timeouts and backoffs of steps
// that were under way count anew.
//
// O.Info must name the same run: expressions, idempotency keys and pauses follow
// its id.
//
// Answers are to questions that the run asked. It fails before anything is
// observed with NotFound when a question is not open and Invalid when an answer is
// not one of its choices or breaks its schema. It fails with Conflict, and leaves the
// journal as it is, when the records do not fit the program.
func Resume(ctx context.Context, p *Program, input []byte, records []Record, answers []Answer, o Options) (*Result, error) {
	p.once.Do(func() { p.prep = prepare(p, "") })
	if p.prep.bad != nil {
		return &Result{}, p.prep.bad
	}
	if o.Journal == nil {
		return &Result{}, fault.New(fault.Internal, "journal", "a run can only be resumed with a journal")
	}
	j := &journal{to: o.Journal, asked: map[string]time.Time{}, answers: map[string][]byte{}}
	j.past = &past{records: records, results: map[string]int{}, begun: map[string]*token{}, groups: map[string]*token{}}
	for i := range records {
		r := &records[i]
		j.elapsed, j.past.seq = max(j.elapsed, r.Elapsed), max(j.past.seq, r.Seq+1)
		switch r.Kind {
		case RecordAsked:
			j.asked[r.Step] = r.Start
		case RecordVain:
			delete(j.asked, r.Step)
		default:
			j.past.results[r.Step] = i
		}
	}
	for _, a := range answers {
		if err := j.answer(p, a); err != nil {
			return &Result{}, err
		}
	}
	return start(ctx, p, input, o, j)
}

// past is what a journal says, while an execution takes it over: the recorded
// results reach their steps one after the other, in the order in which they
// once came. What was not recorded starts when all of them did.
type past struct {
	records []Record
	at      int               // next record
	seq     int               // above all recorded numbers
	results map[string]int    // step -> its last record
	begun   map[string]*token // steps whose result is still to come, and composite ones that failed too early
	groups  map[string]*token // open steps with foreach
}

// replaying reports whether recorded results are still being taken over.
func (x *execution) replaying() bool { return x.journal != nil && x.journal.past != nil }

// rerun takes the recorded steps over. It fails with Conflict when they do not fit.
func (x *execution) rerun() error {
	p := x.journal.past
	x.seq = p.seq
	for x.top.err == nil && p.at < len(p.records) {
		x.survey()
		r := &p.records[p.at]
		p.at++
		switch r.Kind {
		case RecordAsked:
			continue
		case RecordVain:
			x.steps++
			x.retries += r.Retries
			x.usage.Add(r.Usage())
			continue
		}
		t := p.begun[r.Step]
		if t == nil {
			x.reach(r.Step)
			x.survey()
			t = p.begun[r.Step]
		}
		switch {
		case x.top.err != nil:
		case t != nil:
			delete(p.begun, r.Step)
			x.deliver(t, r)
		case r.Kind != RecordFailed || !x.failNested(r):
			return fault.New(fault.Conflict, "journal", "record %d is of step %s, which did not start in this version of the graph", p.at-1, r.Step).
				WithHint("resume a run on the version it was started on")
		}
	}
	// What failed without its record fails now. One may take others along.
	for len(p.begun) > 0 {
		t := p.ordered()[0]
		delete(p.begun, t.id)
		t.recorded = true
		x.record(t, nil, false)
		x.finish(t)
	}
	x.journal.past = nil
	for _, t := range x.backoff { // the pause passed with the interruption
		t.due = time.Now()
	}
	for _, f := range x.nested { // outer ones first
		f.stop(nil)
		f.arm()
	}
	return nil
}

// ordered returns the steps that wait for a record, by number.
func (p *past) ordered() []*token {
	return slices.SortedFunc(maps.Values(p.begun), func(a, b *token) int {
		return cmp.Or(a.step.Seq-b.step.Seq, a.step.Item-b.step.Item)
	})
}

// survey starts every step that can start and that the records tell of, directly
// or by its inner steps, and leaves the others ready.
func (x *execution) survey() {
	x.ready = append(x.ready, x.backoff...)
	x.backoff = x.backoff[:0]
	p := x.journal.past
	for i := x.head; i < len(x.ready); {
		t := x.ready[i]
		if t.group == nil && t.frame.busy[t.node] && !t.begun {
			i++
			continue
		}
		if t.id == "" || t.begun {
			t.id = t.name()
		}
		_, recorded := p.results[t.id]
		if !recorded && !t.composite() {
			i++
			continue
		}
		if t.group == nil {
			t.frame.busy[t.node] = true
		}
		copy(x.ready[x.head+1:i+1], x.ready[x.head:i])
		x.ready[x.head] = nil
		x.head++
		if !t.begun {
			x.number(t)
		}
		switch {
		case t.each != nil:
			p.groups[t.id] = t
			x.expand(t)
			i = x.head // anything may have happened to the steps that are ready
		case t.composite():
			x.descend(t)
			i = x.head
		default:
			p.begun[t.id] = t
			i = max(i+1, x.head)
		}
	}
}

// reach starts the items of a foreach that a recorded step belongs to.
func (x *execution) reach(step string) {
	for at := 0; ; {
		open := strings.IndexByte(step[at:], '[')
		if open < 0 {
			return
		}
		open += at
		closing := open + strings.IndexByte(step[open:], ']')
		item, err := strconv.Atoi(step[open+1 : max(closing, open+1)])
		t := x.journal.past.groups[step[:open]]
		if err != nil || t == nil {
			return
		}
		for !t.each.closed && t.each.next <= item && t.each.next < len(t.each.items) {
			x.startItem(t)
		}
		x.survey()
		at = closing
	}
}

// deliver ends t as r says.
func (x *execution) deliver(t *token, r *Record) {
	t.recorded = true
	t.first, t.end, t.err = r.Start, r.End, r.Err.err()
	if r.Kind == RecordFailed {
		x.finish(t)
		return
	}
	t.output, t.hit, t.step.Attempt = r.Output, r.CacheHit, r.Retries
	x.retries += r.Retries
	if t.group == nil {
		t.step.Seq = r.Seq
	}
	tr := &t.trail
	tr.Attrs, tr.Metrics = append(tr.Attrs, r.Attrs...), append(tr.Metrics, r.Metrics...)
	tr.Events, tr.Logs = append(tr.Events, r.Events...), append(tr.Logs, r.Logs...)
	for _, c := range r.Calls {
		m := c.ModelCall
		m.Err = c.Err.err()
		tr.Calls = append(tr.Calls, m)
	}
	for _, w := range r.Writes {
		if t.view != nil {
			t.view.writes = append(t.view.writes, write{key: w.Key, value: w.Value})
		} else if err := t.frame.state.Set(w.Key, w.Value); err != nil && t.err == nil {
			t.err, t.output = fault.Wrap("", t.path(), err, ""), nil
		}
	}
	x.finish(t)
}

// failNested ends a nested graph that failed by something that no step tells of,
// such as its timeout.
func (x *execution) failNested(r *Record) bool {
	for _, f := range x.nested {
		if up := f.parent; up.id == r.Step && f.err == nil {
			up.recorded = true
			f.fail(r.Err.err())
			return true
		}
	}
	return false
}

// postpone keeps a composite step that failed until its record comes: between the
// failure and the end others may have gone on.
func (x *execution) postpone(t *token) bool {
	if t.err == nil || t.recorded || t.frame.err != nil || !t.composite() || !x.replaying() {
		return false
	}
	x.journal.past.begun[t.id] = t
	return true
}

// pullHeld takes what matches out of the steps that wait for a person or for their
// record.
func (x *execution) pullHeld(out []*token, match func(t *token) bool) []*token {
	kept := x.waiting[:0]
	for _, t := range x.waiting {
		if match(t) {
			out = append(out, t)
		} else {
			kept = append(kept, t)
		}
	}
	clear(x.waiting[len(kept):])
	x.waiting = kept
	if p := x.journal.past; p != nil {
		for _, t := range p.ordered() {
			if match(t) {
				delete(p.begun, t.id)
				out = append(out, t)
			}
		}
	}
	return out
}

// number gives a step its place in the run.
func (x *execution) number(t *token) {
	x.steps++
	t.begun = true
	if t.group == nil {
		t.step.Seq = x.seq
		x.seq++
	}
	if x.journal != nil {
		t.id = t.name()
	}
}

// discard forgets an execution that ends before its run does.
func (x *execution) discard(err error) (*Result, error) {
	res := &Result{Steps: x.steps, Retries: x.retries, Usage: x.usage, Duration: time.Since(x.start)}
	if err != nil {
		x.observeRun(run.RunFinished, x.start, time.Now(), nil, err)
	}
	if x.top.stop != nil {
		x.top.stop(nil)
	}
	if x.cancel != nil {
		x.cancel()
	}
	for _, t := range x.waiting {
		res.Waiting = append(res.Waiting, t.question())
	}
	return res, err
}

var _ run.State = (*tracked)(nil)
