package wasmhost

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node/abi"
)

const (
	maxRedirects = 5
	dialTimeout  = 10 * time.Second
	idleTimeout  = 30 * time.Second
	maxHeaders   = 64 << 10 // bytes of a response's header
)

// fetcher sends the HTTP requests of all nodes. It goes through no proxy, so that
// the address it connects to is the one that is checked, and keeps no cookies.
type fetcher struct {
	credentials map[origin]map[string]string // headers
	private     map[origin]bool              // origins of the settings that may lie inside
	inside      map[string]bool              // their addresses, host:port
	timeout     time.Duration
	limit       int64 // bytes of a body
	transport   *http.Transport
}

func newFetcher(c Config) *fetcher {
	f := &fetcher{credentials: map[origin]map[string]string{}, private: map[origin]bool{}, inside: map[string]bool{},
		timeout: c.HTTPTimeout, limit: int64(c.MaxPayloadMiB) << 20}
	for s, headers := range c.Credentials {
		if o, err := parseOrigin("", s); err == nil { // Validate has seen to it
			f.credentials[o] = headers
		}
	}
	for _, s := range c.PrivateOrigins {
		if o, err := parseOrigin("", s); err == nil {
			f.private[o] = true
			f.inside[o.address()] = true
		}
	}
	f.transport = &http.Transport{DialContext: f.dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout,
		MaxIdleConns: 100, MaxIdleConnsPerHost: 16, MaxResponseHeaderBytes: maxHeaders}
	return f
}

// dial connects to address; to one that is not public only where the settings say
// so. The check comes after the name was resolved, at the socket, so neither a
// redirect nor a name that changes its address gets around it.
func (f *fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if !f.inside[strings.ToLower(address)] {
		d.Control = publicOnly
	}
	return d.DialContext(ctx, network, address)
}

// publicOnly refuses sockets to addresses that are not public.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) {
		return fault.New(fault.Denied, address, "address is not public").
			WithHint("list the origin in the host's setting for private origins if nodes may reach it")
	}
	return nil
}

// granted returns the origins that a graph grants, or a fault: Invalid for what is
// no origin, Denied for a local one that the host's settings do not list.
func (f *fetcher) granted(list []string) (map[origin]bool, error) {
	origins := map[origin]bool{}
	for _, s := range list {
		o, err := parseOrigin("grant.http", s)
		if err != nil {
			return nil, err
		}
		if o.local() && !f.private[o] {
			return nil, fault.New(fault.Denied, "grant.http", "%s is not public, and the host does not list it among its private origins", s).
				WithHint("let the operator of the host add it to nodes.private_origins")
		}
		origins[o] = true
	}
	return origins, nil
}

// access is what one node may do: the origins it may reach, and whether only to
// read.
type access struct {
	*fetcher
	origins  map[origin]bool
	readOnly bool
}

var _ http.RoundTripper = (*access)(nil)

// key is the same for nodes with the same access. A nil access has none.
func (a *access) key() string {
	if a == nil {
		return ""
	}
	key := strconv.FormatBool(a.readOnly)
	for _, o := range slices.Sorted(maps.Keys(a.origins)) {
		key += " " + string(o)
	}
	return key
}

// check returns the Denied or Invalid fault of a request that may not be sent.
func (a *access) check(r *http.Request) (origin, error) {
	o, why := originOf(r.URL)
	switch {
	case why != "":
		return o, fault.New(fault.Invalid, "url", "%s", why)
	case r.URL.User != nil:
		return o, fault.New(fault.Invalid, "url", "holds credentials").WithHint("let the operator of the host configure them")
	case !a.origins[o]:
		return o, fault.New(fault.Denied, string(o), "origin is not granted").WithHint("grant it in the graph: grant: {http: [origin]}")
	case a.readOnly && r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions:
		return o, fault.New(fault.Denied, "method", "%s may change something, and the node type says that it only reads", r.Method)
	}
	return o, nil
}

// RoundTrip sends one request, also each that a redirect leads to, with the
// credentials of its origin.
func (a *access) RoundTrip(r *http.Request) (*http.Response, error) {
	o, err := a.check(r)
	if err != nil {
		return nil, err
	}
	if add := a.credentials[o]; len(add) > 0 {
		r = r.Clone(r.Context())
		for name, value := range add {
			r.Header.Set(name, value)
		}
	}
	return a.transport.RoundTrip(r)
}

// do sends the request q and returns the answer. Errors are faults: Invalid,
// Denied, Timeout, Limit, Unavailable.
func (a *access) do(ctx context.Context, q *abi.HTTPRequest) (*abi.HTTPResponse, error) {
	timeout := a.timeout
	if own := time.Duration(q.TimeoutMS) * time.Millisecond; q.TimeoutMS > 0 && q.TimeoutMS < timeout.Milliseconds() {
		timeout = own
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := request(ctx, q)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: a, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fault.New(fault.Limit, r.URL.Redacted(), "more than %d redirects", maxRedirects)
		}
		return nil
	}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, a.failed(ctx, timeout, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, a.limit+1))
	if err != nil {
		return nil, a.failed(ctx, timeout, err)
	}
	if int64(len(body)) > a.limit {
		return nil, fault.New(fault.Limit, "body", "response is larger than %d bytes", a.limit)
	}
	out := &abi.HTTPResponse{Status: resp.StatusCode, Headers: map[string]string{}}
	for name, values := range resp.Header {
		if name != "Set-Cookie" {
			out.Headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\ufffd")
		}
	}
	if utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.BodyBase64 = body
	}
	return out, nil
}

// failed says what an error of the client means. The text holds no
// header and no URL, so no credential.
func (a *access) failed(ctx context.Context, timeout time.Duration, err error) error {
	var own *fault.Error
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "http", "no answer within %v", timeout)
	}
	var of *url.Error
	if errors.As(err, &of) { // the URL may be one that a server redirected to
		err = of.Err
	}
	return fault.Wrap(fault.Unavailable, "http", err, "request failed")
}
