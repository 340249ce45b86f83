package otlp

import (
	"crypto/x509"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"

	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
	"github.com/sparkrsi/spark/testkit/backendtest"
)

func each(t *testing.T, f func(t *testing.T, protocol string)) {
	for _, p := range protocols {
		t.Run(p, func(t *testing.T) { f(t, p) })
	}
}

func batch(id int, traces ...*backend.Trace) *backend.Batch {
	return &backend.Batch{ID: backendtest.ID(id), Traces: traces}
}

func write(t testing.TB, w backend.Writer, b *backend.Batch) []backend.Quarantined {
	t.Helper()
	bad, err := w.Write(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return bad
}

// spansOf is how many spans traces become.
func spansOf(traces []*backend.Trace) int {
	n := 0
	for _, x := range traces {
		n += len(x.Spans) + 1
	}
	return n
}

func distinct(spans []*tracepb.Span) int {
	seen := map[string]bool{}
	for _, s := range spans {
		seen[string(s.TraceId)+string(s.SpanId)] = true
	}
	return len(seen)
}

func TestConformanceInProcess(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		backendtest.Run(t, func(t *testing.T, dir string) backend.Writer {
			return open(t, listen(t, protocol, "", nil).config(nil))
		})
	})
}

func TestConformanceOfTheProcess(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := listen(t, protocol, "", nil)
		backendtest.Run(t, func(t *testing.T, dir string) backend.Writer { return launch(t, r.config(nil)) })
	})
}

// Everything arrives once, in all signals, over both protocols and with gzip, also
// through the wire of a plugin in many parts.
func TestEverythingArrives(t *testing.T) {
	traces := append(backendtest.Samples(0, 300), backendtest.Odd())
	for i, x := range traces[:100] {
		x.Attrs = append(x.Attrs, backend.Attr{Key: "text", Str: strings.Repeat("größe\x00天气 \xff", 200+i)})
	}
	each(t, func(t *testing.T, protocol string) {
		for _, zip := range []string{"none", "gzip"} {
			r := listen(t, protocol, "", nil)
			config := r.config(func(c *Config) {
				c.Compression, c.MaxRequestBytes = zip, 100<<10
				c.Headers = map[string]string{"Authorization": "Bearer s3cret"}
			})
			w := backendtest.Wire(Info, Open, func(string) []byte { return config })(t, "")
			if bad := write(t, w, batch(1, traces...)); len(bad) > 0 {
				t.Fatalf("quarantined %+v", bad)
			}
			events, sound := 0, []*backend.Trace{}
			for _, x := range traces {
				events += x.EventCount()
			}
			if len(r.spans) != spansOf(traces) || distinct(r.spans) != len(r.spans) || len(r.logs) != events || r.points == 0 {
				t.Errorf("%d spans, %d distinct, want %d; %d logs, want %d; %d points", len(r.spans), distinct(r.spans), spansOf(traces), len(r.logs), events, r.points)
			}
			if len(r.bodies[otel.Traces]) < 5 || r.asked > 200 {
				t.Errorf("%d requests, %d with traces", r.asked, len(r.bodies[otel.Traces]))
			}
			for _, h := range r.headers {
				if h != "Bearer s3cret" {
					t.Fatalf("authorization %q", h)
				}
			}
			if protocol == protocolHTTP && (r.zipped == r.asked) != (zip == "gzip") {
				t.Errorf("%d requests of %d compressed", r.zipped, r.asked)
			}
			for _, b := range r.bodies[otel.Traces] {
				if len(b) > 100<<10 {
					t.Errorf("a request of %d bytes", len(b))
				}
				got, err := otel.Read(otel.Traces, b, false)
				if err != nil {
					t.Fatal(err)
				}
				sound = append(sound, got.Batch.Traces...)
			}
			for i, x := range sound {
				if x.TraceID != traces[i].TraceID || x.Graph != traces[i].Graph || len(x.Spans) != len(traces[i].Spans) {
					t.Fatalf("trace %d came as %+v", i, x)
				}
			}
		}
	})
}

