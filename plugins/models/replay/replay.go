// Package replay is a model provider that answers from a cassette: a file of
// requests with the responses that a model once gave. It makes examples and tests
// work offline and repeatably. It never invents an answer; a request that is not
// in the cassette is a NotFound fault.
//
// Its configuration is {"cassette": FILE, "latency": DURATION}. The file is read
// once, when the provider is opened. Latency, optional and at most a minute, is
// how long every answer takes: seconds as a number, or a text such as "50ms".
//
// # Cassettes
//
// A cassette is a text file with one JSON object a line; empty lines are passed
// over. A line is a recording or a model.
//
//	{"request": {"model": "tiny", "messages": [{"role": "user", "content": "2+2?"}], "temperature": 0},
//	 "response": {"text": "4", "finish_reason": "stop", "input_tokens": 9, "output_tokens": 1}}
//	{"model": {"id": "tiny", "input_cost": 0.15, "output_cost": 0.6, "context": 8192}}
//
// (the first stands on one line in the file.) The request has the fields of
// model.Request. Instead of it, or beside it, a line may carry "request_hash", the
// sha256 in hex of the normalised request, to keep the text out of the file. The
// normalised request is what Normalise returns: the metadata does not belong to
// it, everything else does, byte for byte. The response has the fields of
// model.Response; finish_reason is stop when absent. A request is recorded once.
// A model line states prices in US dollars for a million tokens.
package replay

import (
	"context"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// Version of this provider.
const Version = "1.0.0"

// maxLatency bounds the configured latency.
const maxLatency = time.Minute

// Provider answers from a cassette. Open comes first; after it all methods are
// safe for concurrent use.
type Provider struct {
	cassette *cassette
	latency  time.Duration
}

var (
	_ model.Provider = (*Provider)(nil)
	_ model.Opener   = (*Provider)(nil)
)

// New returns a provider that is not open yet.
func New() *Provider { return &Provider{} }

// Serve runs the provider as a plugin process. See model.Serve.
func Serve() error { return model.Serve(New()) }

// Open reads the configuration and the cassette. Invalid for a wrong
// configuration or cassette, with the line; NotFound for a missing file.
func (p *Provider) Open(_ context.Context, config []byte) error {
	var c struct {
		Cassette string   `json:"cassette"`
		Latency  duration `json:"latency"`
	}
	if err := plugin.Decode("", config, &c); err != nil {
		return err
	}
	if c.Cassette == "" {
		return fault.New(fault.Invalid, "cassette", "no cassette is named").WithHint(`set "cassette" to the file with the recorded answers`)
	}
	if l := time.Duration(c.Latency); l < 0 || l > maxLatency {
		return fault.New(fault.Invalid, "latency", "latency is %v, want 0 to %v", l, maxLatency)
	}
	loaded, err := load(c.Cassette)
	if err != nil {
		return err
	}
	p.cassette, p.latency = loaded, time.Duration(c.Latency)
	return nil
}

// Info names the models that the cassette states or has recordings of.
func (p *Provider) Info(context.Context) (model.Info, error) {
	info := model.Info{Name: "replay", Version: Version}
	if p.cassette != nil {
		info.Models = append(info.Models, p.cassette.models...)
	}
	return info, nil
}

// Generate returns the recorded response to r, or a NotFound fault that tells the
// normalised request and how to record it.
func (p *Provider) Generate(ctx context.Context, r *model.Request) (*model.Response, error) {
	if p.cassette == nil {
		return nil, fault.New(fault.Unavailable, "replay", "the provider was not opened")
	}
	text := Normalise(r)
	resp, ok := p.cassette.answers[hash(text)]
	if !ok {
		return nil, fault.New(fault.NotFound, p.cassette.path, "no answer is recorded for this request: %s", text).
			WithHint(`add the line {"request": THE REQUEST, "response": {"text": ..., "input_tokens": ..., "output_tokens": ...}} to %s with what a model answered, or ask as recorded`, p.cassette.path)
	}
	if p.latency > 0 {
		wait := time.NewTimer(p.latency)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return nil, fault.Wrap("", "replay", ctx.Err(), "answering takes %v", p.latency)
		}
	}
	return &resp, nil
}
