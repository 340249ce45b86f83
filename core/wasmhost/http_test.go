package wasmhost

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// web is a server that answers by the path of a request.
func web(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("X-Method", r.Method)
			w.Header().Set("X-Sent", r.Header.Get("X-Sent"))
			w.Header().Set("X-Trace", r.Header.Get("traceparent"))
			w.Header().Set("X-Secret-Length", fmt.Sprint(len(r.Header.Get("Authorization"))))
			w.Header().Add("X-Two", "a")
			w.Header().Add("X-Two", "b")
			w.Header().Set("Set-Cookie", "session=1")
			w.WriteHeader(http.StatusTeapot)
			w.Write(body)
		case "/to":
			http.Redirect(w, r, r.URL.Query().Get("url"), http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/large":
			w.Write(make([]byte, 2<<20))
		case "/never":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// ask returns a step that makes the guest send a request.
func ask(fields map[string]any) *run.Step {
	doc := map[string]any{"do": "http"}
	maps.Copy(doc, fields)
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return step(string(b))
}

type reply struct {
	Status  int
	Headers map[string]string
	Hex     string
}

func (r reply) body(t *testing.T) string {
	t.Helper()
	b, err := hex.DecodeString(r.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHTTP(t *testing.T) {
	s, other := web(t), web(t)
	const secret = "Bearer very-secret"
	h := openHost(t, Config{PrivateOrigins: []string{s.URL, other.URL}, MaxPayloadMiB: 1,
		Credentials: map[string]map[string]string{s.URL: {"authorization": secret}}})
	m := admit(t, h, guestModule(t), true)
	n := newNode(t, h, m, NodeSpec{Type: "reach", Grant: Grant{HTTP: []string{strings.ToUpper(s.URL) + "/", other.URL}}, Timeout: 10 * time.Second})
	send := func(fields map[string]any) (reply, *run.Step) {
		t.Helper()
		st := ask(fields)
		out, err := n.RunNode(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(out), "very-secret") {
			t.Errorf("the module sees a credential: %s", out)
		}
		return decode[reply](t, out), st
	}
	r, st := send(map[string]any{"method": "POST", "url": s.URL + "/echo?q=1", "headers": map[string]string{"x-sent": "v", "Authorization": "mine"}, "body": "text \u00e4"})
	want := map[string]string{"x-method": "POST", "x-sent": "v", "x-secret-length": fmt.Sprint(len(secret)), "x-two": "a, b"}
	for name, value := range want {
		if r.Headers[name] != value {
			t.Errorf("header %s is %q, want %q", name, r.Headers[name], value)
		}
	}
	if r.Status != http.StatusTeapot || r.body(t) != "text \u00e4" || r.Headers["set-cookie"] != "" {
		t.Errorf("%+v", r)
	}
	if len(st.Trail.Events) != 1 || st.Trail.Events[0].Type != "http" {
		t.Fatalf("events %+v", st.Trail.Events)
	}
	attrs := map[string]any{}
	for _, a := range st.Trail.Events[0].Attrs {
		attrs[a.Key] = a.Value.Any()
	}
	if attrs["url.scheme"] != "http" || attrs["server.address"] != "127.0.0.1" ||
		s.URL != fmt.Sprint("http://127.0.0.1:", attrs["server.port"]) || attrs["http.request.method"] != "POST" || attrs["http.response.status_code"] != int64(http.StatusTeapot) {
		t.Errorf("attributes %v", attrs)
	}
	if r, _ := send(map[string]any{"method": "PUT", "url": s.URL + "/echo", "hex": "00ff00"}); r.Hex != "00ff00" || r.Headers["x-method"] != "PUT" {
		t.Errorf("bytes became %+v", r)
	}
	if r, _ := send(map[string]any{"url": s.URL + "/other"}); r.Status != http.StatusServiceUnavailable || r.Hex != "" {
		t.Errorf("%+v", r)
	}
	// A redirect within the granted origins is followed, without the credential of
	// where it came from.
	r, _ = send(map[string]any{"method": "POST", "url": s.URL + "/to?url=" + other.URL + "/echo", "body": "again"})
	if r.Headers["x-method"] != "POST" || r.body(t) != "again" || r.Headers["x-secret-length"] != "0" {
		t.Errorf("redirected: %+v", r)
	}
	if r, _ = send(map[string]any{"url": other.URL + "/to?url=" + s.URL + "/echo"}); r.Headers["x-secret-length"] != fmt.Sprint(len(secret)) {
		t.Errorf("redirected: %+v", r)
	}
}

func TestHTTPRefusals(t *testing.T) {
	s, other := web(t), web(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	h := openHost(t, Config{PrivateOrigins: []string{s.URL, other.URL, closed.URL}, MaxPayloadMiB: 1})
	m := admit(t, h, guestModule(t), true)
	grant := Grant{HTTP: []string{s.URL, closed.URL}}
	reach := newNode(t, h, m, NodeSpec{Type: "reach", Grant: grant, Timeout: 10 * time.Second})
	look := newNode(t, h, m, NodeSpec{Type: "look", Grant: grant, Timeout: 10 * time.Second})
	hurried := newNode(t, h, m, NodeSpec{Type: "reach", Grant: grant, Timeout: 100 * time.Millisecond})
	plain := newNode(t, h, m, NodeSpec{Type: "plain", Grant: grant})
	for name, c := range map[string]struct {
		node   *Node
		fields map[string]any
		kind   fault.Kind
		words  string
	}{
		"no capability":      {plain, map[string]any{"url": s.URL}, fault.Denied, "capability not granted"},
		"other origin":       {reach, map[string]any{"url": other.URL}, fault.Denied, "origin is not granted"},
		"other scheme":       {reach, map[string]any{"url": strings.Replace(s.URL, "http", "https", 1)}, fault.Denied, "origin is not granted"},
		"other port":         {reach, map[string]any{"url": "http://127.0.0.1/"}, fault.Denied, "http://127.0.0.1:80: origin is not granted"},
		"other name for it":  {reach, map[string]any{"url": strings.Replace(s.URL, "127.0.0.1", "localhost", 1)}, fault.Denied, "origin is not granted"},
		"file":               {reach, map[string]any{"url": "file:///etc/passwd"}, fault.Invalid, "neither http nor https"},
		"no URL":             {reach, map[string]any{"url": "http://%zz"}, fault.Invalid, "url"},
		"credentials in URL": {reach, map[string]any{"url": strings.Replace(s.URL, "http://", "http://u:p@", 1)}, fault.Invalid, "holds credentials"},
		"redirect outside":   {reach, map[string]any{"url": s.URL + "/to?url=" + other.URL + "/echo"}, fault.Denied, "origin is not granted"},
		"redirect to a file": {reach, map[string]any{"url": s.URL + "/to?url=file:///etc/passwd"}, fault.Invalid, "neither http nor https"},
		"redirects for ever": {reach, map[string]any{"url": s.URL + "/loop"}, fault.Limit, "more than 5 redirects"},
		"large answer":       {reach, map[string]any{"url": s.URL + "/large"}, fault.Limit, "larger than 1048576 bytes"},
		"own timeout":        {reach, map[string]any{"url": s.URL + "/never", "timeout_ms": 50}, fault.Timeout, "no answer within 50ms"},
		"timeout of step":    {hurried, map[string]any{"url": s.URL + "/never"}, fault.Timeout, "node timeout of 100ms passed"},
		"nobody there":       {reach, map[string]any{"url": closed.URL}, fault.Transient, "refused"},
		"odd method":         {reach, map[string]any{"url": s.URL, "method": "CONNECT"}, fault.Invalid, "want one of GET"},
		"small letters":      {reach, map[string]any{"url": s.URL, "method": "get"}, fault.Invalid, "want one of GET"},
		"framing":            {reach, map[string]any{"url": s.URL, "headers": map[string]string{"host": "x"}}, fault.Invalid, "written by the host"},
		"header in a header": {reach, map[string]any{"url": s.URL, "headers": map[string]string{"a": "b\r\nc: d"}}, fault.Invalid, "control character"},
		"name of a header":   {reach, map[string]any{"url": s.URL, "headers": map[string]string{"a b": "c"}}, fault.Invalid, "no name of a header"},
		"writes, but reads":  {look, map[string]any{"url": s.URL, "method": "DELETE"}, fault.Denied, "only reads"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.node.RunNode(t.Context(), ask(c.fields))
			wantFault(t, err, c.kind, c.words)
			wantEcho(t, c.node)
		})
	}
	if out, err := look.RunNode(t.Context(), ask(map[string]any{"url": s.URL + "/echo", "method": "HEAD"})); err != nil ||
		decode[reply](t, out).Headers["x-method"] != "HEAD" {
		t.Errorf("%s, %v", out, err)
	}
}

func TestHTTPGrants(t *testing.T) {
	h := openHost(t, Config{PrivateOrigins: []string{"http://intranet.example:8080", "http://10.1.2.3"}})
	m := admit(t, h, guestModule(t), true)
	for _, c := range []struct {
		origins []string
		kind    fault.Kind
		words   string
	}{
		{nil, fault.Denied, "grant.http"},
		{[]string{"api.example.com"}, fault.Invalid, "grant.http"},
		{[]string{"https://api.example.com", "https://*.example.com"}, fault.Invalid, "no name in ASCII"},
		{[]string{"https://api.example.com/v1"}, fault.Invalid, "more than scheme, host and port"},
		{[]string{"http://localhost:8080"}, fault.Denied, "not public"},
		{[]string{"http://127.0.0.1:9"}, fault.Denied, "not public"},
		{[]string{"http://10.1.2.3:81"}, fault.Denied, "not public"},
		{[]string{"http://[::1]"}, fault.Denied, "not public"},
		{[]string{"http://[::ffff:169.254.169.254]"}, fault.Denied, "not public"},
	} {
		_, err := h.Node(t.Context(), m, NodeSpec{Type: "reach", Grant: Grant{HTTP: c.origins}})
		wantFault(t, err, c.kind, c.words)
	}
	n := newNode(t, h, m, NodeSpec{Type: "reach", Grant: Grant{HTTP: []string{"https://api.example.com", "http://10.1.2.3", "http://intranet.example:8080"}}})
	same := newNode(t, h, m, NodeSpec{Type: "reach", Grant: Grant{HTTP: []string{"http://10.1.2.3:80/", "http://intranet.example:8080", "https://API.example.com:443"}}})
	read := newNode(t, h, m, NodeSpec{Type: "look", Grant: Grant{HTTP: []string{"https://api.example.com", "http://10.1.2.3", "http://intranet.example:8080"}}})
	if n.pool != same.pool || n.pool == read.pool || n.pool.cap() != h.cfg.ModelInstances {
		t.Error("nodes share instances by what they may reach")
	}
	for _, bad := range []Config{{HTTPTimeout: -1}, {PrivateOrigins: []string{"x"}}, {Credentials: map[string]map[string]string{"x": nil}},
		{Credentials: map[string]map[string]string{"https://a": {"Host": "b"}}}, {Credentials: map[string]map[string]string{"https://a": {"x": "b\n"}}}} {
		if err := bad.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestDial proves that the address is checked behind the name: localhost resolves
// to an address that is not public.
func TestDial(t *testing.T) {
	s := web(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFetcher(Config{}.withDefaults())
	_, err = f.dial(t.Context(), "tcp", "localhost:"+port)
	if err == nil || !strings.Contains(err.Error(), "address is not public") {
		t.Fatalf("connected to localhost: %v", err)
	}
	f = newFetcher(Config{PrivateOrigins: []string{"http://LOCALHOST:" + port}}.withDefaults())
	conn, err := f.dial(t.Context(), "tcp", "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestTLS proves that credentials go over TLS to a server whose certificate holds,
// and that none is reached whose does not.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.Header.Get("X-Key"))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	s.StartTLS()
	defer s.Close()
	h := openHost(t, Config{PrivateOrigins: []string{s.URL}, Credentials: map[string]map[string]string{s.URL: {"X-Key": "k"}}})
	m := admit(t, h, guestModule(t), true)
	n := newNode(t, h, m, NodeSpec{Type: "reach", Grant: Grant{HTTP: []string{s.URL}}, Timeout: 10 * time.Second})
	_, err := n.RunNode(t.Context(), ask(map[string]any{"url": s.URL}))
	wantFault(t, err, fault.Transient, "certificate")
	h.fetch.transport.CloseIdleConnections()
	h.fetch.transport = &http.Transport{DialContext: h.fetch.dial, TLSClientConfig: s.Client().Transport.(*http.Transport).TLSClientConfig}
	out, err := n.RunNode(t.Context(), ask(map[string]any{"url": s.URL}))
	if err != nil {
		t.Fatal(err)
	}
	if r := decode[reply](t, out); !strings.HasSuffix(r.body(t), " k") {
		t.Errorf("%q", r.body(t))
	}
}

func TestPublic(t *testing.T) {
	for s, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "100.63.255.255": true, "100.128.0.0": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false,
		"127.255.255.254": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "172.32.0.0": true,
		"192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.20.0.0": true, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:100.64.0.1": false, "64:ff9b::7f00:1": false,
		"64:ff9b:1::1": false, "100::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false,
		"5f00::1": false, "fc00::1": false, "fd12::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := public(netip.MustParseAddr(s)); got != want {
			t.Errorf("public(%s) is %v", s, got)
		}
	}
	if err := publicOnly("tcp", "nonsense", nil); !fault.Is(err, fault.Denied) {
		t.Errorf("%v", err)
	}
}

// FuzzOrigin checks that an origin is read as itself again.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://Example.com", "http://[::1]:80/", "http://1.2.3.4:8080", "HTTP://a.b:443", "https://x:0", "http://u@h", "//h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOrigin("", s)
		if err != nil {
			return
		}
		again, err := parseOrigin("", string(o))
		if err != nil || again != o {
			t.Fatalf("%q gives %q, that gives %q, %v", s, o, again, err)
		}
		o.local()
	})
}

// FuzzRequest checks that no request document crashes, and that what is taken can
// be made a request.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"method":"POST","url":"https://a/b","headers":{"x":"y"},"body":"z","timeout_ms":5}`))
	f.Add([]byte(`{"url":"","body_base64":"AP8="}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		q, err := decodeRequest(doc)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%s: %v", doc, err)
			}
			return
		}
		if r, err := request(t.Context(), q); err == nil && r.Method != q.Method {
			t.Fatalf("%s became %s", q.Method, r.Method)
		}
	})
}

// TestStockHTTP sends with the stock node types.
func TestStockHTTP(t *testing.T) {
	s := web(t)
	h := openHost(t, Config{PrivateOrigins: []string{s.URL}, Credentials: map[string]map[string]string{s.URL: {"Authorization": "Bearer k"}}})
	m := admit(t, h, builtModule(t, "stock"), true)
	node := func(kind, path, more string) *Node {
		return newNode(t, h, m, NodeSpec{Type: kind, Config: json.RawMessage(`{"url":"` + s.URL + path + `"` + more + `}`),
			Grant: Grant{HTTP: []string{s.URL}}, Timeout: 10 * time.Second})
	}
	type answer struct {
		Status  int
		Headers map[string]string
		Body    any
	}
	out, err := node("http_get", "/echo?q={{q}}", `,"on_error":"return","headers":{"X-Sent":"{{q}}"}`).RunNode(t.Context(), step(`{"q":"a b"}`))
	if err != nil {
		t.Fatal(err)
	}
	if a := decode[answer](t, out); a.Status != http.StatusTeapot || a.Headers["x-method"] != "GET" || a.Headers["x-sent"] != "a b" || a.Headers["x-secret-length"] != "8" {
		t.Errorf("%s", out)
	}
	send := node("http_send", "/echo", `,"on_error":"return","body":"doc"`)
	for range 3 {
		out, err = send.RunNode(t.Context(), step(`{"doc":{"a":[1,"\u00e4"]}}`))
		if err != nil {
			t.Fatal(err)
		}
		if a := decode[answer](t, out); a.Headers["x-method"] != "POST" || a.Body != `{"a":[1,"\u00e4"]}` {
			t.Errorf("%s", out)
		}
	}
	// The trace goes along where the run propagates it, unless the node wrote one.
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct {
		more  string
		on    bool
		trace func(*run.Step) string
	}{
		{"", false, func(*run.Step) string { return "" }},
		{"", true, (*run.Step).TraceParent},
		{`,"headers":{"TraceParent":"` + own + `"}`, true, func(*run.Step) string { return own }},
	} {
		s := step(`{"q":"a"}`)
		s.Info, s.Seq = &run.Info{ID: run.ID{1}, TraceID: run.ID{2}, Propagate: c.on}, 3
		out, err := node("http_get", "/echo", `,"on_error":"return"`+c.more).RunNode(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if a := decode[answer](t, out); a.Headers["x-trace"] != c.trace(s) {
			t.Errorf("%+v: the server got %q, want %q", c.more, a.Headers["x-trace"], c.trace(s))
		}
	}
	_, err = node("http_get", "/none", "").RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Transient, "the server answered 503")
	_, err = node("http_get", "/echo", "").RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Rejected, "the server answered 418")
	_, err = node("http_get", "/never", `,"timeout_ms":50`).RunNode(t.Context(), step(`{}`))
	wantFault(t, err, fault.Timeout, "no answer within 50ms")
	_, err = h.Node(t.Context(), m, NodeSpec{Type: "http_send", Config: json.RawMessage(`{"url":"u"}`)})
	wantFault(t, err, fault.Denied, "grant.http")
}