func TestDescribesItself(t *testing.T) {
	c := Info.Capabilities
	if c.Persistent || c.Idempotent || c.Queryable || c.Retention || Info.Name != "otlp" {
		t.Errorf("%+v", Info)
	}
}

func TestSignalsAndStatistics(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := listen(t, protocol, "", nil)
		w := open(t, r.config(func(c *Config) { c.Signals, c.Sketches = []string{"traces"}, true }))
		b := batch(1, backendtest.Samples(0, 3)...)
		var x backend.Tallies
		x.Add(b.Traces[0], 1)
		b.Sketches = []backend.Sketch{{Epoch: backendtest.ID(9), Graph: "g", Seq: 1, Data: x.Run.Encode(nil)}}
		write(t, w, b)
		if len(r.spans) == 0 || r.points != 0 || len(r.logs) != 1 {
			t.Errorf("%d spans, %d points, %d logs", len(r.spans), r.points, len(r.logs))
		}
		got, err := otel.Read(otel.Logs, r.bodies[otel.Logs][0], false)
		if err != nil || len(got.Batch.Sketches) != 1 || got.Batch.Sketches[0].Graph != "g" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A receiver that is down, then up: the write fails, and its repetition succeeds.
func TestReceiverDown(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		w := open(t, (&receiver{endpoint: "http://" + address, protocol: protocol}).config(func(c *Config) { c.RetryFor = plugin.Seconds(150 * time.Millisecond) }))
		if _, err := w.Write(t.Context(), batch(1, backendtest.Samples(0, 3)...)); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), address) {
			t.Fatalf("nobody there: %v", err)
		}
		r := listen(t, protocol, address, nil)
		for {
			_, err := w.Write(t.Context(), batch(1, backendtest.Samples(0, 3)...))
			if err == nil {
				break
			}
			if !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Timeout) {
				t.Fatal(err)
			}
		}
		if n := spansOf(backendtest.Samples(0, 3)); len(r.spans) != n {
			t.Errorf("%d spans, want %d", len(r.spans), n)
		}
		write(t, w, batch(1, backendtest.Samples(0, 3)...))
		if n := spansOf(backendtest.Samples(0, 3)); len(r.spans) != n {
			t.Errorf("a delivered batch was sent again: %d spans, want %d", len(r.spans), n)
		}
	})
}

func TestReceiverSlow(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := listen(t, protocol, "", nil)
		stuck := make(chan struct{})
		r.rule(func(otel.Signal, []*tracepb.Span) verdict { <-stuck; return verdict{} })
		w := open(t, r.config(func(c *Config) {
			c.Timeout, c.RetryFor = plugin.Seconds(50*time.Millisecond), plugin.Seconds(time.Millisecond)
		}))
		_, err := w.Write(t.Context(), batch(1, backendtest.Sample(1)))
		close(stuck)
		if !fault.Is(err, fault.Timeout) || !strings.Contains(err.Error(), "50ms") {
			t.Errorf("%v", err)
		}
	})
}

// What failed half way goes on where it stopped.
func TestResumes(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := listen(t, protocol, "", nil)
		r.rule(func(s otel.Signal, _ []*tracepb.Span) verdict {
			if s == otel.Logs {
				return verdict{code: 503, status: codes.Unavailable, text: "not now"}
			}
			return verdict{}
		})
		w := open(t, r.config(func(c *Config) { c.RetryFor = plugin.Seconds(time.Millisecond) }))
		b := batch(1, backendtest.Samples(0, 20)...)
		b.Traces[4].Probability = math.NaN()
		for range 2 {
			if _, err := w.Write(t.Context(), b); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "export logs") || !strings.Contains(err.Error(), "not now") {
				t.Fatal(err)
			}
		}
		r.rule(nil)
		if bad := write(t, w, b); len(bad) != 1 || bad[0].Index != 4 {
			t.Errorf("%+v", bad)
		}
		if len(r.bodies[otel.Traces]) != 1 || len(r.bodies[otel.Metrics]) != 1 || len(r.bodies[otel.Logs]) != 1 {
			t.Errorf("%d, %d and %d requests were taken", len(r.bodies[otel.Traces]), len(r.bodies[otel.Metrics]), len(r.bodies[otel.Logs]))
		}
	})
}

