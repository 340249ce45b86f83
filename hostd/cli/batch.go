package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/hostd/api"
	"github.com/sparkrsi/spark/sdk/fault"
)

// batch is many runs of one graph.
type batch struct {
	graph, version      string
	file, out           string
	repeat, concurrency int
}

// maxConcurrency bounds the runs that one command keeps going.
const maxConcurrency = 1024

// example is one line of a batch.
type example struct {
	line  int
	id    string
	input json.RawMessage
}

// outcome is one run as --out writes it.
type outcome struct {
	Line    int             `json:"line"`
	ID      string          `json:"id,omitempty"`
	RunID   string          `json:"run_id,omitempty"`
	Version string          `json:"version,omitempty"`
	Status  store.RunStatus `json:"status,omitempty"`
	Seconds float64         `json:"seconds"`
	Output  json.RawMessage `json:"output,omitempty"`
	Error   *api.Error      `json:"error,omitempty"`
}

// batchResult is what a batch prints.
type batchResult struct {
	Graph     string         `json:"graph"`
	Runs      int            `json:"runs"`
	Succeeded int            `json:"succeeded"`
	Waiting   int            `json:"waiting,omitempty"` // for a person; no failure
	Failed    int            `json:"failed"`
	Seconds   float64        `json:"seconds"`
	PerSecond float64        `json:"runs_per_second"`
	Latency   *latency       `json:"latency_ms,omitempty"` // of the runs that succeeded
	Versions  map[string]int `json:"versions"`
	Errors    []outcome      `json:"errors,omitempty"` // the first of each kind, at most 10
}

type latency struct {
	P50 float64  `json:"p50"`
	P95 *float64 `json:"p95,omitempty"` // from 59 runs
	Max float64  `json:"max"`
}

func (a *app) runBatch(ctx context.Context, b batch) (err error) {
	if b.repeat < 1 {
		return fault.New(fault.Invalid, "--repeat", "%d is below 1", b.repeat).WithHint("leave it out for 1")
	}
	if b.concurrency < 1 || b.concurrency > maxConcurrency {
		return fault.New(fault.Invalid, "--concurrency", "%d is not from 1 to %d", b.concurrency, maxConcurrency).WithHint("leave it out for 1")
	}
	examples, err := a.examples(b.file)
	if err != nil {
		return err
	}
	var out io.Writer = io.Discard
	if b.out != "" {
		f, err := os.Create(b.out)
		if err != nil {
			return fault.Wrap(fault.Invalid, b.out, err, "write the results").(*fault.Error).WithHint("name a file that can be written with --out")
		}
		defer func() {
			if closing := f.Close(); closing != nil && err == nil {
				err = fault.Wrap(fault.Internal, b.out, closing, "write the results")
			}
		}()
		out = f // a line a write, so that the file can be followed
	}
	return a.with(ctx, func(c *api.Client) error {
		// A graph that is not there would fail every run alike.
		if _, err := c.Version(ctx, b.graph, b.version); err != nil {
			return err
		}
		r, err := a.runAll(ctx, c, b, examples, out)
		if err != nil {
			return err
		}
		if err := a.print(r, r.text); err != nil || r.Failed == 0 {
			return err
		}
		first := r.Errors[0].Error.Fault()
		return shown{(&fault.Error{Kind: first.Kind, Path: fmt.Sprintf("%s:%d", b.file, r.Errors[0].Line),
			Msg: fmt.Sprintf("%d of %s failed, the first with: %v", r.Failed, count(r.Runs, "run"), first), Hint: first.Hint})}
	})
}

