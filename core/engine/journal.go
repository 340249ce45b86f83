package engine

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Journal keeps what a run must not forget. Append returns once r is kept for
// good; what comes after r in the run starts only then. It is called from one
// goroutine at a time and keeps nothing of r. Its error fails the run.
type Journal interface {
	Append(r *Record) error
}

// RecordKind says what a Record tells of.
type RecordKind string

// The kinds of record.
const (
	RecordStep   RecordKind = "step"   // a step or an item of a foreach ended, after its last attempt
	RecordFailed RecordKind = "failed" // an attempt of a nested graph, or a foreach as a whole, failed
	RecordAsked  RecordKind = "asked"  // a person was asked
	RecordVain   RecordKind = "vain"   // a step ran whose result nothing follows from, because something else failed
)

// Record is one entry of a journal. The records of a run, in their order, are
// enough to continue it: see Resume.
type Record struct {
	Kind     RecordKind    `json:"kind"`
	Step     string        `json:"step"` // which step, such as outer#1[0]/inner: visit 1 and item 0 of outer; unique in a run
	Node     string        `json:"node"` // outer/inner
	Seq      int           `json:"seq"`
	Retries  int           `json:"retries,omitempty"`
	Start    time.Time     `json:"start"` // of the first attempt; when it was asked
	End      time.Time     `json:"end"`
	Elapsed  time.Duration `json:"elapsed"` // time that the run was executing so far, pauses left out
	CacheHit bool          `json:"cache_hit,omitempty"`
	Err      *Failure      `json:"error,omitempty"`
	Writes   []Write       `json:"writes,omitempty"` // to the state, in order
	Calls    []Call        `json:"calls,omitempty"`
	Attrs    []run.Attr    `json:"attrs,omitempty"`
	Metrics  []run.Metric  `json:"metrics,omitempty"`
	Events   []run.Event   `json:"events,omitempty"`
	Logs     []run.Log     `json:"logs,omitempty"`
	Output   []byte        `json:"-"` // nil when it failed
}

