package telemetry

import (
	"math"

	"github.com/sparkrsi/spark/core/run"
	"github.com/sparkrsi/spark/sdk/backend"
)

// probability returns with which probability t is kept: 1 when it failed and
// force_sample_on_error is set; else the largest of sampling_rate,
// error_sample_rate when it failed, and 1 when adaptive sampling is on and it was
// slower than slow_threshold_seconds.
func (c *Config) probability(t *backend.Trace) float64 {
	p := c.SamplingRate
	if t.Status == backend.Failed {
		if c.ForceSampleOnError {
			return 1
		}
		if c.ErrorSampleRate != nil {
			p = max(p, *c.ErrorSampleRate)
		}
	}
	if c.EnableAdaptiveSampling && float64(t.End-t.Start) > c.SlowThresholdSeconds*1e9 {
		return 1
	}
	return p
}

// keep decides by a hash of the run id whether t is exported, and notes the
// probability in it. The same run is decided the same way everywhere.
func (r *Recorder) keep(t *backend.Trace) bool {
	c := &r.cfg
	if !c.EnableTraces && !c.EnableEvents && !c.EnableMetrics {
		return false
	}
	p := c.probability(t)
	t.Probability = p
	return r.within(t.RunID, p)
}

// within reports whether the hash of a run id lies within the share p.
func (r *Recorder) within(id backend.ID, p float64) bool {
	return p >= 1 || float64(run.ID(id).Hash(2)>>11)*0x1p-53 < p
}

// headOnly reports whether nothing that happens in a run changes how it is
// sampled.
func (c *Config) headOnly() bool {
	return !c.ForceSampleOnError && !c.EnableAdaptiveSampling && (c.ErrorSampleRate == nil || *c.ErrorSampleRate <= c.SamplingRate)
}

func floatAttr(key string, v float64) backend.Attr {
	return backend.Attr{Key: key, Kind: backend.KindFloat, Num: math.Float64bits(v)}
}
