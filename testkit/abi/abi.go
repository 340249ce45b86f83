// Package abi is the conformance suite of the contract that docs/ABI.md states:
// exchanges between a host and the modules plugins/nodes/stock and
// plugins/nodes/faulty, as data.
//
// Start with Load. A host shows a vector a fresh instance of the vector's module
// by way of Instance; an SDK shows one of nodes that do the same. The package
// runs no module itself.
package abi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

//go:embed vectors.json
var document []byte

// Vector is one exchange. Its steps go to one instance, in order.
type Vector struct {
	Name   string                     `json:"name"`
	Module string                     `json:"module"` // stock or faulty
	Assets map[string]string          `json:"assets"` // content by the name under which the instance may read it
	State  map[string]json.RawMessage `json:"state"`  // of the run, before the first step
	Steps  []Step                     `json:"steps"`

	// Capabilities are those granted to the instance beyond its assets: generate.
	Capabilities []string `json:"capabilities"`
}

// Step is one call of an export and what must come of it. Either Configure,
// Process, Resume or one of the texts is set; a text need not be JSON.
type Step struct {
	Configure     json.RawMessage `json:"configure"`
	ConfigureText string          `json:"configure_text"`
	Process       json.RawMessage `json:"process"`
	ProcessText   string          `json:"process_text"`
	Resume        *Resume         `json:"resume"`
	Output        json.RawMessage `json:"output"`      // equal as a JSON value
	OutputText    string          `json:"output_text"` // equal as bytes, or any failure from a host that checks outputs
	Await         *Await          `json:"await"`
	Fail          *Fail           `json:"fail"`
	Trap          bool            `json:"trap"`
}

// Resume is what an effect gave, handed to spark_resume as an abi.Resumption.
type Resume struct {
	State      string          `json:"state"`
	Errno      int32           `json:"errno"`
	Result     json.RawMessage `json:"result"`
	ResultText string          `json:"result_text"` // in place of Result
	Raw        []byte          `json:"raw_base64"`  // in place of all: the document as it is
}

// doc returns the document for spark_resume.
func (r *Resume) doc() []byte {
	if r.Raw != nil {
		return r.Raw
	}
	return (&abi.Resumption{Errno: abi.Errno(r.Errno), State: []byte(r.State), Result: append(bytes.Clone(r.Result), r.ResultText...)}).Append(nil)
}

// Await is an effect that the module asks for instead of giving a result.
type Await struct {
	Effect  int32           `json:"effect"`  // one of the abi.Await numbers
	Request json.RawMessage `json:"request"` // equal as a JSON value
	State   string          `json:"state"`   // equal as bytes
}

// Awaited is the error of an Instance that asks for an effect.
type Awaited struct {
	Effect         int32
	Request, State []byte
}

func (a *Awaited) Error() string {
	return fmt.Sprintf("awaits effect %d of %s with the state %q", a.Effect, a.Request, a.State)
}

// Fail is a failure by the module's own word.
type Fail struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"` // part of the text; empty matches all
}

// Instance is a live instance of a module. Its errors are faults: of kind
// fault.Trap when the module trapped, else of the kind that the module gave; an
// Awaited when it asks for an effect.
type Instance interface {
	Configure(doc []byte) error
	Process(doc []byte) ([]byte, error)
	Resume(doc []byte) ([]byte, error)
}

// Load returns all vectors in a fixed order. The slice is the caller's.
func Load() ([]Vector, error) {
	var file struct {
		Vectors []Vector `json:"vectors"`
	}
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fault.Wrap(fault.Invalid, "vectors.json", err, "malformed vectors")
	}
	return file.Vectors, nil
}

// Check gives the steps to a fresh instance of v's module, with v's assets and
// state, and returns every finding, joined, with its step; nil when the instance
// keeps the contract. It stops after the step that traps.
func (v *Vector) Check(i Instance) error {
	var found []error
	for n := range v.Steps {
		if err := v.Steps[n].check(i); err != nil {
			found = append(found, fmt.Errorf("step %d: %w", n, err))
		}
		if v.Steps[n].Trap {
			break
		}
	}
	return errors.Join(found...)
}

func (s *Step) check(i Instance) error {
	var out []byte
	var err error
	configure := s.Configure != nil || s.ConfigureText != ""
	switch {
	case configure:
		err = i.Configure(append(bytes.Clone(s.Configure), s.ConfigureText...))
	case s.Resume != nil:
		out, err = i.Resume(s.Resume.doc())
	default:
		out, err = i.Process(append(bytes.Clone(s.Process), s.ProcessText...))
	}
	trapped := fault.Is(err, fault.Trap)
	var awaited *Awaited
	switch awaits := errors.As(err, &awaited); {
	case s.Await != nil:
		if !awaits || awaited.Effect != s.Await.Effect || !same(awaited.Request, s.Await.Request) || string(awaited.State) != s.Await.State {
			return fmt.Errorf("output %s and error %v, want effect %d of %s with the state %q", out, err, s.Await.Effect, s.Await.Request, s.Await.State)
		}
	case awaits:
		return err
	case s.Trap:
		if !trapped {
			return fmt.Errorf("output %s and error %v, want a trap", out, err)
		}
	case trapped:
		return fmt.Errorf("trapped: %w", err)
	case s.Fail != nil:
		if err == nil || !fault.Is(err, s.Fail.Kind) || !strings.Contains(err.Error(), s.Fail.Message) {
			return fmt.Errorf("output %s and error %v (%s), want kind %s with %q", out, err, fault.KindOf(err), s.Fail.Kind, s.Fail.Message)
		}
	case s.OutputText != "":
		if err == nil && string(out) != s.OutputText {
			return fmt.Errorf("output %q, want %q", out, s.OutputText)
		}
	case err != nil:
		return err
	case !configure && !same(out, s.Output):
		return fmt.Errorf("output %s, want %s", out, s.Output)
	}
	return nil
}

// same reports whether a and b are the same JSON value; numbers are compared as
// 64-bit floats.
func same(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
