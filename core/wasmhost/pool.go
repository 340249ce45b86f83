package wasmhost

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// pool keeps the instances of one module with the same assets, grants and
// memory limit. Nodes of different configuration share it.
//
// An instance that already has the wanted configuration is preferred, the one
// used last first. Otherwise something has to be paid: the configuration of
// another instance, a wait for a busy one, or a new instance. The pool pays the
// small prices until together they reach the price of an instance, then it
// starts one (rent or buy: never more than twice the cost of knowing the
// future). So an instance that takes a second to build its index is not started
// for one overlapping call, and one that takes 4 ms is started at once.
type pool struct {
	module *Module
	key    string
	grant  Grant
	access *access // nil without the http capability
	assets map[string]*asset
	memory int  // bytes an instance may have
	reset  bool // an instance serves one call
	refs   int  // nodes, guarded by host.mu

	drained chan struct{} // closed when the pool is closed and its last instance ended

	mu      sync.Mutex // guards the fields below
	idle    []*instance
	live    int           // instances, idle and busy, and those being started
	waiters []*waiter     // in the order of arrival
	closed  bool          // no new calls
	held    int           // calls that await something and will want an instance again
	over    bool          // drained
	price   time.Duration // of the last new instance with its configuration
	rent    time.Duration // paid in configurations and waits since then
}

// waiter is a call in the queue. What comes is an instance, or nil for the
// right to start one.
type waiter struct {
	doc  string
	came chan *instance
}

// hold keeps the pool for a call that awaits something, beyond its close; letGo
// ends that.
func (p *pool) hold() {
	p.mu.Lock()
	p.held++
	p.mu.Unlock()
}

func (p *pool) letGo() {
	p.mu.Lock()
	p.held--
	p.ended(0)
}

// take returns an instance for a call, configured with doc when possible. The
// caller gives it back with put. A closed pool serves only calls that go on.
func (p *pool) take(ctx context.Context, end deadline, doc string, goesOn bool) (*instance, error) {
	p.mu.Lock()
	if p.closed && !goesOn {
		p.mu.Unlock()
		return nil, fault.New(fault.Unavailable, p.module.manifest.Name, "node was closed")
	}
	in, start := p.pick(doc)
	if start && len(p.waiters) > 0 { // who came first starts first
		p.shift().came <- nil
		start = false
	}
	if in != nil {
		p.mu.Unlock()
		return in, nil
	}
	if start {
		p.mu.Unlock()
		return p.buy(ctx, end, doc)
	}
	w := &waiter{doc: doc, came: make(chan *instance, 1)}
	p.waiters = append(p.waiters, w)
	patience := p.price - p.rent
	full := p.live >= p.cap()
	p.mu.Unlock()
	return p.wait(ctx, end, w, patience, full)
}

// cap is how many calls the pool serves at once.
func (p *pool) cap() int {
	if p.grant.Generate || p.access != nil {
		return p.module.host.cfg.ModelInstances
	}
	return p.module.host.cfg.Instances
}

// pick chooses for a call that arrives: an idle instance, the right to start
// one, or neither, which means to wait. The caller holds mu.
func (p *pool) pick(doc string) (in *instance, start bool) {
	busy := p.live - len(p.idle)
	if busy >= p.cap() {
		return nil, false
	}
	for i := len(p.idle) - 1; i >= 0; i-- {
		if p.idle[i].doc == doc {
			return p.remove(i), false
		}
	}
	dear := p.rent >= p.price || p.reset // whose idle ones have not run yet
	if len(p.idle) > 0 {
		if dear && p.mayAdd() {
			return nil, p.buying()
		}
		return p.remove(0), false // the one unused for longest
	}
	if p.live == 0 || dear {
		return nil, p.buying()
	}
	return nil, false
}

func (p *pool) remove(i int) *instance {
	in := p.idle[i]
	p.idle = slices.Delete(p.idle, i, i+1)
	return in
}

func (p *pool) buying() bool {
	p.live++
	p.rent = 0
	return true
}

// mayAdd reports whether the pool may have one more instance: up to its cap
// freely, beyond it while idle ones and the new one stay within the spare
// memory.
func (p *pool) mayAdd() bool {
	if p.live < p.cap() {
		return true
	}
	var sum, most int64
	for _, in := range p.idle {
		n := int64(in.mem.Size())
		sum, most = sum+n, max(most, n)
	}
	return sum+most <= int64(p.module.host.cfg.SpareMiB)<<20
}