// Failure is an error as a journal keeps it.
type Failure struct {
	Kind    fault.Kind `json:"kind"`
	Path    string     `json:"path,omitempty"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
	Trace   string     `json:"trace,omitempty"` // of a panic or trap
}

// Write is one value that a step gave a key of the state.
type Write struct {
	Key   string `json:"key"`
	Value []byte `json:"value"` // JSON
}

// Call is a model call as a journal keeps it.
type Call struct {
	run.ModelCall
	Err *Failure `json:",omitempty"`
}

// Usage returns what the model calls of the step cost.
func (r *Record) Usage() (u run.Usage) {
	for i := range r.Calls {
		u.Add(r.Calls[i].ModelCall.Usage)
	}
	return u
}

// AppendTo appends the encoding of r: the length of a JSON head as uvarint, the
// head, and the output as it is.
func (r *Record) AppendTo(b []byte) ([]byte, error) {
	head, err := json.Marshal(r)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, r.Node, err, "encode a record")
	}
	b = binary.AppendUvarint(b, uint64(len(head)))
	return append(append(b, head...), r.Output...), nil
}

// ParseRecord decodes what AppendTo made. The output lies in b. It fails with
// Corrupt.
func ParseRecord(b []byte) (Record, error) {
	var r Record
	n, at := binary.Uvarint(b)
	if at <= 0 || n > uint64(len(b)-at) {
		return r, fault.New(fault.Corrupt, "journal", "a record of %d bytes is cut short", len(b))
	}
	if err := json.Unmarshal(b[at:at+int(n)], &r); err != nil {
		return r, fault.Wrap(fault.Corrupt, "journal", err, "a record")
	}
	if rest := b[at+int(n):]; (r.Kind == RecordStep || r.Kind == RecordVain) && r.Err == nil {
		r.Output = rest[:len(rest):len(rest)]
	}
	return r, nil
}

// Log is a journal in memory. The zero value is empty. It is safe for concurrent
// use.
type Log struct {
	mu      sync.Mutex // guards records
	records []Record
}

var _ Journal = (*Log)(nil)

// Append keeps a copy of r.
func (l *Log) Append(r *Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := *r // the step's trail is used again
	c.Attrs, c.Metrics, c.Events, c.Logs = slices.Clone(r.Attrs), slices.Clone(r.Metrics), slices.Clone(r.Events), slices.Clone(r.Logs)
	l.records = append(l.records, c)
	return nil
}

// Records returns what was appended so far. The records must not be changed.
func (l *Log) Records() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[:len(l.records):len(l.records)]
}

// failureOf keeps the text of err as it is.
func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Kind: fault.KindOf(err), Message: err.Error(), Hint: fault.HintOf(err), Trace: fault.TraceOf(err)}
	if e, ok := err.(*fault.Error); ok && e.Path != "" {
		if rest, found := strings.CutPrefix(f.Message, e.Path+": "); found {
			f.Path, f.Message = e.Path, rest
		}
	}
	return f
}

func (f *Failure) err() error {
	if f == nil {
		return nil
	}
	return &fault.Error{Kind: f.Kind, Path: f.Path, Msg: f.Message, Hint: f.Hint, Trace: f.Trace}
}

// journal is the part of an execution that records it.
type journal struct {
	to      Journal
	elapsed time.Duration        // before this execution
	asked   map[string]time.Time // questions, by step
	answers map[string][]byte    // by step
	past    *past                // not nil while recorded steps are taken over
}

// name returns which step t is.
func (t *token) name() string {
	var b strings.Builder
	if up := t.frame.parent; up != nil {
		b.WriteString(up.id)
		b.WriteByte('/')
	}
	b.WriteString(t.frame.prep.plan.Nodes[t.node].Spec.Name)
	if t.step.Visit > 0 {
		b.WriteByte('#')
		b.WriteString(strconv.Itoa(t.step.Visit))
	}
	if t.group != nil {
		b.WriteByte('[')
		b.WriteString(strconv.Itoa(t.step.Item - 1))
		b.WriteByte(']')
	}
	if t.step.Attempt > 0 && t.frame.prep.nested[t.node] != nil {
		b.WriteByte('~')
		b.WriteString(strconv.Itoa(t.step.Attempt))
	}
	return b.String()
}

// composite reports whether t is made of other steps.
func (t *token) composite() bool { return t.each != nil || t.frame.prep.nested[t.node] != nil }

// record appends how t ended. In vain says that its graph had failed before. When
// the whole run is over there is nothing left to record.
func (x *execution) record(t *token, writes []write, vain bool) {
	f, composite := t.frame, t.composite()
	vain = vain || t.err != nil && f.ctx.Err() != nil || t.group != nil && t.group.closed && t.step.Item-1 > t.group.failed
	if x.top.err != nil || composite && (t.err == nil || vain) || vain && x.top.ctx.Err() != nil {
		return
	}
	r := &Record{Kind: RecordStep, Step: t.id, Node: t.step.Node, Seq: t.step.Seq, Start: t.first, End: t.end, Err: failureOf(t.err)}
	switch {
	case vain:
		r.Kind = RecordVain
	case composite:
		r.Kind = RecordFailed
		x.append(r)
		return
	}
	r.Retries, r.CacheHit, r.Output = t.step.Attempt, t.hit, t.output
	tr := &t.trail
	r.Attrs, r.Metrics, r.Events, r.Logs = tr.Attrs, tr.Metrics, tr.Events, tr.Logs
	for _, c := range tr.Calls {
		kept := Call{ModelCall: c, Err: failureOf(c.Err)}
		kept.ModelCall.Err = nil
		r.Calls = append(r.Calls, kept)
	}
	for _, w := range writes {
		r.Writes = append(r.Writes, Write{w.key, w.value})
	}
	if t.tracked != nil {
		r.Writes = t.tracked.taken()
	}
	x.append(r)
}

func (x *execution) append(r *Record) {
	r.Elapsed = x.journal.elapsed + time.Since(x.start)
	if err := x.journal.to.Append(r); err != nil {
		x.top.fail(fault.Wrap("", "journal", err, "after %q", r.Node))
	}
}

// tracked is the state of a step whose writes are recorded and not held back.
type tracked struct {
	run.State
	mu     sync.Mutex // guards writes
	writes []Write
}

// Set passes a value on and remembers it.
func (s *tracked) Set(key string, value []byte) error {
	if err := s.State.Set(key, value); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, Write{strings.Clone(key), append([]byte(nil), value...)})
	return nil
}

func (s *tracked) taken() []Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}
