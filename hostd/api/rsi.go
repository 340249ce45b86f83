package api

import (
	"net/http"
	"time"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/sdk/fault"
)

// maxWindow bounds how far back an analysis looks.
const maxWindow = 100 * 365 * 24 * time.Hour

func (s *server) analyze(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Analyze
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	if !(in.WindowSeconds >= 0 && in.WindowSeconds <= maxWindow.Seconds()) || in.MinExecutions < 0 {
		return nil, fault.New(fault.Invalid, "window_seconds, min_executions", "%v and %d, want at least 0 and a window of at most %v",
			in.WindowSeconds, in.MinExecutions, maxWindow).WithHint("leave them out for the policy's")
	}
	opts := rsi.AnalyzeOptions{Window: time.Duration(in.WindowSeconds * float64(time.Second)), MinExecutions: in.MinExecutions,
		AllowVolatile: in.AllowVolatile}
	if in.Version != "" {
		v, err := s.host.Store().Version(r.Context(), in.Graph, in.Version)
		if err != nil {
			return nil, err
		}
		// Telemetry knows a version by the label that the store gave it.
		l, g := *v.Locked, *v.Locked.Graph
		g.Version, l.Graph = v.Label, &g
		opts.Version = &l
	}
	return s.host.RSI().Analyze(r.Context(), in.Graph, opts)
}

// progressEvery is how often the progress of one phase is sent.
const progressEvery = 100 * time.Millisecond

// cycle runs one improvement cycle and streams JSON lines.
func (s *server) cycle(w http.ResponseWriter, r *http.Request) {
	var in Cycle
	if err := read(w, r, &in); err != nil {
		s.fail(w, err, nil)
		return
	}
	if _, err := s.host.Store().Active(r.Context(), in.Graph); err != nil {
		s.fail(w, err, nil)
		return
	}
	stream(s, w, func(progress func(rsi.Progress)) (*rsi.Report, error) {
		var last time.Time
		var phase string
		return s.host.RSI().Cycle(r.Context(), in.Graph, host.CycleOptions{Seed: in.Seed, Dataset: in.Dataset, Progress: func(p rsi.Progress) {
			if now := time.Now(); p.Phase != phase || p.Total > 0 && p.Done == p.Total || now.Sub(last) >= progressEvery {
				phase, last = p.Phase, now
				progress(p)
			}
		}})
	})
}
