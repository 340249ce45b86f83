package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/run"
)

func key(i int) (k Key) {
	k[0], k[1] = byte(i), byte(i>>8)
	return k
}

func TestMemoryCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c := NewMemoryCache(10 * (entryCost + 100))
		value := bytes.Repeat([]byte("x"), 100)
		for i := range 10 {
			c.Put(ctx, key(i), value, 0)
		}
		c.Get(ctx, key(0)) // now 1 is the oldest
		c.Put(ctx, key(10), value, time.Minute)
		for i, want := range []bool{true, false, true} {
			if _, ok := c.Get(ctx, key(i)); ok != want {
				t.Errorf("key %d: %v", i, ok)
			}
		}
		c.Put(ctx, key(10), []byte("new"), time.Minute)
		if v, ok := c.Get(ctx, key(10)); !ok || string(v) != "new" || c.Len() != 10 {
			t.Errorf("%s, %v, %d entries", v, ok, c.Len())
		}
		time.Sleep(time.Minute)
		if _, ok := c.Get(ctx, key(10)); ok || c.Len() != 9 {
			t.Errorf("expired output came back: %v, %d entries", ok, c.Len())
		}
		c.Put(ctx, key(11), make([]byte, 1000), 0)
		if _, ok := c.Get(ctx, key(11)); ok {
			t.Error("one output took more than an eighth")
		}
	})
}

// Whatever is stored in whatever order, the cache stays within its bytes and
// answers only what was stored last.
func TestMemoryCacheIsBounded(t *testing.T) {
	const most = 64 << 10
	c := NewMemoryCache(most)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 5000 {
				i := r.IntN(500)
				want := fmt.Appendf(nil, "%d%s", i, strings.Repeat("-", i))
				if v, ok := c.Get(t.Context(), key(i)); ok && string(v) != string(want) {
					t.Errorf("key %d gave %s", i, v)
				}
				c.Put(t.Context(), key(i), want, 0)
			}
		})
	}
	wg.Wait()
	size, n := int64(0), 0
	for e := c.oldest.next; e != &c.oldest; e = e.next {
		size += e.cost()
		n++
	}
	if size != c.size || size > most || n != c.Len() || n < 50 {
		t.Errorf("%d bytes in %d entries, counted %d in %d", size, n, c.size, c.Len())
	}
}

// Two versions share an output only when all it depends on agrees.
func TestSharedCache(t *testing.T) {
	version := func(module, config, asset, cache string) (*Program, *int) {
		g, fs := graph.Decode(fmt.Appendf(nil, "graph: g%s\nassets: {a: a.txt}\nstart: n\nnodes: {n: {module: m@^1, assets: [a], config: {k: %s}, cache: %s}}\n",
			module, config, cache), "")
		if fs.HasErrors() {
			t.Fatal(fs)
		}
		plan, err := graph.Compile(&graph.Locked{Graph: g, Locks: []graph.Lock{{Node: "n", Type: "m", Version: "1.0.0", Digest: module}},
			Assets: []graph.AssetLock{{Name: "a", Digest: asset}}})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		return &Program{Plan: plan, Runners: []NodeRunner{Func(func(_ context.Context, s *run.Step) ([]byte, error) {
			calls++
			return s.Input, nil
		})}}, &calls
	}
	c := NewMemoryCache(1 << 20)
	for i, v := range []struct {
		module, config, asset, cache, input string
		calls                               int
	}{
		{"d1", "1", "a1", "{}", "7", 1},
		{"d1", "1", "a1", "{ttl: 1h}", "7", 0},
		{"d1", "1", "a1", "{}", "8", 1},
		{"d2", "1", "a1", "{}", "7", 1},
		{"d1", "2", "a1", "{}", "7", 1},
		{"d1", "1", "a2", "{}", "7", 1},
		{"d1", "1", "a1", "{key: output}", "7", 1},
		{"d1", "1", "a1", "{key: output + 0}", "7", 1},
		{"d1", "1", "a1", "{key: output}", "7", 0},
	} {
		p, calls := version(v.module, v.config, v.asset, v.cache)
		var seen log
		res, err := Run(t.Context(), p, []byte(v.input), Options{Cache: c, Observer: &seen})
		if err != nil || string(res.Output) != v.input || *calls != v.calls || seen.of("n")[0].CacheHit != (v.calls == 0) {
			t.Errorf("%d: %d calls, want %d, %v", i, *calls, v.calls, err)
		}
		if _, err := Run(t.Context(), p, []byte(v.input), Options{}); err != nil || *calls != v.calls+1 {
			t.Errorf("%d: a run without a cache made %d calls", i, *calls)
		}
	}
}

