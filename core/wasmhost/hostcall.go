package wasmhost

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
	f64 = api.ValueTypeF64
)

type hostFunction struct {
	params, results []byte
	call            func(in *instance, stack []uint64)
}

// hostFunctions returns the functions of the module spark. A pointer that leads
// out of the guest's memory crashes the guest; everything else that is wrong is
// an errno or is dropped and counted.
func hostFunctions() map[string]hostFunction {
	return map[string]hostFunction{
		abi.Fail:       {[]byte{i32, i32, i32}, nil, hostFail},
		abi.Log:        {[]byte{i32, i32, i32}, nil, hostLog},
		abi.Metric:     {[]byte{i32, i32, f64, i32, i32, i32}, nil, hostMetric},
		abi.Event:      {[]byte{i32, i32, i32, i32}, nil, hostEvent},
		abi.SpanAttr:   {[]byte{i32, i32, i32, i32}, nil, hostSpanAttr},
		abi.StateGet:   {[]byte{i32, i32}, []byte{i32}, hostStateGet},
		abi.StateSet:   {[]byte{i32, i32, i32, i32}, []byte{i32}, hostStateSet},
		abi.RunInfo:    {nil, []byte{i32}, hostRunInfo},
		abi.AssetSize:  {[]byte{i32, i32}, []byte{i64}, hostAssetSize},
		abi.AssetRead:  {[]byte{i32, i32, i64, i32, i32}, []byte{i32}, hostAssetRead},
		abi.Generate:   {[]byte{i32, i32}, []byte{i32}, hostGenerate},
		abi.HTTP:       {[]byte{i32, i32}, []byte{i32}, hostHTTP},
		abi.Await:      {[]byte{i32, i32, i32, i32, i32}, []byte{i32}, hostAwait},
		abi.Now:        {nil, []byte{i64}, hostNow},
		abi.Random:     {[]byte{i32, i32}, []byte{i32}, hostRandom},
		abi.ResultRead: {[]byte{i32, i32}, []byte{i32}, hostResultRead},
		abi.FuelImport: {nil, nil, hostFuel},
	}
}

// serve offers the host functions to the modules of rt.
func serve(ctx context.Context, rt wazero.Runtime) error {
	b := rt.NewHostModuleBuilder(abi.Host)
	for name, f := range hostFunctions() {
		call := f.call
		b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
			call(ctx.(*instance), stack)
		}), f.params, f.results).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// view returns n bytes of guest memory at ptr, valid until the guest runs again.
func (in *instance) view(ptr, n uint64) []byte {
	if in.mem == nil {
		panic(errors.New("host call from the start function"))
	}
	b, ok := in.mem.Read(uint32(ptr), uint32(n))
	if !ok {
		panic(fmt.Errorf("host call with %d bytes at %#x outside the memory of %d bytes", uint32(n), uint32(ptr), in.mem.Size()))
	}
	return b
}

func errno(e abi.Errno) uint64 { return api.EncodeI32(int32(e)) }

// park keeps b for result_read and returns its length.
func (in *instance) park(b []byte) uint64 {
	if len(b) > math.MaxInt32 || len(b) > in.pool.module.host.cfg.MaxPayloadMiB<<20 {
		in.call.parked = nil
		return errno(abi.ErrTooLarge)
	}
	in.call.parked = b
	return uint64(len(b))
}

func hostFuel(in *instance, _ []uint64) {
	in.pool.module.host.stats.fuelChecks.Add(1)
	in.check()
}

func hostFail(in *instance, s []uint64) {
	in.call.failed, in.call.failCode = true, api.DecodeI32(s[0])
	in.call.effect = nil // the last word counts
	in.call.failMsg = clip(in.view(s[1], s[2]), maxText)
}

var levels = [...]string{"debug", "info", "warn", "error"}

func hostLog(in *instance, s []uint64) {
	level := min(uint32(s[0]), uint32(len(levels)-1))
	in.log(levels[level], in.view(s[1], s[2]))
}

func hostMetric(in *instance, s []uint64) {
	in.metric(in.view(s[0], s[1]), api.DecodeF64(s[2]), in.view(s[3], s[4]), uint32(s[5]))
}

func hostEvent(in *instance, s []uint64)    { in.event(in.view(s[0], s[1]), in.view(s[2], s[3])) }
func hostSpanAttr(in *instance, s []uint64) { in.spanAttr(in.view(s[0], s[1]), in.view(s[2], s[3])) }

func hostStateGet(in *instance, s []uint64) {
	key := in.view(s[0], s[1])
	if len(key) > maxName {
		s[0] = errno(abi.ErrInvalid)
		return
	}
	if step := in.call.step; step != nil && step.State != nil {
		if v, ok := step.State.Get(string(key)); ok {
			s[0] = in.park(v)
			return
		}
	}
	s[0] = errno(abi.ErrNotFound)
}

