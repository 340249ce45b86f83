package otlp

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sparkrsi/spark/sdk/backend/otel"
)

// verdict is what a receiver answers: nothing set is success.
type verdict struct {
	code     int        // of HTTP
	status   codes.Code // of gRPC
	text     string
	after    time.Duration
	rejected int64
}

// receiver is an OTLP server that decodes each request with the official types.
type receiver struct {
	endpoint, protocol string

	mu      sync.Mutex // guards the fields below
	decide  func(s otel.Signal, spans []*tracepb.Span) verdict
	spans   []*tracepb.Span
	points  int
	logs    []*logspb.LogRecord
	bodies  map[otel.Signal][][]byte
	asked   int
	headers []string // authorization, one a request
	zipped  int
}

func (r *receiver) take(s otel.Signal, body []byte, authorization string) (v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	r.headers = append(r.headers, authorization)
	var traces tracepb.TracesData
	var metrics metricspb.MetricsData
	var logs logspb.LogsData
	m := [...]proto.Message{&traces, &metrics, &logs}[s]
	if err := proto.Unmarshal(body, m); err != nil {
		return verdict{code: 400, status: codes.InvalidArgument, text: err.Error()}
	}
	var spans []*tracepb.Span
	for _, rs := range traces.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	if r.decide != nil {
		v = r.decide(s, spans)
	}
	if v.code != 0 || v.status != 0 {
		return v
	}
	r.bodies[s] = append(r.bodies[s], body)
	r.spans = append(r.spans, spans...)
	for _, rm := range metrics.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			r.points += len(sm.Metrics)
		}
	}
	for _, rl := range logs.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			r.logs = append(r.logs, sl.LogRecords...)
		}
	}
	return v
}

func (r *receiver) rule(f func(s otel.Signal, spans []*tracepb.Span) verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decide = f
}

func response(v verdict) []byte {
	if v.rejected == 0 && v.text == "" {
		return nil
	}
	part := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(v.rejected))
	part = protowire.AppendString(protowire.AppendTag(part, 2, protowire.BytesType), v.text)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), part)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s, ok := otel.ParseSignal(strings.TrimPrefix(q.URL.Path, "/v1/"))
	if !ok || q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no such thing", http.StatusNotFound)
		return
	}
	in := io.Reader(q.Body)
	if q.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in = z
		r.mu.Lock()
		r.zipped++
		r.mu.Unlock()
	}
	body, err := io.ReadAll(in)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v := r.take(s, body, q.Header.Get("Authorization"))
	if v.code != 0 {
		if v.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(v.after/time.Second)))
		}
		http.Error(w, v.text, v.code)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(response(v))
}

// serveGRPC answers any unary method whose name is one of OTLP's.
func (r *receiver) serveGRPC(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	s := slices.Index(methods[:], method)
	if s < 0 {
		return status.Error(codes.Unimplemented, "no such method")
	}
	var body []byte
	if err := stream.RecvMsg(&body); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	v := r.take(otel.Signal(s), body, strings.Join(md.Get("authorization"), ","))
	if v.status != 0 {
		st := status.New(v.status, v.text)
		if v.after > 0 {
			st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(v.after)})
		}
		return st.Err()
	}
	out := response(v)
	return stream.SendMsg(&out)
}

var protocols = []string{protocolGRPC, protocolHTTP}

// listen starts a receiver on a port of its own, at address when one is given.
func listen(t testing.TB, protocol, address string, secure *tls.Config) *receiver {
	t.Helper()
	r := &receiver{protocol: protocol, bodies: map[otel.Signal][][]byte{}}
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http://"
	if secure != nil {
		scheme = "https://"
	}
	r.endpoint = scheme + l.Addr().String()
	if protocol == protocolGRPC {
		options := []grpc.ServerOption{grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(r.serveGRPC), grpc.MaxRecvMsgSize(4 << 20)}
		if secure != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(secure)))
		}
		s := grpc.NewServer(options...)
		go s.Serve(l)
		t.Cleanup(s.Stop)
		return r
	}
	s := httptest.NewUnstartedServer(r)
	s.Listener.Close()
	s.Listener, s.TLS = l, secure
	if secure != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return r
}

// config returns a configuration for r, changed by f.
func (r *receiver) config(f func(c *Config)) []byte {
	c := Config{Endpoint: r.endpoint, Protocol: r.protocol}
	if f != nil {
		f(&c)
	}
	b, _ := json.Marshal(c)
	return b
}

func open(t testing.TB, config []byte) *Backend {
	t.Helper()
	w, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	return w.(*Backend)
}

// certify returns a server's TLS settings and the file with its authority.
func certify(t testing.TB, clients *x509.CertPool) (*tls.Config, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"receiver.test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keys := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keys: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, keys)
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	return c, cert, keys
}
