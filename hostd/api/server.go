package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/hostd/intake"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// Options are the parts of a server beside its host.
type Options struct {
	Version string       // of the program, for health
	Intake  bool         // receive OTLP/HTTP, for the default profile
	Logger  *slog.Logger // default discards
}

type server struct {
	host *host.Host
	opts Options
	mux  *http.ServeMux
	runs atomic.Int64 // under way
}

// New returns the handler that serves h. It asks for no token: see Guard. Panics
// become Internal errors and are logged with their stack.
func New(h *host.Host, o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{host: h, opts: o, mux: http.NewServeMux()}
	s.answer("GET /v1/health", s.health)
	s.answer("POST /v1/graphs/lint", s.lint)
	s.answer("POST /v1/graphs", s.apply)
	s.answer("GET /v1/graphs", s.graphs)
	s.answer("GET /v1/graphs/{graph}", s.show)
	s.answer("GET /v1/graphs/{graph}/versions", s.versions)
	s.answer("GET /v1/graphs/{graph}/diff", s.diff)
	s.answer("POST /v1/runs", s.run)
	s.answer("GET /v1/runs", s.listRuns)
	s.answer("GET /v1/runs/{run}", s.showRun)
	s.answer("POST /v1/runs/replay", s.replayRuns)
	s.answer("POST /v1/runs/{run}/answer", s.answerRun)
	s.answer("POST /v1/runs/{run}/resume", s.resumeRun)
	s.answer("POST /v1/runs/{run}/cancel", s.cancelRun)
	s.answer("POST /v1/modules", s.push)
	s.answer("GET /v1/modules", s.modules)
	s.answer("GET /v1/modules/{ref}", s.module)
	s.answer("GET /v1/telemetry/stats", s.stats)
	s.answer("GET /v1/telemetry/traces", s.traces)
	s.answer("GET /v1/telemetry/traces/{trace}", s.trace)
	s.answer("GET /v1/telemetry/spans", s.spans)
	s.answer("GET /v1/telemetry/metrics", s.metrics)
	s.answer("GET /v1/telemetry/metrics/summary", s.summary)
	s.answer("GET /v1/telemetry/events", s.events)
	s.answer("POST /v1/telemetry/flush", s.flush)
	s.answer("POST /v1/telemetry/prune", s.prune)
	s.mux.HandleFunc("POST /v1/telemetry/copy", s.copy)
	s.mux.HandleFunc("GET /metrics", s.prometheus)
	if o.Intake {
		receive := intake.New(func(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error) {
			return h.Receive(ctx, "", b)
		}, intake.Options{Logger: o.Logger})
		for _, signal := range []string{"traces", "metrics", "logs"} {
			s.mux.Handle("POST /v1/"+signal, receive)
		}
	}
	s.answer("POST /v1/rsi/analyze", s.analyze)
	s.mux.HandleFunc("POST /v1/rsi/cycle", s.cycle)
	s.answer("/", func(w http.ResponseWriter, r *http.Request) (any, error) {
		return nil, fault.New(fault.NotFound, r.Method+" "+r.URL.Path, "there is no such route").
			WithHint("use a spark of the same version on both sides")
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		s.opts.Logger.Error("panic in a request", "route", r.Pattern, "panic", p, "stack", string(debug.Stack()))
		s.fail(w, fault.New(fault.Internal, r.URL.Path, "the host panicked: %v", p).WithHint("the stack is in the log of the host"), nil)
	}()
	s.mux.ServeHTTP(w, r)
}

// answer serves pattern with f, whose value or error becomes the answer.
func (s *server) answer(pattern string, f func(w http.ResponseWriter, r *http.Request) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v, err := f(w, r)
		if err != nil {
			s.fail(w, err, v)
			return
		}
		s.write(w, http.StatusOK, v)
	})
}

// fail answers with err and with what f returned beside it.
func (s *server) fail(w http.ResponseWriter, err error, beside any) {
	body := failure{Error: ErrorOf(err)}
	switch v := beside.(type) {
	case *host.Result:
		body.Run = v
	case *Lint:
		body.Findings = v.Findings
	}
	s.write(w, status(err), body)
}

func (s *server) write(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.opts.Logger.Error("an answer cannot be encoded", "error", err)
		code, b = http.StatusInternalServerError, []byte(`{"error":{"kind":"internal","message":"the answer cannot be encoded"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(append(b, '\n')) // the client is gone when this fails
}

// read decodes the body of r strictly into v.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return fault.New(fault.Invalid, "Content-Type", "the body is %q, want application/json", r.Header.Get("Content-Type")).
			WithHint("send JSON with Content-Type: application/json")
	}
	body, err := readAll(w, r, MaxBody)
	if err != nil {
		return err
	}
	if err := abi.Sound(body); err != nil {
		return fault.Wrap(fault.Invalid, "body", err, "the request is not sound JSON")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fault.Wrap(fault.Invalid, "body", err, "the request does not fit")
	}
	return nil
}

// readAll returns a body of at most limit bytes.
func readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &fault.Error{Kind: fault.Invalid, Path: "body", Msg: "the request is too large", Err: err,
			Hint: "move data into an asset"}
	}
	if err != nil {
		return nil, fault.Wrap(fault.Transient, "body", err, "read the request")
	}
	return body, nil
}
