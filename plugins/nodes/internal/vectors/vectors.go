// Package vectors runs the test vectors of the module contract on node types
// compiled natively.
package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
	"github.com/sparkrsi/spark/sdk/node/abi"
	"github.com/sparkrsi/spark/sdk/node/nodetest"
)

// file is the document that docs/ABI.md describes.
type file struct {
	Vectors []struct {
		Name   string                     `json:"name"`
		Module string                     `json:"module"`
		Assets map[string]string          `json:"assets"`
		State  map[string]json.RawMessage `json:"state"`
		Steps  []step                     `json:"steps"`

		Capabilities []string `json:"capabilities"`
	} `json:"vectors"`
}

type step struct {
	Configure     json.RawMessage `json:"configure"`
	ConfigureText string          `json:"configure_text"`
	Process       json.RawMessage `json:"process"`
	ProcessText   string          `json:"process_text"`
	Output        json.RawMessage `json:"output"`
	OutputText    string          `json:"output_text"`
	Fail          *struct {
		Kind    fault.Kind `json:"kind"`
		Message string     `json:"message"`
	} `json:"fail"`
	Resume *struct {
		State      string          `json:"state"`
		Errno      abi.Errno       `json:"errno"`
		Result     json.RawMessage `json:"result"`
		ResultText string          `json:"result_text"`
		Raw        []byte          `json:"raw_base64"`
	} `json:"resume"`
	Await *struct {
		Effect  int32           `json:"effect"`
		Request json.RawMessage `json:"request"`
		State   string          `json:"state"`
	} `json:"await"`
	Trap bool `json:"trap"`
}

// asked keeps what a node awaits.
type asked struct {
	node.Calls
	effect         int32
	request, state []byte
}

func (a *asked) Await(effect int32, request, state []byte) abi.Errno {
	e := a.Calls.Await(effect, request, state)
	if e == 0 {
		a.effect, a.request, a.state = effect, bytes.Clone(request), bytes.Clone(state)
	}
	return e
}

// Run runs the vectors of one module in the file at path; the test fails when
// there are none. Kinds are compared as the contract carries them: a kind that it
// has no number for arrives as internal.
func Run(t *testing.T, path, module string, types map[string]func() node.Node) {
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f file
	dec := json.NewDecoder(strings.NewReader(string(doc)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, v := range f.Vectors {
		if v.Module != module {
			continue
		}
		ran++
		t.Run(v.Name, func(t *testing.T) {
			host := &nodetest.Host{Assets: map[string][]byte{}, State: map[string]string{}}
			for name, text := range v.Assets {
				host.Assets[name] = []byte(text)
			}
			for key, value := range v.State {
				host.State[key] = string(value)
			}
			if slices.Contains(v.Capabilities, "generate") {
				host.Generate = func(abi.GenerateRequest) (abi.GenerateResponse, error) { return abi.GenerateResponse{}, nil }
			}
			calls := &asked{Calls: host.Calls()}
			i := node.NewInstance(maps.Clone(types), calls)
			for n, s := range v.Steps {
				s.run(t, n, i, calls)
			}
		})
	}
	if ran == 0 {
		t.Fatalf("no vector for module %s in %s", module, path)
	}
}

func (s step) run(t *testing.T, n int, i *node.Instance, calls *asked) {
	t.Helper()
	var out []byte
	var err error
	if s.Trap {
		defer func() {
			if recover() == nil {
				t.Errorf("step %d: no panic", n)
			}
		}()
	}
	configure := s.Configure != nil || s.ConfigureText != ""
	switch r := s.Resume; {
	case configure:
		err = i.Configure(append(s.Configure, s.ConfigureText...))
	case r != nil && r.Raw != nil:
		out, err = i.Resume(r.Raw)
	case r != nil:
		out, err = i.Resume((&abi.Resumption{Errno: r.Errno, State: []byte(r.State), Result: append(bytes.Clone(r.Result), r.ResultText...)}).Append(nil))
	default:
		out, err = i.Process(append(s.Process, s.ProcessText...))
	}
	if a := s.Await; a != nil {
		if !errors.Is(err, node.ErrAwaiting) || calls.effect != a.Effect || string(calls.state) != a.State || !nodetest.Same(string(calls.request), string(a.Request)) {
			t.Errorf("step %d: output %s and error %v, effect %d of %s with %q", n, out, err, calls.effect, calls.request, calls.state)
		}
		return
	}
	if f := s.Fail; f != nil {
		kind := fault.KindOf(err)
		switch kind {
		case fault.Trap:
			kind = fault.Internal
		case fault.Unavailable:
			kind = fault.Transient
		}
		if err == nil || kind != f.Kind || !strings.Contains(err.Error(), f.Message) {
			t.Errorf("step %d: output %s and error %v, want kind %s with %q", n, out, err, f.Kind, f.Message)
		}
		return
	}
	switch {
	case err != nil:
		t.Errorf("step %d: %v", n, err)
	case configure:
	case s.OutputText != "":
		if string(out) != s.OutputText {
			t.Errorf("step %d: output %q, want %q", n, out, s.OutputText)
		}
	case !nodetest.Same(string(out), string(s.Output)):
		t.Errorf("step %d: output %s, want %s", n, out, s.Output)
	}
}
