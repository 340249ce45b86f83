package node

import (
	"errors"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

func TestFailCode(t *testing.T) {
	want := map[fault.Kind]int32{
		fault.Rejected: abi.FailRejected, fault.Invalid: abi.FailInvalid, fault.Transient: abi.FailTransient,
		fault.Unavailable: abi.FailTransient, fault.Timeout: abi.FailTimeout, fault.Cancelled: abi.FailTimeout,
		fault.NotFound: abi.FailNotFound, fault.Denied: abi.FailDenied, fault.Limit: abi.FailLimit,
	}
	for _, k := range fault.Kinds() {
		code, ok := want[k]
		if !ok {
			code = abi.FailInternal
		}
		if got := failCode(k); got != code {
			t.Errorf("failCode(%s) = %d, want %d", k, got, code)
		}
	}
}

func TestFailText(t *testing.T) {
	for _, x := range []struct {
		err  error
		want string
	}{
		{errors.New("a\nb"), "a; b"},
		{fault.New(fault.Invalid, "p", "m").WithHint("do\nthis"), "p: m\ndo this"},
		{errors.Join(fault.New(fault.Invalid, "p", "m"), fault.New(fault.Invalid, "q", "n")), "p: m; q: n"},
	} {
		if got := failText(x.err); got != x.want {
			t.Errorf("failText(%v) = %q, want %q", x.err, got, x.want)
		}
	}
}

func TestErrnoFault(t *testing.T) {
	if err := errnoFault(0, "x", nil); err != nil {
		t.Errorf("errno 0 is %v", err)
	}
	if err := errnoFault(-99, "x", nil); !fault.Is(err, fault.Internal) {
		t.Errorf("errno -99 is %v", err)
	}
	if err := errnoFault(abi.ErrDenied, "x", nil); fault.HintOf(err) == "" {
		t.Error("denied has no remedy")
	}
}
