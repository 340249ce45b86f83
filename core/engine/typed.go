package engine

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// view is the state as one step sees it when the document declares its keys: what
// was committed, and the step's own writes on top. The writes are committed
// together when the step succeeds and forgotten when an attempt fails.
type view struct {
	s *state

	mu     sync.Mutex // guards the fields below
	writes []write
	err    error // of the first write that was refused: it fails the step
}

// write is one value that a step gave a key, and its place among the writes of a
// run.
type write struct {
	key   string
	value []byte
	depth int
	order []int // node, visit and item of each level, then the number within the step
}

var _ run.State = (*view)(nil)

// Get returns the value of key, with what the step wrote itself.
func (v *view) Get(key string) ([]byte, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, ok := v.s.Get(key)
	for _, w := range v.writes {
		if w.key == key {
			value, ok = reduce(v.s.typed[key].Reduce, value, w.value), true
		}
	}
	return value, ok
}

// Set checks a JSON value against the declaration of key and keeps it for the end
// of the step. What it refuses fails the step, whether the node looks or not.
func (v *view) Set(key string, value []byte) error {
	err := v.s.check(key, value)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		if v.err == nil {
			v.err = err
		}
		return err
	}
	v.writes = append(v.writes, write{key: key, value: slices.Clone(value)})
	return nil
}

// restart forgets what an attempt wrote.
func (v *view) restart() {
	v.mu.Lock()
	v.writes, v.err = nil, nil
	v.mu.Unlock()
}

// failure returns why the step must fail, or nil.
func (v *view) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// check refuses a write that is not declared or not of its type.
func (s *state) check(key string, value []byte) error {
	k, path := s.typed[key], "state."+key
	if k == nil {
		return fault.New(fault.Invalid, path, "the graph does not declare this key").
			WithHint("declare it under state; there are %s", strings.Join(slices.Sorted(maps.Keys(s.typed)), ", "))
	}
	if len(value) > MaxStateValue {
		return fault.New(fault.Limit, path, "value has %d bytes, the limit is %d", len(value), MaxStateValue)
	}
	if !json.Valid(value) {
		return fault.New(fault.Invalid, path, "value is not JSON")
	}
	if k.Reduce == graph.ReduceSum || k.Reduce == graph.ReduceMax {
		if _, _, ok := number(value); !ok {
			return fault.New(fault.Invalid, path, "the write is %.40s, %s needs a number", value, k.Reduce)
		}
	}
	vs, err := k.Schema.Check(value)
	if err != nil {
		return fault.Wrap(fault.Invalid, path, err, "check the write")
	}
	if len(vs) > 0 {
		at := path
		if vs[0].Path != "" {
			at += "." + vs[0].Path
		}
		return fault.New(fault.Invalid, at, "the write %s", vs[0].Message).WithHint("see the schema of %s", path)
	}
	return nil
}

// begin gives the declared keys their values at the start of a run.
func (s *state) begin(typed map[string]*graph.PlanKey) {
	s.typed = typed
	for key, k := range typed {
		if k.Initial != nil {
			s.put(key, k.Initial)
		}
	}
}

// put stores a value. The caller holds mu, or nothing runs.
func (s *state) put(key string, value []byte) {
	old, ok := s.values[key]
	if !ok {
		s.size += len(key)
	}
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.size += len(value) - len(old)
	s.values[key] = value
}

// commit adds the writes of a step that succeeded. Final is the depth up to which
// no other step can still come, -1 when that is not known. It fails with Limit beyond MaxState.
func (s *state) commit(writes []write, final int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := s.size
	for _, w := range writes {
		size += len(w.value)
		if size > MaxState {
			return fault.New(fault.Limit, "state."+w.key, "the state of the run would have more than %d bytes", MaxState)
		}
	}
	s.size = size
	for _, w := range writes {
		at, _ := slices.BinarySearchFunc(s.open, w, write.compare)
		s.open = slices.Insert(s.open, at, w)
	}
	done := 0
	for ; done < len(s.open) && s.open[done].depth <= final; done++ {
		w := s.open[done]
		s.size -= len(w.value)
		s.put(w.key, reduce(s.typed[w.key].Reduce, s.values[w.key], w.value))
	}
	s.open = slices.Delete(s.open, 0, done)
	clear(s.folded)
	return nil
}

