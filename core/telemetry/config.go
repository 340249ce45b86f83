package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
	"github.com/sparkrsi/spark/sdk/plugin"
)

// Config is one telemetry profile. Defaults fills it; a zero Config is off.
type Config struct {
	Enabled bool   `json:"enabled" koanf:"enabled"`           // false records nothing
	Backend string `json:"backend" koanf:"backend"`           // name of a backend plugin
	DBPath  string `json:"db_path,omitempty" koanf:"db_path"` // file of the backend, such as SQLite's

	ConnectionString Secret   `json:"connection_string,omitempty" koanf:"connection_string"` // server of the backend, such as PostgreSQL's; shown as ********
	BackendSettings  Settings `json:"backend_config,omitempty" koanf:"backend_config"`       // further settings of the backend: pool limits, timeouts
	Collector        string   `json:"collector,omitempty" koanf:"collector"`                 // graph that exported batches go through on their way to the backend; its own telemetry is off

	SamplingRate           float64  `json:"sampling_rate" koanf:"sampling_rate"`                             // share of runs kept, in [0,1]
	ForceSampleOnError     bool     `json:"force_sample_on_error" koanf:"force_sample_on_error"`             // keep every failed run
	ErrorSampleRate        *float64 `json:"error_sample_rate,omitempty" koanf:"error_sample_rate"`           // share of failed runs kept, when larger
	EnableAdaptiveSampling bool     `json:"enable_adaptive_sampling" koanf:"enable_adaptive_sampling"`       // keep every slow run
	SlowThresholdSeconds   float64  `json:"slow_threshold_seconds,omitempty" koanf:"slow_threshold_seconds"` // what slow means
	InstrumentNodes        Names    `json:"instrument_nodes" koanf:"instrument_nodes"`                       // nodes that are recorded; ["all"] is all

	ExportInterval Duration `json:"export_interval" koanf:"export_interval"` // latest durable commit; 0 leaves it to Flush
	BufferSize     int      `json:"buffer_size" koanf:"buffer_size"`         // traces in a batch, at most
	MaxQueueSize   int      `json:"max_queue_size" koanf:"max_queue_size"`   // traces waiting for export, at most
	SpoolMaxBytes  int64    `json:"spool_max_bytes" koanf:"spool_max_bytes"` // on disk while the backend is down or slow, at most
	AsyncExport    bool     `json:"async_export" koanf:"async_export"`       // false: a run waits until its trace is written
	RetentionDays  int      `json:"retention_days" koanf:"retention_days"`   // older traces are pruned every hour

	EnableTraces  bool `json:"enable_traces" koanf:"enable_traces"`   // false keeps events and metrics only
	EnableMetrics bool `json:"enable_metrics" koanf:"enable_metrics"` // recorded and derived ones
	EnableEvents  bool `json:"enable_events" koanf:"enable_events"`   // recorded and derived ones

	CaptureInputs  bool `json:"capture_inputs" koanf:"capture_inputs"`   // of runs and steps, as attributes, at most 16 KiB each
	CaptureOutputs bool `json:"capture_outputs" koanf:"capture_outputs"` // likewise
	CaptureErrors  bool `json:"capture_errors" koanf:"capture_errors"`   // texts of errors, and stacks of panics and traps; false keeps error_type only

	ResourceAttributes map[string]string `json:"resource_attributes,omitempty" koanf:"resource_attributes"` // of the process, on every trace
	CustomAttributes   map[string]string `json:"custom_attributes,omitempty" koanf:"custom_attributes"`     // on every trace

	PropagateContext bool `json:"propagate_context" koanf:"propagate_context"` // take and give the trace of callers and callees, W3C traceparent

	MaxEventsPerSpan int `json:"max_events_per_span" koanf:"max_events_per_span"` // recorded ones; more are counted as dropped
	MaxSpansPerTrace int `json:"max_spans_per_trace" koanf:"max_spans_per_trace"` // more are counted as dropped; at most 100000
}

// Defaults returns the profile of a host that says nothing about telemetry.
func Defaults() Config {
	return Config{
		Enabled: true, Backend: "sqlite",
		SamplingRate: 1, SlowThresholdSeconds: 1, InstrumentNodes: Names{"all"},
		ExportInterval: Duration(10 * time.Second), BufferSize: 1000, MaxQueueSize: 10000, SpoolMaxBytes: 1 << 30, AsyncExport: true, RetentionDays: 30,
		EnableTraces: true, EnableMetrics: true, EnableEvents: true, CaptureErrors: true,
		PropagateContext: true, MaxEventsPerSpan: 100, MaxSpansPerTrace: 10000,
	}
}

