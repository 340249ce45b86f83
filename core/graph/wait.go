package graph

import (
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Wait makes a node a question to a person. The run pauses there, once nothing
// else of it can go on, until the question is answered or its time is over; the
// answer is the output of the step. The input of the node is shown beside the
// prompt.
type Wait struct {
	Prompt    string          `json:"prompt"`
	Choices   []string        `json:"choices,omitempty"`    // the answer is one of these texts; empty takes any JSON
	Schema    json.RawMessage `json:"schema,omitempty"`     // JSON Schema of the answer; empty takes any JSON
	Timeout   Duration        `json:"timeout,omitempty"`    // from asking; 0 waits for ever
	OnTimeout OnTimeout       `json:"on_timeout,omitempty"` // default fail
	Default   json.RawMessage `json:"default,omitempty"`    // the answer when nobody gave one in time
}

// OnTimeout says what happens to a question that nobody answered in time.
type OnTimeout string

// The choices of OnTimeout. The zero value is TimeoutFail.
const (
	TimeoutFail    OnTimeout = "fail"    // the step fails with timeout
	TimeoutDefault OnTimeout = "default" // the default is the answer
)

// The bounds of a question.
const (
	MaxChoices = 100
	MaxPrompt  = 16 << 10 // bytes
)

// PlanWait is a compiled Wait. It is immutable and safe for concurrent use.
type PlanWait struct {
	Spec   *Wait
	schema *Schema
}

// Check returns nil when a JSON answer is one of the choices and fits the schema,
// and an Invalid fault with the path answer otherwise.
func (w *PlanWait) Check(answer []byte) error {
	return checkAnswer(w.Spec.Choices, w.schema, answer)
}

// CheckAnswer is PlanWait.Check for a question that was kept without its plan.
func CheckAnswer(choices []string, schema, answer []byte) error {
	s, err := CompileSchema(schema)
	if err != nil {
		return err
	}
	return checkAnswer(choices, s, answer)
}

func checkAnswer(choices []string, s *Schema, answer []byte) error {
	v, err := decodeJSON(answer)
	if err != nil {
		return fault.Wrap(fault.Invalid, "answer", err, "the answer")
	}
	if text, ok := v.(string); len(choices) > 0 && (!ok || !slices.Contains(choices, text)) {
		return fault.New(fault.Invalid, "answer", "%.80s is not one of the choices", answer).
			WithHint("answer with one of %s, as a JSON string", strings.Join(choices, ", "))
	}
	vs, err := s.Check(answer)
	if err != nil {
		return fault.Wrap(fault.Invalid, "answer", err, "check the answer")
	}
	if len(vs) > 0 {
		at := "answer"
		if vs[0].Path != "" {
			at = join(at, vs[0].Path)
		}
		return fault.New(fault.Invalid, at, "%s", vs[0].Message).WithHint("see the schema of the question")
	}
	return nil
}

// compile returns the plan of a question, or what is wrong with it and at which of
// its fields.
func (w *Wait) compile() (p *PlanWait, at string, err error) {
	p = &PlanWait{Spec: w}
	if p.schema, err = CompileSchema(w.Schema); err != nil {
		return nil, "schema", err
	}
	switch {
	case strings.TrimSpace(w.Prompt) == "" || len(w.Prompt) > MaxPrompt:
		return nil, "prompt", fault.New(fault.Invalid, "", "has %d bytes, must have 1 to %d", len(w.Prompt), MaxPrompt).
			WithHint("say what a person has to decide")
	case len(w.Choices) > MaxChoices:
		return nil, "choices", fault.New(fault.Invalid, "", "there are %d, the limit is %d", len(w.Choices), MaxChoices)
	case w.Timeout < 0:
		return nil, "timeout", fault.New(fault.Invalid, "", "cannot be negative")
	case w.OnTimeout != "" && w.OnTimeout != TimeoutFail && w.OnTimeout != TimeoutDefault:
		return nil, "on_timeout", fault.New(fault.Invalid, "", "%q is not one of the choices", w.OnTimeout).
			WithHint("one of fail, default")
	case w.OnTimeout == TimeoutDefault && (len(w.Default) == 0 || w.Timeout == 0):
		return nil, "on_timeout", fault.New(fault.Invalid, "", "default needs a timeout and a default answer").
			WithHint("add timeout: and default:")
	case w.OnTimeout != TimeoutDefault && len(w.Default) > 0:
		return nil, "default", fault.New(fault.Invalid, "", "is never given").WithHint("add on_timeout: default")
	}
	for i, c := range w.Choices {
		if c == "" || slices.Contains(w.Choices[:i], c) {
			return nil, index("choices", i), fault.New(fault.Invalid, "", "%q is empty or repeats a choice", c)
		}
		if err := p.Check(appendString(nil, c)); err != nil {
			return nil, index("choices", i), fault.New(fault.Invalid, "", "%q does not fit the schema: %v", c, err)
		}
	}
	if len(w.Default) > 0 {
		if err := p.Check(w.Default); err != nil {
			return nil, "default", err
		}
	}
	return p, "", nil
}

func (d *decoder) wait(n *yaml.Node, path string) *Wait {
	w := &Wait{}
	d.object(n, path, fields{
		"prompt":     d.str(&w.Prompt),
		"choices":    d.words(&w.Choices),
		"schema":     d.jsonObject(&w.Schema),
		"timeout":    d.duration(&w.Timeout),
		"on_timeout": word(d, &w.OnTimeout, TimeoutFail, TimeoutDefault),
		"default":    d.json(&w.Default),
	})
	d.require(n, path, "prompt")
	return w
}

// wait checks a node that is a question.
func (v *validator) wait(n *Node, path string) {
	if _, at, err := n.Wait.compile(); err != nil {
		v.errorf(path+".wait."+at, fault.HintOf(err), "%v", err)
	}
	for _, k := range []struct {
		key string
		set bool
	}{{"config", len(n.Config) > 0}, {"assets", len(n.Assets) > 0}, {"grant", n.Grant != nil}, {"retry", n.Retry != nil},
		{"cache", n.Cache != nil}, {"rate_limit", n.RateLimit != nil}, {"circuit_breaker", n.CircuitBreaker != nil},
		{"budget", n.Budget != nil}, {"idempotency_key", n.IdempotencyKey != ""}, {"validate", n.Validate != ""},
		{"isolation", n.Isolation != ""}} {
		if k.set {
			v.errorf(path+"."+k.key, "remove the key", "a node that waits for a person cannot have this key")
		}
	}
	if n.Timeout > 0 {
		v.errorf(path+".timeout", "move it into wait, as wait: {timeout: ...}", "a node that waits for a person has its timeout in wait")
	}
}

// Waits reports whether p, or a graph nested in it, has a node that waits for a
// person.
func (p *Plan) Waits() bool {
	return slices.ContainsFunc(p.Nodes, func(n PlanNode) bool { return n.Wait != nil || n.Nested != nil && n.Nested.Waits() })
}
