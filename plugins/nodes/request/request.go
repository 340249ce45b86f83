// Package request asks servers over HTTP, with URLs and headers filled from the
// input document. Which servers it may reach the graph grants; credentials are
// the host's to add.
package request

import (
	"bytes"
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/plugins/nodes/template"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/node"
)

// shown is how much of an answer a failure quotes, in bytes.
const shown = 200

type requester struct {
	sends   bool // a method that may change something, with a body
	host    *node.Host
	method  string
	url     template.Template
	headers []header
	body    string // path of the body in the input
	content string // type of the body
	read    string
	fails   bool // on statuses from 400 on
	timeout time.Duration

	buf     []byte
	payload []byte
	fields  []node.Header
}

var _ node.Resumer = (*requester)(nil)

// header is a header whose value is filled from the input.
type header struct {
	name  string
	value template.Template
}

// Get returns a node that reads from a server: any document becomes {status,
// headers, body}.
func Get() node.Node { return &requester{method: "GET"} }

// Send returns a node that sends a part of its input to a server and gives what
// Get does.
func Send() node.Node { return &requester{sends: true} }

func (r *requester) Configure(c *node.Config) error {
	r.host = c.Host()
	url := c.String("url", "")
	if url == "" {
		c.Refuse("url", "is missing")
	}
	r.url = parse(c, "url", url)
	r.headers = nil
	list := c.Value("headers")
	if k := list.Kind(); k != node.Missing && k != node.Object {
		c.Refuse("headers", "is %s, want an object of texts by name", k)
	}
	for k, v := range list.Fields() {
		if v.Kind() != node.String {
			c.Refuse("headers."+k.Str(), "is %s, want a string", v.Kind())
		}
		r.headers = append(r.headers, header{k.Str(), parse(c, "headers."+k.Str(), v.Str())})
	}
	if r.sends {
		r.method = c.String("method", "POST", "POST", "PUT", "PATCH", "DELETE")
		r.body = c.String("body", ".")
		r.content = c.String("content_type", "application/json")
	}
	r.read = c.String("read", "auto", "auto", "json", "text")
	r.fails = c.String("on_error", "fail", "fail", "return") == "fail"
	r.timeout = time.Duration(c.Int("timeout_ms", 10_000, 1, 600_000)) * time.Millisecond
	return nil
}

func parse(c *node.Config, key, text string) template.Template {
	t, err := template.Parse(text)
	if err != nil {
		c.Refuse(key, "%v", err)
	}
	return t
}

func (r *requester) Process(in []byte, out *node.Writer) error {
	doc, err := node.Parse(in)
	if err != nil {
		return err
	}
	q := node.HTTPRequest{Method: r.method, Timeout: r.timeout}
	if r.buf, err = r.url.AppendURL(r.buf[:0], doc); err != nil {
		return err
	}
	q.URL = string(r.buf)
	r.fields = r.fields[:0]
	if r.sends {
		if err := r.fill(doc); err != nil {
			return err
		}
		q.Body = r.payload
		r.fields = append(r.fields, node.Header{Name: "Content-Type", Value: r.content})
	}
	for _, h := range r.headers {
		if r.buf, err = h.value.Append(r.buf[:0], doc, false); err != nil {
			return err
		}
		r.fields = append(r.fields, node.Header{Name: h.name, Value: string(r.buf)})
	}
	q.Headers = r.fields
	return r.host.AwaitHTTP(q, nil)
}

func (r *requester) Resume(_ []byte, got *node.Result, out *node.Writer) error {
	answer, err := got.HTTP()
	if err != nil {
		return err
	}
	if r.fails && answer.Status >= 400 {
		return refusal(answer)
	}
	return r.write(answer, out)
}

// fill makes the payload: a string as it reads when the type is not JSON, else
// the value as it is written.
func (r *requester) fill(doc node.Value) error {
	v := doc.Path(r.body)
	switch {
	case v.Kind() == node.Missing:
		return fault.New(fault.Rejected, r.body, "the input has no such value to send")
	case v.Kind() == node.String && !isJSON([]byte(r.content)):
		r.payload = v.AppendText(r.payload[:0])
	default:
		r.payload = append(r.payload[:0], v.Raw()...)
	}
	return nil
}

func isJSON(contentType []byte) bool {
	return bytes.Contains(bytes.ToLower(contentType), []byte("json"))
}

// refusal returns the fault of an answer with a status from 400 on: transient
// where a later try may be answered otherwise.
func refusal(a node.HTTPResponse) error {
	kind := fault.Rejected
	switch {
	case a.Status == 408 || a.Status == 425 || a.Status == 429 || a.Status >= 500 && a.Status != 501:
		kind = fault.Transient
	case a.Status == 401 || a.Status == 403:
		kind = fault.Denied
	case a.Status == 404 || a.Status == 410:
		kind = fault.NotFound
	}
	text := a.Body[:min(len(a.Body), shown)]
	f := fault.New(kind, "http", "the server answered %d: %s", a.Status, bytes.ToValidUTF8(text, nil))
	switch {
	case kind == fault.Denied:
		return f.WithHint("let the operator of the host configure credentials for the origin")
	case kind == fault.Transient && a.Headers.Get("retry-after").Kind() == node.String:
		return f.WithHint("the server asks to wait: retry-after %s", a.Headers.Get("retry-after").Str())
	}
	return f
}

// write writes the answer: a body of JSON as what it is, text as a string, other
// bytes in base64.
func (r *requester) write(a node.HTTPResponse, out *node.Writer) error {
	parsed := r.read == "json" || r.read == "auto" && len(a.Body) > 0 && isJSON(a.Headers.Get("content-type").Text())
	var v node.Value
	if parsed {
		var err error
		if v, err = node.Parse(a.Body); err != nil {
			return fault.Wrap(fault.Rejected, "http.body", err, "the server's answer is no JSON")
		}
	}
	out.Object()
	out.Key("status").Int(int64(a.Status))
	out.Key("headers").Value(a.Headers)
	switch {
	case parsed:
		out.Key("body").Value(v)
	case utf8.Valid(a.Body):
		out.Key("body").Text(a.Body)
	default:
		out.Key("body_base64").String(base64.StdEncoding.EncodeToString(a.Body))
	}
	out.End()
	return nil
}
