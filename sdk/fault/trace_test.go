package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func recovered(f func()) (err *Error) {
	defer func() { err = Panicked(recover()) }()
	f()
	return nil
}

//go:noinline
func index(v []int, i int) int { return v[i] }

//go:noinline
func again() {
	defer func() { panic(fmt.Sprint("again: ", recover())) }()
	index(nil, 7)
}

type node struct{}

//go:noinline
func (*node) broken() { panic(errors.New("on purpose")) }

func TestPanicked(t *testing.T) {
	for name, c := range map[string]struct {
		f          func()
		msg, first string
	}{
		"value":    {func() { (*node)(nil).broken() }, "panic: on purpose", "github.com/sparkrsi/spark/sdk/fault.(*node).broken"},
		"runtime":  {func() { index(nil, 7) }, "panic: runtime error: index out of range [7] with length 0", "github.com/sparkrsi/spark/sdk/fault.index"},
		"nil":      {func() { var p *Error; _ = p.WithOp("x") }, "panic: runtime error: invalid memory address or nil pointer dereference", "github.com/sparkrsi/spark/sdk/fault.(*Error).WithOp"},
		"repanick": {again, "panic: again: runtime error: index out of range [7] with length 0", "github.com/sparkrsi/spark/sdk/fault.index"},
	} {
		err := recovered(c.f)
		if err.Kind != Internal || err.Error() != c.msg {
			t.Errorf("%s: %v", name, err)
		}
		lines := strings.Split(err.Trace, "\n")
		if lines[0] != c.first || !strings.HasPrefix(lines[1], "\t") || !strings.Contains(lines[1], ".go:") {
			t.Errorf("%s: trace\n%s", name, err.Trace)
		}
		if !strings.Contains(err.Trace, "fault.recovered") || strings.Contains(err.Trace, "(0x") || strings.Contains(err.Error(), "recovered") {
			t.Errorf("%s: trace\n%s", name, err.Trace)
		}
	}
}

//go:noinline
func deep(n int) int {
	if n == 0 {
		panic("deep")
	}
	return deep(n-1) + 1
}

func TestTraceIsBounded(t *testing.T) {
	err := recovered(func() { deep(1000) })
	if n := strings.Count(err.Trace, "fault.deep\n"); n != MaxFrames || len(err.Trace) > MaxTrace {
		t.Errorf("%d frames, %d bytes", n, len(err.Trace))
	}
	long := strings.Repeat(strings.Repeat("x", 999)+"\n", 10)
	if got := New(Trap, "", "").WithTrace(long).Trace; got != strings.TrimSuffix(long[:4000], "\n") {
		t.Errorf("%d bytes of %d", len(got), len(long))
	}
	if got := New(Trap, "", "").WithTrace(strings.Repeat("x", MaxTrace+1)).Trace; got != "" {
		t.Errorf("%d bytes of one long line", len(got))
	}
}

func TestTraceOf(t *testing.T) {
	inner := New(Trap, "m", "crashed").WithTrace("f\ng")
	outer := Wrap("", "nodes.a", fmt.Errorf("late: %w", inner), "")
	if TraceOf(outer) != "f\ng" || TraceOf(errors.New("x")) != "" || TraceOf(nil) != "" || TraceOf(Wrap("", "", errors.New("x"), "y")) != "" {
		t.Errorf("%q", TraceOf(outer))
	}
	if text := outer.Error(); text != "nodes.a: late: m: crashed" {
		t.Error(text)
	}
}
