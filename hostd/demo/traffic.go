package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparkrsi/spark/core/host"
)

// Requests of the traffic: one every pause while the cycle measures, without
// pause once it releases, and so many after the cycle ended.
const (
	pause      = 100 * time.Millisecond
	afterwards = 60
)

// answer is one request that was served.
type answer struct {
	input   json.RawMessage
	output  []byte
	version string
	err     error
}

// traffic asks questions as users would, until it is told to stop.
type traffic struct {
	h       *host.Host
	asked   []json.RawMessage
	rng     *rand.Rand
	fast    chan struct{} // closed when the pauses end
	once    sync.Once
	over    atomic.Bool
	done    chan struct{}
	answers []answer // of the goroutine until done is closed
}

func startTraffic(ctx context.Context, h *host.Host, asked []json.RawMessage, seed uint64) *traffic {
	t := &traffic{h: h, asked: asked, rng: rand.New(rand.NewPCG(seed, 3)), fast: make(chan struct{}), done: make(chan struct{})}
	go t.run(ctx)
	return t
}

func (t *traffic) run(ctx context.Context) {
	defer close(t.done)
	left := afterwards
	for ctx.Err() == nil && left > 0 {
		if t.over.Load() {
			left--
		}
		in := t.asked[t.rng.IntN(len(t.asked))]
		res, err := t.h.Run(ctx, host.Request{Graph: graphName, Input: in})
		a := answer{input: in, err: err}
		if res != nil {
			a.output, a.version = res.Output, res.Version
		}
		t.answers = append(t.answers, a)
		select {
		case <-t.fast:
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// hurry ends the pauses. Safe to call more than once.
func (t *traffic) hurry() { t.once.Do(func() { close(t.fast) }) }

// finish asks a last round of questions and returns every answer.
func (t *traffic) finish() []answer {
	t.hurry()
	t.over.Store(true)
	<-t.done
	return t.answers
}

// maxChecked bounds the answers that are compared, the ones around the swap.
const maxChecked = 200

// inspect counts failed answers, and mixed ones: the graph is deterministic, so
// an answer must be, byte for byte, what the version that it names gives alone.
func inspect(ctx context.Context, h *host.Host, answers []answer, res *Result) (Swap, error) {
	s := Swap{Requests: len(answers)}
	for i, a := range answers {
		switch {
		case a.err != nil:
			s.Failed++
			continue
		case a.version == res.VersionBefore:
			s.Before++
		default:
			s.After++
		}
		if i < len(answers)-maxChecked {
			continue
		}
		want, err := h.Replay(ctx, graphName, a.version, a.input)
		if err != nil {
			return s, err
		}
		s.Checked++
		if !bytes.Equal(want, a.output) {
			s.Mixed++
		}
	}
	return s, nil
}
