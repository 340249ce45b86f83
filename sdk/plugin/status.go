package plugin

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/proto"
)

// kindCodes maps kinds to the nearest gRPC code, for peers that read no details.
var kindCodes = map[fault.Kind]codes.Code{
	fault.Invalid:     codes.InvalidArgument,
	fault.NotFound:    codes.NotFound,
	fault.Conflict:    codes.Aborted,
	fault.Denied:      codes.PermissionDenied,
	fault.Locked:      codes.FailedPrecondition,
	fault.ReadOnly:    codes.FailedPrecondition,
	fault.Newer:       codes.FailedPrecondition,
	fault.Corrupt:     codes.DataLoss,
	fault.Timeout:     codes.DeadlineExceeded,
	fault.Cancelled:   codes.Canceled,
	fault.Transient:   codes.Unavailable,
	fault.Trap:        codes.Internal,
	fault.Limit:       codes.ResourceExhausted,
	fault.Unavailable: codes.Unavailable,
	fault.Rejected:    codes.InvalidArgument,
	fault.Internal:    codes.Internal,
}

// codeKinds maps the codes of statuses without a Fault detail to kinds; a code
// that is missing counts as Internal.
var codeKinds = map[codes.Code]fault.Kind{
	codes.InvalidArgument:    fault.Invalid,
	codes.OutOfRange:         fault.Invalid,
	codes.FailedPrecondition: fault.Invalid,
	codes.Unimplemented:      fault.Invalid,
	codes.NotFound:           fault.NotFound,
	codes.AlreadyExists:      fault.Conflict,
	codes.Aborted:            fault.Conflict,
	codes.PermissionDenied:   fault.Denied,
	codes.Unauthenticated:    fault.Denied,
	codes.DataLoss:           fault.Corrupt,
	codes.DeadlineExceeded:   fault.Timeout,
	codes.Canceled:           fault.Cancelled,
	codes.ResourceExhausted:  fault.Limit,
	codes.Unavailable:        fault.Unavailable,
}

// ToStatus returns err as a gRPC status error with a Fault detail; nil for nil. A
// status error that came from elsewhere is returned as it is. Services served by
// Serve return plain errors: Serve calls ToStatus for them.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	f, ok := err.(*fault.Error)
	if ok {
		f = &fault.Error{Kind: f.Kind, Op: f.Op, Path: f.Path, Msg: (&fault.Error{Msg: f.Msg, Err: f.Err}).Error()}
	} else {
		if _, ok := status.FromError(err); ok {
			return err
		}
		f = &fault.Error{Kind: fault.KindOf(err), Msg: err.Error()}
	}
	code, ok := kindCodes[f.Kind]
	if !ok {
		code = codes.Internal
	}
	st, detailErr := status.New(code, valid(f.Msg)).WithDetails(&proto.Fault{
		Kind: string(f.Kind), Op: valid(f.Op), Path: valid(f.Path), Msg: valid(f.Msg), Hint: valid(fault.HintOf(err)), Trace: valid(fault.TraceOf(err)),
	})
	if detailErr != nil {
		return status.Error(code, valid(f.Msg))
	}
	return st.Err()
}

// FromStatus returns err, which a gRPC client got, as a *fault.Error with the
// kind, operation, path, message, hint and trace that ToStatus was given; nil for nil,
// and a fault as it is. Without a Fault detail the kind follows the code, and a
// broken connection is Unavailable. errors.Is with context.Canceled and
// context.DeadlineExceeded holds for the kinds Cancelled and Timeout.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return fault.Wrap("", "", err, "call")
	}
	f = &fault.Error{Kind: fault.Internal, Msg: st.Message()}
	if k, ok := codeKinds[st.Code()]; ok {
		f.Kind = k
	}
	if st.Code() == codes.Unimplemented {
		f.Hint = "the plugin does not offer this service; check that the configuration names the right kind of plugin"
	}
	for _, d := range st.Details() {
		if w, ok := d.(*proto.Fault); ok {
			f = &fault.Error{Kind: fault.Internal, Op: w.Op, Path: w.Path, Msg: w.Msg, Hint: w.Hint}
			f = f.WithTrace(w.Trace)
			if k, ok := fault.ParseKind(w.Kind); ok {
				f.Kind = k
			}
			break
		}
	}
	switch f.Kind {
	case fault.Cancelled:
		f.Err = context.Canceled
	case fault.Timeout:
		f.Err = context.DeadlineExceeded
	}
	if f.Err != nil {
		f.Msg = strings.TrimSuffix(strings.TrimSuffix(f.Msg, f.Err.Error()), ": ")
	}
	return f
}

// valid returns s with bytes that are not UTF-8 replaced: protobuf refuses them.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