// A request that is refused costs only the trace it is refused for.
func TestPoison(t *testing.T) {
	poison := backendtest.Sample(13)
	for _, v := range []verdict{
		{code: 400, status: codes.InvalidArgument, text: "poison"}, {code: 500, status: codes.Internal, text: "poison"},
		{code: 413, status: codes.ResourceExhausted, text: "grpc: received message larger than max: poison"},
	} {
		each(t, func(t *testing.T, protocol string) {
			r := listen(t, protocol, "", nil)
			r.rule(func(s otel.Signal, spans []*tracepb.Span) verdict {
				for _, x := range spans {
					if string(x.TraceId) == string(poison.TraceID[:]) {
						return v
					}
				}
				return verdict{}
			})
			w := open(t, r.config(nil))
			b := batch(1, backendtest.Samples(0, 32)...)
			b.Traces[2].TraceID = backend.ID{}
			bad := write(t, w, b)
			if len(bad) != 2 || bad[0].Index != 2 || bad[1].Index != 13 || bad[1].Record != poison.Name() || !strings.Contains(bad[1].Reason, "poison") {
				t.Fatalf("%+v", bad)
			}
			want := spansOf(b.Traces) - spansOf(b.Traces[2:3]) - spansOf(b.Traces[13:14])
			if len(r.spans) != want || distinct(r.spans) != want {
				t.Errorf("%d spans, want %d", len(r.spans), want)
			}
		})
	}
}

// A receiver that refuses everything is not asked without end.
func TestEverythingRefused(t *testing.T) {
	r := listen(t, protocolHTTP, "", nil)
	r.rule(func(otel.Signal, []*tracepb.Span) verdict { return verdict{code: 400, text: "no"} })
	w := open(t, r.config(nil))
	if bad := write(t, w, batch(1, backendtest.Samples(0, 400)...)); len(bad) != 400 || r.asked > 2*maxSearch+20 {
		t.Errorf("%d quarantined after %d requests", len(bad), r.asked)
	}
}

func TestPartialSuccess(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := listen(t, protocol, "", nil)
		w := open(t, r.config(nil))
		r.rule(func(s otel.Signal, _ []*tracepb.Span) verdict {
			if s == otel.Metrics {
				return verdict{rejected: 3, text: "too many series"}
			}
			return verdict{text: "a hint"} // a warning, nothing was rejected
		})
		b := batch(1, backendtest.Samples(0, 5)...)
		b.Traces[0].Probability = 0
		bad := write(t, w, b)
		if len(bad) != 2 || bad[1].Index != 1 || !strings.Contains(bad[1].Reason, "3 of ") || !strings.Contains(bad[1].Reason, "too many series") {
			t.Errorf("%+v", bad)
		}
		r.rule(func(s otel.Signal, _ []*tracepb.Span) verdict { return verdict{rejected: 1 << 40, text: "all of it"} })
		if bad := write(t, w, batch(2, backendtest.Samples(0, 5)...)); len(bad) != 5 || strings.Count(bad[3].Reason, "all of it") != 3 {
			t.Errorf("%+v", bad)
		}
	})
}

