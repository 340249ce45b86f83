// Package model is what an author of a model provider writes against: the
// interface Provider, its requests and responses, and Serve, which turns a
// provider into a plugin. NewClient is the other side: a Provider over a
// connection.
//
// A provider turns a conversation into text and counts tokens. It does not route,
// retry, cache or bill; the host does.
package model

import (
	"context"
	"math"
	"strconv"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Provider answers requests to models. Methods are called concurrently.
type Provider interface {
	// Info says who the provider is and which models it offers.
	Info(ctx context.Context) (Info, error)
	// Generate answers one request, or returns a fault: NotFound for a model that
	// the provider does not offer, Transient or Unavailable when another try may
	// help, Limit when the provider's quota is spent, Timeout at ctx's deadline.
	// It must neither keep nor change r.
	Generate(ctx context.Context, r *Request) (*Response, error)
}

// Opener is implemented by providers that take a configuration. Open is called
// once, before Generate, with a JSON object; an unknown key is an Invalid fault.
// A provider without Open refuses any configuration that is not empty.
type Opener interface {
	Open(ctx context.Context, config []byte) error
}

// Info describes a provider.
type Info struct {
	Name     string
	Version  string
	Protocol int // negotiated version of the wire contract; set by the server, 0 in process
	Models   []Model
}

// Model describes one model. Costs are US dollars for a million tokens, nil when
// the provider does not know them.
type Model struct {
	ID         string
	InputCost  *float64
	OutputCost *float64
	Context    int64 // tokens of input and output together, 0 when unknown
}

// Roles of a message.
const (
	User      = "user"
	Assistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Request asks a model to continue a conversation.
type Request struct {
	Model       string            `json:"model"`
	System      string            `json:"system,omitempty"`
	Messages    []Message         `json:"messages"`
	MaxTokens   int64             `json:"max_tokens,omitempty"`  // 0 leaves it to the provider
	Temperature *float64          `json:"temperature,omitempty"` // 0 is greedy, nil leaves it to the provider
	Stop        []string          `json:"stop,omitempty"`
	Seed        *int64            `json:"seed,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"` // does not change the answer
}

// Finish reasons of a response.
const (
	FinishStop   = "stop"   // the model ended its answer
	FinishLength = "length" // MaxTokens or the context was reached
	FinishFilter = "filter" // the provider withheld the rest
)

// Response is what a model answered.
type Response struct {
	Text         string `json:"text"`
	FinishReason string `json:"finish_reason"`
	InputTokens  int64  `json:"input_tokens"`
	OutputTokens int64  `json:"output_tokens"`
	Model        string `json:"model,omitempty"`  // as the provider names it, "" when it is the one asked for
	Cached       bool   `json:"cached,omitempty"` // answered without asking the model; costs nothing
}

// Validate returns an Invalid fault that names the first field of r that no
// provider can accept, or nil.
func (r *Request) Validate() error {
	bad := func(path, format string, args ...any) error {
		return fault.New(fault.Invalid, path, format, args...)
	}
	if r.Model == "" {
		return bad("model", "no model is named")
	}
	if len(r.Messages) == 0 {
		return bad("messages", "there is no message")
	}
	for i, m := range r.Messages {
		if m.Role != User && m.Role != Assistant {
			return fault.New(fault.Invalid, "messages."+strconv.Itoa(i)+".role", "role %q is neither %s nor %s", m.Role, User, Assistant).
				WithHint("the system text has a field of its own, system")
		}
	}
	if r.MaxTokens < 0 {
		return bad("max_tokens", "max_tokens is %d, want 0 or more", r.MaxTokens)
	}
	if t := r.Temperature; t != nil && (math.IsNaN(*t) || *t < 0 || *t > 2) {
		return bad("temperature", "temperature is %v, want 0 to 2", *t)
	}
	return nil
}