// get returns the value of a key with the writes whose place is not final yet.
// The caller holds mu.
func (s *state) get(key string) ([]byte, bool) {
	value, ok := s.values[key]
	if len(s.open) == 0 {
		return value, ok
	}
	if v, done := s.folded[key]; done {
		return v, v != nil
	}
	for _, w := range s.open {
		if w.key == key {
			value, ok = reduce(s.typed[key].Reduce, value, w.value), true
		}
	}
	if s.folded == nil {
		s.folded = map[string][]byte{}
	}
	s.folded[key] = value
	return value, ok
}

func (w write) compare(o write) int {
	if w.depth != o.depth {
		return w.depth - o.depth
	}
	return slices.Compare(w.order, o.order)
}

// reduce returns the value of a key after a write. Had is nil when there was none.
func reduce(r graph.Reducer, had, write []byte) []byte {
	if len(had) == 0 && r != graph.ReduceAppend {
		return write
	}
	switch r {
	case graph.ReduceSum:
		i, f, _ := number(had)
		j, g, _ := number(write)
		if sum := i + j; f == float64(i) && g == float64(j) && (sum > i) == (j > 0) && math.Abs(f) < 1<<62 && math.Abs(g) < 1<<62 {
			return strconv.AppendInt(nil, sum, 10)
		}
		sum := min(max(f+g, -math.MaxFloat64), math.MaxFloat64)
		out, err := json.Marshal(sum)
		if err != nil {
			return had // not a number: both were
		}
		return out
	case graph.ReduceMax:
		if _, f, _ := number(had); true {
			if _, g, _ := number(write); g > f {
				return write
			}
		}
		return had
	case graph.ReduceAppend:
		out := append(make([]byte, 0, len(had)+len(write)+1), '[')
		if len(had) > 2 {
			out = append(append(out, had[1:len(had)-1]...), ',')
		}
		return append(append(out, write...), ']')
	}
	return write
}

// number returns a JSON number as float and, when it is one, as integer.
func number(b []byte) (int64, float64, bool) {
	text := strings.TrimSpace(string(b))
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, float64(i), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) || text == "" || text[0] > '9' {
		return 0, 0, false
	}
	f = min(max(f, -math.MaxFloat64), math.MaxFloat64)
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f), f, true
	}
	return 0, f, true
}

// commit puts the writes of t into the state of its graph and returns them.
func (t *token) commit() []write {
	t.view.mu.Lock()
	writes := t.view.writes
	t.view.writes = nil
	t.view.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	order, final := t.place()
	for i := range writes {
		writes[i].depth, writes[i].order = t.depth, append(slices.Clip(order), i)
	}
	if err := t.frame.state.commit(writes, final); err != nil {
		t.err, t.output = fault.Wrap("", t.path(), err, ""), nil
		return nil
	}
	return writes
}

// place returns where t stands among the steps of the run, level by level, and
// up to which depth no other step can still come: its own while it is alone,
// because each step is deeper than what led to it; -1 otherwise.
func (t *token) place() (order []int, final int) {
	alone, levels := true, 0
	for at := t; at != nil; at = at.frame.parent {
		order = append(order, at.step.Item, at.step.Visit, at.node)
		here := 1
		if g := at.group; g != nil { // the step itself is open beside its item
			here, alone = 2, alone && g.open == 1 && g.next == len(g.items)
		}
		alone = alone && at.frame.open == here && len(at.frame.pending) == 0
		levels++
	}
	slices.Reverse(order)
	if alone && len(t.frame.x.nested) == levels-1 {
		return order, t.depth
	}
	return order, -1
}
