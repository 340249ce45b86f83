// Package graph is the document a workflow is written in: its types, a strict
// decoder with line numbers, validation that reports every finding, conditions
// and mappings, the plan an engine executes, differences, changes and drawings,
// and the digest that identifies a version. It does no I/O.
//
// Start with Decode, then Validate and Compile.
package graph

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

// Graph is one decoded document. Decode makes it; treat it as immutable after
// that and use Apply or Clone to change it.
type Graph struct {
	Name    string            `json:"graph"`
	Version string            `json:"version,omitempty"` // a label for people
	Summary string            `json:"summary,omitempty"`
	Policy  string            `json:"policy,omitempty"`  // name of the policy document, default the graph's name
	Assets  map[string]string `json:"assets,omitempty"`  // name -> file, relative to the document
	State   map[string]*Key   `json:"state,omitempty"`   // declared keys of the run's state; with none, any key takes any JSON
	Durable bool              `json:"durable,omitempty"` // a checkpoint after every step, so that a run survives its process; implied by a node that waits
	Start   string            `json:"start"`
	Nodes   []*Node           `json:"nodes"` // in document order
	Edges   []*Edge           `json:"edges,omitempty"`
	Output  []string          `json:"output,omitempty"` // the first of these that ran; default the nodes without outgoing edges

	pos positions // where each part stands in the document, nil when unknown
}

// Key declares one key of the run's state.
type Key struct {
	Schema  json.RawMessage `json:"schema,omitempty"`  // JSON Schema of what steps write; empty takes anything
	Initial json.RawMessage `json:"initial,omitempty"` // value at the start of a run; default 0 for sum, [] for append, none otherwise
	Reduce  Reducer         `json:"reduce,omitempty"`
}

// Reducer says how writes to one key combine. Writes of steps that run at the
// same time count in an order that does not depend on timing: by the number of
// steps on the longest way to them, then by document order, visit and item.
type Reducer string

// The reducers. The zero value is ReduceLast.
const (
	ReduceLast   Reducer = "last"   // the last write
	ReduceSum    Reducer = "sum"    // of the initial number and all written ones
	ReduceMax    Reducer = "max"    // the highest written number
	ReduceAppend Reducer = "append" // a list that each write adds one element to
)

// Node is one step of the document. Exactly one of Module, Native, Graph and Wait
// is set.
type Node struct {
	Name      string          `json:"name"`
	Module    string          `json:"module,omitempty"` // node type and semver range, such as bm25@^1
	Native    string          `json:"native,omitempty"` // a Go function registered by the host
	Graph     string          `json:"graph,omitempty"`  // another graph and semver range, such as search@^1
	Wait      *Wait           `json:"wait,omitempty"`   // a question to a person
	State     StateScope      `json:"state,omitempty"`  // what state a nested graph has
	Config    json.RawMessage `json:"config,omitempty"` // canonical JSON object
	Assets    []string        `json:"assets,omitempty"`
	Timeout   Duration        `json:"timeout,omitempty"` // 0 leaves it to the host
	Retry     *Retry          `json:"retry,omitempty"`
	Join      Join            `json:"join,omitempty"`
	Route     Route           `json:"route,omitempty"`
	MaxVisits int             `json:"max_visits,omitempty"` // 0 is unlimited within the policy
	Input     *Mapping        `json:"input,omitempty"`
	Foreach   *Foreach        `json:"foreach,omitempty"`
	Grant     *Grant          `json:"grant,omitempty"`

	Cache          *Cache          `json:"cache,omitempty"`
	RateLimit      *RateLimit      `json:"rate_limit,omitempty"`
	CircuitBreaker *CircuitBreaker `json:"circuit_breaker,omitempty"`
	Budget         *NodeBudget     `json:"budget,omitempty"`
	IdempotencyKey string          `json:"idempotency_key,omitempty"` // CEL, over what Input sees

	Validate  Validation `json:"validate,omitempty"`  // how often inputs and outputs are held against the module's schemas
	Isolation Isolation  `json:"isolation,omitempty"` // what calls of the node share; the host may demand more
}

// Validation says how often inputs and outputs of a node are held against the
// schemas of its module. A value that does not fit fails the step with invalid.
type Validation string

// The choices of Validation. The zero value is ValidateAlways for modules that are
// not trusted, else ValidateSample.
const (
	ValidateAlways Validation = "always" // every step
	ValidateSample Validation = "sample" // 1 % of the steps, those that take the run's input, and all outside of production
	ValidateOff    Validation = "off"    // never
)

// Isolation says what calls of a node share.
type Isolation string

// The choices of Isolation. The zero value is IsolationPooled.
const (
	IsolationPooled Isolation = "pooled" // an instance serves one call after the other
	IsolationReset  Isolation = "reset"  // a fresh instance a call
)

// StateScope says which state a nested graph reads and writes.
type StateScope string