// runAll runs every example. The error is for what ends the whole batch.
func (a *app) runAll(ctx context.Context, c *api.Client, b batch, examples []example, out io.Writer) (*batchResult, error) {
	total := len(examples) * b.repeat
	p := a.progress()
	p.what, p.last = "runs", time.Now() // a short batch needs no progress
	defer p.done()
	r := &batchResult{Graph: b.graph, Versions: map[string]int{}}
	var mu sync.Mutex // guards r, times, out and p
	var times []float64
	took := func(o outcome) error {
		mu.Lock()
		defer mu.Unlock()
		r.Runs++
		if o.Version != "" {
			r.Versions[o.Version]++
		}
		if o.Status == store.RunWaiting {
			r.Waiting++
		} else if o.Error == nil {
			r.Succeeded++
			times = append(times, 1e3*o.Seconds)
		} else {
			r.Failed++
			if len(r.Errors) < 10 && !slices.ContainsFunc(r.Errors, func(e outcome) bool { return e.Error.Kind == o.Error.Kind }) {
				r.Errors = append(r.Errors, o)
			}
		}
		p.step("runs", r.Runs, total, "")
		line, err := json.Marshal(o)
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		return fault.Wrap(fault.Internal, b.out, err, "write the results")
	}
	start := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.concurrency)
	for i := range total {
		if gctx.Err() != nil {
			break
		}
		ex := examples[i%len(examples)]
		g.Go(func() error {
			res, err := c.Run(gctx, api.Run{Graph: b.graph, Version: b.version, Input: ex.input})
			if err != nil && (gctx.Err() != nil || res == nil && fault.Is(err, fault.Unavailable)) {
				return err // interrupted, or the host is gone: the runs that are left would tell nothing
			}
			o := outcome{Line: ex.line, ID: ex.id}
			if res != nil {
				o.RunID, o.Version, o.Status, o.Seconds, o.Output = res.RunID, res.Version, res.Status, res.Seconds, res.Output
			}
			if err != nil {
				o.Error = api.ErrorOf(err)
			}
			return took(o)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Cancelled, "", err, "interrupted after %d of %d runs", r.Runs, total)
	}
	r.Seconds = time.Since(start).Seconds()
	r.PerSecond = float64(r.Runs) / r.Seconds
	if len(times) > 0 {
		slices.Sort(times)
		r.Latency = &latency{P50: rank(times, .5), Max: times[len(times)-1]}
		if stats.QuantileShown(len(times), .95) {
			p95 := rank(times, .95)
			r.Latency.P95 = &p95
		}
	}
	return r, nil
}

// rank returns the quantile q of sorted values by the nearest-rank method.
func rank(values []float64, q float64) float64 {
	return values[int(math.Ceil(q*float64(len(values))))-1]
}

func (r *batchResult) text(w io.Writer) {
	fmt.Fprintf(w, "%s of %s in %s: %d succeeded, %d failed, %.1f a second\n", count(r.Runs, "run"), r.Graph, seconds(r.Seconds),
		r.Succeeded, r.Failed, r.PerSecond)
	if r.Waiting > 0 {
		fmt.Fprintf(w, "%s for a person: spark runs list --graph %s --status waiting\n", waits(r.Waiting), r.Graph)
	}
	if l := r.Latency; l != nil {
		fmt.Fprintf(w, "latency: median %s, ", seconds(l.P50/1e3))
		if l.P95 != nil {
			fmt.Fprintf(w, "p95 %s, ", seconds(*l.P95/1e3))
		}
		fmt.Fprintf(w, "longest %s\n", seconds(l.Max/1e3))
	}
	for _, v := range sorted(r.Versions) {
		fmt.Fprintf(w, "version %s: %s\n", v, count(r.Versions[v], "run"))
	}
}

// waits writes how many runs wait.
func waits(n int) string {
	if n == 1 {
		return "1 run waits"
	}
	return fmt.Sprintf("%d runs wait", n)
}

// examples reads the lines of a batch.
func (a *app) examples(file string) ([]example, error) {
	r, where := a.Stdin, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, file, "there is no such file").WithHint("name a file of JSON lines with --inputs")
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, file, err, "read the inputs")
		}
		defer f.Close()
		r, where = f, file
	}
	var list []example
	s := bufio.NewScanner(r)
	s.Buffer(nil, api.MaxBody)
	for n := 1; s.Scan(); n++ {
		body := bytes.TrimSpace(s.Bytes())
		if len(body) == 0 {
			continue
		}
		if err := checkJSON(body); err != nil {
			return nil, fault.Wrap(fault.Invalid, fmt.Sprintf("%s:%d", where, n), err, "the line is not JSON").(*fault.Error).
				WithHint("write one JSON value a line")
		}
		ex := example{line: n, input: bytes.Clone(body)}
		var row struct {
			ID    *string         `json:"id"`
			Input json.RawMessage `json:"input"`
		}
		if json.Unmarshal(body, &row) == nil && row.ID != nil && row.Input != nil {
			ex.id, ex.input = *row.ID, row.Input
		}
		list = append(list, ex)
	}
	if err := s.Err(); err != nil {
		return nil, fault.Wrap(fault.Invalid, where, err, "read the inputs").(*fault.Error).WithHint("a line may have %s", size(api.MaxBody))
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Invalid, where, "there are no inputs").WithHint("write one JSON value a line")
	}
	return list, nil
}
