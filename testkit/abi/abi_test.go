package abi

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestLoad(t *testing.T) {
	vectors, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	modules := map[string]int{}
	for _, v := range vectors {
		if v.Name == "" || names[v.Name] || len(v.Steps) == 0 {
			t.Errorf("vector %q is nameless, not the first of its name, or empty", v.Name)
		}
		names[v.Name] = true
		modules[v.Module]++
		for i, s := range v.Steps {
			calls, results := 0, 0
			for _, set := range []bool{s.Configure != nil, s.ConfigureText != "", s.Process != nil, s.ProcessText != "", s.Resume != nil} {
				if set {
					calls++
				}
			}
			for _, set := range []bool{s.Output != nil, s.OutputText != "", s.Fail != nil, s.Trap, s.Await != nil} {
				if set {
					results++
				}
			}
			process := s.Process != nil || s.ProcessText != "" || s.Resume != nil
			if calls != 1 || results > 1 || process && results == 0 {
				t.Errorf("%s: step %d makes %d calls and expects %d results", v.Name, i, calls, results)
			}
		}
	}
	if len(modules) != 2 || modules["stock"] == 0 || modules["faulty"] == 0 {
		t.Errorf("vectors by module: %v", modules)
	}
}

// answer is an Instance that always answers the same.
type answer struct {
	out string
	err error
}

func (a answer) Configure([]byte) error         { return a.err }
func (a answer) Process([]byte) ([]byte, error) { return []byte(a.out), a.err }
func (a answer) Resume([]byte) ([]byte, error)  { return []byte(a.out), a.err }

// TestCheck proves that a vector can fail.
func TestCheck(t *testing.T) {
	rejected := fault.New(fault.Rejected, "", "no such thing")
	trap := fault.New(fault.Trap, "", "crashed")
	process := func(s Step) Step {
		s.Process = json.RawMessage(`{}`)
		return s
	}
	for name, c := range map[string]struct {
		step Step
		i    answer
		ok   bool
	}{
		"awaits":             {process(Step{Await: &Await{1, json.RawMessage(`{"a":1}`), "s"}}), answer{err: &Awaited{1, []byte(`{"a": 1}`), []byte("s")}}, true},
		"awaits another":     {process(Step{Await: &Await{1, json.RawMessage(`{"a":1}`), "s"}}), answer{err: &Awaited{2, []byte(`{"a": 1}`), []byte("s")}}, false},
		"awaits otherwise":   {process(Step{Await: &Await{1, json.RawMessage(`{"a":1}`), "s"}}), answer{err: &Awaited{1, []byte(`{"a": 2}`), []byte("s")}}, false},
		"other state":        {process(Step{Await: &Await{1, json.RawMessage(`{"a":1}`), "s"}}), answer{err: &Awaited{1, []byte(`{"a": 1}`), []byte("t")}}, false},
		"does not await":     {process(Step{Await: &Await{1, json.RawMessage(`{"a":1}`), "s"}}), answer{out: "1"}, false},
		"awaits unasked":     {process(Step{Fail: &Fail{fault.Internal, ""}}), answer{err: &Awaited{}}, false},
		"equal value":        {process(Step{Output: json.RawMessage(`{"a":1,"b":2}`)}), answer{out: `{"b":2.0, "a":1}`}, true},
		"other value":        {process(Step{Output: json.RawMessage(`{"a":1}`)}), answer{out: `{"a":2}`}, false},
		"no JSON":            {process(Step{Output: json.RawMessage(`1`)}), answer{out: `x`}, false},
		"failed":             {process(Step{Output: json.RawMessage(`1`)}), answer{err: rejected}, false},
		"text":               {process(Step{OutputText: "x"}), answer{out: "x"}, true},
		"other text":         {process(Step{OutputText: "x"}), answer{out: "y"}, false},
		"checked text":       {process(Step{OutputText: "x"}), answer{err: rejected}, true},
		"trap for a text":    {process(Step{OutputText: "x"}), answer{err: trap}, false},
		"fails":              {process(Step{Fail: &Fail{fault.Rejected, "such"}}), answer{err: rejected}, true},
		"fails otherwise":    {process(Step{Fail: &Fail{fault.Invalid, ""}}), answer{err: rejected}, false},
		"other words":        {process(Step{Fail: &Fail{fault.Rejected, "other"}}), answer{err: rejected}, false},
		"does not fail":      {process(Step{Fail: &Fail{fault.Rejected, ""}}), answer{out: "1"}, false},
		"traps":              {process(Step{Trap: true}), answer{err: trap}, true},
		"does not trap":      {process(Step{Trap: true}), answer{err: errors.New("odd")}, false},
		"configured":         {Step{Configure: json.RawMessage(`{}`)}, answer{}, true},
		"not configured":     {Step{ConfigureText: "{"}, answer{err: rejected}, false},
		"refused as it must": {Step{ConfigureText: "{", Fail: &Fail{fault.Rejected, ""}}, answer{err: rejected}, true},
	} {
		v := Vector{Steps: []Step{c.step}}
		if err := v.Check(c.i); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
