package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// epoch is the zero of this package's clock: a monotonic difference costs half
// of time.Now.
var epoch = time.Now()

// deadline is when a call has to end and who says so.
type deadline struct {
	set   bool          // false for never
	at    time.Duration // since epoch
	node  time.Duration // the node's timeout when that is the nearer one, else 0
	start time.Duration // the start timeout, likewise
}

// until returns the smaller of ctx's deadline and now + timeout.
func until(ctx context.Context, timeout time.Duration) deadline {
	var d deadline
	if at, ok := ctx.Deadline(); ok {
		d.set, d.at = true, at.Sub(epoch)
	}
	if timeout > 0 {
		if own := time.Since(epoch) + timeout; !d.set || own < d.at {
			return deadline{set: true, at: own, node: timeout}
		}
	}
	return d
}

func (d deadline) passed() bool { return d.set && time.Since(epoch) >= d.at }

// fault returns the Timeout fault of a deadline that passed, about name.
func (d deadline) fault(name string) error {
	what, hint := "deadline of the caller passed", "raise the timeout of the node, limits.time of the policy or the caller's deadline, or give the node less work"
	switch {
	case d.start > 0:
		what = fmt.Sprintf("start timeout of %v passed", d.start)
		hint = "the node does too much before its first input: give it less data, or ask the author of the module"
	case d.node > 0:
		what = fmt.Sprintf("node timeout of %v passed", d.node)
		hint = "raise the timeout of the node, or give it less work; a module that never ends is for its author to mend"
	}
	return &fault.Error{Kind: fault.Timeout, Path: name, Msg: "stopped", Hint: hint, Err: passed(what)}
}

// passed says which deadline passed. It is a context.DeadlineExceeded.
type passed string

func (p passed) Error() string { return string(p) }

func (passed) Is(target error) bool { return target == context.DeadlineExceeded }

// gone returns the fault of a context that ended, about name.
func (d deadline) gone(ctx context.Context, name string) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return deadline{}.fault(name)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, err) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return fault.Wrap(fault.Cancelled, name, err, "call was cancelled")
}

// call is the state of one call into a guest.
type call struct {
	ctx   context.Context
	done  <-chan struct{}
	until deadline
	step  *run.Step // nil while starting or configuring
	trail *run.Trail
	most  int // of each kind of record

	heard
	counts
}

// heard is what came of a call besides its result.
type heard struct {
	stop     error // why the guest was stopped
	failed   bool  // the guest called fail
	failCode int32
	failMsg  string
	stderr   string // first line the guest wrote there
	last     []byte // lines there from the one with which its runtime begins to end it, at most maxLastWords
	parked   []byte
	effect   *effect // that the guest asked for, unless it said something else since
}

// counts are what a step did so far, over all calls that it takes.
type counts struct {
	attrs, metrics, events, logs, dropped int
	awaits                                int
}

// begin prepares the instance for a call.
func (in *instance) begin(ctx context.Context, d deadline, s *run.Step) {
	c := &in.call
	c.ctx, c.done, c.until, c.step = ctx, ctx.Done(), d, s
	if s != nil {
		c.trail, c.most = s.Trail, in.pool.module.host.cfg.MaxEventsPerSpan
	}
}

// end reports what was dropped, unless the step goes on later, and forgets it.
func (in *instance) end() {
	c := &in.call
	for line := range bytes.Lines(c.last) { // it lives: those were lines like others
		in.log("warn", bytes.TrimSuffix(line, []byte("\n")))
	}
	if c.effect != nil {
		c.effect.counts = c.counts
	} else {
		c.report()
	}
	*c = call{}
}

func (c *call) report() {
	if c.dropped > 0 && c.trail != nil {
		c.trail.Attrs = append(c.trail.Attrs, run.Int("spark.dropped", int64(c.dropped)))
	}
}

// expired returns the fault when the call's time is over or nobody wants its
// result, else nil.
func (in *instance) expired() error { return in.call.expired(in.pool.module.manifest.Name) }

func (c *call) expired(name string) error {
	select {
	case <-c.done:
		return c.until.gone(c.ctx, name)
	default:
	}
	if c.until.passed() {
		return c.until.fault(name)
	}
	return nil
}

// errStop is the panic that unwinds a guest which has to stop; call.stop says
// why.
var errStop = errors.New("stopped by the host")

// check stops the guest when its call has expired.
func (in *instance) check() {
	if err := in.expired(); err != nil {
		in.call.stop = err
		panic(errStop)
	}
}

// kindOfFail are the kinds of the fault codes of abi.Fail.
var kindOfFail = [...]fault.Kind{fault.Rejected, fault.Invalid, fault.Transient, fault.Timeout, fault.NotFound, fault.Denied,
	fault.Limit, fault.Internal}

// refusal is the fault the guest gave by fail. Its first line is the message,
// the second the hint. Where is added to the module's name in the path.
func (in *instance) refusal(where, otherwise string) error {
	path := in.pool.module.manifest.Name
	if where != "" {
		path += "." + where
	}
	if !in.call.failed {
		return fault.New(fault.Rejected, path, "%s", otherwise).WithHint(defect)
	}
	kind := fault.Internal
	if c := in.call.failCode; c >= 0 && int(c) < len(kindOfFail) {
		kind = kindOfFail[c]
	}
	msg, hint, _ := strings.Cut(in.call.failMsg, "\n")
	f := fault.New(kind, path, "%s", msg)
	f.Hint = hint
	return f
}

// sampleEvery is how many outputs of a trusted instance pass between two that
// are checked to be JSON. The first output of an instance is always checked, and
// so is every output of a foreign module.
const sampleEvery = 100

func (in *instance) checkOutput(out []byte) error {
	in.outputs++
	if in.pool.module.trusted && in.outputs%sampleEvery != 1 || json.Valid(out) && utf8.Valid(out) {
		return nil
	}
	return fault.New(fault.Rejected, in.pool.module.manifest.Name, "output of %d bytes is not JSON in UTF-8, %s", len(out), whereWrong(out)).
		WithHint(defect)
}

// whereWrong says where out stops being JSON in UTF-8. It quotes nothing of it:
// errors are recorded where outputs are not.
func whereWrong(out []byte) string {
	for i := 0; i < len(out); {
		r, n := utf8.DecodeRune(out[i:])
		if r == utf8.RuneError && n == 1 {
			return "as byte " + strconv.Itoa(i) + " is not UTF-8"
		}
		i += n
	}
	var v json.RawMessage
	var syntax *json.SyntaxError
	if errors.As(json.Unmarshal(out, &v), &syntax) {
		return "it is wrong at byte " + strconv.FormatInt(max(syntax.Offset-1, 0), 10)
	}
	return "it ends too early"
}
