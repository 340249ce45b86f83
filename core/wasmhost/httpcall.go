package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// methods are those that a node may use.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// framing are the headers that the host writes itself, beside all that begin with
// Proxy-.
var framing = []string{"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade"}

// hostHTTP is the host function http.
func hostHTTP(in *instance, s []uint64) {
	doc := in.view(s[0], s[1])
	a := in.pool.access
	if a == nil || in.call.step == nil {
		in.call.parked = nil
		s[0] = errno(abi.ErrDenied)
		return
	}
	in.check()
	ctx, cancel := in.call.context()
	defer cancel()
	resp, err := in.call.request(ctx, a, doc)
	in.check() // an answer after the deadline is no answer
	if err != nil {
		in.park([]byte(clip([]byte(err.Error()), maxDetail)))
		s[0] = errno(errnoOf(err))
		return
	}
	s[0] = in.park(resp)
}

// request sends the request that doc writes and returns the response document.
func (c *call) request(ctx context.Context, a *access, doc []byte) ([]byte, error) {
	q, err := decodeRequest(doc)
	if err != nil {
		return nil, err
	}
	q.Headers = traced(q.Headers, c.step)
	return c.fetch(ctx, a, q)
}

// traced returns headers with the W3C traceparent of the step, unless the node wrote
// one itself.
func traced(headers map[string]string, s *run.Step) map[string]string {
	parent := s.TraceParent()
	if parent == "" {
		return headers
	}
	for name := range headers {
		if strings.EqualFold(name, "traceparent") {
			return headers
		}
	}
	out := map[string]string{"traceparent": parent}
	maps.Copy(out, headers)
	return out
}

// fetch sends q, records that it did, and returns the response document.
func (c *call) fetch(ctx context.Context, a *access, q *abi.HTTPRequest) ([]byte, error) {
	from := time.Now()
	resp, err := a.do(ctx, q)
	if c.fits(&c.events) {
		e := run.Event{Type: "http", Name: "http", Time: from, Attrs: []run.Attr{
			run.String("http.request.method", q.Method), run.Float("http.client.request.duration", time.Since(from).Seconds())}}
		e.Attrs = append(e.Attrs, server(q.URL)...)
		if err != nil {
			e.Attrs = append(e.Attrs, run.String("error.type", string(fault.KindOf(err))))
		} else {
			e.Attrs = append(e.Attrs, run.Int("http.response.status_code", int64(resp.Status)))
		}
		c.trail.Events = append(c.trail.Events, e)
	}
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(resp); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "http", err, "response cannot be handed on")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// server returns attributes, named as OpenTelemetry does, that say where a URL
// leads. Its path and query, which may hold anything, have no place in a record.
func server(s string) []run.Attr {
	u, err := url.Parse(s)
	if err != nil {
		return nil
	}
	o, why := originOf(u)
	if why != "" {
		return nil
	}
	scheme, _, _ := strings.Cut(string(o), ":")
	host, port, err := net.SplitHostPort(o.address())
	if err != nil {
		return nil
	}
	attrs := []run.Attr{run.String("url.scheme", scheme), run.String("server.address", host)}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, run.Int("server.port", int64(n)))
	}
	return attrs
}

// decodeRequest reads the document of a request and checks it, but for what was
// granted. Errors are Invalid faults.
func decodeRequest(doc []byte) (*abi.HTTPRequest, error) {
	if err := abi.Sound(doc); err != nil {
		return nil, err
	}
	var q abi.HTTPRequest
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		return nil, fault.Wrap(fault.Invalid, "http", err, "malformed request")
	}
	if q.Method == "" {
		q.Method = http.MethodGet
	}
	switch {
	case !slices.Contains(methods, q.Method):
		return nil, fault.New(fault.Invalid, "method", "is %.20q, want one of %s", q.Method, strings.Join(methods, ", "))
	case q.Body != "" && len(q.BodyBase64) > 0:
		return nil, fault.New(fault.Invalid, "body", "stands beside body_base64, want one of them")
	case q.TimeoutMS < 0:
		return nil, fault.New(fault.Invalid, "timeout_ms", "is %d, want 0 or more", q.TimeoutMS)
	}
	for name, value := range q.Headers {
		if err := checkHeader(name, value); err != nil {
			return nil, err
		}
	}
	return &q, nil
}

// checkHeader returns the Invalid fault of a header that may not be sent as it is.
func checkHeader(name, value string) error {
	key := http.CanonicalHeaderKey(name)
	switch {
	case strings.Trim(key, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" || key == "":
		return fault.New(fault.Invalid, "headers", "%.40q is no name of a header", name)
	case slices.Contains(framing, key) || strings.HasPrefix(key, "Proxy-"):
		return fault.New(fault.Invalid, "headers."+name, "is written by the host")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fault.New(fault.Invalid, "headers."+name, "holds a control character")
	}
	return nil
}

// request returns q as the client wants it.
func request(ctx context.Context, q *abi.HTTPRequest) (*http.Request, error) {
	body := q.BodyBase64
	if q.Body != "" {
		body = []byte(q.Body)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "url", "cannot be read")
	}
	r.Header.Set("User-Agent", "spark")
	for name, value := range q.Headers {
		r.Header.Set(name, value)
	}
	return r, nil
}
