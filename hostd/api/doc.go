// Package api is the HTTP interface of a host and its client. Everything the
// command line does goes through it, whether the host lives in the same process,
// behind the daemon's unix socket or at an address.
//
// Start with New for the server side, and with InProcess, Unix or TCP for a
// Client. Bodies are JSON, decoded strictly; errors are {"error": {kind, op,
// path, message, hint}}. The package keeps no state.
package api

import (
	"encoding/json"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/store"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
)

// The bounds of requests and answers.
const (
	MaxBody   = 16 << 20 // bytes of a JSON body
	MaxModule = 64 << 20 // bytes of a module
	MaxPage   = 10_000   // rows of one page
	PageSize  = 100      // rows of a page when none is asked for

	MaxOffset = 10_000_000 // rows before a page
)

// Health is what GET /v1/health answers.
type Health struct {
	Status  string `json:"status"` // ok
	Version string `json:"version"`
	DataDir string `json:"data_dir"`
	PID     int    `json:"pid"`
	Runs    int64  `json:"runs"` // requests for a run that are under way
}

// Document is a graph to lint or apply, with its policy when there is one. File
// names are paths on the host's machine: assets and datasets are read beside
// them.
type Document struct {
	Graph      string `json:"graph"`
	GraphFile  string `json:"graph_file,omitempty"`
	Policy     string `json:"policy,omitempty"`
	PolicyFile string `json:"policy_file,omitempty"`
	Author     string `json:"author,omitempty"`
}

func (d *Document) host() host.Document {
	return host.Document{Graph: []byte(d.Graph), GraphFile: d.GraphFile, Policy: []byte(d.Policy), PolicyFile: d.PolicyFile, Author: d.Author}
}

// Lint is every finding of a document. OK means that none is an error.
type Lint struct {
	OK       bool           `json:"ok"`
	Findings graph.Findings `json:"findings"`
}

// Summary is one graph or one of its versions without its document.
type Summary struct {
	Graph   string    `json:"graph"`
	Version string    `json:"version"`
	ID      string    `json:"id"`
	Seq     int       `json:"seq"`
	Parent  string    `json:"parent,omitempty"` // id
	Author  string    `json:"author"`
	Created time.Time `json:"created"`
	Active  bool      `json:"active"`
	Nodes   int       `json:"nodes"`
}

// Version is one version with its document, its locks and the policy that is in
// force.
type Version struct {
	Summary
	Locked   *graph.Locked   `json:"locked"`
	Policy   *graph.Policy   `json:"policy,omitempty"`
	Evidence json.RawMessage `json:"evidence,omitempty"`
}

// Diff is what leads from one version to another.
type Diff struct {
	Graph   string         `json:"graph"`
	From    string         `json:"from"`
	To      string         `json:"to"`
	Changes []graph.Change `json:"changes"`
	Locks   []LockChange   `json:"locks"`
}

// Run asks for one run.
type Run struct {
	Graph       string          `json:"graph"`
	Version     string          `json:"version,omitempty"` // label or id; empty is the active one
	Input       json.RawMessage `json:"input"`
	TraceParent string          `json:"-"` // W3C traceparent, sent as the header
}

// Answer answers a question that a run waits for.
type Answer struct {
	Question string          `json:"question"` // its id
	Answer   json.RawMessage `json:"answer"`
}

// Cancelled names a run that was told to end.
type Cancelled struct {
	Run string `json:"run_id"` // as it was named
}

// Replay asks that recorded production runs be tried on a version, or on a
// document that is not stored.
type Replay struct {
	Run      string    `json:"run_id,omitempty"` // one run; else the newest of Graph
	Graph    string    `json:"graph,omitempty"`
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"`
	Limit    int       `json:"limit,omitempty"`   // 0 is 100
	Version  string    `json:"version,omitempty"` // label or id; empty is the active one
	Document *Document `json:"document,omitempty"`
}

// Module is one stored module, with how it was pushed where that is known.
type Module struct {
	*store.Module
	New bool `json:"new,omitempty"`
}

// Stats is how telemetry fares: the recorder since the host was opened, and what
// its backend holds.
type Stats struct {
	Recorder telemetry.Stats `json:"recorder"`
	Stored   *backend.Counts `json:"stored,omitempty"` // absent when the backend cannot be asked
}

// Page is a part of a list. Next is the offset of the following page, 0 when
// this is the last.
type Page[Row any] struct {
	Rows []Row `json:"rows"`
	Next int   `json:"next_offset,omitempty"`
}

// Trace is the runs with one trace or run id.
type Trace struct {
	Runs []*telemetry.Tree `json:"runs"`
}

// Analyze asks for the analysis of a graph.
type Analyze struct {
	Graph         string  `json:"graph"`
	Version       string  `json:"version,omitempty"`        // label or id; empty is the active one
	WindowSeconds float64 `json:"window_seconds,omitempty"` // 0 is the policy's
	MinExecutions int     `json:"min_executions,omitempty"` // 0 is the policy's
	AllowVolatile bool    `json:"allow_volatile,omitempty"`
}

// Cycle asks for one improvement cycle.
type Cycle struct {
	Graph   string `json:"graph"`
	Seed    uint64 `json:"seed,omitempty"`    // 0 draws one
	Dataset string `json:"dataset,omitempty"` // a file of the host's machine in place of the policy's
}

// Flush asks that what was recorded be made durable.
type Flush struct {
	Profile string `json:"profile,omitempty"` // empty is the default one, and all that are in use
}

// Flushed is the figures of the profiles in use, after a flush.
type Flushed struct {
	Profiles map[string]telemetry.Stats `json:"profiles"`
}

// Prune asks that traces be removed that ended before a time.
type Prune struct {
	Profile string    `json:"profile,omitempty"` // empty is the default one
	Before  time.Time `json:"before"`
}

// Pruned is what was removed.
type Pruned struct {
	Traces int64     `json:"traces"`
	Before time.Time `json:"before"`
}

// Copy asks that what the backend of one profile holds be written to that of
// another.
type Copy struct {
	From string `json:"from"`
	To   string `json:"to"`
}
