package rsi

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Tunable is one config value that a node type offers for tuning, and the value
// it has now. Either Values is set, or Min and Max are.
type Tunable struct {
	Node    string            `json:"node"`
	Path    string            `json:"path"` // of the value in the node's config, such as bm25.k1; see graph.Change
	Current json.RawMessage   `json:"current"`
	Values  []json.RawMessage `json:"values,omitempty"`
	Min     float64           `json:"min,omitempty"`
	Max     float64           `json:"max,omitempty"`
	Step    float64           `json:"step,omitempty"` // 0 is continuous
	Log     bool              `json:"log,omitempty"`
}

// Tunables returns what the config schema of t marks with x-tunable, with the
// values of config or, where it has none, the schema's defaults. A value with
// neither is left out: there would be nothing to compare with. Invalid when the
// schema contradicts itself, with the path of the property.
func Tunables(node string, t *abi.NodeType, config json.RawMessage) ([]Tunable, error) {
	if len(t.Config) == 0 {
		return nil, nil
	}
	var s schema
	if err := json.Unmarshal(t.Config, &s); err != nil {
		return nil, fault.Wrap(fault.Invalid, "nodes."+node+".config", err, "config schema of %s", t.Type)
	}
	var list []Tunable
	err := s.walk(node, "", config, &list)
	return list, err
}

// schema is the part of JSON Schema that tunables are declared in.
type schema struct {
	Type       json.RawMessage    `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Default    json.RawMessage    `json:"default"`
	Enum       []json.RawMessage  `json:"enum"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	Tunable    json.RawMessage    `json:"x-tunable"`
	Prompt     bool               `json:"x-prompt"`
}

func (s *schema) walk(node, path string, config json.RawMessage, list *[]Tunable) error {
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var values map[string]json.RawMessage
	json.Unmarshal(config, &values) // a config of another type has no such values
	for _, name := range names {
		p, at := s.Properties[name], below(path, name)
		value, has := values[name]
		if !has {
			value = p.Default
		}
		if len(p.Properties) > 0 {
			if err := p.walk(node, at, value, list); err != nil {
				return err
			}
			continue
		}
		if mark := string(bytes.TrimSpace(p.Tunable)); mark == "" || mark == "false" || mark == "null" || len(value) == 0 {
			continue
		}
		t, err := p.tunable(node, at, value)
		if err != nil {
			return err
		}
		*list = append(*list, t)
	}
	return nil
}

// escape writes a key as graph.Change wants it in a path.
var escape = strings.NewReplacer("~", "~0", ".", "~1")

// below returns the path of a key within path.
func below(path, key string) string {
	return strings.TrimPrefix(path+"."+escape.Replace(key), ".")
}

func (s *schema) tunable(node, path string, current json.RawMessage) (Tunable, error) {
	bad := func(format string, args ...any) (Tunable, error) {
		return Tunable{}, fault.New(fault.Invalid, "nodes."+node+".config."+path, format, args...).
			WithHint("correct x-tunable in the node type's config schema")
	}
	var mark abi.Tunable
	if string(bytes.TrimSpace(s.Tunable)) != "true" {
		if err := json.Unmarshal(s.Tunable, &mark); err != nil {
			return bad("x-tunable is neither true nor an object of min, max, step, log, values")
		}
	}
	current, err := graph.Canonical(current)
	if err != nil {
		return bad("the current value is not JSON")
	}
	t := Tunable{Node: node, Path: path, Current: current}
	kind := strings.Trim(string(s.Type), `"`)
	if t.Values = mark.Values; len(t.Values) == 0 {
		t.Values = s.Enum
	}
	if len(t.Values) == 0 && kind == "boolean" {
		t.Values = []json.RawMessage{json.RawMessage("false"), json.RawMessage("true")}
	}
	if len(t.Values) > 0 {
		t.Values = slices.Clone(t.Values)
		for i, v := range t.Values {
			if t.Values[i], err = graph.Canonical(v); err != nil {
				return bad("a value is not JSON")
			}
		}
		return t, nil
	}
	if kind != "number" && kind != "integer" {
		return bad("x-tunable of type %q needs values", kind)
	}
	lo, hi := mark.Min, mark.Max
	if lo == nil {
		lo = s.Minimum
	}
	if hi == nil {
		hi = s.Maximum
	}
	if lo == nil || hi == nil {
		return bad("x-tunable needs min and max")
	}
	t.Min, t.Max, t.Step, t.Log = *lo, *hi, mark.Step, mark.Log
	if kind == "integer" {
		t.Step = max(math.Round(t.Step), 1)
	}
	switch {
	case !(t.Min < t.Max):
		return bad("min %v is not below max %v", t.Min, t.Max)
	case t.Log && t.Min <= 0:
		return bad("a logarithmic scale needs min above 0, not %v", t.Min)
	case t.Step < 0:
		return bad("step %v is below 0", t.Step)
	}
	if _, err := strconv.ParseFloat(string(current), 64); err != nil {
		return bad("the current value %s is no number", current)
	}
	return t, nil
}