func hostStateSet(in *instance, s []uint64) {
	key, value := in.view(s[0], s[1]), in.view(s[2], s[3])
	step := in.call.step
	if step == nil || step.State == nil {
		s[0] = errno(abi.ErrUnavailable)
		return
	}
	if len(key) == 0 || len(key) > maxName {
		s[0] = errno(abi.ErrInvalid)
		return
	}
	s[0] = 0
	if err := step.State.Set(string(key), append([]byte(nil), value...)); err != nil {
		s[0] = errno(errnoOf(err))
	}
}

func hostRunInfo(in *instance, s []uint64) {
	step := in.call.step
	if step == nil || step.Info == nil {
		s[0] = errno(abi.ErrNotFound)
		return
	}
	i := step.Info
	doc, err := json.Marshal(abi.Run{RunID: i.ID.String(), TraceID: i.TraceID.String(), Graph: i.Graph, Version: i.Version,
		Node: step.Node, Attempt: step.Attempt, Kind: string(i.Kind)})
	if err != nil {
		panic(err) // strings and ints always marshal
	}
	s[0] = in.park(doc)
}

func (in *instance) asset(ptr, n uint64) (*asset, abi.Errno) {
	if len(in.pool.assets) == 0 {
		return nil, abi.ErrDenied
	}
	a, ok := in.pool.assets[string(in.view(ptr, n))]
	if !ok {
		return nil, abi.ErrNotFound
	}
	return a, 0
}

func hostAssetSize(in *instance, s []uint64) {
	a, e := in.asset(s[0], s[1])
	if e != 0 {
		s[0] = api.EncodeI64(int64(e))
		return
	}
	s[0] = api.EncodeI64(a.size)
}

func hostAssetRead(in *instance, s []uint64) {
	a, e := in.asset(s[0], s[1])
	offset := int64(s[2])
	switch {
	case e != 0:
		s[0] = errno(e)
		return
	case offset < 0:
		s[0] = errno(abi.ErrInvalid)
		return
	case offset >= a.size:
		s[0] = 0
		return
	}
	in.check()
	dst := in.view(s[3], min(uint64(uint32(s[4])), math.MaxInt32))
	if rest := a.size - offset; int64(len(dst)) > rest {
		dst = dst[:rest]
	}
	n, err := a.data.ReadAt(dst, offset)
	if n < len(dst) && err != nil && !errors.Is(err, io.EOF) {
		in.pool.module.host.log.Warn("asset cannot be read", "digest", a.digest, "error", err)
		s[0] = errno(abi.ErrUnavailable)
		return
	}
	s[0] = uint64(n)
}

func hostGenerate(in *instance, s []uint64) {
	req := in.view(s[0], s[1])
	g := in.pool.module.host.cfg.Generator
	if !in.generates() || in.call.step == nil {
		in.call.parked = nil
		s[0] = errno(abi.ErrDenied)
		return
	}
	in.check()
	c := &in.call
	ctx, cancel := c.context()
	defer cancel()
	resp, err := g.Generate(ctx, append([]byte(nil), req...), c.trail)
	in.check() // an answer after the deadline is no answer
	if err != nil {
		in.park([]byte(clip([]byte(err.Error()), maxDetail)))
		s[0] = errno(errnoOf(err))
		return
	}
	s[0] = in.park(resp)
}

// context returns a context for work that the host does for the call: it ends
// with the call's time. Cancel it.
func (c *call) context() (context.Context, context.CancelFunc) {
	if at, ok := c.ctx.Deadline(); ok && at.Sub(epoch) <= c.until.at {
		return c.ctx, func() {} // which ends no later
	}
	if c.until.set {
		return context.WithDeadline(c.ctx, epoch.Add(c.until.at))
	}
	return context.WithCancel(c.ctx)
}

// errnoOf says the kind of err as an error number.
func errnoOf(err error) abi.Errno {
	switch fault.KindOf(err) {
	case fault.Denied:
		return abi.ErrDenied
	case fault.NotFound:
		return abi.ErrNotFound
	case fault.Invalid, fault.Rejected:
		return abi.ErrInvalid
	case fault.Limit:
		return abi.ErrTooLarge
	case fault.Timeout:
		return abi.ErrTimeout
	}
	return abi.ErrUnavailable
}

func hostNow(in *instance, s []uint64) {
	s[0] = 0
	if in.pool.grant.Clock {
		s[0] = uint64(time.Now().UnixNano())
	}
}

func hostRandom(in *instance, s []uint64) {
	p := in.view(s[0], s[1])
	if !in.pool.grant.Random {
		s[0] = errno(abi.ErrDenied)
		return
	}
	rand.Read(p)
	s[0] = 0
}

// hostResultRead hands out parked bytes; what does not fit stays for the next.
func hostResultRead(in *instance, s []uint64) {
	n := copy(in.view(s[0], s[1]), in.call.parked)
	in.call.parked = in.call.parked[n:]
	s[0] = uint64(n)
}
