package engine

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Question is what a run waits for: a person's answer to a node of kind wait.
type Question struct {
	ID       string          `json:"id"`   // which step, unique in the run
	Node     string          `json:"node"` // outer/inner
	Prompt   string          `json:"prompt"`
	Input    json.RawMessage `json:"input"` // of the step, to be shown beside the prompt
	Choices  []string        `json:"choices,omitempty"`
	Schema   json.RawMessage `json:"schema,omitempty"`
	Asked    time.Time       `json:"asked"`
	Deadline time.Time       `json:"deadline,omitzero"` // after it, Resume without an answer goes on; zero is never
}

// Check returns nil when a JSON answer is one of the choices and fits the schema,
// and an Invalid fault otherwise.
func (q *Question) Check(answer []byte) error {
	return graph.CheckAnswer(q.Choices, q.Schema, answer)
}

// Answer answers a question of a run.
type Answer struct {
	Question string // its ID
	Value    []byte // JSON
}

// answer checks a against the question it names and keeps it.
func (j *journal) answer(p *Program, a Answer) error {
	at := "answers." + a.Question
	_, asked := j.asked[a.Question]
	_, done := j.past.results[a.Question]
	w := waitOf(p.Plan, a.Question)
	if !asked || done || w == nil {
		return fault.New(fault.NotFound, at, "the run has no open question %q", a.Question).WithHint("look at what the run waits for")
	}
	if err := w.Check(a.Value); err != nil {
		return fault.Wrap("", at, err, "")
	}
	j.answers[a.Question] = a.Value
	return nil
}

// waitOf returns the question that the name of a step leads to, or nil.
func waitOf(p *graph.Plan, step string) *graph.PlanWait {
	name, rest, inner := strings.Cut(step, "/")
	if i := strings.IndexAny(name, "#[~"); i >= 0 {
		name = name[:i]
	}
	for i := range p.Nodes {
		pn := &p.Nodes[i]
		switch {
		case pn.Spec.Name != name:
		case !inner:
			return pn.Wait
		case pn.Nested != nil:
			return waitOf(pn.Nested, rest)
		}
	}
	return nil
}

// ask puts the question of t, or takes the answer that is there.
func (x *execution) ask(t *token) {
	j := x.journal
	if t.refused != nil || x.recall(t) {
		t.first = time.Now()
		if t.end = t.first; t.refused != nil {
			t.err = t.refused
		}
		x.finish(t)
		return
	}
	asked, known := j.asked[t.id]
	if !known {
		asked = time.Now()
		j.asked[t.id] = asked
		x.append(&Record{Kind: RecordAsked, Step: t.id, Node: t.step.Node, Seq: t.step.Seq, Start: asked, End: asked})
	}
	t.first = asked
	if limit := time.Duration(t.wait().Spec.Timeout); limit > 0 {
		t.due = asked.Add(limit)
	}
	answer, ok := j.answers[t.id]
	switch {
	case t.frame.err != nil:
		x.drop(t)
	case ok:
		t.output, t.end = answer, time.Now()
		x.finish(t)
	default:
		x.waiting = append(x.waiting, t)
	}
}

func (t *token) wait() *graph.PlanWait { return t.frame.prep.plan.Nodes[t.node].Wait }

func (t *token) question() Question {
	w := t.wait().Spec
	return Question{ID: t.id, Node: t.step.Node, Prompt: w.Prompt, Input: t.step.Input, Choices: w.Choices, Schema: w.Schema,
		Asked: t.first, Deadline: t.due}
}

// expire ends the questions whose time is over and reports whether there were any.
func (x *execution) expire(now time.Time) bool {
	for i, t := range x.waiting {
		if t.due.IsZero() || t.due.After(now) {
			continue
		}
		x.waiting = append(x.waiting[:i], x.waiting[i+1:]...)
		w := t.wait().Spec
		if t.end = now; w.OnTimeout == graph.TimeoutDefault {
			t.output = w.Default
		} else {
			t.err = fault.New(fault.Timeout, t.path(), "nobody answered within %v", w.Timeout).
				WithHint("answer in time, raise wait.timeout, or give a default with on_timeout: default")
		}
		x.finish(t)
		x.expire(now) // the list is another one now
		return true
	}
	return false
}
