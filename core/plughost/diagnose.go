package plughost

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// late is the fault of a start that ctx ended while it waited for what.
func (p *process) late(ctx context.Context, what string) error {
	path := "plugins." + p.spec.Name
	if context.Cause(ctx) == errSlow {
		words := ""
		if last := p.child.logs.last(); last != "" {
			words = "; its last words: " + last
		}
		return fault.New(fault.Timeout, path, "the plugin was not ready after %v, waiting for %s%s", p.spec.Timing.Start, what, words).
			WithHint("the log of the host holds what the plugin wrote")
	}
	return fault.Wrap(fault.KindOf(ctx.Err()), path, ctx.Err(), "starting the plugin was given up")
}

// refused is the fault of a handshake that failed with err.
func (p *process) refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return p.late(ctx, "its handshake")
	}
	path := "plugins." + p.spec.Name
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, path, "%s does not exist", p.child.Name())
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, path, "%s may not be executed", p.child.Name()).WithHint("chmod +x it")
	case errors.Is(err, syscall.ENOEXEC):
		return fault.New(fault.Invalid, path, "%s is no program for this machine", p.child.Name()).
			WithHint("build it for this operating system and processor")
	case p.child.pid() == 0:
		return fault.Wrap(fault.Unavailable, path, err, "the process could not be started")
	}
	line := ""
	if first := p.child.line.Load(); first != nil {
		line = *first
	}
	if line == "" {
		how := "it closed its standard output"
		select {
		case <-p.child.exited:
			how = p.child.ended()
		case <-time.After(reapLimit):
		}
		return fault.New(fault.Unavailable, path, "the plugin ended before its handshake: %s", how).
			WithHint("run %q by hand to see what it misses", p.child.Name())
	}
	parts := strings.Split(line, "|")
	if len(parts) < 5 {
		return fault.New(fault.Invalid, path, "the plugin printed %q where its handshake should be", cut(line, lastBytes)).
			WithHint("a plugin prints nothing to standard output before it serves; use standard error")
	}
	version, convErr := strconv.Atoi(parts[1])
	switch {
	case convErr == nil && version > plugin.Protocol:
		return fault.New(fault.Newer, path, "the plugin speaks protocol %d, this host speaks %d to %d", version, plugin.Oldest, plugin.Protocol).
			WithHint("update spark, or install an older version of the plugin")
	case convErr == nil && version < plugin.Oldest:
		return fault.New(fault.Invalid, path, "the plugin speaks protocol %d, this host speaks %d to %d", version, plugin.Oldest, plugin.Protocol).
			WithHint("install a newer version of the plugin")
	case parts[4] != "grpc":
		return fault.New(fault.Invalid, path, "the plugin speaks %q, want grpc", parts[4])
	}
	return fault.Wrap(fault.Invalid, path, err, "handshake")
}

// failed is the fault of a call that failed with err while the process started.
func (p *process) failed(ctx context.Context, err error, what string) error {
	if ctx.Err() != nil {
		return p.late(ctx, what)
	}
	path := "plugins." + p.spec.Name
	err = plugin.FromStatus(err)
	if fault.Is(err, fault.Unavailable) {
		select {
		case <-p.child.exited:
			return fault.New(fault.Unavailable, path, "the plugin ended before %s: %s", what, p.child.ended())
		case <-time.After(reapLimit / 10):
		}
	}
	return fault.Wrap("", path, err, "%s", what)
}

// crashed is the fault of a process that ended unasked.
func (p *process) crashed() error {
	return fault.New(fault.Unavailable, "plugins."+p.spec.Name, "the plugin process %d ended: %s", p.child.pid(), p.child.ended())
}
