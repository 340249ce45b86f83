// Package demo tells the whole story of Spark on real data: it serves a search
// over the documentation of the installed Go standard library, lets one
// improvement cycle work on it while requests keep coming, and measures both
// versions on questions that the cycle never saw.
//
// Start with Run. Nothing in it is specific to the outcome: when the cycle finds
// nothing better, the story says so.
package demo

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/examples/docsearch"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Options are the settings of a demo. The zero value is useful.
type Options struct {
	DataDir  string       // default a fresh temporary folder, which is kept
	Corpus   string       // a Go installation or a corpus file; default is looked for
	Stock    [][]byte     // stock node modules
	Seed     uint64       // of the cycle and of all orders
	Requests int          // requests before the analysis; default and minimum 230
	Logger   *slog.Logger // default discards
	Show     Show         // progress
}

// Show receives the story as it happens. Implementations print it.
type Show interface {
	Step(format string, args ...any)       // a part of the story begins
	Progress(what string, done, total int) // within a part
	Note(format string, args ...any)       // a fact worth a line
	Analysis(a *rsi.Analysis)              // what production runs showed
	Result(r *Result)                      // the end
}

// Measure is one objective on the held-out questions.
type Measure struct {
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// Effects are after minus before with 95 % intervals, in the unit of the measure.
type Effects struct {
	Quality   stats.Interval `json:"quality"`
	LatencyMS stats.Interval `json:"latency_ms"`
}

// HeldOut is the outcome on the questions that the cycle never saw.
type HeldOut struct {
	N         int     `json:"n"`
	Quality   Measure `json:"quality"`
	LatencyMS Measure `json:"latency_ms"`
	Effect    Effects `json:"effect"`
}

// Swap is what happened to requests while the version was swapped.
type Swap struct {
	Requests int `json:"requests"` // that ran while the cycle worked and after it
	Before   int `json:"before"`   // answered by the old version
	After    int `json:"after"`    // answered by the new one
	Checked  int `json:"checked"`  // outputs compared with what their version answers alone
	Failed   int `json:"failed"`
	Mixed    int `json:"mixed"` // outputs that are not their version's
}

// Result is the outcome of the story.
type Result struct {
	Graph         string      `json:"graph"`
	VersionBefore string      `json:"version_before"`
	VersionAfter  string      `json:"version_after"`
	Improved      bool        `json:"improvements_deployed"`
	Improvements  int         `json:"num_improvements"`
	Verdict       string      `json:"verdict"`
	Reason        string      `json:"reason"`
	HeldOut       HeldOut     `json:"held_out"`
	Runs          int         `json:"runs"`            // all runs of the story
	Experiment    int         `json:"experiment_runs"` // of the cycle
	Seconds       float64     `json:"seconds"`
	Swap          Swap        `json:"swap"`
	Symbols       int         `json:"symbols"`
	DataDir       string      `json:"data_dir"`
	Cycle         *rsi.Report `json:"cycle"`
}

// graphName is the graph of the story.
const graphName = "docsearch"

// repeats is how often a held-out question is asked of each version.
const repeats = 3

// Run plays the story. Errors are faults; Invalid when no Go installation is
// found.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	start := time.Now()
	source, err := docsearch.Find(o.Corpus)
	if err != nil {
		return nil, err
	}
	if o.DataDir == "" {
		if o.DataDir, err = os.MkdirTemp("", "spark-demo-"); err != nil {
			return nil, fault.Wrap(fault.ReadOnly, os.TempDir(), err, "make a folder for the data")
		}
	}
	o.Requests = max(o.Requests, docsearch.ScreenSize+docsearch.ConfirmSize)
	res := &Result{Graph: graphName, DataDir: o.DataDir}

	o.Show.Step("Reading the documentation of the Go standard library in %s", source)
	folder := filepath.Join(o.DataDir, graphName)
	st, err := docsearch.WriteFolder(ctx, folder, source)
	if err != nil {
		return nil, err
	}
	res.Symbols = st.Symbols
	o.Show.Note("%d symbols of %d packages, %.1f MB of text", st.Symbols, st.Packages, float64(st.Bytes)/1e6)

	o.Show.Step("Starting the host and serving graph %s", graphName)
	h, err := host.Open(ctx, host.Config{DataDir: o.DataDir, Stock: o.Stock, Environment: "demo", Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		if cerr := h.Close(end); err == nil && cerr != nil {
			err = cerr
		}
	}()
	applied, err := apply(ctx, h, folder)
	if err != nil {
		return nil, err
	}
	res.VersionBefore, res.VersionAfter = applied.Version, applied.Version
	o.Show.Note("version %s is active: normalize > expand > retrieve (BM25) > rerank > answer, each a WASM node", applied.Version)
	return res, play(ctx, o, h, res, start)
}

// play is the story from the first request on.
func play(ctx context.Context, o Options, h *host.Host, res *Result, start time.Time) error {
	screen, confirm, heldOut, err := docsearch.Questions()
	if err != nil {
		return err
	}
	asked := inputs(append(screen, confirm...))
	rng := rand.New(rand.NewPCG(o.Seed, 7))

	o.Show.Step("Answering %d requests", o.Requests)
	for i := range o.Requests {
		if _, err := h.Run(ctx, host.Request{Graph: graphName, Input: asked[i%len(asked)]}); err != nil {
			return fault.Wrap("", graphName, err, "request %d", i+1)
		}
		o.Show.Progress("requests", i+1, o.Requests)
	}
	res.Runs += o.Requests
	if err := h.Flush(ctx); err != nil {
		return err
	}

	o.Show.Step("What telemetry shows")
	analysis, err := h.RSI().Analyze(ctx, graphName, rsi.AnalyzeOptions{})
	if err != nil {
		return err
	}
	o.Show.Analysis(analysis)

	o.Show.Step("One improvement cycle, while requests keep coming")
	traffic := startTraffic(ctx, h, asked, rng.Uint64())
	report, err := h.RSI().Cycle(ctx, graphName, host.CycleOptions{Seed: o.Seed, Progress: func(p rsi.Progress) {
		// The swap is what the traffic is for: from the release on it runs at
		// full speed; before that it would only disturb the measurement.
		if p.Phase == "release" {
			traffic.hurry()
		}
		o.Show.Progress(p.Phase, p.Done, p.Total)
	}})
	served := traffic.finish()
	if err != nil {
		return err
	}
	res.Cycle, res.Verdict, res.Reason = report, report.Verdict, report.Reason
	res.Improved, res.Improvements, res.Experiment = report.ImprovementsDeployed, report.NumImprovements, report.Runs
	res.Runs += report.Runs + len(served)
	active, err := h.Store().Active(ctx, graphName)
	if err != nil {
		return err
	}
	res.VersionAfter = active.Label
	if res.VersionAfter != res.VersionBefore {
		o.Show.Note("version %s was released in place of %s", res.VersionAfter, res.VersionBefore)
	}
	if res.Swap, err = inspect(ctx, h, served, res); err != nil {
		return err
	}
	res.Runs += res.Swap.Checked

	if res.VersionAfter != res.VersionBefore {
		o.Show.Step("The %d held-out questions, which the cycle never saw, on both versions", len(heldOut))
	} else {
		o.Show.Step("Nothing better was found; the %d held-out questions on the version that stays", len(heldOut))
	}
	c, err := h.Compare(ctx, graphName, res.VersionBefore, res.VersionAfter, examples(heldOut), repeats, rng.Uint64())
	if err != nil {
		return err
	}
	res.Runs += c.Runs
	res.HeldOut = HeldOut{N: c.N, Quality: Measure{c.Quality.Before, c.Quality.After}, LatencyMS: Measure{c.LatencyMS.Before, c.LatencyMS.After},
		Effect: Effects{Quality: c.Quality.Effect, LatencyMS: c.LatencyMS.Effect}}
	if err := h.Flush(ctx); err != nil {
		return err
	}
	res.Seconds = time.Since(start).Seconds()
	o.Show.Result(res)
	return nil
}

// apply serves the documents of the folder.
func apply(ctx context.Context, h *host.Host, folder string) (*host.Applied, error) {
	doc := host.Document{GraphFile: filepath.Join(folder, docsearch.GraphFile), PolicyFile: filepath.Join(folder, docsearch.PolicyFile)}
	var err error
	if doc.Graph, err = os.ReadFile(doc.GraphFile); err != nil {
		return nil, fault.Wrap(fault.NotFound, doc.GraphFile, err, "read")
	}
	if doc.Policy, err = os.ReadFile(doc.PolicyFile); err != nil {
		return nil, fault.Wrap(fault.NotFound, doc.PolicyFile, err, "read")
	}
	return h.Apply(ctx, doc)
}

// inputs returns the requests that ask the questions.
func inputs(questions []docsearch.Question) []json.RawMessage {
	list := make([]json.RawMessage, len(questions))
	for i, q := range questions {
		list[i], _ = json.Marshal(map[string]string{"question": q.Question}) // strings always encode
	}
	return list
}

// examples returns the questions with their answers.
func examples(questions []docsearch.Question) []rsi.Example {
	list := make([]rsi.Example, len(questions))
	for i, in := range inputs(questions) {
		expected, _ := json.Marshal(map[string][]string{"ids": questions[i].Expected}) // strings always encode
		list[i] = rsi.Example{ID: questions[i].ID, Input: in, Expected: expected}
	}
	return list
}
