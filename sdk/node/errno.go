package node

import (
	"errors"
	"strings"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// errnoFault returns the fault that an errno of the host stands for, nil for 0.
// Detail is the host's own words, if it had any.
func errnoFault(errno abi.Errno, path string, detail []byte) error {
	kind, msg, hint := fault.Internal, "host answered with an unknown error number", ""
	switch errno {
	case 0:
		return nil
	case abi.ErrDenied:
		kind, msg, hint = fault.Denied, "capability not granted", "grant it to the node in the graph and in the host's configuration"
	case abi.ErrNotFound:
		kind, msg = fault.NotFound, "not known to the host"
	case abi.ErrInvalid:
		kind, msg = fault.Invalid, "refused by the host as malformed"
	case abi.ErrTooLarge:
		kind, msg = fault.Limit, "a limit of the host was passed"
	case abi.ErrUnavailable:
		kind, msg = fault.Unavailable, "not available"
	case abi.ErrTimeout:
		kind, msg = fault.Timeout, "the time of the step is over"
	}
	if len(detail) > 0 {
		msg = string(detail)
	}
	f := fault.New(kind, path, "%s", msg)
	f.Hint = hint
	return f
}

// failCode returns the fault code of ABI v1 that says kind best. Kinds that a
// node cannot mean (trap, locked and the like) are internal.
func failCode(kind fault.Kind) int32 {
	switch kind {
	case fault.Rejected:
		return abi.FailRejected
	case fault.Invalid:
		return abi.FailInvalid
	case fault.Transient, fault.Unavailable:
		return abi.FailTransient
	case fault.Timeout, fault.Cancelled:
		return abi.FailTimeout
	case fault.NotFound:
		return abi.FailNotFound
	case fault.Denied:
		return abi.FailDenied
	case fault.Limit:
		return abi.FailLimit
	}
	return abi.FailInternal
}

// failText returns the message of err as the ABI wants it: the text on one
// line, the remedy, if there is one, on the next.
func failText(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var f *fault.Error
	if errors.As(err, &f) {
		if hint := fault.HintOf(f); hint != "" {
			text += "\n" + strings.ReplaceAll(hint, "\n", " ")
		}
	}
	return text
}
