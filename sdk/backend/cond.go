package backend

import (
	"math"
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
)

// condition is a Cond made ready.
type condition struct {
	Cond
	bool  int // 0, 1, or -1 for neither
	whole bool
	int   int64
	num   bool
	float float64
}

func (c Cond) compile() (*condition, error) {
	x := &condition{Cond: c, bool: -1}
	if c.Key == "" {
		return nil, fault.New(fault.Invalid, "attrs", "a condition names no attribute").WithHint("write KEY=VALUE")
	}
	switch c.Value {
	case "true":
		x.bool = 1
	case "false":
		x.bool = 0
	}
	var err error
	x.int, err = strconv.ParseInt(c.Value, 10, 64)
	x.whole = err == nil
	x.float, err = strconv.ParseFloat(c.Value, 64)
	x.num = err == nil
	switch c.Op {
	case "=":
	case "<", "<=", ">", ">=":
		if !x.num || math.IsNaN(x.float) {
			return nil, fault.New(fault.Invalid, "attrs", "%q compares %s with %q, which is not a number", c.String(), c.Key, c.Value).
				WithHint("give a number, or use =")
		}
	default:
		return nil, fault.New(fault.Invalid, "attrs", "%q is none of = < <= > >=", c.Op)
	}
	return x, nil
}

// holds reports whether a satisfies c; the keys are equal.
func (c *condition) holds(a *Attr) bool {
	if c.Op == "=" {
		return c.equals(a)
	}
	var order int
	switch {
	case a.Kind == KindInt && c.whole:
		order = compare(int64(a.Num), c.int)
	case a.Kind == KindInt:
		order = compare(float64(int64(a.Num)), c.float)
	case a.Kind == KindFloat:
		v := math.Float64frombits(a.Num)
		if math.IsNaN(v) {
			return false
		}
		order = compare(v, c.float)
	default:
		return false
	}
	switch c.Op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func compare[N int64 | float64](a, b N) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (c *condition) equals(a *Attr) bool {
	switch a.Kind {
	case KindInt:
		if c.whole {
			return int64(a.Num) == c.int
		}
		i, ok := wholeOf(c.float)
		return c.num && ok && i == int64(a.Num)
	case KindFloat:
		v := math.Float64frombits(a.Num)
		return c.num && (v == c.float || math.IsNaN(v) && math.IsNaN(c.float))
	case KindBool:
		return c.bool == int(a.Num&1)
	}
	return a.Str == c.Value
}

// wholeOf returns v as an int when it is one.
func wholeOf(v float64) (int64, bool) {
	if v != math.Trunc(v) || v < -1<<63 || v >= 1<<63 {
		return 0, false
	}
	return int64(v), true
}

// JSON returns the JSON values, as json.Marshal writes them but for the texts of
// NaN and the infinities, that an attribute equal to c can have where attributes
// are kept as a JSON object, the kind of each unknown: at least all of them. It is
// for backends that select by them before asking Match. Nil for another Op.
func (c Cond) JSON(quote func(string) string) []string {
	x, err := c.compile()
	if err != nil || c.Op != "=" {
		return nil
	}
	out := []string{quote(c.Value)}
	if x.bool >= 0 {
		out = append(out, c.Value)
	}
	if x.whole {
		out = append(out, strconv.FormatInt(x.int, 10))
	}
	if x.num {
		if text := strconv.FormatFloat(x.float, 'g', -1, 64); math.IsNaN(x.float) || math.IsInf(x.float, 0) {
			out = append(out, quote(text))
		} else {
			out = append(out, text)
		}
		if i, ok := wholeOf(x.float); ok {
			out = append(out, strconv.FormatInt(i, 10))
		}
	}
	return out
}

// in reports whether the last attribute of a list with the key of c satisfies it.
func (c *condition) in(attrs []Attr) bool {
	for i := len(attrs) - 1; i >= 0; i-- {
		if attrs[i].Key == c.Key {
			return c.holds(&attrs[i])
		}
	}
	return false
}

// field reports whether an attribute that a field implies satisfies c.
func (c *condition) text(key, v string) bool {
	return c.Key == key && c.holds(&Attr{Str: v})
}

func (c *condition) outcome(s Status, errorType string) bool {
	switch c.Key {
	case "success":
		return (s == OK || s == Failed) && c.holds(&Attr{Kind: KindBool, Num: uint64(is(s == OK))})
	case "error_type":
		return errorType != "" && c.holds(&Attr{Str: errorType})
	}
	return false
}

// run reports whether what every record of t shares satisfies c.
func (c *condition) run(t *Trace) bool {
	return c.in(t.Attrs) || c.in(t.Resource) || c.text("graph_id", t.Graph) || c.text("graph_version", t.Version) || c.text("version_id", t.VersionID) ||
		c.text("graph_type", t.GraphType) || c.text("environment", t.Environment) || c.text("run_kind", t.RunKind)
}

func (c *condition) trace(t *Trace) bool { return c.run(t) || c.outcome(t.Status, t.ErrorType) }

func (c *condition) span(t *Trace, s *Span) bool {
	return c.in(s.Attrs) || c.text("node_name", s.Node) || c.text("node_type", s.NodeType) || c.outcome(s.Status, s.ErrorType) ||
		c.Key == "retry_count" && c.holds(&Attr{Kind: KindInt, Num: uint64(s.Retries)}) || c.run(t)
}

// record is for events and metrics.
func (c *condition) record(t *Trace, attrs []Attr, node string) bool {
	return c.in(attrs) || c.text("node_name", node) || c.run(t)
}
