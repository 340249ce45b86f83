package intake_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sparkrsi/spark/hostd/intake"
	"github.com/sparkrsi/spark/plugins/backends/memory"
	"github.com/sparkrsi/spark/plugins/backends/otlp"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func store(t testing.TB) *memory.Backend {
	t.Helper()
	m, err := memory.New(memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t testing.TB, q backend.Querier) []*backend.Trace {
	t.Helper()
	var out []*backend.Trace
	for x, err := range q.Traces(t.Context(), backend.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// One Spark exports, another takes it in: the same records, and the same analysis.
func TestFromSparkToSpark(t *testing.T) {
	far := store(t)
	server := httptest.NewServer(intake.New(far.Write, intake.Options{}))
	defer server.Close()
	config, err := json.Marshal(otlp.Config{Endpoint: server.URL, Protocol: "http/protobuf", Compression: "gzip", Sketches: true, MaxRequestBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	w, err := otlp.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	want := backendtest.Samples(0, 200)
	var x backend.Tallies
	x.Add(want[0], 1)
	rows := []backend.Sketch{{Epoch: backendtest.ID(1), Graph: "g", Version: "1", Seq: 4, Hour: 3, Data: x.Run.Encode(nil)}}
	for n := range 2 { // the second time under another id: what the far side knows by content it ignores
		bad, err := w.Write(t.Context(), &backend.Batch{ID: backendtest.ID(n), Traces: want, Sketches: rows})
		if err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
	}
	got := read(t, far)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%d traces came, %d went", len(got), len(want))
	}
	near := store(t)
	if _, err := near.Write(t.Context(), &backend.Batch{ID: backendtest.ID(1), Traces: want}); err != nil {
		t.Fatal(err)
	}
	a, err := near.Aggregate(t.Context(), backend.Filter{Graph: "docsearch", RunKind: "production"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := far.Aggregate(t.Context(), backend.Filter{Graph: "docsearch", RunKind: "production"})
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("aggregates differ: %v", err)
	}
	if c, err := far.Count(t.Context()); err != nil || c.Sketches != 1 || c.Unattributed != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

func post(t testing.TB, h http.Handler, path, kind, encoding string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const protobuf = "application/x-protobuf"

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func traces(t testing.TB, n int) []byte {
	t.Helper()
	return otel.Requests(otel.Traces, backendtest.Samples(0, n), otel.Options{})[0].Body
}

func TestForeignSpansAreUnattributed(t *testing.T) {
	m := store(t)
	h := intake.New(m.Write, intake.Options{})
	body := []byte(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"http"},"spans":[
		{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /","kind":2,"startTimeUnixNano":"10","endTimeUnixNano":"30"},
		{"traceId":"","spanId":"eee19b7ec3c1b174","name":"lost"}]}]}]}`)
	w := post(t, h, "/v1/traces", "application/json; charset=utf-8", "", body)
	var answer struct {
		PartialSuccess struct{ RejectedSpans, ErrorMessage string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer.PartialSuccess.RejectedSpans != "1" || !strings.Contains(answer.PartialSuccess.ErrorMessage, "lost") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	got := read(t, m)
	if len(got) != 1 || got[0].Graph != "" || got[0].Spans[0].Node != "GET /" || got[0].Resource[0].Str != "shop" {
		t.Errorf("%+v", got)
	}
	if c, err := m.Count(t.Context()); err != nil || c.Unattributed != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, s := range []otel.Signal{otel.Metrics, otel.Logs} { // not repeating traces, so they are all there is
		r := otel.Requests(s, backendtest.Samples(0, 2), otel.Options{})[0]
		if w := post(t, h, "/v1/"+s.String(), protobuf, "", r.Body); w.Code != 200 || w.Body.Len() > 0 {
			t.Errorf("%s: %d %s", s, w.Code, w.Body)
		}
	}
	c, err := m.Count(t.Context())
	if err != nil || c.Unattributed != 4 || c.Traces != 4 || c.Metrics == 0 || c.Events < 10 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAnswersInKind(t *testing.T) {
	m := store(t)
	h := intake.New(m.Write, intake.Options{})
	if w := post(t, h, "/v1/traces", protobuf, "gzip", zipped(t, traces(t, 3))); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != protobuf {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(traces(t, 3), &data); err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(&data)
	if err != nil {
		t.Fatal(err)
	}
	if w := post(t, h, "/v1/traces", "application/json", "", b); w.Code != 200 || w.Body.String() != "{}" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	odd := backendtest.Samples(0, 3)
	odd[1].Probability = math.NaN() // a backend refuses it
	w := post(t, h, "/v1/traces", protobuf, "", otel.Requests(otel.Traces, odd, otel.Options{})[0].Body)
	if want := len(odd[1].Spans) + 1; w.Code != 200 || w.Body.Len() < 4 || int(w.Body.Bytes()[3]) != want || !strings.Contains(w.Body.String(), "probability") {
		t.Errorf("%d %q, want %d spans rejected", w.Code, w.Body, want)
	}
}

func TestRefusals(t *testing.T) {
	m := store(t)
	h := intake.New(m.Write, intake.Options{MaxBytes: 20 << 10})
	bomb := zipped(t, make([]byte, 10<<20))
	for name, x := range map[string]struct {
		path, kind, encoding string
		body                 []byte
		want                 int
	}{
		"another type":       {"/v1/traces", "text/plain", "", nil, 415},
		"another encoding":   {"/v1/traces", protobuf, "zstd", nil, 415},
		"not gzip":           {"/v1/traces", protobuf, "gzip", []byte("plain"), 400},
		"gzip cut short":     {"/v1/traces", protobuf, "gzip", zipped(t, traces(t, 2))[:40], 400},
		"not a message":      {"/v1/traces", protobuf, "", []byte("hello"), 400},
		"not JSON":           {"/v1/logs", "application/json", "", []byte("{"), 400},
		"of another signal":  {"/v1/metrics", protobuf, "", traces(t, 2), 400},
		"too large":          {"/v1/traces", protobuf, "", make([]byte, 20<<10+1), 413},
		"a bomb":             {"/v1/traces", protobuf, "gzip", bomb, 413},
		"no such signal":     {"/v1/profiles", protobuf, "", nil, 404},
		"an empty request":   {"/v1/traces", protobuf, "", nil, 200},
		"an empty document":  {"/v1/metrics", "application/json", "", []byte("{}"), 200},
		"larger when zipped": {"/v1/traces", protobuf, "gzip", bytes.Repeat([]byte{0x1f}, 30<<10), 400},
	} {
		if w := post(t, h, x.path, x.kind, x.encoding, x.body); w.Code != x.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, x.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/traces", nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	if got := read(t, m); len(got) > 0 {
		t.Errorf("%d traces stored", len(got))
	}
}

func TestWhatTheSinkSays(t *testing.T) {
	for _, x := range []struct {
		err   error
		code  int
		again string
	}{
		{fault.New(fault.Unavailable, "db", "the disk of secret-host is full"), 503, "5"},
		{context.DeadlineExceeded, 503, "5"}, {io.ErrUnexpectedEOF, 503, "5"},
		{fault.New(fault.Invalid, "", "no"), 400, ""}, {fault.New(fault.Limit, "", "no"), 400, ""},
	} {
		h := intake.New(func(context.Context, *backend.Batch) ([]backend.Quarantined, error) { return nil, x.err }, intake.Options{})
		w := post(t, h, "/v1/traces", protobuf, "", traces(t, 1))
		if w.Code != x.code || w.Header().Get("Retry-After") != x.again || strings.Contains(w.Body.String(), "secret-host") {
			t.Errorf("%v: %d %q", x.err, w.Code, w.Body)
		}
	}
}

// The sink is called by one at a time; what exceeds the bound of open requests is
// told to come again, and what waits longer than the timeout as well.
func TestBounds(t *testing.T) {
	started, release := make(chan struct{}, 10), make(chan struct{})
	var mu sync.Mutex
	h := intake.New(func(context.Context, *backend.Batch) ([]backend.Quarantined, error) {
		if !mu.TryLock() {
			t.Error("two at a time")
		}
		defer mu.Unlock()
		started <- struct{}{}
		<-release
		return nil, nil
	}, intake.Options{MaxOpen: 2, Timeout: 20 * time.Millisecond})
	body := traces(t, 1)
	var wait sync.WaitGroup
	var first *httptest.ResponseRecorder
	wait.Go(func() { first = post(t, h, "/v1/traces", protobuf, "", body) })
	<-started
	if w := post(t, h, "/v1/traces", protobuf, "", body); w.Code != 503 { // its turn does not come in time
		t.Errorf("while another was stored: %d", w.Code)
	}
	var second *httptest.ResponseRecorder
	slow, feed := io.Pipe()
	wait.Go(func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/traces", slow)
		r.Header.Set("Content-Type", protobuf)
		second = httptest.NewRecorder()
		h.ServeHTTP(second, r)
	})
	if _, err := feed.Write(body[:1]); err != nil { // it is being read, so it is open
		t.Fatal(err)
	}
	if w := post(t, h, "/v1/traces", protobuf, "", body); w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "open") {
		t.Errorf("the third: %d %s", w.Code, w.Body)
	}
	close(release)
	if _, err := feed.Write(body[1:]); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	wait.Wait()
	if first.Code != 200 || second.Code != 200 {
		t.Errorf("%d and %d", first.Code, second.Code)
	}
}
