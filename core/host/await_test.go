package host

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/sdk/model"
)

// slow is a model provider that answers when all that it expects have asked.
type slow struct {
	expects int64
	asked   atomic.Int64
	all     chan struct{}
	goOn    chan struct{}
}

func (s *slow) Info(context.Context) (model.Info, error) {
	return model.Info{Name: "slow", Models: []model.Model{{ID: "slow"}}}, nil
}

func (s *slow) Generate(ctx context.Context, _ *model.Request) (*model.Response, error) {
	if s.asked.Add(1) == s.expects {
		close(s.all)
	}
	select {
	case <-s.goOn:
		return &model.Response{Text: "late", FinishReason: "stop", InputTokens: 1, OutputTokens: 2}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestTenThousandWait has 10,000 runs wait for a model at once: they hold no
// instance beyond the few of the pool, and each less than 40 KB.
func TestTenThousandWait(t *testing.T) {
	const runs = 10_000
	s := &slow{expects: runs, all: make(chan struct{}), goOn: make(chan struct{})}
	h := open(t, t.TempDir(), Config{Models: map[string]Model{"slow": {Provider: s}}})
	apply(t, h, Document{GraphFile: "wait.yaml", Graph: []byte(`
graph: wait
start: ask
nodes:
  ask:    {module: generate@^1, config: {model: slow/slow, prompt: "{{q}}"}, grant: {generate: true}, timeout: 10m}
  answer: {module: template@^1, config: {template: "{{text}}"}}
edges: [{from: ask, to: answer}]
`)})
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	var wg sync.WaitGroup
	var tokens atomic.Int64
	for range runs {
		wg.Go(func() {
			res, err := h.Run(t.Context(), Request{Graph: "wait", Input: json.RawMessage(`{"q":"?"}`)})
			if err != nil || string(res.Output) != `{"text":"late"}` {
				t.Error(res, err)
				return
			}
			tokens.Add(res.Tokens)
		})
	}
	<-s.all
	took, stats := used()-before, h.NodeStats()
	t.Logf("%d runs wait: %d KB each, %d instances, %d MB in all", runs, took/runs>>10, stats.Instances, took>>20)
	if stats.Instances > 32 || took/runs > 40<<10 {
		t.Errorf("%d instances, %d bytes a run", stats.Instances, took/runs)
	}
	close(s.goOn)
	wg.Wait()
	if n := tokens.Load(); n != 3*runs {
		t.Errorf("%d tokens were counted, want %d", n, 3*runs)
	}
}
