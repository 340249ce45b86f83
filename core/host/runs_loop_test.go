package host

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/sdk/backend"
)

// A run at whose step host after host dies is given up, so that it does not keep
// the next one from its work. Hosts that end orderly do not count.
func TestCrashLoop(t *testing.T) {
	var n atomic.Int64
	var hold atomic.Bool
	hold.Store(true)
	reached := make(chan struct{})
	d, cfg := blocking(&n, &hold, reached)
	dir, ctx := t.TempDir(), t.Context()
	cfg.TakeUps = 3
	killed := cfg
	killed.LeaveRuns = true // neither takes runs up nor ends orderly
	h := open(t, dir, killed)
	apply(t, h, d)
	id := make(chan string)
	go func() {
		res, _ := h.Run(context.Background(), Request{Graph: "slow", Input: json.RawMessage(`7`)})
		id <- res.RunID
	}()
	<-reached
	deaths := func(want int) {
		t.Helper()
		for range want {
			if err := h.store.TakeUp(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := h.store.Runs(ctx, store.RunFilter{}); err != nil || len(list) != 1 || list[0].Taken != want {
			t.Fatalf("%+v, %v", list, err)
		}
	}
	deaths(cfg.TakeUps - 1)
	shut(t, h)
	run := <-id

	h = open(t, dir, cfg) // the last time
	<-reached
	shut(t, h)
	h = open(t, dir, killed)
	deaths(cfg.TakeUps)
	shut(t, h)

	h = open(t, dir, cfg)
	<-h.takenUp
	s := ended(t, h, run)
	if s.Status != store.RunFailed || !strings.Contains(s.Error, "3 hosts in a row ended while the run was at this step") {
		t.Errorf("%+v", s)
	}
	if n.Load() != 1 {
		t.Errorf("%d steps were executed, want 1", n.Load())
	}
	if got := traces(t, h, "slow"); len(got) != 1 || got[0].Status != backend.Failed {
		t.Errorf("%+v", got)
	}
}
