package otlp

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

// script answers attempt after attempt, then succeeds, and notes when it was asked.
type script struct {
	failures []*failure
	hang     bool
	begin    time.Time
	at       []time.Duration
}

func (s *script) send(ctx context.Context, _ *otel.Request) (answer, *failure) {
	s.at = append(s.at, time.Since(s.begin))
	if s.hang {
		<-ctx.Done()
		return answer{}, &failure{kind: fault.Unavailable, err: ctx.Err(), again: true}
	}
	if len(s.failures) == 0 {
		return answer{}, nil
	}
	f := s.failures[0]
	s.failures = s.failures[1:]
	return answer{}, f
}

func (s *script) close() error { return nil }

func scripted(s *script) *Backend {
	s.begin = time.Now()
	return &Backend{s: &settings{signals: []otel.Signal{otel.Traces}, timeout: 10 * time.Second, retryFor: 30 * time.Second, maxBytes: defaultBytes, place: "otlp test"},
		out: s, log: plugin.Logger(), delivered: map[backend.ID][]backend.Quarantined{}}
}

func again(after time.Duration) *failure {
	return &failure{kind: fault.Unavailable, text: "busy", again: true, after: after}
}

func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{failures: []*failure{again(0), again(0), again(0), again(0)}}
		write(t, scripted(s), batch(1, backendtest.Sample(1)))
		want := firstPause
		for i := 1; i < 5; i++ {
			if d := s.at[i] - s.at[i-1]; d < want/2 || d > want {
				t.Errorf("pause %d of %s, want %s at most and half of it at least", i, d, want)
			}
			want *= 2
		}
	})
}

func TestHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{failures: []*failure{again(7 * time.Second), again(20 * time.Second), again(time.Minute)}}
		b := scripted(s)
		if _, err := b.Write(t.Context(), batch(1, backendtest.Sample(1))); !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		if len(s.at) != 3 || s.at[1] != 7*time.Second || s.at[2] != 27*time.Second {
			t.Errorf("asked at %v", s.at)
		}
		// The minute outlasts retry_for, and is kept all the same by the next writes.
		if _, err := b.Write(t.Context(), batch(1, backendtest.Sample(1))); !fault.Is(err, fault.Transient) || len(s.at) != 3 {
			t.Errorf("%v, asked at %v", err, s.at)
		}
		time.Sleep(40 * time.Second)
		write(t, b, batch(1, backendtest.Sample(1)))
		if s.at[3] != 87*time.Second {
			t.Errorf("asked at %v", s.at)
		}
	})
}

// The deadline of the caller and the timeout of an attempt are told apart.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{hang: true}
		b := scripted(s)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if _, err := b.Write(ctx, batch(1, backendtest.Sample(1))); err != context.DeadlineExceeded || time.Since(s.begin) != 4*time.Second {
			t.Errorf("%v after %s", err, time.Since(s.begin))
		}
		if _, err := b.Write(t.Context(), batch(1, backendtest.Sample(1))); !fault.Is(err, fault.Timeout) || err == context.DeadlineExceeded {
			t.Error(err)
		}
		if len(s.at) != 4 { // one, then as many of ten seconds as thirty hold
			t.Errorf("asked at %v", s.at)
		}
	})
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "12": 12 * time.Second, "0": time.Nanosecond, "-3": 0, "soon": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): time.Nanosecond,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(response(verdict{rejected: 3, text: "why"}))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a := parseAnswer(b); a.rejected < 0 {
			t.Error(a)
		}
	})
}
