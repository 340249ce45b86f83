package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sparkrsi/spark/sdk/backend/otel"
	"github.com/sparkrsi/spark/sdk/fault"
)

const (
	protobuf    = "application/x-protobuf"
	maxAnswer   = 64 << 10
	maxMessage  = 300 // bytes of a receiver's words in a fault
	idleTimeout = 90 * time.Second
)

type httpSender struct {
	client  *http.Client
	url     string
	headers map[string]string
	gzip    bool
	zip     *gzip.Writer
}

func newHTTP(s *settings) *httpSender {
	transport := &http.Transport{TLSClientConfig: s.tls, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: s.timeout}).DialContext, MaxIdleConns: 2, IdleConnTimeout: idleTimeout}
	return &httpSender{url: s.http.String(), headers: s.headers, gzip: s.gzip, zip: gzip.NewWriter(nil),
		client: &http.Client{Transport: transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // headers are for this receiver only
}

func (h *httpSender) close() error {
	h.client.CloseIdleConnections()
	return nil
}

func (h *httpSender) send(ctx context.Context, r *otel.Request) (answer, *failure) {
	body := r.Body
	if h.gzip {
		var b bytes.Buffer
		h.zip.Reset(&b)
		h.zip.Write(body) // neither fails on a buffer
		h.zip.Close()
		body = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/v1/"+r.Signal.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, &failure{kind: fault.Invalid, err: err}
	}
	for k, v := range h.headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", protobuf)
	req.Header.Set("User-Agent", "spark-otlp/"+version)
	if h.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return answer{}, &failure{kind: fault.Unavailable, err: err, again: true}
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return answer{}, ofCode(r, resp, reply)
	}
	if err != nil {
		return answer{message: "the receiver's answer broke off: " + err.Error()}, nil
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), protobuf) {
		return answer{}, nil // taken, with words of another protocol
	}
	return parseAnswer(reply), nil
}

// ofCode is ofStatus for HTTP.
func ofCode(r *otel.Request, resp *http.Response, body []byte) *failure {
	text := resp.Status
	if m := message(resp, body); m != "" {
		text += ": " + m
	}
	f := &failure{text: text}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.kind, f.again, f.after = fault.Unavailable, true, retryAfter(resp.Header.Get("Retry-After"), time.Now())
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		f.kind, f.hint = fault.Denied, "check headers and tls"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return unimplemented(r, text)
	case http.StatusRequestEntityTooLarge:
		f.kind, f.hint = fault.Limit, "set max_request_bytes below what the receiver takes"
	default:
		f.kind = fault.Rejected
		if resp.StatusCode/100 == 3 {
			f.kind, f.hint = fault.Denied, "redirects are not followed: set endpoint to where they lead"
		}
	}
	return f
}

// message returns the receiver's words: a google.rpc.Status, or plain text.
func message(resp *http.Response, body []byte) string {
	text := string(body)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), protobuf) {
		text = ""
		_ = walk(body, func(n protowire.Number, v []byte, _ uint64) error { // what cannot be read says nothing
			if n == 2 {
				text = string(v)
			}
			return nil
		})
	}
	if len(text) > maxMessage {
		text = text[:maxMessage]
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD"))
}

// retryAfter returns the wait a Retry-After header asks for, in seconds or as a
// date; 0 when there is none.
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return max(time.Duration(n)*time.Second, time.Nanosecond)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), time.Nanosecond)
	}
	return 0
}