// wait queues until an instance is free, patience is over and the pool is not
// full, or the call has to end.
func (p *pool) wait(ctx context.Context, end deadline, w *waiter, patience time.Duration, full bool) (*instance, error) {
	p.module.host.stats.waits.Add(1)
	from := time.Now()
	var impatient, late <-chan time.Time
	if !full {
		t := time.NewTimer(patience)
		defer t.Stop()
		impatient = t.C
	}
	if end.set {
		t := time.NewTimer(end.at - time.Since(epoch))
		defer t.Stop()
		late = t.C
	}
	var err error
	for {
		select {
		case in := <-w.came:
			p.mu.Lock()
			if !full {
				p.rent += time.Since(from)
			}
			p.mu.Unlock()
			if in == nil {
				return p.buy(ctx, end, w.doc)
			}
			return in, nil
		case <-impatient:
			p.mu.Lock()
			if i := slices.Index(p.waiters, w); i >= 0 && p.live < p.cap() {
				p.waiters = slices.Delete(p.waiters, i, i+1)
				p.buying()
				p.mu.Unlock()
				return p.buy(ctx, end, w.doc)
			}
			p.mu.Unlock()
			continue
		case <-ctx.Done():
			err = end.gone(ctx, p.module.manifest.Name)
		case <-late:
			err = end.fault(p.module.manifest.Name)
		}
		break
	}
	p.module.host.stats.timeouts.Add(1)
	p.mu.Lock()
	i := slices.Index(p.waiters, w)
	if i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // something came at the same moment: pass it on
		if in := <-w.came; in != nil {
			p.put(in)
		} else {
			p.lost()
		}
	}
	return nil, err
}

// buy starts an instance; live counts it already.
func (p *pool) buy(ctx context.Context, end deadline, doc string) (*instance, error) {
	from := time.Now()
	in, err := p.start(ctx, end)
	if err != nil {
		p.lost()
		return nil, err
	}
	if err := in.setUp(ctx, end, doc); err != nil {
		p.put(in)
		return nil, err
	}
	p.mu.Lock()
	p.price = time.Since(from)
	p.mu.Unlock()
	return in, nil
}

// paid adds to the rent what a configuration took.
func (p *pool) paid(d time.Duration) {
	p.mu.Lock()
	p.rent += d
	p.mu.Unlock()
}

// put gives an instance back: to the first in the queue, or to the idle ones.
// A broken instance is ended, and so is one that ran when each call has its own.
func (p *pool) put(in *instance) {
	if in.broken || p.reset && in.ran {
		p.module.host.stats.discarded.Add(1)
		in.close()
		p.lost()
		return
	}
	p.mu.Lock()
	switch {
	case len(p.waiters) > 0:
		w := p.shift()
		if in.doc != w.doc {
			for i := len(p.idle) - 1; i >= 0; i-- {
				if p.idle[i].doc == w.doc {
					p.idle[i], in = in, p.idle[i]
					break
				}
			}
		}
		w.came <- in
		p.mu.Unlock()
	case p.closed:
		p.mu.Unlock()
		in.close()
		p.mu.Lock()
		p.ended(1)
	default:
		p.idle = append(p.idle, in)
		p.mu.Unlock()
	}
}

// lost takes an instance that is no more out of the books and lets the first in
// the queue have an idle one or start another.
func (p *pool) lost() {
	p.mu.Lock()
	if len(p.waiters) > 0 {
		w := p.shift()
		if n := len(p.idle); n > 0 {
			p.live--
			w.came <- p.remove(n - 1)
		} else {
			w.came <- nil // in place of the lost one
		}
		p.mu.Unlock()
		return
	}
	p.ended(1)
}

// ended takes n instances out of the books, and the pool itself when they were
// its last. The caller holds mu, which is released.
func (p *pool) ended(n int) {
	p.live -= n
	over := p.closed && p.live == 0 && p.held == 0 && !p.over
	p.over = p.over || over
	p.mu.Unlock()
	if over {
		closeAssets(p.assets)
		h := p.module.host
		h.mu.Lock()
		delete(h.pools, p)
		h.mu.Unlock()
		p.module.Release()
		close(p.drained)
	}
}

func (p *pool) shift() *waiter {
	w := p.waiters[0]
	p.waiters = slices.Delete(p.waiters, 0, 1)
	return w
}

// close ends the idle instances; busy ones end when they come back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, in := range idle {
		in.close()
	}
	p.mu.Lock()
	p.ended(len(idle))
}
