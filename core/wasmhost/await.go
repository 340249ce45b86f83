package wasmhost

import (
	"context"

	"github.com/tetratelabs/wazero/api"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// The bounds of awaiting.
const (
	maxAwaits     = 1000    // effects of one step
	maxAwaitState = 1 << 20 // bytes of the state that comes back with an effect
)

// effect is what a guest awaits: a call of it has ended, and the step goes on with
// spark_resume on any instance of the same configuration.
type effect struct {
	kind    int32 // one of the abi.Await numbers
	request []byte
	state   []byte
	counts
}

// hostAwait is the host function await.
func hostAwait(in *instance, s []uint64) {
	request, state := in.view(s[1], s[2]), in.view(s[3], s[4])
	c := &in.call
	c.effect = nil
	kind := api.DecodeI32(s[0])
	switch {
	case kind != abi.AwaitGenerate && kind != abi.AwaitHTTP || in.resume == nil:
		s[0] = errno(abi.ErrInvalid)
	case c.step == nil || kind == abi.AwaitGenerate && !in.generates() || kind == abi.AwaitHTTP && in.pool.access == nil:
		s[0] = errno(abi.ErrDenied)
	case len(state) > maxAwaitState || len(request) > in.pool.module.host.cfg.MaxPayloadMiB<<20 || c.awaits >= maxAwaits:
		s[0] = errno(abi.ErrTooLarge)
	default:
		both := append(append(make([]byte, 0, len(request)+len(state)), request...), state...)
		c.effect = &effect{kind: kind, request: both[:len(request):len(request)], state: both[len(request):]}
		c.failed = false // the last word counts
		s[0] = 0
	}
}

// generates reports whether the guest may call models.
func (in *instance) generates() bool {
	return in.pool.grant.Generate && in.pool.module.host.cfg.Generator != nil
}

// follow performs what a step awaits and goes on with it until it ends. It holds
// an instance only while the guest runs.
func (n *Node) follow(ctx context.Context, end deadline, s *run.Step, e *effect) ([]byte, error) {
	for {
		doc, err := n.perform(ctx, end, s, e)
		if err != nil {
			return nil, err
		}
		in, err := n.ready(ctx, end, true)
		if err != nil {
			return nil, err
		}
		out, next, err := in.again(ctx, end, s, doc, e.counts)
		n.pool.put(in)
		if next == nil {
			return out, err
		}
		e = next
	}
}

// perform performs an effect and returns what spark_resume takes. The error is
// that of a call whose time is over.
func (n *Node) perform(ctx context.Context, end deadline, s *run.Step, e *effect) ([]byte, error) {
	h := n.pool.module.host
	h.stats.awaits.Add(1)
	c := call{ctx: ctx, done: ctx.Done(), until: end, step: s, trail: s.Trail, most: h.cfg.MaxEventsPerSpan, counts: e.counts}
	c.awaits++
	name, limit := n.pool.module.manifest.Name, h.cfg.MaxPayloadMiB<<20
	sub, cancel := c.context()
	defer cancel()
	r := abi.Resumption{State: e.state}
	err := c.expired(name)
	switch {
	case err != nil:
	case e.kind == abi.AwaitGenerate:
		r.Result, err = h.cfg.Generator.Generate(sub, e.request, s.Trail)
	default:
		r.Result, err = c.request(sub, n.pool.access, e.request)
	}
	if late := c.expired(name); late != nil { // an answer after the deadline is no answer
		h.stats.timeouts.Add(1)
		c.report()
		return nil, late
	}
	if err == nil && r.Size() > limit {
		err = fault.New(fault.Limit, "", "the answer and the state have %d bytes together, the limit is %d", r.Size(), limit)
	}
	if err != nil {
		r.Errno, r.Result = errnoOf(err), []byte(clip([]byte(err.Error()), maxDetail))
	}
	e.counts = c.counts
	return r.Append(make([]byte, 0, r.Size())), nil
}

// again goes on with a step that awaited something.
func (in *instance) again(ctx context.Context, until deadline, s *run.Step, doc []byte, sofar counts) ([]byte, *effect, error) {
	in.begin(ctx, until, s)
	defer in.end()
	in.call.counts = sofar
	return in.document(in.resume, "resuming", doc)
}
