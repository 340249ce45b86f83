// Package config reads the settings of the spark program: defaults, then the
// file, then SPARK_ environment variables, then flags, each above the one
// before. It is strict: an unknown key or a wrong type is refused with its place.
//
// Start with Load. The package decides nothing and opens nothing but the file.
package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/host"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Config is every setting of the program. Relative paths of the file are
// relative to the file; those of flags and environment to the working folder.
type Config struct {
	DataDir      string           `json:"data_dir"`            // state of the host; default .spark
	Graphs       string           `json:"graphs,omitempty"`    // folder of graph and policy documents to serve; empty watches none
	Modules      string           `json:"modules,omitempty"`   // folder of node modules to load; empty watches none
	Address      string           `json:"address,omitempty"`   // TCP address of the HTTP API; empty serves the unix socket only
	Token        string           `json:"token,omitempty"`     // bearer token of the TCP address
	Intake       bool             `json:"intake,omitempty"`    // receive OTLP/HTTP at /v1/traces, /v1/metrics and /v1/logs for the default profile
	Environment  string           `json:"environment"`         // attribute of every trace; default development
	LogLevel     string           `json:"log_level,omitempty"` // debug, info, warn or error; default info for serve, else warn
	DrainTimeout graph.Duration   `json:"drain_timeout"`       // patience with runs under way when the daemon ends; default 30s
	RunRetention graph.Duration   `json:"run_retention"`       // runs with checkpoints are listed, and their outputs kept, so long after their end; 0 is for ever, default 168h
	Parallel     int              `json:"parallel,omitempty"`  // node executions in flight a run; 0 is one a core
	Nodes        host.Nodes       `json:"nodes"`               // limits of node instances
	Telemetry    Telemetry        `json:"telemetry"`           // profiles
	Models       map[string]Model `json:"models,omitempty"`    // model providers by name

	Plugins map[string]host.Plugin `json:"plugins,omitempty"` // executables of third parties, by name
}

// Telemetry holds the profiles that policies name.
type Telemetry struct {
	Default  string                      `json:"default"` // profile of graphs whose policy names none
	Profiles map[string]telemetry.Config `json:"profiles"`
}

// Model is one model provider.
type Model struct {
	Plugin string         `json:"plugin"`           // built-in provider, such as replay
	Config map[string]any `json:"config,omitempty"` // handed to it
}

// Default returns the settings without any file, variable or flag.
func Default() Config {
	return Config{DataDir: ".spark", Environment: "development", DrainTimeout: graph.Duration(30 * time.Second), RunRetention: graph.Duration(7 * 24 * time.Hour),
		Nodes: host.Nodes{DiskCacheMiB: 256}, Telemetry: Telemetry{Default: "default"}}
}

// Host returns the configuration of the host that these settings describe. The
// caller adds stock modules, natives and a logger.
func (c *Config) Host() (host.Config, error) {
	h := host.Config{DataDir: c.DataDir, Environment: c.Environment, Parallel: c.Parallel, Nodes: c.Nodes, RunRetention: time.Duration(c.RunRetention),
		Telemetry: c.Telemetry.Profiles, DefaultProfile: c.Telemetry.Default, Models: map[string]host.Model{}, Plugins: c.Plugins}
	if _, ok := h.Telemetry["off"]; !ok && h.DefaultProfile == "off" {
		h.Telemetry = map[string]telemetry.Config{"off": {}}
		maps.Copy(h.Telemetry, c.Telemetry.Profiles)
	}
	if c.RunRetention == 0 {
		h.RunRetention = -1
	}
	for name, m := range c.Models {
		raw, err := json.Marshal(m.Config)
		if err != nil {
			return h, fault.Wrap(fault.Invalid, "models."+name+".config", err, "encode")
		}
		h.Models[name] = host.Model{Plugin: m.Plugin, Config: raw}
	}
	return h, nil
}

// Public returns c with the token hidden and without the configuration of the
// models, which may hold keys.
func (c Config) Public() Config {
	if c.Token != "" {
		c.Token = "(set)"
	}
	models := map[string]Model{}
	for name, m := range c.Models {
		models[name] = Model{Plugin: m.Plugin}
	}
	c.Models = models
	return c
}

// String returns the public settings as indented JSON.
func (c Config) String() string {
	b, err := json.MarshalIndent(c.Public(), "", "  ")
	if err != nil {
		return fmt.Sprintf("settings that cannot be printed: %v", err)
	}
	return string(b)
}