// A hit costs the digest of the input and the look-up; the run around it also
// checks that its input and its output are JSON.
func BenchmarkCacheHit(b *testing.B) {
	p := program(b, "graph: g\nstart: a\nnodes: {a: {native: f, cache: {force: true}}}\n", map[string]Func{"f": echo})
	input := fmt.Appendf(nil, "%q", strings.Repeat("x", 1022))
	o := Options{Info: &run.Info{ID: run.NewID()}, Cache: NewMemoryCache(1 << 20)}
	b.Run("run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Run(context.Background(), p, input, o); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := o.Cache.Get(context.Background(), keyOf(&p.Plan.Nodes[0], input)); !ok {
				b.Fatal("no hit")
			}
		}
	})
}

// mapDisk is a Disk that counts how often it is asked.
type mapDisk struct {
	outputs map[[32]byte][]byte
	expires map[[32]byte]time.Time
	loads   int
}

func (d *mapDisk) Load(_ context.Context, k [32]byte) ([]byte, time.Time, bool) {
	d.loads++
	out, ok := d.outputs[k]
	return out, d.expires[k], ok && (d.expires[k].IsZero() || time.Now().Before(d.expires[k]))
}

func (d *mapDisk) Save(k [32]byte, out []byte, at time.Time) { d.outputs[k], d.expires[k] = out, at }

func TestTieredCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &mapDisk{outputs: map[[32]byte][]byte{}, expires: map[[32]byte]time.Time{}}
		c := NewTieredCache(NewMemoryCache(1<<20), disk)
		c.Put(t.Context(), key(1), []byte("one"), time.Minute)
		c.Put(t.Context(), key(2), []byte("two"), 0)
		if v, ok := c.Get(t.Context(), key(1)); !ok || string(v) != "one" || disk.loads != 0 {
			t.Errorf("%s, %v after %d looks at the disk", v, ok, disk.loads)
		}
		c = NewTieredCache(NewMemoryCache(1<<20), disk) // after a restart
		time.Sleep(59 * time.Second)
		for range 2 {
			if v, ok := c.Get(t.Context(), key(1)); !ok || string(v) != "one" || disk.loads != 1 {
				t.Errorf("%s, %v after %d looks at the disk", v, ok, disk.loads)
			}
		}
		time.Sleep(time.Second) // the time to live is not begun anew in memory
		if v, ok := c.Get(t.Context(), key(1)); ok {
			t.Errorf("expired, and gives %s", v)
		}
		if v, ok := c.Get(t.Context(), key(2)); !ok || string(v) != "two" {
			t.Errorf("%s, %v", v, ok)
		}
		if _, ok := c.Get(t.Context(), key(3)); ok {
			t.Error("gives what nobody stored")
		}
	})
}

func BenchmarkTieredHit(b *testing.B) {
	c := NewTieredCache(NewMemoryCache(1<<20), &mapDisk{outputs: map[[32]byte][]byte{}, expires: map[[32]byte]time.Time{}})
	c.Put(context.Background(), key(1), make([]byte, 1000), time.Minute)
	for b.Loop() {
		if _, ok := c.Get(context.Background(), key(1)); !ok {
			b.Fatal("miss")
		}
	}
}
