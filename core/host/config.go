package host

import (
	"encoding/json"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/sparkrsi/spark/core/engine"
	"github.com/sparkrsi/spark/core/graph"
	"github.com/sparkrsi/spark/core/plughost"
	"github.com/sparkrsi/spark/core/telemetry"
	"github.com/sparkrsi/spark/sdk/backend"
	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/model"
)

// Config is everything a Host is made of. The zero value with a DataDir is a
// host with SQLite telemetry, no models and no stock modules.
type Config struct {
	DataDir     string // required; created where it is missing
	Environment string // telemetry attribute; default development

	// Stock holds the modules that ship with the program. They are trusted.
	Stock [][]byte

	// Natives are the Go functions that documents may name with `native:`.
	Natives map[string]engine.NodeRunner

	// Telemetry holds the profiles by name. DefaultProfile, by default the
	// profile called default, serves graphs whose policy names none. Without
	// any profile there is one called default that writes to SQLite in DataDir.
	Telemetry      map[string]telemetry.Config
	DefaultProfile string

	// Backends are telemetry backends that run in this process; a profile uses
	// one by naming it as its backend. Other names are plugins.
	Backends map[string]backend.Writer

	// Models are providers by the name that requests route to.
	Models map[string]Model

	// Plugins are executables of third parties by the name under which a profile's
	// backend or a model's plugin asks for them. A built-in name cannot be taken.
	Plugins map[string]Plugin

	// Spark is the executable that serves the built-in plugins as
	// `EXECUTABLE plugin serve NAME`; default is the running program itself.
	Spark string

	Nodes    Nodes
	Parallel int // node executions in flight a run; default GOMAXPROCS
	CacheMiB int // memory for outputs of nodes with a cache; default 64

	// LeaveRuns leaves runs that an earlier host was interrupted in, and those whose
	// deadline comes, until Resume asks for them; for a host that is open for a
	// moment only.
	LeaveRuns bool
	// TakeUps is how many hosts in a row may end otherwise than by Close while a run
	// with checkpoints is at one step: the next one reports it failed, since it may be
	// what ends them. Default 10, below 0 no bound.
	TakeUps int
	// RunRetention is how long runs with checkpoints are listed, and their outputs
	// kept, after they ended; default 7 days, below 0 for ever.
	RunRetention time.Duration

	Logger *slog.Logger // default discards
}

// Plugin is an executable and the digest that pins it.
type Plugin struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // in hex, checked before every start
}

// Model is one model provider: a value in this process or a plugin.
type Model struct {
	Provider model.Provider  `json:"-"`
	Plugin   string          `json:"plugin,omitempty"` // built-in name, such as replay
	Config   json.RawMessage `json:"config,omitempty"` // handed to the plugin
}

// Nodes limits the instances of node modules.
type Nodes struct {
	Instances int            `json:"instances,omitempty"`  // a pool; default GOMAXPROCS
	MemoryMiB int            `json:"memory_mib,omitempty"` // an instance; default 256
	Timeout   graph.Duration `json:"timeout,omitempty"`    // of a step whose node names none; default 30s

	// Isolation is the least that nodes have: pooled, the default, or reset, a fresh
	// instance for every call. A document can only ask for more.
	Isolation string `json:"isolation,omitempty"`
	// DiskCacheMiB is how much the outputs of nodes with a cache may take on disk,
	// behind those in memory; 0 keeps them in memory only.
	DiskCacheMiB int `json:"disk_cache_mib,omitempty"`

	// Credentials are headers by name that the host adds to the HTTP requests of
	// nodes, by origin. No module sees them.
	Credentials map[string]map[string]telemetry.Secret `json:"credentials,omitempty"`
	// PrivateOrigins are the only origins on this machine or in a private network
	// that nodes may reach, when their graph grants them.
	PrivateOrigins []string `json:"private_origins,omitempty"`
}

// builtin are the plugins that the spark program serves, by kind.
var builtin = map[plughost.Kind][]string{
	plughost.Backend: {"memory", "otlp", "postgres", "sqlite"},
	plughost.Model:   {"replay"},
}

// complete returns c with its defaults, or every finding.
func (c Config) complete() (Config, error) {
	if c.DataDir == "" {
		return c, fault.New(fault.Invalid, "data_dir", "no data folder is set").WithHint("set data_dir or --data-dir")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, fault.Wrap(fault.Invalid, "data_dir", err, "resolve the data folder")
	}
	c.DataDir = dir
	if c.Environment == "" {
		c.Environment = "development"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if i := c.Nodes.Isolation; i != "" && i != pooled && i != reset {
		return c, fault.New(fault.Invalid, "nodes.isolation", "%q is not one of the choices", i).WithHint("one of pooled, reset")
	}
	if c.Nodes.DiskCacheMiB < 0 {
		return c, fault.New(fault.Invalid, "nodes.disk_cache_mib", "%d is negative", c.Nodes.DiskCacheMiB).WithHint("0 keeps outputs in memory only")
	}
	if c.Nodes.Timeout == 0 {
		c.Nodes.Timeout = graph.Duration(30 * time.Second)
	}
	if c.TakeUps == 0 {
		c.TakeUps = 10
	}
	if c.RunRetention == 0 {
		c.RunRetention = 7 * 24 * time.Hour
	}
	if c.CacheMiB == 0 {
		c.CacheMiB = 64
	}
	if c.DefaultProfile == "" {
		c.DefaultProfile = "default"
	}
	if len(c.Telemetry) == 0 {
		c.Telemetry = map[string]telemetry.Config{c.DefaultProfile: telemetry.Defaults()}
	}
	if _, ok := c.Telemetry[c.DefaultProfile]; !ok && c.DefaultProfile != off {
		return c, fault.New(fault.Invalid, "telemetry.default", "profile %q is not among %v", c.DefaultProfile, slices.Sorted(maps.Keys(c.Telemetry))).
			WithHint("name one of the profiles")
	}
	return c, nil
}

// credentials returns the credentials in the clear, for the node host.
func (n Nodes) credentials() map[string]map[string]string {
	clear := map[string]map[string]string{}
	for origin, headers := range n.Credentials {
		clear[origin] = map[string]string{}
		for name, value := range headers {
			clear[origin][name] = string(value)
		}
	}
	return clear
}
