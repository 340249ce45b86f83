package node

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

// HTTPRequest is one request to a server of the world outside.
type HTTPRequest struct {
	Method  string // GET when empty
	URL     string // absolute, of an origin that the graph grants to the node
	Headers []Header
	Body    []byte
	Timeout time.Duration // 0 leaves it to the host, which has a limit of its own
}

// Header is one header field.
type Header struct{ Name, Value string }

// HTTPResponse is what the server answered, whatever its status.
type HTTPResponse struct {
	Status  int
	Headers Value  // an object of strings, names in lower case; valid until the next call of the Host
	Body    []byte // likewise valid until then
}

// HTTP sends a request and waits for the answer, following redirects within the
// granted origins. The host adds the credentials that it has for the origin.
// Denied without the http capability, for an origin that is not granted, and for
// another method than GET, HEAD and OPTIONS when the node type only reads;
// Unavailable when the server could not be reached, Timeout, Limit for an answer
// that is too large. A status such as 404 or 500 is no error.
// The instance waits with it: AwaitHTTP does not hold one.
func (h *Host) HTTP(r HTTPRequest) (HTTPResponse, error) {
	b, errno := h.calls.HTTP(r.write(&h.w))
	return httpResponse(b, errno)
}

// write writes the document of r to w and returns it.
func (r *HTTPRequest) write(w *Writer) []byte {
	w.Reset()
	w.Object()
	if r.Method != "" {
		w.Key("method").String(r.Method)
	}
	w.Key("url").String(r.URL)
	if len(r.Headers) > 0 {
		w.Key("headers").Object()
		for _, x := range r.Headers {
			w.Key(x.Name).String(x.Value)
		}
		w.End()
	}
	switch {
	case len(r.Body) == 0:
	case utf8.Valid(r.Body):
		w.Key("body").Text(r.Body)
	default:
		w.Key("body_base64").String(base64.StdEncoding.EncodeToString(r.Body))
	}
	if r.Timeout > 0 {
		w.Key("timeout_ms").Int(max(1, r.Timeout.Milliseconds()))
	}
	w.End()
	return w.buf
}

// httpResponse reads what the host answered to an HTTPRequest.
func httpResponse(b []byte, errno abi.Errno) (HTTPResponse, error) {
	if errno != 0 {
		return HTTPResponse{}, errnoFault(errno, "http", b)
	}
	v, err := Parse(b)
	if err != nil {
		return HTTPResponse{}, fault.Wrap(fault.Internal, "http", err, "response of the host")
	}
	status, _ := v.Get("status").Int()
	out := HTTPResponse{Status: int(status), Headers: v.Get("headers"), Body: v.Get("body").Text()}
	if coded := v.Get("body_base64"); coded.Kind() == String {
		if out.Body, err = base64.StdEncoding.AppendDecode(nil, coded.Text()); err != nil {
			return HTTPResponse{}, fault.Wrap(fault.Internal, "http", err, "response of the host")
		}
	}
	return out, nil
}
