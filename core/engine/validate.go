package engine

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Validation says what the inputs and outputs of a node are held against, and how
// often. A nil schema takes everything.
type Validation struct {
	Input, Output *graph.Schema
	Mode          graph.Validation // "" is always, or sample for a trusted module
	Trusted       bool             // the module is the operator's
	Start         bool             // the node takes the input of the run
}

// sampleEvery is how many steps pass between two that are checked.
const sampleEvery = 100

// Check returns nil when what a step took and gave fits, whatever the mode, and an
// Invalid fault otherwise. It is for steps of experiments, whose time would count
// if they were checked while they run.
func (v *Validation) Check(input, output []byte) error {
	if _, err := fits(v.Input, "input", input); err != nil {
		return err
	}
	_, err := fits(v.Output, "output", output)
	return err
}

// Validated returns r with its inputs and outputs checked: every step with
// ValidateAlways; with ValidateSample the first one, every hundredth after it, each
// that takes the run's input (that input only), those of shadow runs and replays,
// and none of experiments. What does not fit fails the step with Invalid, and the
// attribute validation.path of its span says where: input.query, or
// output.hits[0].id.
func Validated(r NodeRunner, v Validation) NodeRunner {
	if v.Mode == graph.ValidateOff || v.Input == nil && v.Output == nil {
		return r
	}
	return &validated{runner: r, v: v, always: v.Mode == graph.ValidateAlways || v.Mode == "" && !v.Trusted}
}

type validated struct {
	runner NodeRunner
	v      Validation
	always bool
	steps  atomic.Uint64
}

var _ NodeRunner = (*validated)(nil)

// RunNode runs the node between two checks.
func (n *validated) RunNode(ctx context.Context, s *run.Step) ([]byte, error) {
	check := n.checks(s)
	if check || n.v.Start && s.Visit == 0 {
		if at, err := fits(n.v.Input, "input", s.Input); err != nil {
			return nil, refuse(s, at, err)
		}
	}
	out, err := n.runner.RunNode(ctx, s)
	if err != nil || !check {
		return out, err
	}
	if at, err := fits(n.v.Output, "output", out); err != nil {
		return nil, refuse(s, at, err)
	}
	return out, nil
}

// checks reports whether a step is checked whole.
func (n *validated) checks(s *run.Step) bool {
	kind := run.Production
	if s.Info != nil {
		kind = s.Info.Kind
	}
	switch {
	case n.always:
		return true
	case kind == run.Experiment:
		return false
	}
	return kind != run.Production || n.steps.Add(1)%sampleEvery == 1
}

func refuse(s *run.Step, at string, err error) error {
	s.Trail.Attrs = append(s.Trail.Attrs, run.String("validation.path", at))
	return err
}

// fits returns an Invalid fault and the first place where value breaks the schema.
func fits(schema *graph.Schema, of string, value []byte) (at string, _ error) {
	if schema == nil {
		return "", nil
	}
	if value == nil {
		value = []byte("null")
	}
	found, err := schema.Check(value)
	if err == nil && len(found) == 0 {
		return "", nil
	}
	msg := ""
	at = of
	if err != nil {
		msg = err.Error()
	} else {
		if msg = found[0].Message; strings.HasPrefix(found[0].Path, "[") {
			at += found[0].Path
		} else if found[0].Path != "" {
			at += "." + found[0].Path
		}
	}
	f := fault.New(fault.Invalid, at, "does not fit the %s schema of the node type: %s", of, msg)
	if len(found) > 1 {
		f.Msg += ", and more"
	}
	if of == "input" {
		return at, f.WithHint("map what the node wants with input:, or mend what comes before it")
	}
	return at, f.WithHint("the module does not keep its own schema: report it to its author")
}
