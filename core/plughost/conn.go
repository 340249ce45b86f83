package plughost

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sparkrsi/spark/sdk/fault"
)

// conn is the connection that users of a plugin hold. Every call goes to the
// process that is current when it begins and stays with it.
type conn struct {
	mu  sync.Mutex // guards the fields below
	cur *process   // nil while the plugin is down
	why error      // why it is down; nil while it is up
}

var _ grpc.ClientConnInterface = (*conn)(nil)

// swap makes next current, nil for none because of why, and returns the process
// that was current. No new call reaches that one.
func (c *conn) swap(next *process, why error) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.cur
	c.cur, c.why = next, why
	return old
}

// acquire returns the current process, counted in its calls, or the fault that
// tells why there is none.
func (c *conn) acquire() (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cur == nil {
		return nil, fault.Wrap(fault.Unavailable, "", c.why, "plugin is down").(*fault.Error).
			WithHint("it is restarted by itself; `spark plugin list` shows its state")
	}
	c.cur.calls.Add(1)
	return c.cur, nil
}

// Invoke makes one call. Its errors are those of gRPC, or an Unavailable fault
// while the plugin is down and when its process ends during the call.
func (c *conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	p, err := c.acquire()
	if err != nil {
		return err
	}
	defer p.calls.Done()
	return p.lost(ctx, p.conn.Invoke(ctx, method, args, reply, opts...))
}

// NewStream opens one stream, with the errors of Invoke. It counts as a call until
// it is read to its end or its context ends.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	p, err := c.acquire()
	if err != nil {
		return nil, err
	}
	s, err := p.conn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		p.calls.Done()
		return nil, p.lost(ctx, err)
	}
	context.AfterFunc(s.Context(), p.calls.Done)
	return &stream{ClientStream: s, p: p, ctx: ctx}, nil
}

// stream is a stream that a process serves.
type stream struct {
	grpc.ClientStream
	p   *process
	ctx context.Context // the caller's
}

func (s *stream) RecvMsg(m any) error { return s.p.lost(s.ctx, s.ClientStream.RecvMsg(m)) }

// lost returns err, or an Unavailable fault when gRPC calls it a cancellation
// because the connection of p was closed and not because of the caller.
func (p *process) lost(ctx context.Context, err error) error {
	if st, ok := status.FromError(err); ok && st.Code() == codes.Canceled && len(st.Details()) == 0 && ctx.Err() == nil {
		return fault.New(fault.Unavailable, "plugins."+p.spec.Name, "the plugin process ended during the call")
	}
	return err
}

// drain waits until p has no call in progress or ctx ends. p must not be current.
func (p *process) drain(ctx context.Context) {
	idle := make(chan struct{})
	go func() { p.calls.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-p.child.exited:
	case <-ctx.Done():
	}
}
