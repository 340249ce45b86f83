package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
)

// Key identifies a cached output: the sha256 of the module's digest, config,
// assets and grants, and of the input or what `cache: {key: ...}` gives.
type Key [32]byte

// Cache keeps outputs of steps whose node has a cache. It must be safe for
// concurrent use and bounded; it decides itself what makes room. A cache that
// fails answers as if it had nothing.
type Cache interface {
	// Get returns an output that is not older than its time to live, or false. The
	// bytes are shared and never changed.
	Get(ctx context.Context, k Key) ([]byte, bool)
	// Put stores an output for ttl, 0 for as long as there is room. It may keep the
	// bytes.
	Put(ctx context.Context, k Key, output []byte, ttl time.Duration)
}

// nativeSalt keeps outputs of Go functions, which have no digest, out of caches
// that outlive the process.
var nativeSalt = sync.OnceValue(func() (salt [16]byte) {
	rand.Read(salt[:])
	return salt
})

// keyOf returns the key of a step of a node, given its input or its key.
func keyOf(pn *graph.PlanNode, of []byte) Key {
	h := sha256.New()
	h.Write(pn.Content[:])
	if pn.Spec.Native != "" {
		salt := nativeSalt()
		h.Write(salt[:])
	}
	if pn.Key != nil {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(pn.Key.Source()))))
		h.Write([]byte(pn.Key.Source()))
	}
	h.Write(of)
	var k Key
	h.Sum(k[:0])
	return k
}

// MemoryCache is a Cache in memory that drops what was not used for longest. Use
// NewMemoryCache.
type MemoryCache struct {
	most int64

	mu      sync.Mutex // guards the fields below
	entries map[Key]*entry
	oldest  entry // head of a ring from the least to the most recently used
	size    int64
}

type entry struct {
	key        Key
	output     []byte
	expires    time.Time // zero never
	prev, next *entry
}

// entryCost is the memory of an entry beside its output, as estimated.
const entryCost = 192

var _ Cache = (*MemoryCache)(nil)

// NewMemoryCache returns an empty cache of at most most bytes, outputs and their
// administration together.
func NewMemoryCache(most int64) *MemoryCache {
	c := &MemoryCache{most: most, entries: map[Key]*entry{}}
	c.oldest.prev, c.oldest.next = &c.oldest, &c.oldest
	return c
}

// Get returns an output that did not expire, or false.
func (c *MemoryCache) Get(_ context.Context, k Key) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		return nil, false
	}
	if !e.expires.IsZero() && !time.Now().Before(e.expires) {
		c.remove(e)
		return nil, false
	}
	e.unlink()
	e.link(&c.oldest)
	return e.output, true
}

// Put stores an output and makes room for it. An output of more than an eighth of
// the cache is not stored.
func (c *MemoryCache) Put(_ context.Context, k Key, output []byte, ttl time.Duration) {
	c.put(k, output, expiry(ttl))
}

// expiry returns when an output that is stored now with a time to live expires.
func expiry(ttl time.Duration) (at time.Time) {
	if ttl > 0 {
		at = time.Now().Add(ttl)
	}
	return at
}

func (c *MemoryCache) put(k Key, output []byte, expires time.Time) {
	if int64(len(output))+entryCost > c.most/8 {
		return
	}
	e := &entry{key: k, output: output, expires: expires}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[k]; ok {
		c.remove(old)
	}
	c.entries[k] = e
	e.link(&c.oldest)
	for c.size += e.cost(); c.size > c.most; {
		c.remove(c.oldest.next)
	}
}

// Len returns the number of outputs held, expired ones included.
func (c *MemoryCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (c *MemoryCache) remove(e *entry) {
	delete(c.entries, e.key)
	c.size -= e.cost()
	e.unlink()
}

func (e *entry) cost() int64 { return int64(cap(e.output)) + entryCost }

func (e *entry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

// link puts e before head, which is the most recently used end of the ring.
func (e *entry) link(head *entry) {
	e.prev, e.next = head.prev, head
	e.prev.next, e.next.prev = e, e
}

// Disk keeps outputs behind a MemoryCache, longer and more of them. It must be safe
// for concurrent use.
type Disk interface {
	// Load returns an output that did not expire, and when it will, zero for never;
	// or false. The bytes are the caller's.
	Load(ctx context.Context, key [32]byte) (output []byte, expires time.Time, ok bool)
	// Save stores an output until expires, zero for as long as there is room. It does
	// not wait for the disk, may keep the bytes and may drop them.
	Save(key [32]byte, output []byte, expires time.Time)
}

// NewTieredCache returns a cache that answers from memory, else from disk. A hit in
// memory never looks at the disk; what comes from there is kept in memory.
func NewTieredCache(memory *MemoryCache, disk Disk) Cache { return &tiered{memory, disk} }

type tiered struct {
	memory *MemoryCache
	disk   Disk
}

func (c *tiered) Get(ctx context.Context, k Key) ([]byte, bool) {
	if out, ok := c.memory.Get(ctx, k); ok {
		return out, true
	}
	out, expires, ok := c.disk.Load(ctx, k)
	if ok {
		c.memory.put(k, out, expires)
	}
	return out, ok
}

func (c *tiered) Put(_ context.Context, k Key, output []byte, ttl time.Duration) {
	expires := expiry(ttl)
	c.memory.put(k, output, expires)
	c.disk.Save(k, output, expires)
}

// cached answers t from the cache and reports whether it could.
func (x *execution) cached(ctx context.Context, t *token) bool {
	pn := &t.frame.prep.plan.Nodes[t.node]
	if pn.Spec.Cache == nil || x.o.Cache == nil {
		return false
	}
	of := t.step.Input
	if pn.Key != nil {
		of = t.key
	}
	t.cacheKey = keyOf(pn, of)
	out, ok := x.o.Cache.Get(ctx, t.cacheKey)
	if !ok {
		return false
	}
	t.output, t.hit = out, true
	if t.group == nil {
		t.trail.Metrics = append(t.trail.Metrics, hits(1))
	}
	return true
}

func hits(n int) run.Metric {
	return run.Metric{Name: "node.cache_hit", Value: float64(n), Unit: "1", Agg: run.Counter}
}
