package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// TestValidated counts which of 300 steps with bad input and output are caught.
func TestValidated(t *testing.T) {
	schema, err := graph.CompileSchema([]byte(`{"type":"object","required":["q"],"properties":{"q":{"type":"string"},"hits":{"type":"array","items":{"type":"object","required":["id"]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	good, bad := []byte(`{"q":"x"}`), []byte(`{"q":"x","hits":[{"id":1},{}]}`)
	for _, c := range []struct {
		name            string
		mode            graph.Validation
		trusted, start  bool
		kind            run.Kind
		inputs, outputs int // caught
	}{
		{"untrusted", "", false, false, run.Production, 300, 300},
		{"trusted", "", true, false, run.Production, 3, 3},
		{"sample wins over distrust", graph.ValidateSample, false, false, run.Production, 3, 3},
		{"always wins over trust", graph.ValidateAlways, true, false, run.Production, 300, 300},
		{"off", graph.ValidateOff, false, true, run.Production, 0, 0},
		{"experiment, checked after it", "", true, false, run.Experiment, 0, 0},
		{"input of the run in an experiment", "", true, true, run.Experiment, 300, 0},
		{"untrusted in an experiment", "", false, false, run.Experiment, 300, 300},
		{"replay", "", true, false, run.Replay, 300, 300},
		{"off in an experiment", graph.ValidateOff, true, false, run.Experiment, 0, 0},
		{"input of the run", graph.ValidateSample, true, true, run.Production, 300, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			for of, want := range map[string]int{"input": c.inputs, "output": c.outputs} {
				in, out := good, bad
				if of == "input" {
					in, out = bad, good
				}
				n := Validated(Func(func(context.Context, *run.Step) ([]byte, error) { return out, nil }),
					Validation{Input: schema, Output: schema, Mode: c.mode, Trusted: c.trusted, Start: c.start})
				caught := 0
				for range 300 {
					s := &run.Step{Info: &run.Info{Kind: c.kind}, Input: in, Trail: &run.Trail{}}
					_, err := n.RunNode(t.Context(), s)
					if err == nil {
						continue
					}
					caught++
					if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), of+".hits[1].id") || fault.HintOf(err) == "" ||
						len(s.Trail.Attrs) != 1 || s.Trail.Attrs[0] != run.String("validation.path", of+".hits[1].id") {
						t.Fatalf("%v, %+v", err, s.Trail.Attrs)
					}
				}
				if caught != want {
					t.Errorf("%d bad %ss caught, want %d", caught, of, want)
				}
			}
		})
	}
}

// TestValidatedInRun: a value that does not fit is a failed step that an error
// edge takes.
func TestValidatedInRun(t *testing.T) {
	g, fs := graph.Decode([]byte(`
graph: g
start: a
nodes: {a: {native: f}, b: {native: f}}
edges: [{from: a, to: b, on_error: [invalid]}]
output: [b]
`), "")
	if err := fs.Err(""); err != nil {
		t.Fatal(err)
	}
	plan, err := graph.Compile(&graph.Locked{Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := graph.CompileSchema([]byte(`{"type":"integer"}`))
	if err != nil {
		t.Fatal(err)
	}
	echo := Func(func(_ context.Context, s *run.Step) ([]byte, error) { return s.Input, nil })
	p := &Program{Plan: plan, Runners: []NodeRunner{Validated(echo, Validation{Input: schema, Mode: graph.ValidateAlways}), echo}}
	var why string
	o := observe(func(o *run.Observation) {
		if o.Phase == run.StepFinished && o.Node == "a" {
			why = fmt.Sprint(o.Err)
		}
	})
	res, err := Run(t.Context(), p, []byte(`"text"`), Options{Observer: o})
	if err != nil || res.OutputNode != "b" {
		t.Errorf("%+v, %v", res, err)
	}
	if want := "nodes.a: input: does not fit the input schema of the node type: is of type string, want integer"; why != want {
		t.Errorf("the step failed with %q, want %q", why, want)
	}
}

type observe func(o *run.Observation)

func (f observe) Observe(o *run.Observation) { f(o) }
