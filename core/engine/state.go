package engine

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// The bounds of a run's state.
const (
	MaxStateValue = 1 << 20  // bytes of one value
	MaxState      = 16 << 20 // bytes of all keys and values
)

// state is the shared state of one run. Each Set is atomic for its key.
type state struct {
	mu     sync.Mutex // guards the fields below
	values map[string][]byte
	size   int

	typed  map[string]*graph.PlanKey // declared keys; nil when the document declares none
	open   []write                   // committed, in order, but others may still come between
	folded map[string][]byte         // values with the open writes, as far as somebody asked
}

var _ run.State = (*state)(nil)

// Get returns the value of key.
func (s *state) Get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key)
}

// Set stores a copy of a JSON value. It fails with Invalid when the value is not
// JSON and with Limit beyond MaxStateValue and MaxState.
func (s *state) Set(key string, value []byte) error {
	if len(value) > MaxStateValue {
		return fault.New(fault.Limit, "state."+key, "value has %d bytes, the limit is %d", len(value), MaxStateValue)
	}
	if !json.Valid(value) {
		return fault.New(fault.Invalid, "state."+key, "value is not JSON")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.values[key]
	size := s.size + len(value) - len(old)
	if !ok {
		size += len(key)
	}
	if size > MaxState {
		return fault.New(fault.Limit, "state."+key, "the state of the run would have %d bytes, the limit is %d", size, MaxState)
	}
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[key], s.size = slices.Clone(value), size
	return nil
}

// reset forgets all values. No step may be running.
func (s *state) reset() {
	clear(s.values)
	clear(s.open)
	clear(s.folded)
	s.size, s.typed, s.open = 0, nil, s.open[:0]
}