// at returns the value at u in [0,1].
func (t *Tunable) at(u float64) json.RawMessage {
	u = max(0, min(1, u))
	if n := len(t.Values); n > 0 {
		return t.Values[min(int(u*float64(n)), n-1)]
	}
	x := t.Min + u*(t.Max-t.Min)
	if t.Log {
		x = t.Min * math.Pow(t.Max/t.Min, u)
	}
	if t.Step > 0 {
		x = t.Min + math.Round((x-t.Min)/t.Step)*t.Step
		if x > t.Max {
			x -= t.Step
		}
	}
	// Four digits: nobody can tell the fifth by measuring, and people read them.
	short, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if t.Step >= 1 || short < t.Min || short > t.Max {
		short = x
	}
	text, _ := graph.Canonical([]byte(strconv.FormatFloat(short, 'g', -1, 64)))
	return text
}

// place returns where value lies in [0,1], the inverse of at; a value that is not
// one of Values lies at 0, one outside the range at its nearer end.
func (t *Tunable) place(value json.RawMessage) float64 {
	if n := len(t.Values); n > 0 {
		i := slices.IndexFunc(t.Values, func(v json.RawMessage) bool { return bytes.Equal(v, value) })
		return (float64(max(i, 0)) + .5) / float64(n)
	}
	x, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return 0
	}
	x = max(t.Min, min(t.Max, x))
	if t.Log {
		return math.Log(x/t.Min) / math.Log(t.Max/t.Min)
	}
	return (x - t.Min) / (t.Max - t.Min)
}

// near draws a place around u: within a bandwidth h for numbers, another value
// with probability h for choices.
func (t *Tunable) near(u, h float64, rng *rand.Rand) float64 {
	if len(t.Values) > 0 {
		if rng.Float64() < h {
			return rng.Float64()
		}
		return u
	}
	for range 100 {
		if v := u + h*rng.NormFloat64(); v >= 0 && v <= 1 {
			return v
		}
	}
	return u
}

// kernel is the density of near at v, up to a factor that depends only on h;
// mass is what mass returned for u and h.
func (t *Tunable) kernel(u, v, h, mass float64) float64 {
	if n := float64(len(t.Values)); n > 0 {
		if int(u*n) == int(v*n) {
			return 1 - h + h/n
		}
		return h / n
	}
	z := (v - u) / h
	return math.Exp(-z*z/2) / mass
}

// mass is the share of a normal density around u that lies in [0,1], where near
// stays.
func mass(u, h float64) float64 {
	return .5 * (math.Erf((1-u)/(h*math.Sqrt2)) + math.Erf(u/(h*math.Sqrt2)))
}

// space is a set of tunables searched together. Its start is the configuration
// the baseline has.
type space struct {
	dims  []Tunable
	start point
}

// point is a configuration in the unit cube of a space, a coordinate a tunable.
type point []float64

func newSpace(dims []Tunable) *space {
	s := &space{dims: dims, start: make(point, len(dims))}
	for i := range dims {
		s.start[i] = dims[i].place(dims[i].Current)
	}
	return s
}

func (s *space) random(rng *rand.Rand) point {
	p := make(point, len(s.dims))
	for i := range p {
		p[i] = rng.Float64()
	}
	return p
}

// values returns the configuration that p stands for, in the order of dims.
func (s *space) values(p point) []json.RawMessage {
	list := make([]json.RawMessage, len(p))
	for i := range p {
		list[i] = s.dims[i].at(p[i])
	}
	return list
}

// snap returns the place of the configuration that p stands for, so that points
// of one configuration are equal.
func (s *space) snap(p point) point {
	out := make(point, len(p))
	for i, v := range s.values(p) {
		out[i] = s.dims[i].place(v)
	}
	return out
}

// key identifies the configuration that p stands for within the space.
func (s *space) key(p point) string {
	return string(bytes.Join(asBytes(s.values(p)), []byte(" ")))
}

// isStart reports whether p stands for the configuration the baseline has.
func (s *space) isStart(p point) bool {
	for i, v := range s.values(p) {
		if !bytes.Equal(v, s.dims[i].Current) {
			return false
		}
	}
	return true
}

func asBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
