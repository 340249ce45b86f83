package wasmhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// deadline is when a call has to end and who says so.
type deadline struct {
	at    time.Time     // zero for never
	node  time.Duration // the node's timeout when that is the nearer one, else 0
	start time.Duration // the start timeout, likewise
}

// until returns the smaller of ctx's deadline and now + timeout.
func until(ctx context.Context, timeout time.Duration) deadline {
	at, ok := ctx.Deadline()
	if timeout > 0 {
		if own := time.Now().Add(timeout); !ok || own.Before(at) {
			return deadline{at: own, node: timeout}
		}
	}
	return deadline{at: at}
}

// fault returns the Timeout fault of a deadline that passed, about name.
func (d deadline) fault(name string) error {
	what := "deadline of the run passed"
	switch {
	case d.start > 0:
		what = fmt.Sprintf("start timeout of %v passed", d.start)
	case d.node > 0:
		what = fmt.Sprintf("node timeout of %v passed", d.node)
	}
	return fault.Wrap(fault.Timeout, name, context.DeadlineExceeded, "%s", what)
}

// gone returns the fault of a context that ended, about name.
func (d deadline) gone(ctx context.Context, name string) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return deadline{}.fault(name)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, err) {
		err = errors.Join(err, cause)
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

	stop     error // why the guest was stopped
	failed   bool  // the guest called fail
	failCode int32
	failMsg  string
	stderr   string // first line the guest wrote there
	parked   []byte

	attrs, metrics, events, logs, dropped int
}

// begin prepares the instance for a call.
func (in *instance) begin(ctx context.Context, d deadline, s *run.Step) {
	in.call = call{ctx: ctx, done: ctx.Done(), until: d, step: s}
	if s != nil {
		in.call.trail = s.Trail
	}
}

// end reports what was dropped and forgets the step.
func (in *instance) end() {
	if c := &in.call; c.dropped > 0 && c.trail != nil {
		c.trail.Attrs = append(c.trail.Attrs, run.Int("spark.dropped", int64(c.dropped)))
	}
	in.call = call{}
}

// expired returns the fault when the call's time is over or nobody wants its
// result, else nil.
func (in *instance) expired() error {
	c := &in.call
	select {
	case <-c.done:
		return c.until.gone(c.ctx, in.pool.module.manifest.Name)
	default:
	}
	if !c.until.at.IsZero() && !time.Now().Before(c.until.at) {
		return c.until.fault(in.pool.module.manifest.Name)
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
		return fault.New(fault.Rejected, path, "%s", otherwise)
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
	if in.pool.module.trusted && in.outputs%sampleEvery != 1 || json.Valid(out) {
		return nil
	}
	show := out
	if len(show) > 40 {
		show = show[:40]
	}
	return fault.New(fault.Rejected, in.pool.module.manifest.Name, "output of %d bytes is not JSON, it begins with %q", len(out), show)
}