// ParseConfig returns Defaults changed by a JSON object. An Invalid fault names
// unknown settings, wrong types and everything Validate finds.
func ParseConfig(b []byte) (Config, error) {
	c := Defaults()
	if err := plugin.Decode("telemetry", b, &c); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// Validate returns all findings at once, joined, each an Invalid fault whose
// path is the setting; nil when there are none.
func (c Config) Validate() error {
	var found []error
	bad := func(ok bool, path, want string, got any) {
		if !ok {
			found = append(found, fault.New(fault.Invalid, "telemetry."+path, "%v: want %s", got, want))
		}
	}
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	bad(!c.Enabled || c.Backend != "", "backend", "the name of a backend, such as sqlite", `""`)
	for key, value := range map[string]string{"db_path": c.DBPath, "connection_string": string(c.ConnectionString)} {
		_, twice := c.BackendSettings[key]
		bad(!twice || value == "", "backend_config."+key, "the setting once, here or as "+key, "it is given twice")
	}
	bad(share(c.SamplingRate), "sampling_rate", "a number from 0 to 1", c.SamplingRate)
	if c.ErrorSampleRate != nil {
		bad(share(*c.ErrorSampleRate), "error_sample_rate", "a number from 0 to 1", *c.ErrorSampleRate)
	}
	bad(c.SlowThresholdSeconds >= 0 && !math.IsInf(c.SlowThresholdSeconds, 0), "slow_threshold_seconds", "seconds, at least 0", c.SlowThresholdSeconds)
	bad(c.ExportInterval >= 0, "export_interval", "at least 0", time.Duration(c.ExportInterval))
	if c.Enabled {
		bad(c.BufferSize >= 1, "buffer_size", "at least 1", c.BufferSize)
		bad(c.MaxQueueSize >= 1 && c.MaxQueueSize <= 10_000_000, "max_queue_size", "from 1 to 10000000", c.MaxQueueSize)
		bad(c.SpoolMaxBytes >= 1<<20, "spool_max_bytes", "at least 1048576", c.SpoolMaxBytes)
		bad(c.RetentionDays >= 1, "retention_days", "at least 1", c.RetentionDays)
		bad(c.MaxEventsPerSpan >= 1, "max_events_per_span", "at least 1", c.MaxEventsPerSpan)
		bad(c.MaxSpansPerTrace >= 1 && c.MaxSpansPerTrace <= 100_000, "max_spans_per_trace", "from 1 to 100000", c.MaxSpansPerTrace)
		bad(len(c.InstrumentNodes) > 0, "instrument_nodes", "all or a list of node names", "[]")
	}
	bad(!slices.Contains(c.InstrumentNodes, ""), "instrument_nodes", "names that are not empty", c.InstrumentNodes)
	for _, m := range []struct {
		name  string
		attrs map[string]string
	}{{"resource_attributes", c.ResourceAttributes}, {"custom_attributes", c.CustomAttributes}} {
		bad(len(m.attrs) <= maxAttrs, m.name, fmt.Sprintf("at most %d attributes", maxAttrs), len(m.attrs))
		_, empty := m.attrs[""]
		bad(!empty, m.name, "keys that are not empty", `""`)
	}
	return errors.Join(found...)
}

// BackendConfig returns the JSON configuration for the backend this profile names:
// backend_config with db_path and connection_string, as far as they are set. It
// holds secrets.
func (c Config) BackendConfig() []byte {
	all := map[string]any{}
	maps.Copy(all, c.BackendSettings)
	if c.DBPath != "" {
		all["db_path"] = c.DBPath
	}
	if c.ConnectionString != "" {
		all["connection_string"] = string(c.ConnectionString)
	}
	b, err := json.Marshal(all)
	if err != nil { // a value of a program that embeds Spark; what is read from JSON is written again
		return []byte("{}")
	}
	return b
}

// all reports whether every node is recorded.
func (c *Config) all() bool { return slices.Contains(c.InstrumentNodes, "all") }

// Names is a list of names; in JSON a single string is a list of one.
type Names []string

// UnmarshalJSON accepts a string or a list of strings.
func (n *Names) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = Names{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(n))
}

// UnmarshalText accepts one name, or several with commas between them.
func (n *Names) UnmarshalText(b []byte) error {
	*n = strings.Split(string(b), ",")
	return nil
}

// Duration is a time in a configuration: a bare number is seconds, text is read
// by time.ParseDuration or as seconds.
type Duration time.Duration

// UnmarshalJSON accepts a number of seconds or a text.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' {
		return d.UnmarshalText(b[1 : len(b)-1])
	}
	return d.UnmarshalText(b)
}

// UnmarshalText accepts "5s", "100ms" and "5".
func (d *Duration) UnmarshalText(b []byte) error {
	var s float64
	if err := json.Unmarshal(b, &s); err == nil {
		if math.Abs(s) > 1e9 {
			return fmt.Errorf("%v seconds are too many", s)
		}
		*d = Duration(s * float64(time.Second))
		return nil
	}
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is neither seconds nor a duration such as 5s", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText returns the form time.ParseDuration reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
