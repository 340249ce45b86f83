package rollout

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/sdk/fault"
)

// deployment is a target that counts its runs the way a host does.
type deployment struct {
	version int
	users   atomic.Int64 // runs plus one while it is routed; negative once gone
	freed   atomic.Bool
}

func newDeployment(v int) *deployment {
	d := &deployment{version: v}
	d.users.Store(1)
	return d
}

func (d *deployment) Retain() bool {
	for {
		n := d.users.Load()
		if n == 0 {
			return false
		}
		if d.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *deployment) release() {
	if d.users.Add(-1) == 0 {
		d.freed.Store(true)
	}
}

func TestSwapUnderLoad(t *testing.T) {
	var r Router[*deployment]
	if _, ok := r.Pick("g"); ok {
		t.Fatal("an empty router picked something")
	}
	cur := newDeployment(0)
	if !r.Swap("g", nil, cur) {
		t.Fatal("the first swap was refused")
	}
	stop := make(chan struct{})
	var runs, bad atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				d, ok := r.Pick("g")
				if !ok || d.freed.Load() || d.version < last {
					bad.Add(1)
					return
				}
				last = d.version
				d.release()
				runs.Add(1)
			}
		})
	}
	for runs.Load() == 0 && bad.Load() == 0 {
		runtime.Gosched() // the swaps mean something only beside runs
	}
	all := []*deployment{cur}
	for v := 1; v <= 2000; v++ {
		next := newDeployment(v)
		if !r.Swap("g", cur, next) {
			t.Fatalf("swap %d was refused", v)
		}
		cur.release()
		cur = next
		all = append(all, cur)
	}
	close(stop)
	wg.Wait()
	if bad.Load() > 0 || runs.Load() == 0 {
		t.Fatalf("%d bad picks of %d", bad.Load(), runs.Load())
	}
	for _, d := range all[:len(all)-1] {
		if !d.freed.Load() {
			t.Fatalf("version %d was never freed", d.version)
		}
	}
	if cur.freed.Load() {
		t.Fatal("the serving version was freed")
	}
}

func TestSwapRefusesAStaleBase(t *testing.T) {
	var r Router[*deployment]
	a, b := newDeployment(1), newDeployment(2)
	r.Swap("g", nil, a)
	if r.Swap("g", b, newDeployment(3)) {
		t.Fatal("a swap from a version that does not serve went through")
	}
	if got, _ := r.Current("g"); got != a {
		t.Fatalf("current is %v", got.version)
	}
	if !r.Swap("g", a, nil) {
		t.Fatal("removal was refused")
	}
	if _, ok := r.Pick("g"); ok {
		t.Fatal("a removed graph was picked")
	}
	if len(r.Graphs()) != 0 {
		t.Fatalf("graphs: %v", r.Graphs())
	}
}

func TestParseStrategy(t *testing.T) {
	for _, s := range []string{"", "direct"} {
		if got, err := ParseStrategy(s); err != nil || got != Direct {
			t.Fatalf("%q: %v %v", s, got, err)
		}
	}
	if _, err := ParseStrategy("canary"); !fault.Is(err, fault.Invalid) {
		t.Fatalf("canary: %v", err)
	}
}
