package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/rsi"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Client speaks to a host, wherever it lives. Errors are the host's faults, or
// Unavailable when it cannot be reached. Safe for concurrent use.
type Client struct {
	base  string // scheme and host of every URL
	name  string // of the host, for messages
	token string
	http  *http.Client

	profile string // that telemetry is asked of
}

// Host says where the host lives, for people.
func (c *Client) Host() string { return c.name }

// Health returns what the host says of itself.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	return get[Health](ctx, c, "/v1/health", nil)
}

// Lint returns every finding of a document.
func (c *Client) Lint(ctx context.Context, d Document) (*Lint, error) {
	return post[Lint](ctx, c, "/v1/graphs/lint", d)
}

// Apply makes a document the active version of its graph. Findings come beside
// the error when the document was refused for them.
func (c *Client) Apply(ctx context.Context, d Document) (*host.Applied, graph.Findings, error) {
	a, beside, err := exchange[host.Applied](ctx, c, http.MethodPost, "/v1/graphs", d)
	return a, beside.Findings, err
}

// Graphs returns the active version of every graph.
func (c *Client) Graphs(ctx context.Context) ([]Summary, error) {
	return list[Summary](ctx, c, "/v1/graphs", nil)
}

// Versions returns every version of a graph, oldest first.
func (c *Client) Versions(ctx context.Context, name string) ([]Summary, error) {
	return list[Summary](ctx, c, "/v1/graphs/"+url.PathEscape(name)+"/versions", nil)
}

// Version returns one version; an empty one is the active.
func (c *Client) Version(ctx context.Context, name, version string) (*Version, error) {
	return get[Version](ctx, c, "/v1/graphs/"+url.PathEscape(name), url.Values{"version": {version}})
}

// Diff returns what leads from one version to another.
func (c *Client) Diff(ctx context.Context, name, from, to string) (*Diff, error) {
	return get[Diff](ctx, c, "/v1/graphs/"+url.PathEscape(name)+"/diff", url.Values{"from": {from}, "to": {to}})
}

// Run executes a graph once. A run that failed returns its Result beside the
// error.
func (c *Client) Run(ctx context.Context, r Run) (*host.Result, error) {
	res, beside, err := exchange[host.Result](ctx, c, http.MethodPost, "/v1/runs", r)
	if err != nil {
		return beside.Run, err
	}
	return res, nil
}

// Push stores a module; source says where it came from.
func (c *Client) Push(ctx context.Context, wasm []byte, source string) (*Module, error) {
	m, _, err := send[Module](ctx, c, http.MethodPost, "/v1/modules?"+url.Values{"source": {source}}.Encode(), "application/wasm", wasm, nil)
	return m, err
}

// Modules returns every stored module, oldest first.
func (c *Client) Modules(ctx context.Context) ([]*store.Module, error) {
	return list[*store.Module](ctx, c, "/v1/modules", nil)
}

// Module returns a module by digest prefix or by TYPE@RANGE.
func (c *Client) Module(ctx context.Context, ref string) (*Module, error) {
	return get[Module](ctx, c, "/v1/modules/"+url.PathEscape(ref), nil)
}

// Stats returns how the telemetry of a graph fares; "" is the default profile.
func (c *Client) Stats(ctx context.Context, name string) (*Stats, error) {
	return get[Stats](ctx, c, "/v1/telemetry/stats", url.Values{"graph": {name}})
}

// Profile returns a Client whose questions about telemetry go to the backend of a
// profile, in place of that of the graph they name.
func (c *Client) Profile(name string) *Client {
	other := *c
	other.profile = name
	return &other
}

// Traces, Spans, Metrics and Events return a page of what f selects; a limit of
// 0 is PageSize.
func (c *Client) Traces(ctx context.Context, f backend.Filter) (*Page[telemetry.TraceRow], error) {
	return get[Page[telemetry.TraceRow]](ctx, c, "/v1/telemetry/traces", values(f, c.profile))
}

// Spans: see Traces.
func (c *Client) Spans(ctx context.Context, f backend.Filter) (*Page[telemetry.SpanRow], error) {
	return get[Page[telemetry.SpanRow]](ctx, c, "/v1/telemetry/spans", values(f, c.profile))
}

// Metrics: see Traces.
func (c *Client) Metrics(ctx context.Context, f backend.Filter) (*Page[telemetry.MetricRow], error) {
	return get[Page[telemetry.MetricRow]](ctx, c, "/v1/telemetry/metrics", values(f, c.profile))
}

// Events: see Traces.
func (c *Client) Events(ctx context.Context, f backend.Filter) (*Page[telemetry.EventRow], error) {
	return get[Page[telemetry.EventRow]](ctx, c, "/v1/telemetry/events", values(f, c.profile))
}

