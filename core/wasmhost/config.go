package wasmhost

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/fault"
)

// Generator answers the host call generate: one model call, JSON in and out. It
// adds what the call cost to trail.Calls and honours ctx. The error's kind
// decides which errno the guest sees, its text is handed to the guest.
type Generator interface {
	Generate(ctx context.Context, req []byte, trail *run.Trail) (resp []byte, err error)
}

// Config bounds a Host. The zero value is useful. In all numbers 0 means the
// default.
type Config struct {
	CacheDir         string        // folder of compiled code, made with mode 0700 and refused when others may write to it; empty compiles anew in every process
	MemoryMiB        int           // memory of one instance, 1 to 4096; default 256
	MaxModuleMiB     int           // size of a foreign module, default 8
	MaxTrustedMiB    int           // size of a trusted module, default 64
	MaxPayloadMiB    int           // size of one input or output document, default 16
	Instances        int           // calls that one pool serves at once, default GOMAXPROCS; further ones queue
	ModelInstances   int           // the same for pools whose nodes may call models or servers: they mostly wait; default 16, at least Instances
	SpareMiB         int           // memory a pool may keep in idle instances of other configurations beyond Instances, default 128, -1 for none
	FuelInterval     int           // steps between two looks at the deadline, 1000 to 100000; default 20000
	MaxEventsPerSpan int           // events, and likewise metrics, attributes and log lines, that one call may record; default 100
	StartTimeout     time.Duration // time for a new instance and for the first configuration of a node, default 30s
	HTTPTimeout      time.Duration // time for one HTTP request of a node, default 30s
	Reset            bool          // every call has a fresh instance, whatever its node says; it pays for starting and configuring one
	Generator        Generator     // nil refuses nodes that want to generate

	// Credentials are headers, by name, that the host adds to the HTTP requests of
	// nodes, by the origin they go to. No module ever sees them.
	Credentials map[string]map[string]string
	// PrivateOrigins are the only origins, of those that graphs grant to nodes, that
	// may lie on this machine or in a private or special network.
	PrivateOrigins []string

	Logger *slog.Logger // nil discards
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MemoryMiB, 256)
	def(&c.MaxModuleMiB, 8)
	def(&c.MaxTrustedMiB, 64)
	def(&c.MaxPayloadMiB, 16)
	def(&c.Instances, runtime.GOMAXPROCS(0))
	def(&c.ModelInstances, max(16, c.Instances))
	def(&c.SpareMiB, 128)
	def(&c.FuelInterval, defaultInterval)
	def(&c.MaxEventsPerSpan, 100)
	if c.StartTimeout == 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.HTTPTimeout == 0 {
		c.HTTPTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns every finding, joined, each an Invalid fault with the
// setting as its path; nil when c can be used.
func (c Config) Validate() error {
	c = c.withDefaults()
	var found []error
	within := func(path string, v, lo, hi int) {
		if v < lo || v > hi {
			found = append(found, fault.New(fault.Invalid, path, "%d is outside %d to %d", v, lo, hi))
		}
	}
	within("memory_mib", c.MemoryMiB, 1, 4096)
	within("max_module_mib", c.MaxModuleMiB, 1, 1024)
	within("max_trusted_mib", c.MaxTrustedMiB, 1, 1024)
	within("max_payload_mib", c.MaxPayloadMiB, 1, 1024)
	within("instances", c.Instances, 1, 4096)
	within("model_instances", c.ModelInstances, c.Instances, 4096)
	within("spare_mib", c.SpareMiB, -1, 1<<20)
	within("fuel_interval", c.FuelInterval, minInterval, maxInterval)
	within("max_events_per_span", c.MaxEventsPerSpan, 1, 100_000)
	if c.StartTimeout < 0 {
		found = append(found, fault.New(fault.Invalid, "start_timeout", "%v is negative", c.StartTimeout))
	}
	if c.HTTPTimeout < 0 {
		found = append(found, fault.New(fault.Invalid, "http_timeout", "%v is negative", c.HTTPTimeout))
	}
	for _, o := range c.PrivateOrigins {
		if _, err := parseOrigin("private_origins", o); err != nil {
			found = append(found, err)
		}
	}
	for _, o := range slices.Sorted(maps.Keys(c.Credentials)) {
		if _, err := parseOrigin("credentials", o); err != nil {
			found = append(found, err)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Credentials[o])) {
			if err := checkHeader(name, c.Credentials[o][name]); err != nil {
				found = append(found, fault.Wrap(fault.Invalid, "credentials."+o, err, "header refused"))
			}
		}
	}
	return errors.Join(found...)
}
