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
	"github.com/sparkrsi/spark/testkit/postgres"
)

var (
	pairs = flag.Int("overhead.pairs", 3, "interleaved pairs of BenchmarkOverhead")
	work  = flag.Duration("overhead.side", 200*time.Millisecond, "work of the nodes on each side of a pair")
)

const steps = 10 // of a run

// BenchmarkOverhead measures what telemetry costs beside the work of the nodes it
// records:
//
//	go test ./testkit/telemetry -run '^$' -bench Overhead/.*/1ms -benchtime 1x -overhead.pairs 20 -overhead.side 10s -timeout 0
//
// Pairs of runs are interleaved, without and with a recorder whose backend is a
// plugin process of its own. A node burns processor time, which the clock of its
// thread measures. Telemetry is what else the host spends (by getrusage), less what
// it spends without the recorder, and all that the plugin and the processes of the
// database spend on both sides (by the kernel's account of their threads): recorder,
// export, gRPC, collector, database and a Flush at the end of each side; a host makes
// one every export_interval, which is 10 s unless set, so that shorter sides cost more. Everything is recorded, of the runs of
// sampled every tenth; inputs and outputs are not captured, each span has eight
// attributes. PostgreSQL is on this machine, with fsync. The result is telemetry's
// time a span, recorded or not, by the node's time: the median of the pairs, and the
// interval that holds the true median with 95 % confidence by the order of the pairs.
func BenchmarkOverhead(b *testing.B) {
	for _, v := range []variant{
		{name: "memory", serve: "memory", rate: 1},
		{name: "sqlite", serve: "sqlite", rate: 1},
		{name: "postgres-packed", serve: "postgres", layout: "packed", rate: 1},
		{name: "postgres-rows", serve: "postgres", layout: "rows", rate: 1},
		{name: "postgres-rows-sampled", serve: "postgres", layout: "rows", rate: .1},
	} {
		for _, node := range []time.Duration{time.Millisecond, 100 * time.Microsecond} {
			b.Run(v.name+"/"+node.String(), func(b *testing.B) {
				for b.Loop() {
					overhead(b, v, node)
				}
			})
		}
	}
}

// variant is a backend with its layout, and the sampling rate.
type variant struct {
	name, serve, layout string
	rate                float64
}

func overhead(t *testing.B, v variant, node time.Duration) {
	ctx, dir := t.Context(), t.TempDir()
	config := map[string]string{}
	b := &bench{trail: attributes()}
	switch v.serve {
	case "sqlite":
		config["db_path"] = filepath.Join(dir, "telemetry.db")
	case "postgres":
		s := postgres.New(t, postgres.Options{Durable: true})
		b.database = s.PID()
		config["connection_string"], config["layout"] = s.URL(), v.layout
	}
	settings, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plughost.Launch(ctx, plughost.Spec{Name: v.serve, Kind: plughost.Backend, Args: []string{"serve-" + v.serve}, Config: settings})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	w, err := backend.NewClient(ctx, p.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := telemetry.Defaults()
	cfg.Backend, cfg.SamplingRate = v.serve, v.rate
	r, err := telemetry.New(cfg, w, telemetry.Options{Environment: "benchmark", SpoolDir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	b.plugin = p.Info().PID
	b.calibrate(node)
	runs := max(int(*work/node)/steps, 1)
	for range 2 {
		b.side(ctx, nil, runs) // warm
		b.side(ctx, r, runs)
	}
	var costs, shares, hosts, plugins, databases []float64
	for i := range *pairs {
		var off, on sample
		if i%2 == 0 {
			off, on = b.side(ctx, nil, runs), b.side(ctx, r, runs)
		} else {
			on, off = b.side(ctx, r, runs), b.side(ctx, nil, runs)
		}
		perSpan := func(ns int64) float64 { return float64(ns) / 1e3 / float64(runs*steps) }
		host, plugin, database := on.host-on.nodes-(off.host-off.nodes), on.plugin+off.plugin, on.database+off.database
		costs = append(costs, perSpan(host+plugin+database))
		hosts, plugins, databases = append(hosts, perSpan(host)), append(plugins, perSpan(plugin)), append(databases, perSpan(database))
		shares = append(shares, 100*float64(host+plugin+database)/float64(on.nodes))
	}
	if s := r.Stats(); s.Dropped > 0 || s.ExportedTraces != s.Traces {
		t.Fatalf("not everything was stored: %+v", s)
	}
	for unit, v := range map[string][]float64{"us/span": costs, "us-in-host/span": hosts, "us-in-plugin/span": plugins, "us-in-database/span": databases} {
		mid, _, _ := median(v)
		t.ReportMetric(mid, unit)
	}
	share, low, high := median(shares)
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
	plugin, database int // process ids; 0 is none
	loops            int // of burn, for one node
	trail            *run.Trail
	sink             uint64
}

// sample is processor time in nanoseconds.
type sample struct{ host, nodes, plugin, database int64 }

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
	plugin, database, host := taskTime(b.plugin), serverTime(b.database), processTime()
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
	s.host = processTime() - host
	s.plugin, s.database = taskTime(b.plugin)-plugin, serverTime(b.database)-database
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

// serverTime returns the processor time, in nanoseconds, of a PostgreSQL server and
// of all processes it started; of those that ended in steps of 10 ms. 0 is none.
func serverTime(pid int) (ns int64) {
	if pid == 0 {
		return 0
	}
	proc := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		panic(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // field 3 and on; see proc(5)
	for _, f := range fields[13:15] {                                                   // cutime, cstime
		ticks, _ := strconv.ParseInt(f, 10, 64)
		ns += ticks * 1e7
	}
	living, err := os.ReadFile(proc + fmt.Sprintf("task/%d/children", pid))
	if err != nil {
		panic(err)
	}
	ns += taskTime(pid)
	for _, child := range strings.Fields(string(living)) {
		id, _ := strconv.Atoi(child)
		ns += taskTime(id)
	}
	return ns
}