func TestAsksForSilence(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		r := listen(t, protocol, "", nil)
		r.rule(func(otel.Signal, []*tracepb.Span) verdict {
			return verdict{code: 429, status: codes.ResourceExhausted, text: "slow down", after: time.Hour}
		})
		w := open(t, r.config(nil))
		for n := range 3 {
			if _, err := w.Write(t.Context(), batch(n, backendtest.Sample(n))); err == nil || fault.Is(err, fault.Rejected) {
				t.Errorf("%v", err)
			}
		}
		if r.asked != 1 {
			t.Errorf("%d requests to a receiver that asked for an hour of silence", r.asked)
		}
	})
}

func TestDenied(t *testing.T) {
	for _, v := range []verdict{{code: 401, status: codes.Unauthenticated}, {code: 403, status: codes.PermissionDenied},
		{code: 404, status: codes.Unimplemented}, {code: 302, status: codes.Unimplemented}} {
		each(t, func(t *testing.T, protocol string) {
			r := listen(t, protocol, "", nil)
			v.text = "token s3cret-token is not welcome"
			r.rule(func(otel.Signal, []*tracepb.Span) verdict { return v })
			w := open(t, r.config(func(c *Config) { c.Headers = map[string]string{"authorization": "Bearer s3cret-token"} }))
			_, err := w.Write(t.Context(), batch(1, backendtest.Sample(1)))
			if !fault.Is(err, fault.Denied) || fault.HintOf(err) == "" || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "not welcome") {
				t.Errorf("%v", err)
			}
			if r.asked != 1 {
				t.Errorf("asked %d times", r.asked)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	each(t, func(t *testing.T, protocol string) {
		_, clientCert, clientKey := certify(t, nil)
		pool := x509.NewCertPool()
		pem, err := os.ReadFile(clientCert)
		if err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(pem)
		secure, ca, _ := certify(t, pool)
		r := listen(t, protocol, "", secure)
		fast := func(c *Config) { c.RetryFor = plugin.Seconds(time.Millisecond) }
		for name, f := range map[string]func(c *Config){
			"an unknown authority": fast,
			"no certificate":       func(c *Config) { fast(c); c.TLS.CAFile = ca },
			"another name": func(c *Config) {
				fast(c)
				c.TLS = TLS{CAFile: ca, CertFile: clientCert, KeyFile: clientKey, ServerName: "someone.else"}
			},
		} {
			if _, err := open(t, r.config(f)).Write(t.Context(), batch(1, backendtest.Sample(1))); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, server := range []string{"", "receiver.test"} {
			w := open(t, r.config(func(c *Config) {
				c.TLS = TLS{CAFile: ca, CertFile: clientCert, KeyFile: clientKey, ServerName: server}
			}))
			write(t, w, batch(1, backendtest.Sample(1)))
		}
		if len(r.spans) != 2*spansOf(backendtest.Samples(1, 2)) {
			t.Errorf("%d spans", len(r.spans))
		}
	})
}

func TestClosed(t *testing.T) {
	w := open(t, listen(t, protocolGRPC, "", nil).config(nil))
	w.Close(t.Context())
	if _, err := w.Write(t.Context(), batch(1)); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

// The newest batches are recognised, and only so many.
func TestRemembers(t *testing.T) {
	r := listen(t, protocolHTTP, "", nil)
	w := open(t, r.config(func(c *Config) { c.Signals = []string{"traces"} }))
	for n := range rememberIDs + 2 {
		w.remember(backendtest.ID(n), nil)
	}
	write(t, w, batch(2, backendtest.Sample(1)))
	write(t, w, batch(1, backendtest.Sample(1)))
	if len(w.delivered) != rememberIDs || len(r.bodies[otel.Traces]) != 1 {
		t.Errorf("%d ids, %d requests", len(w.delivered), len(r.bodies[otel.Traces]))
	}
}

func TestConfig(t *testing.T) {
	_, cert, key := certify(t, nil)
	file := func(s string) string { return strings.NewReplacer("CERT", cert, "KEY", key).Replace(s) }
	for config, path := range map[string]string{
		``:                                       "endpoint",
		`{"endpoint":"collector"}`:               "endpoint",
		`{"endpoint":"ftp://collector:1"}`:       "endpoint",
		`{"endpoint":"https://u:s3cret@host:1"}`: "endpoint",
		`{"endpoint":"https://ho st:s3cret"}`:    "endpoint",
		`{"endpoint":"https://host:1?k=s3cret","protocol":"http/protobuf"}`:         "endpoint",
		`{"endpoint":"https://host:1/path"}`:                                        "endpoint",
		`{"endpoint":"https://host:1","insecure":true}`:                             "insecure",
		`{"endpoint":"h:1","protocol":"http/json"}`:                                 "protocol",
		`{"endpoint":"h:1","compression":"zstd"}`:                                   "compression",
		`{"endpoint":"h:1","signals":["traces","traces"]}`:                          "signals.1",
		`{"endpoint":"h:1","signals":["spans"]}`:                                    "signals.0",
		`{"endpoint":"h:1","timeout":"2h"}`:                                         "timeout",
		`{"endpoint":"h:1","timeout":"soon"}`:                                       "",
		`{"endpoint":"h:1","retry_for":-1}`:                                         "retry_for",
		`{"endpoint":"h:1","max_request_bytes":10}`:                                 "max_request_bytes",
		`{"endpoint":"h:1","headers":{"a b":"s3cret"}}`:                             "headers.a b",
		`{"endpoint":"h:1","headers":{"token":"s3cret\n"}}`:                         "headers.token",
		`{"endpoint":"h:1","headers":{"Host":"s3cret"}}`:                            "headers.Host",
		`{"endpoint":"h:1","headers":{"grpc-timeout":"s3cret"}}`:                    "headers.grpc-timeout",
		`{"endpoint":"h:1","insecure":true,"tls":{"server_name":"x"}}`:              "tls",
		`{"endpoint":"h:1","tls":{"ca_file":"/none"}}`:                              "tls.ca_file",
		`{"endpoint":"h:1","tls":{"ca_file":"KEY"}}`:                                "tls.ca_file",
		`{"endpoint":"h:1","tls":{"cert_file":"CERT"}}`:                             "tls.key_file",
		`{"endpoint":"h:1","tls":{"cert_file":"KEY","key_file":"CERT"}}`:            "tls.cert_file",
		`{"endpoint":"h:1","unknown":1}`:                                            "unknown",
		`{"endpoint":"h:1","tls":{"insecure_skip_verify":true}}`:                    "tls.insecure_skip_verify",
		`{"endpoint":"h:1","headers":{"x":"s3cret"},"headers":{"authorization":1}}`: "headers",
	} {
		_, err := Open([]byte(file(config)))
		f, ok := err.(*fault.Error)
		if !ok || f.Kind != fault.Invalid || path != "" && f.Path != path || strings.Contains(err.Error()+fault.HintOf(err), "s3cret") {
			t.Errorf("%s: %v", config, err)
		}
	}
	s, err := parse([]byte(file(`{"endpoint":"https://Collector:4318/otlp/","protocol":"http/protobuf","compression":"gzip","timeout":2.5,"retry_for":"500ms",
		"signals":["logs","traces"],"headers":{"X-Scope-OrgID":"1"},"tls":{"ca_file":"CERT","cert_file":"CERT","key_file":"KEY"}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if s.http.String() != "https://Collector:4318/otlp" || !s.gzip || s.timeout != 2500*time.Millisecond || s.retryFor != 500*time.Millisecond ||
		!slices.Equal(s.signals, []otel.Signal{otel.Traces, otel.Logs}) || s.maxBytes != defaultBytes || s.tls.RootCAs == nil || len(s.tls.Certificates) != 1 {
		t.Errorf("%+v", s)
	}
	s, err = parse([]byte(`{"endpoint":"[::1]:4317","insecure":true}`))
	if err != nil || s.target != "[::1]:4317" || s.tls != nil || s.timeout != defaultTimeout || len(s.signals) != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}
