// Package fault is Spark's error vocabulary. A fault says what failed, on what
// object, where in the document, and what the reader can do about it; its kind
// crosses process and WASM boundaries, so callers branch on kinds and never on
// text.
//
// Start with New or Wrap, read with KindOf, HintOf and ExitStatus. The package
// does no I/O and imports only the standard library, so guests may use it too.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind classifies a fault. Kinds are stable words: they appear in telemetry as
// error_type, in on_error and retry documents, and on the wire.
type Kind string

// The kinds. Invalid and NotFound are the caller's to mend (exit status 2); the
// others are failures of execution (exit status 1).
const (
	Invalid     Kind = "invalid"     // a document, flag, config, dataset or input is wrong
	NotFound    Kind = "not_found"   // a named thing does not exist
	Conflict    Kind = "conflict"    // the object changed or exists with other content
	Denied      Kind = "denied"      // a capability or permission is missing
	Locked      Kind = "locked"      // another process owns the data folder
	ReadOnly    Kind = "read_only"   // the data folder cannot be written
	Newer       Kind = "newer"       // written by a newer version of Spark
	Corrupt     Kind = "corrupt"     // stored bytes do not verify
	Timeout     Kind = "timeout"     // a deadline passed
	Cancelled   Kind = "cancelled"   // the caller gave up
	Transient   Kind = "transient"   // may succeed when tried again
	Trap        Kind = "trap"        // guest code crashed
	Limit       Kind = "limit"       // a memory, step, visit, size or cost limit was reached
	Unavailable Kind = "unavailable" // a plugin, provider or backend is down
	Rejected    Kind = "rejected"    // a module or node refused its input by its own word
	Internal    Kind = "internal"    // a defect of Spark itself
)

var kinds = []Kind{Invalid, NotFound, Conflict, Denied, Locked, ReadOnly, Newer, Corrupt, Timeout, Cancelled,
	Transient, Trap, Limit, Unavailable, Rejected, Internal}

// Kinds returns every kind in a fixed order. The slice is the caller's.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// ParseKind returns the kind named s, or false when there is none.
func ParseKind(s string) (Kind, bool) {
	for _, k := range kinds {
		if string(k) == s {
			return k, true
		}
	}
	return "", false
}

// Error is one fault. Only Kind and Msg are always set. An Error is immutable
// after it was returned.
type Error struct {
	Kind Kind
	Op   string // operation in progress, such as "graph apply"
	Path string // where: a document path "nodes.retrieve.timeout", a file, an address
	Msg  string // what, lower case, with the limit and the actual value
	Hint string // what to do; empty when nothing can be advised
	Err  error  // cause, may be nil

	// Trace is where it happened in code, frame by frame, innermost first: of a
	// panic or trap. See WithTrace for its form. It is not part of Error.
	Trace string
}

// New returns a fault of kind k about path. Format and args make the message.
func New(k Kind, path, format string, args ...any) *Error {
	return &Error{Kind: k, Path: path, Msg: fmt.Sprintf(format, args...)}
}

// Wrap returns a fault of kind k that carries err as its cause; nil when err is
// nil. When k is empty the kind of err is kept.
func Wrap(k Kind, path string, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if k == "" {
		k = KindOf(err)
	}
	return &Error{Kind: k, Path: path, Msg: fmt.Sprintf(format, args...), Err: err}
}

// WithHint returns a copy of e with the remedy set.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithOp returns a copy of e with the operation set.
func (e *Error) WithOp(op string) *Error {
	c := *e
	c.Op = op
	return &c
}

// Error returns "op: path: msg: cause" without the parts that are empty. The
// hint is not part of it: print it on a line of its own.
func (e *Error) Error() string {
	parts := make([]string, 0, 4)
	for _, s := range []string{e.Op, e.Path, e.Msg} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost fault in err's chain. A bare
// context.DeadlineExceeded is Timeout, a bare context.Canceled is Cancelled, any
// other error is Internal, nil is "".
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Internal
}

// Is reports whether the outermost fault of err has kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// HintOf returns the first remedy in err's chain, outermost first, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// ExitStatus returns the process exit status for err: 0 for nil, 2 for what the
// caller must mend (Invalid, NotFound, Conflict), 1 for everything else.
func ExitStatus(err error) int {
	switch KindOf(err) {
	case "":
		return 0
	case Invalid, NotFound, Conflict:
		return 2
	}
	return 1
}