// The scopes. The zero value is StateIsolated.
const (
	StateIsolated StateScope = "isolated" // one of its own, empty at each visit
	StateShared   StateScope = "shared"   // that of the graph around it
)

// Edge leads from one node to another. At most one of When, Otherwise and
// OnError is set; with none of them the edge always fires on success.
type Edge struct {
	From      string       `json:"from"`
	To        string       `json:"to"`
	When      string       `json:"when,omitempty"` // CEL, true fires
	Otherwise bool         `json:"otherwise,omitempty"`
	OnError   []fault.Kind `json:"on_error,omitempty"`
}

// Join says when a node with several incoming edges runs.
type Join string

// The joins. The zero value is JoinAll.
const (
	JoinAll Join = "all" // once, when every edge that a live token can still reach arrived
	JoinAny Join = "any" // once an arrival
)

// Route says which matching edges fire.
type Route string

// The routes. The zero value is RouteAll.
const (
	RouteAll   Route = "all"
	RouteFirst Route = "first"
)

// Retry repeats a failed step. Attempts counts all tries, so 1 never repeats.
type Retry struct {
	Attempts   int          `json:"attempts"`
	Backoff    Duration     `json:"backoff,omitempty"`     // before the second try, doubled after each, with full jitter; default 50ms
	MaxBackoff Duration     `json:"max_backoff,omitempty"` // default 2s
	Kinds      []fault.Kind `json:"kinds,omitempty"`       // default transient, timeout, unavailable
}

// Cache keeps outputs of a node. They are shared by all nodes, versions and
// graphs that agree on the module's digest, the config, the assets, the grants and
// the key. What the node would write to the state or report is not repeated.
type Cache struct {
	TTL   Duration `json:"ttl,omitempty"`   // 0 keeps an output until it must make room
	Key   string   `json:"key,omitempty"`   // CEL, over what Input sees; empty is the whole input
	Force bool     `json:"force,omitempty"` // also where nothing says that the node gives the same again
}

// RateLimit is a token bucket that all runs of one version share: Burst attempts
// at once, then Rate in each Per. A step waits for its turn without a worker.
type RateLimit struct {
	Rate    float64  `json:"rate"`
	Per     Duration `json:"per,omitempty"`      // default 1s
	Burst   int      `json:"burst,omitempty"`    // default 1
	MaxWait Duration `json:"max_wait,omitempty"` // a step that would wait longer fails with limit; 0 waits as long as the run may
}

// CircuitBreaker refuses attempts with unavailable once Failures of the last
// Window failed, for Cooldown; then one attempt decides. All runs of one version
// share it.
type CircuitBreaker struct {
	Failures int          `json:"failures"`
	Window   int          `json:"window,omitempty"`   // default Failures: that many in a row
	Cooldown Duration     `json:"cooldown,omitempty"` // default 30s
	Kinds    []fault.Kind `json:"kinds,omitempty"`    // that count as failures; default transient, timeout, unavailable
}

// NodeBudget limits the model calls of a node within one run, over all its
// visits, attempts, items and nested steps. A zero field is unlimited.
type NodeBudget struct {
	CostUSD float64 `json:"cost_usd,omitempty"`
	Tokens  int64   `json:"tokens,omitempty"`
}

// Foreach runs a node once an item of a list. The output of the step is the list
// of what the items gave, in their order.
type Foreach struct {
	Items       string      `json:"items"`                   // CEL that gives the list, over input, output, nodes, state and run
	Concurrency int         `json:"concurrency,omitempty"`   // items at once; default 8, never above what the run has
	OnItemError OnItemError `json:"on_item_error,omitempty"` // once its retries are used up
}

// OnItemError says what a failed item does to its step.
type OnItemError string

// The choices of OnItemError. The zero value is ItemFail.
const (
	ItemFail OnItemError = "fail" // the step fails as the first failed item did
	ItemSkip OnItemError = "skip" // the item is left out of the output
	ItemNull OnItemError = "null" // the item gives null
)

// The bounds of a foreach.
const (
	DefaultConcurrency = 8
	MaxConcurrency     = 1024
	MaxItems           = 100_000
)

// Grant gives a node capabilities beyond the harmless ones.
type Grant struct {
	Generate bool `json:"generate,omitempty"`
	Clock    bool `json:"clock,omitempty"`
	Random   bool `json:"random,omitempty"`

	// HTTP are the origins that the node may reach, such as https://api.example.com.
	HTTP []string `json:"http,omitempty"`
}

// empty reports whether nothing is granted.
func (g *Grant) empty() bool { return !g.Generate && !g.Clock && !g.Random && len(g.HTTP) == 0 }

// Mapping makes a node's input. It is a JSON value whose strings that start
// with "=" are CEL expressions; every other value stands for itself.
type Mapping struct {
	Raw json.RawMessage
}

// MarshalJSON returns the mapping as it is written in a document.
func (m Mapping) MarshalJSON() ([]byte, error) {
	if m.Raw == nil {
		return []byte("null"), nil
	}
	return m.Raw, nil
}

