package plugin

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestStatusRoundTripKeepsEveryKind(t *testing.T) {
	for _, k := range fault.Kinds() {
		in := fault.New(k, "nodes.a", "went wrong at %d", 7).WithOp("open").WithHint("try %s", "b").WithTrace("f\n\tx.go:1")
		got := FromStatus(ToStatus(in))
		if fault.KindOf(got) != k || fault.HintOf(got) != "try b" || fault.TraceOf(got) != "f\n\tx.go:1" {
			t.Errorf("%s: kind %q hint %q trace %q", k, fault.KindOf(got), fault.HintOf(got), fault.TraceOf(got))
		}
		want := in.Error()
		if k == fault.Timeout || k == fault.Cancelled {
			continue // these gain a cause, see below
		}
		if got.Error() != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
		if _, ok := kindCodes[k]; !ok {
			t.Errorf("%s has no gRPC code", k)
		}
	}
}

func TestStatusKeepsCausesAndContextErrors(t *testing.T) {
	inner := fault.New(fault.NotFound, "cassette", "no answer").WithHint("record it")
	tests := []struct {
		in   error
		text string
		kind fault.Kind
		hint string
		is   error
	}{
		{fault.Wrap(fault.Timeout, "db", context.DeadlineExceeded, "writing"), "db: writing: context deadline exceeded", fault.Timeout, "", context.DeadlineExceeded},
		{context.Canceled, "context canceled", fault.Cancelled, "", context.Canceled},
		{fault.Wrap(fault.Internal, "call", inner, "generating"), "call: generating: cassette: no answer", fault.Internal, "record it", nil},
		{fmt.Errorf("outer: %w", inner), "outer: cassette: no answer", fault.NotFound, "record it", nil},
		{errors.New("plain"), "plain", fault.Internal, "", nil},
		{fault.New(fault.Invalid, "p", "bad \xff byte"), "p: bad \uFFFD byte", fault.Invalid, "", nil},
		{status.Error(codes.Unavailable, "gone"), "gone", fault.Unavailable, "", nil},
		{status.Error(codes.Canceled, "context canceled"), "context canceled", fault.Cancelled, "", context.Canceled},
		{status.Error(codes.Unknown, "odd"), "odd", fault.Internal, "", nil},
	}
	for _, tt := range tests {
		got := FromStatus(ToStatus(tt.in))
		if got.Error() != tt.text || fault.KindOf(got) != tt.kind || fault.HintOf(got) != tt.hint {
			t.Errorf("%v: got %q %q %q, want %q %q %q", tt.in, got, fault.KindOf(got), fault.HintOf(got), tt.text, tt.kind, tt.hint)
		}
		if tt.is != nil && !errors.Is(got, tt.is) {
			t.Errorf("%v: errors.Is(%v) is false", tt.in, tt.is)
		}
	}
	if ToStatus(nil) != nil || FromStatus(nil) != nil {
		t.Error("nil must stay nil")
	}
	if again := FromStatus(inner); again != error(inner) {
		t.Errorf("a fault must pass FromStatus unchanged, got %v", again)
	}
}
