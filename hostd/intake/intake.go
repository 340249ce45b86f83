// Package intake receives OpenTelemetry's protocol over HTTP and hands what comes
// to a function as batches, so that one Spark, or anyone else, can feed another.
//
// Start with New. The runs of another Spark arrive as they were; everything else
// is kept unattributed (see sdk/backend/otel). The package checks no credentials:
// whoever may reach the handler may write runs of any graph, so put it behind the
// same guard as the rest of the host.
package intake

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Sink stores a batch, as backend.Writer's Write does: the batch id of a request
// that is sent again is the same. It is called by one goroutine at a time and may
// keep the batch.
type Sink func(ctx context.Context, b *backend.Batch) ([]backend.Quarantined, error)

// Options bound what a handler takes. The zero value means the defaults.
type Options struct {
	MaxBytes int64         // of a body, before and after decompression; 0 means 8 MiB
	MaxOpen  int           // requests at a time, more are told to come again; 0 means 8
	Timeout  time.Duration // to read a body, and again to wait and store it; 0 means 30s
	Logger   *slog.Logger  // of what the sink does not store; nil discards
}

const (
	defaultBytes   = 8 << 20
	defaultOpen    = 8
	defaultTimeout = 30 * time.Second
	comeAgain      = "5" // seconds of Retry-After
)

type handler struct {
	http.ServeMux
	o    Options
	sink Sink
	open chan struct{} // a token a request
	turn chan struct{} // the one token to make records of a request and store them
}

// New returns a handler of POST /v1/traces, /v1/metrics and /v1/logs, with bodies
// application/x-protobuf or application/json, plain or gzip. It answers success
// once sink took the batch, with the number of rejected records where there were
// any, and otherwise: 400 for what is no such request or refused for good, 413 for
// one too large, 415 for another type or encoding, 503 with Retry-After when sink
// cannot store it now or too many requests are open.
func New(sink Sink, o Options) http.Handler {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBytes
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = defaultOpen
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{o: o, sink: sink, open: make(chan struct{}, o.MaxOpen), turn: make(chan struct{}, 1)}
	for _, s := range [...]otel.Signal{otel.Traces, otel.Metrics, otel.Logs} {
		h.HandleFunc("POST /v1/"+s.String(), func(w http.ResponseWriter, r *http.Request) { h.serve(s, w, r) })
	}
	return h
}

// refusal is an answer other than success.
type refusal struct {
	code int
	text string
}

func (h *handler) serve(s otel.Signal, w http.ResponseWriter, r *http.Request) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	isJSON := kind == "application/json"
	if !isJSON && kind != "application/x-protobuf" {
		h.refuse(w, true, &refusal{http.StatusUnsupportedMediaType, "the body is neither application/x-protobuf nor application/json"})
		return
	}
	select {
	case h.open <- struct{}{}:
		defer func() { <-h.open }()
	default:
		h.refuse(w, isJSON, &refusal{http.StatusServiceUnavailable, "too many requests are open"})
		return
	}
	rejected, reason, no := h.take(s, isJSON, w, r)
	if no != nil {
		h.refuse(w, isJSON, no)
		return
	}
	if isJSON {
		answer(w, http.StatusOK, isJSON, success(s, rejected, reason))
		return
	}
	answer(w, http.StatusOK, isJSON, partial(rejected, reason))
}

// take stores one request and returns how many of its records were not, and why.
func (h *handler) take(s otel.Signal, isJSON bool, w http.ResponseWriter, r *http.Request) (rejected int, reason string, no *refusal) {
	body, no := h.read(w, r)
	if no != nil {
		return 0, "", no
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.o.Timeout)
	defer cancel()
	select { // one at a time from here: records take many times the memory of their request
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return 0, "", refused(ctx.Err())
	}
	got, err := otel.Read(s, body, isJSON)
	if err != nil {
		return 0, "", &refusal{http.StatusBadRequest, err.Error()}
	}
	rejected, reason = got.Rejected, got.Reason
	if len(got.Batch.Traces)+len(got.Batch.Sketches) == 0 {
		return rejected, reason, nil
	}
	bad, err := h.sink(ctx, got.Batch)
	if err != nil {
		h.o.Logger.Warn("telemetry received but not stored", "signal", s.String(), "error", err)
		return 0, "", refused(err)
	}
	seen := map[int]bool{}
	for _, q := range bad {
		if q.Index >= 0 && q.Index < len(got.Records) && !seen[q.Index] {
			seen[q.Index] = true
			rejected += got.Records[q.Index]
		}
		if reason == "" {
			reason = q.Reason
		}
	}
	return rejected, reason, nil
}

// read returns the body, decompressed.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	// A writer without deadlines, such as one of a test, leaves that to the server.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.o.Timeout))
	in := io.Reader(http.MaxBytesReader(w, r.Body, h.o.MaxBytes))
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, &refusal{http.StatusBadRequest, "the body is not gzip: " + err.Error()}
		}
		in = z
	default:
		return nil, &refusal{http.StatusUnsupportedMediaType, "a Content-Encoding other than gzip"}
	}
	body, err := io.ReadAll(io.LimitReader(in, h.o.MaxBytes+1))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large) || int64(len(body)) > h.o.MaxBytes:
		return nil, &refusal{http.StatusRequestEntityTooLarge, "the body exceeds " + strconv.FormatInt(h.o.MaxBytes, 10) + " bytes"}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "the body cannot be read: " + err.Error()}
	}
	return body, nil
}

// refused returns the answer to an error of sink: 503 unless repeating is useless.
func refused(err error) *refusal {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Rejected, fault.Limit:
		return &refusal{http.StatusBadRequest, err.Error()}
	}
	return &refusal{http.StatusServiceUnavailable, "it cannot be stored now"} // the reason is in the host's log
}

func (h *handler) refuse(w http.ResponseWriter, isJSON bool, no *refusal) {
	if no.code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", comeAgain)
	}
	if isJSON {
		b, err := json.Marshal(struct {
			Message string `json:"message"`
		}{no.text})
		if err != nil { // a text always encodes
			b = []byte("{}")
		}
		answer(w, no.code, isJSON, b)
		return
	}
	answer(w, no.code, isJSON, protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), no.text)) // google.rpc.Status
}

func answer(w http.ResponseWriter, code int, isJSON bool, body []byte) {
	kind := "application/x-protobuf"
	if isJSON {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(body) // the client is gone when this fails
}

// success is an Export...ServiceResponse as JSON, whose count has a name for each
// signal and is a text, as every 64-bit number.
func success(s otel.Signal, rejected int, reason string) []byte {
	if rejected == 0 && reason == "" {
		return []byte("{}")
	}
	name := [...]string{otel.Traces: "rejectedSpans", otel.Metrics: "rejectedDataPoints", otel.Logs: "rejectedLogRecords"}[s]
	b, err := json.Marshal(map[string]any{"partialSuccess": map[string]string{name: strconv.Itoa(rejected), "errorMessage": reason}})
	if err != nil { // texts always encode
		return []byte("{}")
	}
	return b
}

// partial is success as Protocol Buffers: partial_success = 1 {rejected = 1,
// error_message = 2}, the same for all signals.
func partial(rejected int, reason string) []byte {
	if rejected == 0 && reason == "" {
		return nil
	}
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(rejected))
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), reason)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
}
