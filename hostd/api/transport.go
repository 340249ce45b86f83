package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// InProcess returns a client of a handler in the same process.
func InProcess(h http.Handler) *Client {
	return &Client{base: "http://spark", name: "this process", http: &http.Client{Transport: handlerTransport{h}}}
}

// Unix returns a client of the daemon behind a unix socket. Dial opens it.
func Unix(path string, dial func(ctx context.Context) (net.Conn, error)) *Client {
	t := newTransport()
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return &Client{base: "http://spark", name: path, http: &http.Client{Transport: t}}
}

// TCP returns a client of the daemon at an address such as 127.0.0.1:7275. Token
// may be empty.
func TCP(address, token string) *Client {
	return &Client{base: "http://" + address, name: address, token: token, http: &http.Client{Transport: newTransport()}}
}

// newTransport has no limit on the time of an answer, which may be a cycle's;
// requests end with their context.
func newTransport() *http.Transport {
	return &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
}

// Close frees idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// handlerTransport hands requests to a handler and streams its answer.
type handlerTransport struct{ h http.Handler }

var _ http.RoundTripper = handlerTransport{}

// RoundTrip implements http.RoundTripper. The handler runs in a goroutine that
// ends with the request's context or when the answer is closed.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "in-process", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &responseWriter{header: http.Header{}, body: pw, started: make(chan struct{})}
	go func() {
		defer cancel()
		defer in.Body.Close()
		defer func() {
			if p := recover(); p != nil { // http.ErrAbortHandler: the connection would break
				w.WriteHeader(http.StatusInternalServerError)
				pw.CloseWithError(io.ErrUnexpectedEOF)
			}
		}()
		t.h.ServeHTTP(w, in)
		w.WriteHeader(http.StatusOK)
		pw.Close()
	}()
	select {
	case <-w.started:
	case <-r.Context().Done():
		// The handler saw the same context; its answer is no longer wanted.
		pr.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	return &http.Response{Status: http.StatusText(w.code), StatusCode: w.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: answer{pr, cancel}, ContentLength: -1, Request: r}, nil
}

// answer ends the handler when its reader is done with it.
type answer struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (a answer) Close() error {
	a.cancel()
	return a.PipeReader.Close()
}

// responseWriter is written by the handler's goroutine; code and sent are read
// after started is closed.
type responseWriter struct {
	header  http.Header
	body    *io.PipeWriter
	once    sync.Once
	started chan struct{}
	code    int
	sent    http.Header
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(code int) {
	w.once.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.started)
	})
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush does nothing: a pipe holds nothing back.
func (w *responseWriter) Flush() {}
