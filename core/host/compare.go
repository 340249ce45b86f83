package host

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/core/stats"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Comparison is two versions on the same inputs. Effects are after minus before,
// as a mean over the inputs with its 95 % interval.
type Comparison struct {
	N           int        `json:"n"`    // inputs that both versions answered
	Runs        int        `json:"runs"` // runs made
	Failed      [2]int     `json:"failed"`
	Quality     Difference `json:"quality"`
	LatencyMS   Difference `json:"latency_ms"`
	Scored      bool       `json:"scored"` // false: the policy names no scorer
	Repetitions int        `json:"repetitions"`
}

// Difference is one measure before and after.
type Difference struct {
	Before float64        `json:"before"`
	After  float64        `json:"after"`
	Effect stats.Interval `json:"effect"`
}

// Compare runs every example on two versions of a graph, interleaved in random
// order and repeats times each, and scores the outputs with the scorers of the
// policy. Repeats of one input are averaged. It changes nothing and decides
// nothing. The runs are experiment runs. At least 2 examples.
func (h *Host) Compare(ctx context.Context, name, before, after string, examples []rsi.Example, repeats int, seed uint64) (*Comparison, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(examples) < 2 || repeats < 1 {
		return nil, fault.New(fault.Invalid, "examples", "%d examples and %d repeats, want at least 2 and 1", len(examples), repeats)
	}
	var arms [2]*arm
	for i, version := range []string{before, after} {
		v, err := h.store.Version(ctx, name, version)
		if err != nil {
			return nil, err
		}
		d, err := h.pin(ctx, v.Locked, v.Label)
		if err != nil {
			return nil, err
		}
		defer d.release()
		arms[i] = &arm{host: h, d: d}
	}
	scorers, done, err := h.scorers(ctx, name)
	if err != nil {
		return nil, err
	}
	defer done()
	c := &Comparison{Scored: len(scorers) > 0, Repetitions: repeats}
	rng := rand.New(rand.NewPCG(seed, 1))
	var quality, latency [2][]float64
	for _, i := range rng.Perm(len(examples)) {
		ex := examples[i]
		var q, l [2]float64
		ok := true
		for range repeats {
			for _, a := range rng.Perm(2) {
				out, err := arms[a].Run(ctx, ex.Input)
				if err != nil {
					return nil, err
				}
				c.Runs++
				if out.Err != nil {
					c.Failed[a]++
					ok = false
					continue
				}
				l[a] += float64(out.Latency) / float64(time.Millisecond) / float64(repeats)
				for _, s := range scorers {
					score, _, err := s.Score(ctx, ex.Input, ex.Expected, out.Output)
					if err != nil {
						return nil, err
					}
					q[a] += score / float64(len(scorers)*repeats)
				}
			}
		}
		if !ok {
			continue
		}
		for a := range 2 {
			quality[a], latency[a] = append(quality[a], q[a]), append(latency[a], l[a])
		}
	}
	c.N = len(latency[0])
	if c.N < 2 {
		return c, fault.New(fault.Rejected, name, "only %d of %d inputs were answered by both versions", c.N, len(examples))
	}
	if c.Quality, err = difference(quality); err != nil {
		return nil, err
	}
	c.LatencyMS, err = difference(latency)
	return c, err
}

// difference is the mean of both sides and of their paired differences.
func difference(x [2][]float64) (Difference, error) {
	d := make([]float64, len(x[0]))
	out := Difference{}
	for i := range d {
		d[i] = x[1][i] - x[0][i]
		out.Before += x[0][i] / float64(len(d))
		out.After += x[1][i] / float64(len(d))
	}
	var err error
	out.Effect, err = stats.MeanInterval(d, normal95)
	return out, err
}

// normal95 is the two-sided 95 % point of the normal distribution.
const normal95 = 1.959964

// Replay runs one input on a version and returns its output, as an experiment
// run: it tells whether an output belongs to the version that claims it.
func (h *Host) Replay(ctx context.Context, name, version string, input []byte) ([]byte, error) {
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := h.store.Version(ctx, name, version)
	if err != nil {
		return nil, err
	}
	d, err := h.pin(ctx, v.Locked, v.Label)
	if err != nil {
		return nil, err
	}
	defer d.release()
	res, err := d.run(ctx, input, engine.Options{Info: d.info(run.Replay), Parallel: h.cfg.Parallel})
	if err != nil {
		return nil, err
	}
	return res.Output, nil
}