// MetricSummaries returns a page of what the points that f selects come to.
func (c *Client) MetricSummaries(ctx context.Context, f backend.Filter) (*Page[telemetry.MetricSummary], error) {
	return get[Page[telemetry.MetricSummary]](ctx, c, "/v1/telemetry/metrics/summary", values(f, c.profile))
}

// Trace returns the runs with a trace or run id, of the backend that a graph writes
// to; "" is the default profile. NotFound when there is none.
func (c *Client) Trace(ctx context.Context, id, graph string) (*Trace, error) {
	q := url.Values{}
	for key, v := range map[string]string{"graph": graph, "profile": c.profile} {
		if v != "" {
			q.Set(key, v)
		}
	}
	return get[Trace](ctx, c, "/v1/telemetry/traces/"+url.PathEscape(id), q)
}

// Analyze returns what the runs of a graph showed.
func (c *Client) Analyze(ctx context.Context, a Analyze) (*rsi.Analysis, error) {
	return post[rsi.Analysis](ctx, c, "/v1/rsi/analyze", a)
}

// Cycle runs one improvement cycle and calls progress, which may be nil, until
// it ends.
func (c *Client) Cycle(ctx context.Context, in Cycle, progress func(rsi.Progress)) (*rsi.Report, error) {
	return follow[rsi.Progress, rsi.Report](ctx, c, "/v1/rsi/cycle", in, progress)
}

// Flush makes what a profile recorded durable; "" is the default one and all that
// are in use.
func (c *Client) Flush(ctx context.Context, profile string) (*Flushed, error) {
	return post[Flushed](ctx, c, "/v1/telemetry/flush", Flush{profile})
}

// Prune removes old traces.
func (c *Client) Prune(ctx context.Context, p Prune) (*Pruned, error) {
	return post[Pruned](ctx, c, "/v1/telemetry/prune", p)
}

// Copy moves what one backend holds to another and calls progress, which may be
// nil, until it ends.
func (c *Client) Copy(ctx context.Context, in Copy, progress func(host.Copied)) (*host.Copied, error) {
	return follow[host.Copied, host.Copied](ctx, c, "/v1/telemetry/copy", in, progress)
}

func get[Out any](ctx context.Context, c *Client, path string, q url.Values) (*Out, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	out, _, err := send[Out](ctx, c, http.MethodGet, path, "", nil, nil)
	return out, err
}

func list[Row any](ctx context.Context, c *Client, path string, q url.Values) ([]Row, error) {
	p, err := get[Page[Row]](ctx, c, path, q)
	if err != nil {
		return nil, err
	}
	return p.Rows, nil
}

func post[Out any](ctx context.Context, c *Client, path string, in any) (*Out, error) {
	out, _, err := exchange[Out](ctx, c, http.MethodPost, path, in)
	return out, err
}

func exchange[Out any](ctx context.Context, c *Client, method, path string, in any) (*Out, failure, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, failure{}, fault.Wrap(fault.Invalid, "request", err, "encode")
	}
	var header http.Header
	if r, ok := in.(Run); ok && r.TraceParent != "" {
		header = http.Header{"Traceparent": {r.TraceParent}}
	}
	return send[Out](ctx, c, method, path, "application/json", body, header)
}

// send asks once. What the host told beside an error comes as a failure.
func send[Out any](ctx context.Context, c *Client, method, path, contentType string, body []byte, header http.Header) (*Out, failure, error) {
	resp, err := c.open(ctx, method, path, contentType, body, header)
	if err != nil {
		return nil, failure{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		beside, err := refused(c, resp)
		return nil, beside, err
	}
	out := new(Out)
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, failure{}, c.broken(ctx, err)
	}
	return out, failure{}, nil
}

func (c *Client) open(ctx context.Context, method, path, contentType string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, c.name, err, "make a request")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	return resp, nil
}

// broken words an error of the connection.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap("", "", context.Cause(ctx), "interrupted")
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the connection ended before the answer")
	}
	return &fault.Error{Kind: fault.Unavailable, Path: c.name, Msg: "the host does not answer", Err: err,
		Hint: "look whether `spark serve` runs there, and at its log"}
}

// refused reads the answer of a request that failed.
func refused(c *Client, resp *http.Response) (failure, error) {
	var f failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, MaxBody)).Decode(&f); err != nil || f.Error == nil {
		return failure{}, fault.New(fault.Unavailable, c.name, "answered %s and not as a Spark host does", resp.Status).
			WithHint("look what listens at this address")
	}
	return f, f.Error.Fault()
}
