package telemetry_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
)

var (
	pairs = flag.Int("overhead.pairs", 3, "interleaved pairs of BenchmarkOverhead")
	work  = flag.Duration("overhead.side", 200*time.Millisecond, "work of the nodes on each side of a pair")
)

const steps = 10 // of a run

// BenchmarkOverhead measures what telemetry costs beside the work of the nodes it
// records:
//
//	go test ./testkit/telemetry -run '^$' -bench Overhead -benchtime 1x -overhead.pairs 20 -overhead.side 2s
//
// Pairs of runs are interleaved, without and with a recorder whose backend is a
// plugin process of its own. A node burns processor time, which the clock of its
// thread measures; what else the host spends (by getrusage), and all that the
// plugin spends (by the kernel's account of its threads), less what the host spends
// without the recorder, is telemetry: recorder, export, gRPC, collector, database
// and a Flush at the end of each side. Everything is recorded, inputs and outputs
// are not captured, each span has eight attributes. The result is telemetry's time
// a span by the node's time: the median of the pairs, and the interval that holds
// the true median with 95 % confidence by the order of the pairs.
func BenchmarkOverhead(b *testing.B) {
	for _, kind := range []string{"memory", "sqlite"} {
		for _, node := range []time.Duration{time.Millisecond, 100 * time.Microsecond} {
			b.Run(kind+"/"+node.String(), func(b *testing.B) {
				for b.Loop() {
					overhead(b, kind, node)
				}
			})
		}
	}
}

func overhead(t *testing.B, kind string, node time.Duration) {
	ctx, dir := t.Context(), t.TempDir()
	config := map[string]string{}
	if kind == "sqlite" {
		config["db_path"] = filepath.Join(dir, "telemetry.db")
	}
	settings, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plughost.Launch(ctx, plughost.Spec{Name: kind, Kind: plughost.Backend, Args: []string{"serve-" + kind}, Config: settings})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	w, err := backend.NewClient(ctx, p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := telemetry.Defaults()
	cfg.Backend = kind
	r, err := telemetry.New(cfg, w, telemetry.Options{Environment: "benchmark", SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	b := &bench{plugin: p.Info().PID, trail: attributes()}
	b.calibrate(node)
	runs := max(int(*work/node)/steps, 1)
	for range 2 {
		b.side(ctx, nil, runs) // warm
		b.side(ctx, r, runs)
	}
	var costs, shares, hosts []float64
	for i := range *pairs {
		var off, on sample
		if i%2 == 0 {
			off, on = b.side(ctx, nil, runs), b.side(ctx, r, runs)
		} else {
			on, off = b.side(ctx, r, runs), b.side(ctx, nil, runs)
		}
		spans := float64(runs * steps)
		cost := float64(on.host-on.nodes+on.plugin-(off.host-off.nodes)) / spans
		costs = append(costs, cost/1e3)
		hosts = append(hosts, float64(on.host-on.nodes-(off.host-off.nodes))/spans/1e3)
		shares = append(shares, 100*cost*spans/float64(on.nodes))
	}
	if s := r.Stats(); s.Dropped > 0 || s.ExportedTraces != s.Traces {
		t.Fatalf("not everything was stored: %+v", s)
	}
	cost, _, _ := median(costs)
	inHost, _, _ := median(hosts)
	share, low, high := median(shares)
	t.ReportMetric(cost, "us/span")
	t.ReportMetric(inHost, "us-in-host/span")
	t.ReportMetric(share, "%")
	t.ReportMetric(low, "%low")
	t.ReportMetric(high, "%high")
	t.ReportMetric(100*r.Stats().OverheadRatio, "%by-stats")
}

// attributes returns eight of them.
func attributes() *run.Trail {
	return &run.Trail{Attrs: []run.Attr{run.String("query", "read a file"), run.Int("hits", 50), run.Float("score", 12.5), run.Bool("cached", false),
		run.String("lang", "en"), run.Int("depth", 3), run.Float("k1", 1.2), run.String("stage", "retrieve")}}
}

type bench struct {
	plugin int
	loops  int // of burn, for one node
	trail  *run.Trail
	sink   uint64
}

// sample is processor time in nanoseconds.
type sample struct{ host, nodes, plugin int64 }

// calibrate finds how many loops one node takes.
func (b *bench) calibrate(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.loops = 1 << 20
	best := int64(1 << 62)
	for range 20 {
		begin := threadTime()
		b.burn()
		best = min(best, threadTime()-begin)
	}
	b.loops = int(float64(b.loops) * float64(d) / float64(best))
}

func (b *bench) burn() {
	x := b.sink | 1
	for range b.loops {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	b.sink = x
}

var names = [steps]string{"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"}

// side does the work of so many runs, recorded by r unless it is nil.
func (b *bench) side(ctx context.Context, r *telemetry.Recorder, runs int) (s sample) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	host, plugin := processTime(), taskTime(b.plugin)
	o := &run.Observation{}
	for range runs {
		info := &run.Info{ID: run.NewID(), Graph: "overhead", Version: "1.0.0", Kind: run.Production, Started: time.Now()}
		x := r.Begin(info)
		for i := range steps {
			begin := threadTime()
			start := time.Now()
			b.burn()
			end := time.Now()
			s.nodes += threadTime() - begin
			*o = run.Observation{Phase: run.StepFinished, Info: info, Node: names[i], Type: run.NodeType{Name: "burn", Version: "1.0.0"},
				Seq: i, After: i - 1, Start: start, End: end, Trail: b.trail}
			x.Observe(o)
		}
		*o = run.Observation{Phase: run.RunFinished, Info: info, End: time.Now()}
		x.Observe(o)
	}
	if err := r.Flush(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	s.host, s.plugin = processTime()-host, taskTime(b.plugin)-plugin
	if r == nil {
		s.plugin = 0
	}
	return s
}

// median returns the median of v, and its interval of 95 % confidence by order
// statistics. Source: Conover 1999, Practical Nonparametric Statistics, 3.2.
func median(v []float64) (mid, low, high float64) {
	slices.Sort(v)
	n := len(v)
	mid = (v[(n-1)/2] + v[n/2]) / 2
	// The largest k with P(Binomial(n, 1/2) < k) <= 2.5 %.
	p, sum, k := 1.0, 0.0, 0
	for range n {
		p /= 2
	}
	for k < n/2 && sum+p <= .025 {
		sum += p
		p *= float64(n-k) / float64(k+1)
		k++
	}
	at := max(k-1, 0)
	return mid, v[at], v[n-1-at]
}

func processTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func threadTime() int64 {
	const clockThreadCPU = 3 // CLOCK_THREAD_CPUTIME_ID
	var t syscall.Timespec
	if _, _, e := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		panic(e)
	}
	return t.Nano()
}

// taskTime returns the processor time, in nanoseconds, of the threads of a process.
func taskTime(pid int) (ns int64) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		ns += n
	}
	return ns
}
