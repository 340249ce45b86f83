package abi

// Run is the JSON document that run_info yields.
type Run struct {
	RunID   string `json:"run_id"`   // 32 hex digits
	TraceID string `json:"trace_id"` // 32 hex digits
	Graph   string `json:"graph"`    // name of the graph
	Version string `json:"version"`  // label of the graph's version
	Node    string `json:"node"`     // name of the node in the graph
	Attempt int    `json:"attempt"`  // 0 for the first try
	Kind    string `json:"kind"`     // production, experiment, shadow or replay
}

// GenerateRequest is the JSON document that generate takes.
type GenerateRequest struct {
	Model       string    `json:"model"`
	System      string    `json:"system,omitempty"`
	Messages    []Message `json:"messages"`
	MaxTokens   int64     `json:"max_tokens,omitempty"`  // 0 leaves it to the provider
	Temperature *float64  `json:"temperature,omitempty"` // 0 is greedy, nil leaves it to the provider
	Stop        []string  `json:"stop,omitempty"`
	Seed        *int64    `json:"seed,omitempty"`
}

// Message is one turn of a conversation; Role is user or assistant.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// GenerateResponse is the JSON document that generate yields.
type GenerateResponse struct {
	Text         string  `json:"text"`
	Model        string  `json:"model"`         // that answered
	FinishReason string  `json:"finish_reason"` // stop, length or filter
	InputTokens  int64   `json:"input_tokens"`
	OutputTokens int64   `json:"output_tokens"`
	CostUSD      float64 `json:"cost_usd"` // 0 when the host knows no price
	Cached       bool    `json:"cached,omitempty"`
}

// HTTPRequest is the JSON document that http takes.
type HTTPRequest struct {
	Method     string            `json:"method,omitempty"` // GET when empty
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`        // text, or
	BodyBase64 []byte            `json:"body_base64,omitempty"` // bytes
	TimeoutMS  int64             `json:"timeout_ms,omitempty"`  // 0 leaves it to the host
}

// HTTPResponse is the JSON document that http yields.
type HTTPResponse struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`               // names in lower case, several values joined by ", "
	Body       string            `json:"body,omitempty"`        // when it is UTF-8
	BodyBase64 []byte            `json:"body_base64,omitempty"` // otherwise
}
