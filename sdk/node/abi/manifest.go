package abi

import "encoding/json"

// Section is the name of the custom section that holds the manifest as JSON.
const Section = "spark.manifest"

// Manifest describes a module: what the host may know without running it.
type Manifest struct {
	ABI     int        `json:"abi"`
	Name    string     `json:"name"`
	Version string     `json:"version"` // semantic version of the module
	Summary string     `json:"summary,omitempty"`
	License string     `json:"license,omitempty"`
	Nodes   []NodeType `json:"nodes"`
}

// NodeType describes one node type of a module. Schemas are JSON Schema 2020-12.
type NodeType struct {
	Type          string          `json:"type"`
	Version       string          `json:"version"`
	Summary       string          `json:"summary"`
	Implements    []string        `json:"implements,omitempty"` // such as retriever/v1
	Config        json.RawMessage `json:"config,omitempty"`
	Input         json.RawMessage `json:"input,omitempty"`
	Output        json.RawMessage `json:"output,omitempty"`
	Effects       Effects         `json:"effects"`
	Deterministic bool            `json:"deterministic"`
	Idempotent    bool            `json:"idempotent"`
	Capabilities  []Capability    `json:"capabilities,omitempty"`
	MemoryMiB     int             `json:"memory_mib,omitempty"` // wanted; 0 leaves it to the host
}

// Effects says what a node does to the world outside the run.
type Effects string

// The effects.
const (
	EffectsNone  Effects = "none"
	EffectsRead  Effects = "read"
	EffectsWrite Effects = "write"
)

// Capability is a host function group that a node wants.
type Capability string

// The capabilities. Log, metric, event, span_attr, run_info and state need none.
const (
	CapAsset    Capability = "asset"
	CapGenerate Capability = "generate"
	CapHTTP     Capability = "http"
	CapClock    Capability = "clock"
	CapRandom   Capability = "random"
)

// Tunable is what `x-tunable` holds at a property of a config schema: it marks
// the property as one that improvement may search over. Numbers use Min, Max,
// Step and Log; strings and booleans use Values, or the property's enum.
type Tunable struct {
	Min    *float64          `json:"min,omitempty"`
	Max    *float64          `json:"max,omitempty"`
	Step   float64           `json:"step,omitempty"` // 0 is continuous; integers use at least 1
	Log    bool              `json:"log,omitempty"`  // search on a logarithmic scale
	Values []json.RawMessage `json:"values,omitempty"`
}

// Configuration is the JSON document handed to spark_configure.
type Configuration struct {
	Node   string          `json:"node"` // node type, one of the manifest's
	Config json.RawMessage `json:"config,omitempty"`
	Assets []string        `json:"assets,omitempty"` // names that asset_read serves
}