// UnmarshalJSON keeps the canonical form of b.
func (m *Mapping) UnmarshalJSON(b []byte) (err error) {
	m.Raw, err = Canonical(b)
	return err
}

// Duration is a length of time written as 5s, 250ms or a bare number of seconds.
type Duration time.Duration

// String returns the duration as Go writes it, such as 1m30s.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON returns a string such as "1m30s".
func (d Duration) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, d.String()), nil }

// UnmarshalJSON reads a string such as "5s" or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) (err error) {
	s := string(b)
	if len(s) > 1 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	if *d, err = parseDuration(s); err != nil {
		return fault.New(fault.Invalid, "", "%q is not a duration: %v", s, err)
	}
	return nil
}

// Policy judges and limits a graph. It is no part of any version.
type Policy struct {
	Name       string               `json:"policy"`
	Objectives map[string]Objective `json:"objectives,omitempty"` // empty: nothing improves the graph
	Evaluation *Evaluation          `json:"evaluation,omitempty"`
	Protected  []string             `json:"protected,omitempty"`
	Limits     Limits               `json:"limits,omitempty"`
	Telemetry  string               `json:"telemetry,omitempty"` // a profile of the host, or off
	RSI        RSI                  `json:"rsi,omitempty"`
}

// Objective is one thing to improve. Weights are positive and are normalised
// to a sum of 1 by Decode.
type Objective struct {
	Weight    float64  `json:"weight"`
	Direction string   `json:"direction"` // minimize or maximize
	Min       *float64 `json:"min,omitempty"`
	Max       *float64 `json:"max,omitempty"`
	Margin    *float64 `json:"margin,omitempty"` // non-inferiority margin, relative; default .02
}

// Evaluation names the inputs and the scorers of experiments.
type Evaluation struct {
	Dataset string   `json:"dataset"` // JSONL file, relative to the document
	Scorers []Scorer `json:"scorers,omitempty"`
}

// Scorer is a node that grades an output; it answers {score, comment}.
type Scorer struct {
	Module string          `json:"module"`
	Config json.RawMessage `json:"config,omitempty"`
}

// Limits bound one run. A zero field is unlimited.
type Limits struct {
	Time    Duration `json:"time,omitempty"`
	Steps   int      `json:"steps,omitempty"`
	CostUSD float64  `json:"cost_usd,omitempty"`
	Tokens  int64    `json:"tokens,omitempty"`
}

// RSI steers the improvement of a graph.
type RSI struct {
	AnalysisWindowHours float64  `json:"analysis_window_hours,omitempty"` // default 24
	MinExecutions       int      `json:"min_executions,omitempty"`        // default 100
	MaxHypotheses       int      `json:"max_hypotheses,omitempty"`        // default 3
	AutoDeploy          *bool    `json:"auto_deploy,omitempty"`           // default true
	Strategy            string   `json:"strategy,omitempty"`              // default direct
	Budget              Budget   `json:"budget,omitempty"`
	MinEffect           *float64 `json:"min_effect,omitempty"` // default .02
	AllowVolatile       bool     `json:"allow_volatile,omitempty"`
	Screen              int      `json:"screen,omitempty"`  // inputs for choosing; default 40 % of the dataset
	Confirm             int      `json:"confirm,omitempty"` // inputs for confirming; default the rest, at most 200
	Repeats             int      `json:"repeats,omitempty"` // runs of one input an arm, averaged; default 1
}

// Budget is the hard limit of one improvement cycle.
type Budget struct {
	Runs    int      `json:"runs,omitempty"` // default 5000
	CostUSD float64  `json:"cost_usd,omitempty"`
	Time    Duration `json:"time,omitempty"` // default 1h
}

// Lock pins what a node's module reference resolved to.
type Lock struct {
	Node    string `json:"node"`
	Type    string `json:"type"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // sha256 of the module
}

// AssetLock pins the bytes of an asset.
type AssetLock struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // sha256
	Size   int64  `json:"size"`
}

// Locked is a graph with everything it refers to pinned: what a version is.
type Locked struct {
	Graph  *Graph       `json:"spec"`
	Locks  []Lock       `json:"locks,omitempty"`  // in node order
	Assets []AssetLock  `json:"assets,omitempty"` // by name
	Nested []NestedLock `json:"nested,omitempty"` // in node order
}

// NestedLock pins the version that a node's graph reference resolved to, whole,
// so that the version around it needs nothing else.
type NestedLock struct {
	Node    string  `json:"node"`
	Version string  `json:"version,omitempty"` // its label when it was locked, for people
	Digest  string  `json:"digest"`            // of Locked
	Locked  *Locked `json:"locked"`
}

// Finding is one thing wrong or doubtful in a document.
type Finding struct {
	Severity string `json:"severity"` // error or warning
	Path     string `json:"path"`     // nodes.retrieve.timeout
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// Findings is every finding of one document, in document order.
type Findings []Finding
