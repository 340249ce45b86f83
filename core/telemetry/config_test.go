package telemetry

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sparkrsi/spark/sdk/fault"
)

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`{"sampling_rate": 0.1, "export_interval": 5, "instrument_nodes": ["a", "b"], "error_sample_rate": 1, "db_path": "t.db"}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.SamplingRate != .1 || c.ExportInterval != Duration(5*time.Second) || c.all() || *c.ErrorSampleRate != 1 || c.BufferSize != 1000 || !c.CaptureErrors ||
		string(c.BackendConfig()) != `{"db_path":"t.db"}` {
		t.Errorf("config %+v", c)
	}
	for text, want := range map[string]time.Duration{`"100ms"`: 100 * time.Millisecond, `"5"`: 5 * time.Second, `0.5`: time.Second / 2, `0`: 0} {
		if c, err := ParseConfig([]byte(`{"export_interval": ` + text + `}`)); err != nil || time.Duration(c.ExportInterval) != want {
			t.Errorf("export_interval %s: %v, %v; want %v", text, time.Duration(c.ExportInterval), err, want)
		}
	}
	if c, err := ParseConfig([]byte(`{"instrument_nodes": "all"}`)); err != nil || !c.all() {
		t.Errorf("instrument_nodes all: %v, %v", c.InstrumentNodes, err)
	}
	if c, err := ParseConfig(nil); err != nil || c.Validate() != nil || c.RetentionDays != 30 {
		t.Errorf("defaults %+v, %v", c, err)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, text := range []string{`{"samplingrate": 1}`, `{"connection_string": 5}`, `{"propagate_context": "yes"}`, `{"sampling_rate": "all"}`,
		`{"export_interval": "soon"}`, `{"export_interval": 1e300}`, `{"instrument_nodes": 3}`, `[]`, `{`, `{} {}`} {
		if _, err := ParseConfig([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want an invalid fault", text, err)
		}
	}
}

func TestValidateFindsEverything(t *testing.T) {
	c := Config{Enabled: true, SamplingRate: 1.5, ExportInterval: -1, SlowThresholdSeconds: -1, InstrumentNodes: Names{""}, CustomAttributes: map[string]string{"": "x"}}
	rate := -.5
	c.ErrorSampleRate = &rate
	err := c.Validate()
	if !fault.Is(err, fault.Invalid) {
		t.Fatal(err)
	}
	for _, path := range []string{"backend", "sampling_rate", "error_sample_rate", "slow_threshold_seconds", "export_interval", "buffer_size", "max_queue_size",
		"retention_days", "max_events_per_span", "max_spans_per_trace", "instrument_nodes", "custom_attributes"} {
		if !strings.Contains(err.Error(), "telemetry."+path+":") {
			t.Errorf("no finding for %s in\n%v", path, err)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("a profile that is off: %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	b, err := json.Marshal(Defaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"export_interval": "1h", "instrument_nodes": "x", "error_sample_rate": 0.5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v is not an invalid fault", err)
			}
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfig(again); err != nil {
			t.Fatalf("%s was accepted, but not its own form %s: %v", b, again, err)
		}
	})
}
