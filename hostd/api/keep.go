package api

import (
	"net/http"
	"time"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/fault"
)

// flush makes what was recorded durable: of one profile, or else of the default
// one and of all that are in use.
func (s *server) flush(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Flush
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	if err := s.host.FlushProfile(r.Context(), in.Profile); err != nil {
		return nil, err
	}
	if in.Profile == "" {
		if err := s.host.Flush(r.Context()); err != nil {
			return nil, err
		}
	}
	return Flushed{Profiles: s.host.Recorders()}, nil
}

func (s *server) prune(w http.ResponseWriter, r *http.Request) (any, error) {
	var in Prune
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	if year := in.Before.Year(); year < 1970 || year > 2261 { // what nanoseconds in an int64 reach
		return nil, fault.New(fault.Invalid, "before", "%s is not a time from 1970 to 2261", in.Before.Format(time.RFC3339)).
			WithHint("give a time such as 2026-01-31T12:00:00Z")
	}
	n, err := s.host.Prune(r.Context(), in.Profile, in.Before)
	return Pruned{Traces: n, Before: in.Before}, err
}

// copy moves what one backend holds to another and streams JSON lines.
func (s *server) copy(w http.ResponseWriter, r *http.Request) {
	var in Copy
	if err := read(w, r, &in); err != nil {
		s.fail(w, err, nil)
		return
	}
	for key, name := range map[string]string{"from": in.From, "to": in.To} {
		if name == "" {
			s.fail(w, fault.New(fault.Invalid, key, "no profile is named").WithHint("name the profiles from and to"), nil)
			return
		}
	}
	stream(s, w, func(progress func(host.Copied)) (*host.Copied, error) {
		var last time.Time
		done, err := s.host.Copy(r.Context(), in.From, in.To, func(c host.Copied) {
			if now := time.Now(); now.Sub(last) >= progressEvery {
				last = now
				progress(c)
			}
		})
		return &done, err
	})
}

// prometheus answers GET /metrics with the figures of every recorder.
func (s *server) prometheus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = telemetry.WriteMetrics(w, s.host.Recorders()) // the client is gone when this fails
}
